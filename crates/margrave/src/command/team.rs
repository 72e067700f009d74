//! `margrave team`: what teams may have, and have.

use clap::Subcommand;

use crate::client::teams::{Policy, Quota, Team, TeamRef};
use crate::client::{Access, Connect};
use crate::failure::Failure;
use crate::output::{self, Format};

/// Tell what teams may have and have; lay it down, as an operator
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "Examples:
  margrave team show
  margrave team set shop --instances 20 --changes-per-minute 60
  margrave team set shop --grant '*.shop.example.com'
  margrave team set shop --allow-zone shop.example
  margrave team set shop --hostnames default";

/// How often what is named is changed anew, because another operator came between.
const ATTEMPTS_MAX: usize = 8;

#[derive(Debug, Subcommand)]
enum Verb {
    /// List every team; for operators
    List(List),
    /// Tell what a team may have, and has
    Show(Show),
    /// Lay down what a team may have; what is not named stays as it is. For operators
    Set(Box<Set>),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// The team [default: yours, or that of --team]
    #[arg(value_name = "TEAM")]
    name: Option<String>,

    #[command(flatten)]
    of: Of,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, clap::Args)]
struct Set {
    /// The team
    #[arg(value_name = "TEAM")]
    name: String,

    /// Instances that it may have
    #[arg(long, value_name = "NUMBER|default")]
    instances: Option<Limit>,

    /// Hostnames that it may have
    #[arg(long, value_name = "NUMBER|default")]
    hostnames: Option<Limit>,

    /// Routes that one of its instances may have
    #[arg(long, value_name = "NUMBER|default")]
    routes: Option<Limit>,

    /// Provisions and updates that it may ask for in a minute
    #[arg(long, value_name = "NUMBER|default")]
    changes_per_minute: Option<Limit>,

    /// Let it take this wildcard; may be given several times
    #[arg(long, value_name = "WILDCARD")]
    grant: Vec<String>,

    /// Do not let it take this wildcard any more; one that it has it keeps
    #[arg(long, value_name = "WILDCARD")]
    revoke: Vec<String>,

    /// Let its public hostnames below this zone be public without a proof; may be given several times
    #[arg(long, value_name = "ZONE")]
    allow_zone: Vec<String>,

    /// Ask for a proof of hostnames below this zone again; one that is public stays so
    #[arg(long, value_name = "ZONE")]
    forget_zone: Vec<String>,

    #[command(flatten)]
    of: Of,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

/// Whose team.
#[derive(Debug, clap::Args)]
struct Of {
    /// The OSB organisation [default: the platform's own]
    #[arg(long, value_name = "ORGANISATION")]
    organization: Option<String>,
}

/// A limit of its own, or what the platform's settings say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit(Option<u32>);

impl std::str::FromStr for Limit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "default" => Ok(Self(None)),
            number => number
                .parse()
                .map(|number| Self(Some(number)))
                .map_err(|_| "a number, or `default` for what the platform's settings say"),
        }
    }
}

impl Args {
    /// The team, or all of them, on stdout.
    pub fn run(self) -> Result<(), Failure> {
        super::runtime()?.block_on(async {
            match self.verb {
                Verb::List(args) => args.run().await,
                Verb::Show(args) => args.run().await,
                Verb::Set(args) => args.run().await,
            }
        })
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let teams = self.access.client()?.teams().await?;
        if teams.is_empty() {
            output::message("no team has anything yet");
        }
        Ok(self.output.print(&teams, || table(&teams))?)
    }
}

impl Show {
    async fn run(self) -> Result<(), Failure> {
        let client = self.connect.client()?;
        let team = match self.name {
            Some(name) => name,
            None => self.connect.identity(&client).await?.team,
        };
        let team = TeamRef { organization: self.of.organization, team };
        let (team, _) = client.team(&team).await?;
        Ok(self.output.print(&team, || describe(&team))?)
    }
}

impl Set {
    async fn run(self) -> Result<(), Failure> {
        if !self.names_something() {
            let why = "what shall be laid down? Say one of --instances, --hostnames, --routes, \
                       --changes-per-minute, --grant, --revoke, --allow-zone, --forget-zone";
            return Err(Failure::Usage(why.to_owned()));
        }
        let client = self.access.client()?;
        let organization = self.of.organization.clone();
        let team = TeamRef { organization, team: self.name.clone() };
        for _ in 0..ATTEMPTS_MAX {
            let (found, tag) = client.team(&team).await?;
            let mut policy = found.policy;
            self.change(&mut policy);
            if let Some(team) = client.set_team(&team, &policy, tag).await? {
                return Ok(self.output.print(&team, || describe(&team))?);
            }
        }
        let why = format!("others keep changing what team `{}` may have; try again", self.name);
        Err(anyhow::anyhow!(why).into())
    }

