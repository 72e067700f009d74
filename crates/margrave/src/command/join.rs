//! `margrave join`: this host becomes a proxy, and stays one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use authority::Applicant;
use keys::Secret;
use plane::Polling;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::client::Platform;
use crate::client::joining::{Admission, Host, NotAdmitted};
use crate::clock;
use crate::config::Protocol;
use crate::envoy::{Bootstrap, Identity};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::signals::Signals;
use crate::when::shown;

/// Read from the environment, or from stdin: other users can see a process's arguments.
const TOKEN: &str = "MARGRAVE_JOIN_TOKEN";
/// What is remembered beside the identity.
const JOINED: &str = "joined.json";
/// What a proxy of another protocol would wait between two polls.
const POLL: Duration = Duration::from_secs(1);
/// Before trying again what did not work.
const AGAIN_MILLIS: i64 = 30_000;
/// Between two looks at the clock.
const LOOK: Duration = Duration::from_secs(30);

/// Make this host a proxy: a token becomes a key, a certificate and a bootstrap for Envoy
///
/// The token is one of `margrave join-token create`; it comes in on stdin, or as MARGRAVE_JOIN_TOKEN.
/// The key is made here and never leaves. Envoy reads its certificate again whenever it is renewed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder for what Envoy needs, for your eyes only: run Envoy as the same user
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,

    /// Renew the certificate that is in the folder; no token is needed
    #[arg(long)]
    renew: bool,

    /// Stay, and renew the certificate whenever two thirds of its life are over; a folder that has one needs
    /// no token, and is joined anew with the one of MARGRAVE_JOIN_TOKEN
    #[arg(long, conflicts_with = "renew")]
    stay: bool,

    /// Where Envoy's admin interface shall listen
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:9901",
        conflicts_with = "renew"
    )]
    admin: SocketAddr,

    /// The region that the proxy is in
    #[arg(long, value_name = "NAME", default_value = "", conflicts_with = "renew")]
    region: String,

    /// The zone that it is in
    #[arg(long, value_name = "NAME", default_value = "", conflicts_with = "renew")]
    zone: String,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    broker: Platform,
}

/// A proxy that may connect.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Joined {
    /// `node.id`.
    node: String,
    /// `node.cluster`.
    group: String,
    /// Envoy's bootstrap.
    bootstrap: String,
    /// When the certificate was issued, in milliseconds since the Unix epoch.
    issued_at: i64,
    /// When it ends.
    not_after: i64,
}

impl Args {
    /// Returns once the host may connect; with `--stay` when it is told to stop, or was shut out.
    pub fn run(self) -> Result<(), Failure> {
        super::runtime()?.block_on(async {
            let identity = Identity::at(&self.out)?;
            let joined = self.admitted(&identity).await.map_err(NotAdmitted::into_failure)?;
            self.output.print(&joined, || told(&joined))?;
            if self.stay { self.stay(&identity, joined).await } else { Ok(()) }
        })
    }

    /// A service that stays is started again and again with what it was started with first: it goes on with
    /// the certificate that it has, and a token that it has used up before does not end it.
    async fn admitted(&self, identity: &Identity) -> Result<Joined, NotAdmitted> {
        let is_there = self.stay && identity.file(JOINED).exists();
        let given = super::env(TOKEN).map(|text| text.trim().to_owned());
        let given = given.filter(|text| !text.is_empty()).map(Secret::from);
        match given {
            _ if self.renew => self.renewed(identity).await,
            None if is_there => Ok(known(identity)?),
            None => self.joined(identity, &super::token::read_secret()?).await,
            Some(token) => match self.joined(identity, &token).await {
                Err(NotAdmitted::Denied(why)) if is_there => {
                    let going_on = self.renewed(identity).await;
                    // Whoever is shut out is told of the token: that is what lets it in again.
                    going_on.map_err(|error| match error {
                        NotAdmitted::Denied(_) => NotAdmitted::Denied(why),
                        failed @ NotAdmitted::Failed(_) => failed,
                    })
                }
                joined => joined,
            },
        }
    }

    async fn joined(&self, identity: &Identity, token: &Secret) -> Result<Joined, NotAdmitted> {
        let url = self.broker.url()?;
        let applicant = Applicant::new().context("no key can be made")?;
        let admission = Host::of(&url)?.join(token, &applicant).await?;
        identity.trust(&admission.authority)?;
        let bootstrap = self.bootstrap(identity, &admission)?;
        identity.write("envoy.json", &bootstrap.json())?;
        Ok(keep(identity, &url, &admission, &applicant, &admission.authority)?)
    }

