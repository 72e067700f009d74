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

use crate::client::Access;
use crate::client::joining::{Admission, Host};
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
const AGAIN: Duration = Duration::from_secs(30);

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

    /// Stay, and renew the certificate whenever two thirds of its life are over
    #[arg(long, conflicts_with = "renew")]
    stay: bool,

    /// Where Envoy's admin interface shall listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9901")]
    admin: SocketAddr,

    /// The region that the proxy is in
    #[arg(long, value_name = "NAME", default_value = "")]
    region: String,

    /// The zone that it is in
    #[arg(long, value_name = "NAME", default_value = "")]
    zone: String,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
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
    /// Returns once the host may connect; with `--stay` when it is told to stop, or was revoked.
    pub fn run(self) -> Result<(), Failure> {
        super::runtime()?.block_on(async {
            let identity = Identity::at(&self.out)?;
            let there = identity.file(JOINED).exists();
            let joined = match self.renew || (self.stay && there) {
                true => self.renewed(&identity).await?,
                false => self.joined(&identity).await?,
            };
            self.output.print(&joined, || told(&joined))?;
            if self.stay { self.stay(&identity, joined).await } else { Ok(()) }
        })
    }

    async fn joined(&self, identity: &Identity) -> Result<Joined, Failure> {
        let url = self.access.url()?;
        let token = match super::env(TOKEN).map(|text| text.trim().to_owned()) {
            Some(text) if !text.is_empty() => Secret::from(text),
            _ => super::token::read_secret()?,
        };
        let applicant = Applicant::new().context("no key can be made")?;
        let admission = Host::of(&url)?.join(&token, &applicant).await?;
        identity.trust(&admission.authority)?;
        let bootstrap = self.bootstrap(identity, &admission)?;
        identity.write("envoy.json", &bootstrap.json())?;
        keep(identity, &url, &admission, &applicant, &admission.authority)
    }

    /// Whom the proxy trusts does not change by a renewal: whoever could change it by one could be its
    /// control plane.
    async fn renewed(&self, identity: &Identity) -> Result<Joined, Failure> {
        let kept = identity.read(JOINED)?;
        let url = match (self.access.url(), kept["broker"].as_str()) {
            (Ok(url), _) => url,
            (Err(_), Some(url)) => url.to_owned(),
            (Err(failure), None) => return Err(failure),
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
        keep(identity, &url, &admission, &applicant, trusted)
    }

    async fn stay(&self, identity: &Identity, mut joined: Joined) -> Result<(), Failure> {
        let stopped = Signals::listen()?.first();
        tokio::pin!(stopped);
        loop {
            let due = joined.issued_at + (joined.not_after - joined.issued_at) / 3 * 2;
            let mut wait = u64::try_from(due - clock::now()).unwrap_or_default();
            joined = loop {
                tokio::select! {
                    () = &mut stopped => return Ok(()),
                    () = tokio::time::sleep(Duration::from_millis(wait)) => {}
                }
                match self.renewed(identity).await {
                    Ok(renewed) => break renewed,
                    // It was revoked, or has ended: asking again will not help.
                    Err(Failure::Refused(why)) => return Err(Failure::Refused(why)),
                    Err(failure) => output::message(&failure.text()),
                }
                wait = u64::try_from(AGAIN.as_millis()).unwrap_or_default();
            };
            output::message(&told(&joined));
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

fn told(joined: &Joined) -> String {
    format!(
        "the proxy `{}` of group `{}` may connect until {}: envoy -c {}",
        joined.node,
        joined.group,
        shown(joined.not_after),
        joined.bootstrap
    )
}
