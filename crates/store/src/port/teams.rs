//! Teams: what each may have, what it has, and names that pass from one to another.

use async_trait::async_trait;
use model::{AuditEntry, Hostname, InstanceId, Millis, Owner, Policy};

use super::{Accept, HostnameOwner, Proof, Refusal};
use crate::StoreError;

/// How long a name that was served and is given up stays its team's: 30 days. Who still follows an
/// old link shall not arrive at somebody else's.
pub const RESERVED_MILLIS: Millis = 30 * 24 * 60 * 60 * 1000;

/// A team, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// Whose team.
    pub owner: Owner,
    /// What is laid down for it; nothing, where nobody did.
    pub policy: Policy,
    /// What it has.
    pub usage: Usage,
}

/// What a team has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Instances, but for those deleted or failed.
    pub instances: u32,
    /// Hostnames.
    pub hostnames: u32,
}

/// A name that was given up and is not free yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The name.
    pub hostname: Hostname,
    /// The team that had it, and may take it again.
    pub owner: Owner,
    /// The service that had it.
    pub service: String,
    /// Until when.
    pub until: Millis,
}

/// A service that is offered to another team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its instance.
    pub instance: InstanceId,
    /// Its name.
    pub service: String,
    /// Whose it is.
    pub from: Owner,
    /// Who may take it.
    pub to: Owner,
    /// The names that go with it.
    pub hostnames: Vec<Hostname>,
    /// The credential that offered it.
    pub by: String,
    /// When.
    pub at: Millis,
}

/// What became of an offer or of its taking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transferred {
    /// It is so.
    Yes,
    /// There is no such instance, or it is deleted.
    Gone,
    /// It is not the giver's any more.
    NotTheirs,
    /// It was not offered to this team.
    NotOffered,
    /// The taker has a service of that name, in the same environment.
    NameTaken,
    /// These wildcards go with it, and were not granted to the taker.
    NotGranted(Vec<Hostname>),
    /// The taker may not have so many.
    Full(super::Excess),
}

/// What would come of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Foretold {
    /// It would be accepted. These names would not answer in public until they are proven: those for which a
    /// proof would be asked, and those for which one is awaited already.
    Accepted(Vec<Proof>),
    /// It would be refused.
    Refused(Refusal),
}

/// Teams and their names.
#[async_trait]
pub trait Teams: Send + Sync {
    /// A team; one that was never heard of has nothing.
    async fn team(&self, owner: &Owner) -> Result<Team, StoreError>;

    /// Teams of which anything is known, by organisation and space, after `after`, at most `limit`
    /// (and [`PAGE_ROWS_MAX`](crate::PAGE_ROWS_MAX)).
    async fn teams(&self, after: Option<Owner>, limit: usize) -> Result<Vec<Team>, StoreError>;

    /// Lays down what a team may have. What it has already it keeps; its changes are counted afresh.
    /// `over`: only in the place of this. Whether it was done.
    async fn set_policy(
        &self,
        owner: &Owner,
        policy: Policy,
        over: Option<Policy>,
        at: Millis,
        entry: AuditEntry,
    ) -> Result<bool, StoreError>;

    /// The reservation of a name that holds at `now`.
    async fn reservation(
        &self,
        hostname: &Hostname,
        now: Millis,
    ) -> Result<Option<Reservation>, StoreError>;

    /// Ends a reservation; the one that there was.
    async fn lift_reservation(
        &self,
        hostname: &Hostname,
        at: Millis,
        entry: AuditEntry,
    ) -> Result<Option<Reservation>, StoreError>;

    /// Who holds the wildcard under which a name falls.
    async fn wildcard_of(&self, hostname: &Hostname) -> Result<Option<HostnameOwner>, StoreError>;

    /// Whom the owner of the wildcard above a name lets have it, as long as that consent counts.
    async fn consented(&self, hostname: &Hostname) -> Result<Option<Owner>, StoreError>;

    /// The owner of the wildcard above a name lets `to` have it; whether `by` owns that wildcard. One
    /// team a name: a later consent comes in the place of an earlier.
    async fn consent(
        &self,
        hostname: &Hostname,
        by: &Owner,
        to: &Owner,
        at: Millis,
        entry: AuditEntry,
    ) -> Result<bool, StoreError>;

    /// Takes a consent back; who has taken the name keeps it. Whether `by` had given it.
    async fn withdraw_consent(
        &self,
        hostname: &Hostname,
        by: &Owner,
        at: Millis,
        entry: AuditEntry,
    ) -> Result<bool, StoreError>;

    /// Offers an instance of `from` to another team.
    async fn offer(
        &self,
        instance: &InstanceId,
        from: &Owner,
        to: &Owner,
        at: Millis,
        entry: AuditEntry,
    ) -> Result<Transferred, StoreError>;

    /// To whom an instance is offered.
    async fn offered(&self, instance: &InstanceId) -> Result<Option<Owner>, StoreError>;

    /// Takes an offer to `to` back, or declines it. Whether there was such an offer.
    async fn withdraw_offer(
        &self,
        instance: &InstanceId,
        to: &Owner,
        at: Millis,
        entry: AuditEntry,
    ) -> Result<bool, StoreError>;

    /// What a team offers and is offered, by instance, at most `limit` (and
    /// [`PAGE_ROWS_MAX`](crate::PAGE_ROWS_MAX)). `None`: of all teams.
    async fn offers(&self, of: Option<Owner>, limit: usize) -> Result<Vec<Offer>, StoreError>;

    /// What the names and shares of teams would make of a request now; nothing is held, and no
    /// change is counted.
    async fn foretell(&self, accept: Accept) -> Result<Foretold, StoreError>;

    /// How many names are reserved at `now`.
    async fn reservations(&self, now: Millis) -> Result<usize, StoreError>;

    /// The team to whom an instance is offered takes it, with its hostnames: `quota` is the
    /// platform's. Nothing is published: what is served stays as it is. Both `entries` are written,
    /// the giver's and the taker's.
    async fn take(
        &self,
        instance: &InstanceId,
        to: &Owner,
        quota: model::Quota,
        at: Millis,
        entries: [AuditEntry; 2],
    ) -> Result<Transferred, StoreError>;
}
