//! `margrave transfer`: a service passes from one team to another.

use clap::Subcommand;
use model::ServiceName;

use super::service::{Service, unknown};
use crate::client::teams::{Offer, TeamRef};
use crate::client::{Client, Connect, api};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::when::shown;

/// Hand a service over to another team: one offers, the other takes; what is served stays as it is
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "Examples:
  margrave transfer offer cart --team shop --to checkout
  margrave transfer list
  margrave transfer take cart --team checkout
  margrave apply --team checkout";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Offer a service to another team; a later offer comes in the place of an earlier
    Offer(Give),
    /// Take a service that is offered to your team, with its hostnames and its bindings
    Take(Take),
    /// List what is offered by and to your team; an operator who names no --team sees all
    List(List),
    /// Take an offer back, or decline one
    Withdraw(Take),
}

#[derive(Debug, clap::Args)]
struct Give {
    #[command(flatten)]
    service: Service,

    /// The team that may take it
    #[arg(long, value_name = "TEAM")]
    to: String,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, clap::Args)]
struct Take {
    #[command(flatten)]
    service: Service,

    /// The team that offers it, where several offer one of this name
    #[arg(long, value_name = "TEAM")]
    from: Option<String>,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    connect: Connect,
}

impl Args {
    /// The offer, the offers, or what was taken, on stdout.
    pub fn run(self) -> Result<(), Failure> {
        super::runtime()?.block_on(async {
            match self.verb {
                Verb::Offer(args) => args.run().await,
                Verb::Take(args) => args.take().await,
                Verb::List(args) => args.run().await,
                Verb::Withdraw(args) => args.withdraw().await,
            }
        })
    }
}

impl Give {
    async fn run(self) -> Result<(), Failure> {
        let (client, service, id) = self.service.find(&self.connect).await?;
        let Some(instance) = api::instance(&client, &id).await? else {
            return Err(unknown(&service));
        };
        let to = TeamRef { organization: None, team: self.to };
        client.offer(&id, &to).await?;
        let offers = client.offers(Some(&instance.space)).await?;
        let offer = offers.into_iter().find(|it| it.instance == id);
        let offer = offer.ok_or_else(|| anyhow::anyhow!("{service} was taken at once"))?;
        let to = &offer.to.team;
        output::message(&format!(
            "{to} takes it with: margrave transfer take {service} --team {to}"
        ));
        Ok(self.output.print(&offer, || line(&offer))?)
    }
}

impl Take {
    async fn take(self) -> Result<(), Failure> {
        let (client, service) = (self.connect.client()?, self.service.name()?);
        let team = self.connect.identity(&client).await?.team;
        let offer = self.offer(&client, &service, &team, |it| it.to.team == team).await?;
        client.take(&offer.instance).await?;
        let Some(instance) = api::instance(&client, &offer.instance).await? else {
            return Err(unknown(&service));
        };
        let from = &offer.from.team;
        output::message(&format!(
            "{service} was {from}'s and is {team}'s; `margrave apply --team {team}` changes it from \
             now on, and `margrave bindings` tells who may still call it"
        ));
        let text = || format!("{service}  {}", instance.hostnames.join(" "));
        Ok(self.output.print(&instance, text)?)
    }

    async fn withdraw(self) -> Result<(), Failure> {
        let (client, service) = (self.connect.client()?, self.service.name()?);
        let team = self.connect.identity(&client).await?.team;
        let offer = self.offer(&client, &service, &team, |_| true).await?;
        client.withdraw_offer(&offer.instance).await?;
        let text = || format!("{service} is not offered to {} any more", offer.to.team);
        Ok(self.output.print(&offer, text)?)
    }

    /// The offer that is meant.
    async fn offer(
        &self,
        client: &Client,
        service: &ServiceName,
        team: &str,
        is_fit: impl Fn(&Offer) -> bool,
    ) -> Result<Offer, Failure> {
        let mut offers = client.offers(Some(team)).await?;
        offers.retain(|it| it.service == service.as_str() && is_fit(it));
        if let Some(from) = &self.from {
            offers.retain(|it| it.from.team == *from);
        }
        match (offers.pop(), offers.pop()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(Failure::Refused(format!(
                "no service `{service}` is offered to team {team}; whose it is offers it with \
                 `margrave transfer offer {service} --to {team}`"
            ))),
            (Some(one), Some(other)) => Err(Failure::Usage(format!(
                "{} and {} offer a service `{service}`: say --from",
                one.from.team, other.from.team
            ))),
        }
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let offers = self.connect.client()?.offers(self.connect.named_team()).await?;
        if offers.is_empty() {
            output::message("nothing is offered");
        }
        Ok(self.output.print(&offers, || table(&offers))?)
    }
}

fn line(offer: &Offer) -> String {
    let Offer { service, from, to, hostnames, .. } = offer;
    format!("{service}  {} → {}  {}", from.team, to.team, hostnames.join(" "))
}

fn table(offers: &[Offer]) -> String {
    if offers.is_empty() {
        return String::new();
    }
    let head = ["SERVICE", "FROM", "TO", "OFFERED", "BY", "HOSTNAMES"].map(str::to_owned).to_vec();
    let row = |it: &Offer| {
        let (from, to) = (it.from.team.clone(), it.to.team.clone());
        vec![it.service.clone(), from, to, shown(it.at), it.by.clone(), it.hostnames.join(" ")]
    };
    let rows: Vec<_> = std::iter::once(head).chain(offers.iter().map(row)).collect();
    output::table(&rows)
}
