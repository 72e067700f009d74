//! The port of teams, each method handed to the writer or to a reader.

use async_trait::async_trait;
use model::{AuditEntry, Hostname, InstanceId, Millis, Owner, Policy, Quota};

use super::request::Tx;
use super::{Sqlite, accept, names, offers, teams};
use crate::metrics;
use crate::{
    Accept, Foretold, HostnameOwner, Offer, Reservation, StoreError, Team, Teams, Transferred,
};

#[async_trait]
impl Teams for Sqlite {
    async fn team(&self, owner: &Owner) -> Result<Team, StoreError> {
        self.inner.readers.here(|conn| teams::team(conn, owner)).await
    }

    async fn teams(&self, after: Option<Owner>, limit: usize) -> Result<Vec<Team>, StoreError> {
        self.inner.readers.aside(move |conn| teams::teams(conn, after.as_ref(), limit)).await
    }

    async fn set_policy(
        &self,
        owner: &Owner,
        policy: Policy,
        over: Option<Policy>,
        at: Millis,
        entry: AuditEntry,
    ) -> Result<bool, StoreError> {
        let owner = owner.clone();
        let set =
            move |tx: &Tx<'_>| teams::set_policy(tx, &owner, &policy, over.as_ref(), at, &entry);
        self.inner.writer.write(set).await
    }

    async fn reservation(
        &self,
        hostname: &Hostname,
        now: Millis,
    ) -> Result<Option<Reservation>, StoreError> {
        self.inner.readers.here(|conn| names::reservation(conn, hostname, now)).await
    }

    async fn lift_reservation(
        &self,
        hostname: &Hostname,
        at: Millis,
        entry: AuditEntry,
    ) -> Result<Option<Reservation>, StoreError> {
        let hostname = hostname.clone();
        let lift = move |tx: &Tx<'_>| teams::lift_reservation(tx, &hostname, at, &entry);
        self.inner.writer.write(lift).await
    }

    async fn wildcard_of(&self, hostname: &Hostname) -> Result<Option<HostnameOwner>, StoreError> {
        self.inner.readers.here(|conn| names::wildcard_of(conn, hostname)).await
    }

    async fn consented(&self, hostname: &Hostname) -> Result<Option<Owner>, StoreError> {
        self.inner.readers.here(|conn| names::consented(conn, hostname)).await
    }

    async fn consent(
        &self,
        hostname: &Hostname,
        by: &Owner,
        to: &Owner,
        at: Millis,
        entry: AuditEntry,
    ) -> Result<bool, StoreError> {
        let (hostname, by, to) = (hostname.clone(), by.clone(), to.clone());
        let consent = move |tx: &Tx<'_>| teams::consent(tx, &hostname, &by, &to, at, &entry);
        self.inner.writer.write(consent).await
    }

    async fn withdraw_consent(
        &self,
        hostname: &Hostname,
        by: &Owner,
        at: Millis,
        entry: AuditEntry,
    ) -> Result<bool, StoreError> {
        let (hostname, by) = (hostname.clone(), by.clone());
        let withdraw = move |tx: &Tx<'_>| teams::withdraw_consent(tx, &hostname, &by, at, &entry);
        self.inner.writer.write(withdraw).await
    }

    async fn offer(
        &self,
        instance: &InstanceId,
        from: &Owner,
        to: &Owner,
        at: Millis,
        entry: AuditEntry,
    ) -> Result<Transferred, StoreError> {
        let (instance, from, to) = (instance.clone(), from.clone(), to.clone());
        let offer = move |tx: &Tx<'_>| offers::offer(tx, &instance, &from, &to, at, &entry);
        self.inner.writer.write(offer).await
    }

    async fn offered(&self, instance: &InstanceId) -> Result<Option<Owner>, StoreError> {
        self.inner.readers.here(|conn| offers::offered(conn, instance)).await
    }

    async fn withdraw_offer(
        &self,
        instance: &InstanceId,
        to: &Owner,
        at: Millis,
        entry: AuditEntry,
    ) -> Result<bool, StoreError> {
        let (instance, to) = (instance.clone(), to.clone());
        let withdraw = move |tx: &Tx<'_>| offers::withdraw(tx, &instance, &to, at, &entry);
        self.inner.writer.write(withdraw).await
    }

    async fn offers(&self, of: Option<Owner>, limit: usize) -> Result<Vec<Offer>, StoreError> {
        self.inner.readers.aside(move |conn| offers::list(conn, of.as_ref(), limit)).await
    }

    async fn foretell(&self, wish: Accept) -> Result<Foretold, StoreError> {
        self.inner.readers.aside(move |conn| accept::foretell(conn, &wish)).await
    }

    async fn reservations(&self, now: Millis) -> Result<usize, StoreError> {
        let count = self.inner.readers.aside(move |conn| names::reservations(conn, now)).await?;
        metrics::reserved(count);
        Ok(count)
    }

    async fn take(
        &self,
        instance: &InstanceId,
        to: &Owner,
        quota: Quota,
        at: Millis,
        entries: [AuditEntry; 2],
    ) -> Result<Transferred, StoreError> {
        let (instance, to) = (instance.clone(), to.clone());
        let take = move |tx: &Tx<'_>| offers::take(tx, &instance, &to, quota, at, &entries);
        self.inner.writer.write(take).await
    }
}
