//! `margrave validate`: whether a descriptor is good, and whether the platform would accept it.

use model::descriptor::Refusal;
use model::{Descriptor, Plan, ServiceName};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::descriptor::File;
use crate::client::plan::Withheld;
use crate::client::{Client, Connect, Place};
use crate::failure::Failure;
use crate::output::{self, Format};

/// Check a descriptor; tells everything that is wrong with it. Where there is a platform, it is asked
/// whether it would accept it now: hostnames, grants, limits. Nothing is held
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: File,

    /// Ask nobody
    #[arg(long)]
    offline: bool,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    connect: Connect,
}

/// Whether it is good.
#[derive(Debug, Serialize, ToSchema)]
pub struct Validated {
    /// Whether nothing is wrong with it.
    valid: bool,
    /// Whether a platform was asked.
    asked: bool,
    /// The service's name.
    #[schema(value_type = Option<String>)]
    service: Option<ServiceName>,
    /// `internal` or `public`.
    #[schema(value_type = Option<String>)]
    visibility: Option<Plan>,
    /// Hostnames that would not answer in public before their records are there, where a platform was asked.
    withheld: Vec<Withheld>,
    /// Everything that is wrong: `code`, `path`, `place`, `message` and, where known, `label`, `why`, `help`, `also`.
    #[schema(value_type = Vec<Object>)]
    refusals: Vec<Refusal>,
}

/// What a platform says to a descriptor.
enum Said {
    /// It would be accepted; these would not answer in public yet.
    Yes(Vec<Withheld>),
    /// It would not.
    No(Failure, Vec<Refusal>),
    /// Nobody was asked.
    Nothing,
}

impl Args {
    /// Exit code 3 when it is refused.
    pub fn run(self) -> Result<(), Failure> {
        let descriptor = match self.file.check() {
            Ok(descriptor) => descriptor,
            Err((failure, refusals)) => return self.refuse(failure, refusals, false),
        };
        let (asked, withheld) = match self.ask(&descriptor)? {
            Said::No(failure, refusals) => return self.refuse(failure, refusals, true),
            Said::Yes(withheld) => (true, withheld),
            Said::Nothing => (false, Vec::new()),
        };
        let (service, plan) = (descriptor.parameters.service, descriptor.visibility);
        let would = if asked { ", and would be accepted now" } else { "" };
        let (file, visibility) = (self.file.shown(), plan.as_str());
        let mut text = format!("{file}: service {service} ({visibility}) is valid{would}");
        withheld.iter().for_each(|it| text.push_str(&format!("\n  {}", it.told())));
        let (service, visibility) = (Some(service), Some(plan));
        let refusals = Vec::new();
        let value = Validated { valid: true, asked, service, visibility, withheld, refusals };
        Ok(self.output.print(&value, || text)?)
    }

    fn refuse(&self, failure: Failure, refusals: Vec<Refusal>, asked: bool) -> Result<(), Failure> {
        if self.output.is_json() && !refusals.is_empty() {
            let (service, visibility) = (None, None);
            let withheld = Vec::new();
            let value = Validated { valid: false, asked, service, visibility, withheld, refusals };
            self.output.print(&value, String::new)?;
        }
        Err(failure)
    }

    /// A platform that is not there is no fault of the descriptor.
    fn ask(&self, descriptor: &Descriptor) -> Result<Said, Failure> {
        if self.offline || self.connect.url().is_err() {
            return Ok(Said::Nothing);
        }
        match super::runtime()?.block_on(self.put(descriptor)) {
            Err(Failure::Error(why)) => {
                output::message(&format!("no platform was asked: {why:#}"));
                Ok(Said::Nothing)
            }
            said => said,
        }
    }

    async fn put(&self, descriptor: &Descriptor) -> Result<Said, Failure> {
        let client = self.connect.client()?;
        let identity = self.connect.identity(&client).await?;
        let place = Place::find(&client, &identity, &descriptor.parameters.service).await?;
        let mut draft = json!({
            "plan": descriptor.visibility,
            "organization": identity.platform,
            "team": identity.team,
            "parameters": descriptor.parameters.to_json(),
        });
        if place.instance.is_some() {
            draft["instance"] = place.id.as_str().into();
        }
        judged(&client, &draft).await
    }
}

/// The mistakes in a refusal.
#[derive(Default, Deserialize)]
struct Told {
    #[serde(default)]
    refusals: Vec<Refusal>,
}

/// What is told of what would be accepted.
#[derive(Deserialize)]
struct Accepted {
    #[serde(default)]
    withheld: Vec<Withheld>,
}

async fn judged(client: &Client, draft: &serde_json::Value) -> Result<Said, Failure> {
    let answer = client.send(client.request(Method::POST, "/v1/validate").json(draft)).await?;
    if answer.status.is_success() {
        let Accepted { withheld } = answer.read()?;
        return Ok(Said::Yes(withheld));
    }
    let told = Told::deserialize(&answer.body).unwrap_or_default();
    match answer.failure() {
        Failure::Refused(why) => Ok(Said::No(Failure::Refused(why), told.refusals)),
        other => Err(other),
    }
}
