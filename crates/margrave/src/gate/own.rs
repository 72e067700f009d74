//! The identity of the proxy that this process starts itself: nobody has to let it in.

use std::time::Duration;

use anyhow::bail;
use authority::{Applicant, ProxyName, Request};
use keys::Secret;
use model::{AccessHash, AuditEntry, Requester};
use serde_json::json;
use store::{Certified, Join, JoinToken, Joins, Nodes, Renewal, Renews};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::envoy::Identity;

/// Who is said to have let it in.
const ITSELF: &str = "margrave";
/// Before trying again what did not work.
const AGAIN_MILLIS: i64 = 60_000;
/// Between two looks at the clock.
const LOOK: Duration = Duration::from_secs(30);

/// The identity of our own proxy, and what keeps it good.
pub struct Own {
    joining: broker::Joining,
    name: ProxyName,
    identity: Identity,
    /// What it shows.
    has: Certified,
}

impl Own {
    /// Joins, as any host would, and writes what the proxy connects with. What it had before is revoked.
    pub async fn join(
        joining: broker::Joining,
        name: ProxyName,
        identity: Identity,
    ) -> anyhow::Result<Self> {
        let has = Certified { serial: String::new(), issued_at: 0, not_after: 0 };
        let mut own = Self { joining, name, identity, has };
        own.come_in().await?;
        Ok(own)
    }

    async fn come_in(&mut self) -> anyhow::Result<()> {
        let (certificate, pem, key) = self.sign()?;
        let by = Requester {
            credential: ITSELF.to_owned(),
            originating_identity: None,
            request_identity: None,
        };
        let secret = AccessHash(rand::random());
        let entry = |action: &str| AuditEntry {
            by: by.clone(),
            action: action.to_owned(),
            object: self.name.node.to_string(),
            owner: None,
            detail: json!({"group": self.name.group, "serial": certificate.serial}),
        };
        let token = JoinToken {
            group: self.name.group.clone(),
            node: Some(self.name.node.clone()),
            created_at: certificate.issued_at,
            created_by: ITSELF.to_owned(),
            expires_at: certificate.issued_at + 60_000,
        };
        self.nodes().create_join_token(token, secret, entry("join-token.create")).await?;
        let node = self.name.node.clone();
        let join =
            Join { secret, node, entry: entry("node.join"), certificate: certificate.clone() };
        match self.nodes().join(join).await? {
            Joins::Yes => {}
            other => bail!("the proxy {} cannot join: {other:?}", self.name),
        }
        self.show(certificate, &pem, &key)
    }

