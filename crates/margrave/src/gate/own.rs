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
const AGAIN: Duration = Duration::from_secs(60);

/// The identity of our own proxy, and what keeps it good.
pub struct Own {
    joining: broker::Joining,
    name: ProxyName,
    identity: Identity,
}

impl Own {
    /// Joins, as any host would, and writes what the proxy connects with. What it had before is revoked.
    pub async fn join(
        joining: broker::Joining,
        name: ProxyName,
        identity: Identity,
    ) -> anyhow::Result<Self> {
        let own = Self { joining, name, identity };
        let (certificate, pem, key) = own.sign()?;
        let by = Requester {
            credential: ITSELF.to_owned(),
            originating_identity: None,
            request_identity: None,
        };
        let secret = AccessHash(rand::random());
        let entry = |action: &str| AuditEntry {
            by: by.clone(),
            action: action.to_owned(),
            object: own.name.node.to_string(),
            owner: None,
            detail: json!({"group": own.name.group, "serial": certificate.serial}),
        };
        let token = JoinToken {
            group: own.name.group.clone(),
            node: Some(own.name.node.clone()),
            created_at: certificate.issued_at,
            created_by: ITSELF.to_owned(),
            expires_at: certificate.issued_at + 60_000,
        };
        own.nodes().create_join_token(token, secret, entry("join-token.create")).await?;
        let node = own.name.node.clone();
        let join = Join { secret, node, entry: entry("node.join"), certificate };
        match own.nodes().join(join).await? {
            Joins::Yes => {}
            other => bail!("the proxy {} cannot join: {other:?}", own.name),
        }
        own.identity.trust(&own.joining.listener.authority)?;
        own.identity.show(&pem, &key)?;
        Ok(own)
    }

    /// Renews the certificate when two thirds of its life are over.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let life = u64::try_from(self.joining.life).unwrap_or_default();
        let mut wait = Duration::from_millis(life / 3 * 2);
        while stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
            wait = match self.renew().await {
                Ok(()) => Duration::from_millis(life / 3 * 2),
                Err(error) => {
                    tracing::warn!("the proxy's certificate was not renewed: {error:#}");
                    AGAIN
                }
            };
        }
        Ok(())
    }

    async fn renew(&self) -> anyhow::Result<()> {
        let (shown, _) = self.identity.shown()?;
        let old = self.joining.authority.recognise(&shown)?;
        let (certificate, pem, key) = self.sign()?;
        let before = Certified {
            serial: old.serial.clone(),
            issued_at: old.issued_at(),
            not_after: old.not_after,
        };
        let (node, group) = (self.name.node.clone(), self.name.group.clone());
        let renewal = Renewal { node, group, old: before, new: certificate };
        match self.nodes().renew(renewal).await? {
            Renews::Yes => self.identity.show(&pem, &key),
            Renews::Revoked | Renews::TooMany => bail!("{} was revoked", self.name),
        }
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