    fn limits(&self) -> [Option<Limit>; 4] {
        [self.instances, self.hostnames, self.routes, self.changes_per_minute]
    }

    fn names_something(&self) -> bool {
        let lists = [&self.grant, &self.revoke, &self.allow_zone, &self.forget_zone];
        lists.iter().any(|list| !list.is_empty()) || self.limits().iter().any(Option::is_some)
    }

    fn change(&self, policy: &mut Policy) {
        let Quota { instances, hostnames, routes, changes_per_minute } = &mut policy.quota;
        for (limit, wanted) in
            [instances, hostnames, routes, changes_per_minute].into_iter().zip(self.limits())
        {
            if let Some(Limit(wanted)) = wanted {
                *limit = wanted;
            }
        }
        change(&mut policy.wildcards, &self.grant, &self.revoke);
        change(&mut policy.zones, &self.allow_zone, &self.forget_zone);
    }
}

fn change(list: &mut Vec<String>, come: &[String], go: &[String]) {
    list.retain(|it| !go.contains(it));
    for one in come {
        if !list.contains(one) {
            list.push(one.clone());
        }
    }
}

/// What it has of what it may have.
fn share(used: u32, limit: Option<u32>) -> String {
    limit.map_or_else(|| used.to_string(), |limit| format!("{used} of {limit}"))
}

fn limit(limit: Option<u32>) -> String {
    limit.map_or_else(|| "any number".to_owned(), |limit| limit.to_string())
}

fn describe(team: &Team) -> String {
    let Team { limits, policy, .. } = team;
    let pair = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
    let mut rows = vec![
        pair("team", &team.team),
        pair("organisation", &team.organization),
        pair("instances", &share(team.instances, limits.instances)),
        pair("hostnames", &share(team.hostnames, limits.hostnames)),
        pair("routes in an instance", &limit(limits.routes)),
        pair("changes in a minute", &limit(limits.changes_per_minute)),
    ];
    rows.extend(policy.wildcards.iter().map(|wildcard| pair("wildcard", wildcard)));
    rows.extend(policy.zones.iter().map(|zone| pair("zone", zone)));
    output::table(&rows)
}

fn table(teams: &[Team]) -> String {
    if teams.is_empty() {
        return String::new();
    }
    let head =
        ["ORGANISATION", "TEAM", "INSTANCES", "HOSTNAMES", "ROUTES", "PER MINUTE", "WILDCARDS"];
    let row = |team: &Team| {
        vec![
            team.organization.clone(),
            team.team.clone(),
            share(team.instances, team.limits.instances),
            share(team.hostnames, team.limits.hostnames),
            limit(team.limits.routes),
            limit(team.limits.changes_per_minute),
            team.policy.wildcards.join(" "),
        ]
    };
    let head = head.map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(head).chain(teams.iter().map(row)).collect();
    output::table(&rows)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        set: Set,
    }

    #[test]
    fn only_what_is_named_changes() {
        let before = || Policy {
            wildcards: vec!["*.a.example.com".to_owned(), "*.b.example.com".to_owned()],
            zones: vec!["a.example".to_owned()],
            quota: Quota { instances: Some(3), hostnames: Some(9), ..Quota::default() },
            more: [("later".to_owned(), true.into())].into_iter().collect(),
        };
        let same = before();
        for (line, wildcards, quota) in [
            (
                &["--instances", "4"][..],
                "*.a.example.com *.b.example.com",
                [Some(4), Some(9), None],
            ),
            (
                &["--hostnames", "default", "--routes", "0"],
                "*.a.example.com *.b.example.com",
                [Some(3), None, Some(0)],
            ),
            (
                &[
                    "--grant",
                    "*.c.example.com",
                    "--grant",
                    "*.b.example.com",
                    "--revoke",
                    "*.a.example.com",
                ],
                "*.b.example.com *.c.example.com",
                [Some(3), Some(9), None],
            ),
        ] {
            let line = [&["line", "shop"], line].concat();
            let set = Line::try_parse_from(line).unwrap().set;
            assert!(set.names_something());
            let mut policy = before();
            set.change(&mut policy);
            assert_eq!(policy.wildcards.join(" "), wildcards);
            assert_eq!((&policy.zones, &policy.more), (&same.zones, &same.more));
            let Quota { instances, hostnames, routes, changes_per_minute } = policy.quota;
            assert_eq!([instances, hostnames, routes], quota);
            assert_eq!(changes_per_minute, same.quota.changes_per_minute);
        }
        assert!(!Line::try_parse_from(["line", "shop"]).unwrap().set.names_something());
        assert!(Line::try_parse_from(["line", "shop", "--routes", "many"]).is_err());
    }
}
