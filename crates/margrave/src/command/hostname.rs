//! `margrave hostname`: whose a name is, and what its owners and operators do about it.

use clap::Subcommand;
use model::Hostname as Name;

use crate::client::Access;
use crate::client::teams::{Hostname, TeamRef};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::when::shown;

/// Tell whose a hostname is; let others have it
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "Examples:
  margrave hostname show shop.example.com
  margrave hostname verify shop.acme.org
  margrave hostname consent cart.shop.example.com --to cart
  margrave hostname withdraw cart.shop.example.com
  margrave hostname release old.example.com";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Tell who has a hostname, for whom it is reserved, and who has the wildcard above it
    Show(Which),
    /// Look now for the TXT record that proves a hostname; 2 when it is not proven yet
    Verify(Which),
    /// Free a hostname that was given up, before its 30 days are over; for operators
    Release(Which),
    /// Let another team take a hostname below a wildcard of yours
    Consent(Consent),
    /// Take a consent back; who has taken the hostname keeps it
    Withdraw(Which),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The hostname
    hostname: Name,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

#[derive(Debug, clap::Args)]
struct Consent {
    #[command(flatten)]
    which: Which,

    /// The team that may take it
    #[arg(long, value_name = "TEAM")]
    to: String,

    /// That team's OSB organisation [default: the platform's own]
    #[arg(long, value_name = "ORGANISATION")]
    organization: Option<String>,
}

impl Args {
    /// The hostname as it is then, on stdout.
    pub fn run(self) -> Result<(), Failure> {
        let (which, what, to) = match self.verb {
            Verb::Show(which) => (which, None, None),
            Verb::Verify(which) => (which, Some("verify"), None),
            Verb::Release(which) => (which, Some("release"), None),
            Verb::Withdraw(which) => (which, Some("withdraw"), None),
            Verb::Consent(Consent { which, to: team, organization }) => {
                (which, Some("consent"), Some(TeamRef { organization, team }))
            }
        };
        super::runtime()?.block_on(which.run(what, to.as_ref()))
    }
}

impl Which {
    async fn run(self, what: Option<&str>, to: Option<&TeamRef>) -> Result<(), Failure> {
        let client = self.access.client()?;
        let name = self.hostname.as_str();
        if let Some(what) = what {
            client.about_hostname(name, what, to).await?;
        }
        let hostname = client.hostname(name).await?;
        self.output.print(&hostname, || describe(&hostname))?;
        let awaited = hostname.proof.as_ref().is_some_and(|proof| proof.proven_at.is_none());
        if awaited && what == Some("verify") { Err(Failure::WouldChange) } else { Ok(()) }
    }
}

fn describe(name: &Hostname) -> String {
    let Hostname { hostname, held, reserved, under, consent, proof, .. } = name;
    let mut rows = vec![vec!["hostname".to_owned(), hostname.clone()]];
    let mut add = |what: &str, says: String| rows.push(vec![what.to_owned(), says]);
    if let Some(held) = held {
        let (team, service, since) = (&held.team, &held.service, shown(held.since));
        add("held by", format!("{team}, through service {service}, since {since}"));
    }
    if let Some(kept) = reserved {
        let (team, service, until) = (&kept.team, &kept.service, shown(kept.until));
        add(
            "reserved for",
            format!("{team}, which had it through service {service}, until {until}"),
        );
    }
    if let Some(above) = under {
        let (wildcard, team, service) = (&above.hostname, &above.team, &above.service);
        add("below", format!("{wildcard} of {team}, through service {service}"));
    }
    if let Some(to) = consent {
        add("consent", format!("{} may take it", to.team));
    }
    if let Some(at) = proof.as_ref().and_then(|proof| proof.proven_at) {
        add("proven", shown(at));
    }
    if let Some(awaited) = proof.as_ref().and_then(|proof| proof.condition.as_ref()) {
        add("to do", awaited.message.clone());
        awaited.problem.iter().for_each(|problem| add("found", problem.clone()));
    }
    if held.is_none() && reserved.is_none() && under.is_none() {
        let whom = if hostname.starts_with('*') { "no one; operators grant it" } else { "no one" };
        add("held by", whom.to_owned());
    }
    output::table(&rows)
}