    /// Renews the certificate when two thirds of its life are over.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut again_at = 0;
        loop {
            let Certified { issued_at, not_after, .. } = self.has;
            let due = issued_at + (not_after - issued_at) / 3 * 2;
            let wait = u64::try_from(due.max(again_at) - clock::now()).unwrap_or_default();
            // Not all at once: a machine that slept has another time than its timers.
            let wait = Duration::from_millis(wait).min(LOOK);
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return Ok(());
            }
            if clock::now() < due.max(again_at) {
                continue;
            }
            if let Err(error) = self.renew().await {
                tracing::warn!("the proxy's certificate was not renewed: {error:#}");
                again_at = clock::now() + AGAIN_MILLIS;
            }
        }
    }

    async fn renew(&mut self) -> anyhow::Result<()> {
        let known = self.nodes().node(&self.name.node).await?;
        if known.is_some_and(|known| known.revoked_at.is_some()) {
            bail!("{} was revoked, and is let in at the next start", self.name);
        }
        // What has ended renews nothing.
        if self.has.not_after <= clock::now() {
            return self.come_in().await;
        }
        let (new, pem, key) = self.sign()?;
        let (node, group) = (self.name.node.clone(), self.name.group.clone());
        let renewal = Renewal { node, group, old: self.has.clone(), new: new.clone() };
        match self.nodes().renew(renewal).await? {
            Renews::Yes => self.show(new, &pem, &key),
            Renews::Revoked => bail!("{} was revoked", self.name),
            Renews::TooMany => bail!("{} has too many certificates that have not ended", self.name),
        }
    }

    fn show(&mut self, certificate: Certified, pem: &str, key: &Secret) -> anyhow::Result<()> {
        self.identity.trust(&(self.joining.listener)().authority)?;
        self.identity.show(pem, key)?;
        self.has = certificate;
        Ok(())
    }

    fn nodes(&self) -> &dyn Nodes {
        &*self.joining.nodes
    }

    fn sign(&self) -> anyhow::Result<(Certified, String, Secret)> {
        let applicant = Applicant::new()?;
        let (now, authority) = (clock::now(), &self.joining.authority);
        let asked = Request::read(applicant.request())?;
        let issued = authority.issue(&asked, &self.name, rand::random(), now, self.joining.life)?;
        let (serial, not_after) = (issued.serial, issued.not_after);
        Ok((Certified { serial, issued_at: now, not_after }, issued.pem, applicant.key()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ::authority::Authority;
    use store::sqlite::{Options, Sqlite};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    const LIFE_MILLIS: i64 = 60 * 60 * 1000;

    async fn own(folder: &std::path::Path) -> (Own, Arc<Sqlite>) {
        let store = Sqlite::open(folder.join("store.db"), Options::new(Arc::new(clock::now)));
        let store = Arc::new(store.unwrap());
        let (certificate, key) =
            Authority::make(&"edge.example".parse().unwrap(), [7; 16], clock::now()).unwrap();
        let authority = Arc::new(Authority::load(certificate, &key).unwrap());
        let listener: broker::Told = Arc::new(|| broker::Listener {
            address: "127.0.0.1:18000".to_owned(),
            authority: "PEM".to_owned(),
            server_name: "xds.edge.example".to_owned(),
        });
        let nodes = Arc::<Sqlite>::clone(&store);
        let joining = broker::Joining { nodes, authority, life: LIFE_MILLIS, listener };
        let name = ProxyName { group: "default".parse().unwrap(), node: "dev".parse().unwrap() };
        let identity = Identity::at(&folder.join("identity")).unwrap();
        (Own::join(joining, name, identity).await.unwrap(), store)
    }

    async fn serial(store: &Sqlite) -> String {
        let node = store.node(&"dev".parse().unwrap()).await.unwrap().expect("it has joined");
        node.certificate.serial
    }

    /// Runs until the store has another certificate of it, which is the one that is shown.
    async fn gets_another(own: Own, store: &Sqlite) {
        let (first, identity) = (own.has.serial.clone(), own.identity.clone());
        let authority = Arc::clone(&own.joining.authority);
        let stop = CancellationToken::new();
        let running = tokio::spawn(own.run(stop.clone()));
        let renewed = async {
            loop {
                let (shown, _) = identity.shown().unwrap();
                let shown = authority.recognise(&shown).unwrap().serial;
                if shown != first && shown == serial(store).await {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, renewed).await.expect("it is renewed");
        stop.cancel();
        running.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn our_own_proxy_stays_and_comes_back_when_its_certificate_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let (mut own, store) = own(folder.path()).await;
        own.has.issued_at -= 3 * LIFE_MILLIS;
        gets_another(own, &store).await;
        drop(store);
        let (mut own, store) = self::own(folder.path()).await;
        own.has.not_after = clock::now() - 1;
        gets_another(own, &store).await;
    }

    #[tokio::test]
    async fn who_was_revoked_stays_out() {
        let folder = tempfile::tempdir().unwrap();
        let (mut own, store) = own(folder.path()).await;
        let by = Requester {
            credential: "operator".to_owned(),
            originating_identity: None,
            request_identity: None,
        };
        let (action, object) = ("node.revoke".to_owned(), "dev".to_owned());
        let entry = AuditEntry { by, action, object, owner: None, detail: json!({}) };
        let revoked = store.revoke_node(&own.name.node, clock::now(), entry).await;
        assert_eq!(revoked, Ok(true));
        own.has.not_after = 0;
        let why = own.renew().await.unwrap_err().to_string();
        assert!(why.contains("was revoked"), "{why}");
    }
}