    /// Whom the proxy trusts does not change by a renewal: whoever could change it by one could be its
    /// control plane.
    async fn renewed(&self, identity: &Identity) -> Result<Joined, NotAdmitted> {
        let kept = identity.read(JOINED)?;
        let url = match (self.broker.url(), kept["broker"].as_str()) {
            (Ok(url), _) => url,
            (Err(_), Some(url)) => url.to_owned(),
            (Err(failure), None) => return Err(failure.into()),
        };
        let (certificate, key) = identity.shown()?;
        let applicant = Applicant::new().context("no key can be made")?;
        let admission = Host::of(&url)?.renew(&certificate, &key, &applicant).await?;
        let trusted = kept["authority"].as_str().unwrap_or_default();
        if admission.authority != trusted {
            output::message(
                "the platform's listener is signed by another authority now, which this proxy does not \
                 trust: join again, with a token",
            );
        }
        Ok(keep(identity, &url, &admission, &applicant, trusted)?)
    }

    async fn stay(&self, identity: &Identity, mut joined: Joined) -> Result<(), Failure> {
        let stopped = Signals::listen()?.first();
        tokio::pin!(stopped);
        let mut again_at = 0;
        loop {
            let due = joined.issued_at + (joined.not_after - joined.issued_at) / 3 * 2;
            let wait = u64::try_from(due.max(again_at) - clock::now()).unwrap_or_default();
            if wait > 0 {
                tokio::select! {
                    () = &mut stopped => return Ok(()),
                    // Not at once: a machine that slept has another time than its timers.
                    () = tokio::time::sleep(Duration::from_millis(wait).min(LOOK)) => continue,
                }
            }
            match self.renewed(identity).await {
                Ok(renewed) => {
                    joined = renewed;
                    output::message(&told(&joined));
                }
                // It was revoked, or has ended: asking again will not help.
                Err(NotAdmitted::Denied(why)) => return Err(Failure::Refused(why)),
                Err(NotAdmitted::Failed(failure)) => output::message(&failure.text()),
            }
            again_at = clock::now() + AGAIN_MILLIS;
        }
    }

    fn bootstrap(&self, identity: &Identity, to: &Admission) -> anyhow::Result<Bootstrap> {
        let (host, port) = to.xds.rsplit_once(':').unwrap_or_default();
        let port = port.parse().map_err(|_| anyhow!("the platform listens at `{}`?", to.xds))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Bootstrap {
            node: to.node.clone(),
            group: to.group.clone(),
            region: self.region.clone(),
            zone: self.zone.clone(),
            xds: (host, port),
            transport_socket: Some(identity.transport_socket(&to.server_name)),
            admin: self.admin,
            protocol: Protocol::Delta,
            polling: Polling::new("xds", POLL),
        })
    }
}

/// Keeps what the broker gave: certificate and key first, as what is lost of them is lost for good.
fn keep(
    identity: &Identity,
    url: &str,
    given: &Admission,
    applicant: &Applicant,
    authority: &str,
) -> Result<Joined, Failure> {
    identity.show(&given.certificate, &applicant.key())?;
    let document = json!({
        "broker": url, "node": given.node, "group": given.group, "authority": authority,
        "issuedAt": given.issued_at, "notAfter": given.not_after,
    });
    identity.write(JOINED, &document)?;
    Ok(Joined {
        node: given.node.clone(),
        group: given.group.clone(),
        bootstrap: identity.file("envoy.json").display().to_string(),
        issued_at: given.issued_at,
        not_after: given.not_after,
    })
}

/// What is in the folder.
fn known(identity: &Identity) -> anyhow::Result<Joined> {
    let kept = identity.read(JOINED)?;
    let text = |name: &str| kept[name].as_str().map(str::to_owned);
    let (issued_at, not_after) = (kept["issuedAt"].as_i64(), kept["notAfter"].as_i64());
    let found = text("node").zip(text("group")).zip(issued_at.zip(not_after));
    let ((node, group), (issued_at, not_after)) =
        found.with_context(|| format!("{} is not ours", identity.file(JOINED).display()))?;
    let bootstrap = identity.file("envoy.json").display().to_string();
    Ok(Joined { node, group, bootstrap, issued_at, not_after })
}

fn told(joined: &Joined) -> String {
    format!(
        "the proxy `{}` of group `{}` may connect until {}: envoy -c {}",
        joined.node,
        joined.group,
        shown(joined.not_after),
        joined.bootstrap
    )
}
