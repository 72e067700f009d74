//! Teams: what they may have and have, whose names are, and services that pass between them.

use model::{InstanceId, Millis};
use reqwest::header::{HeaderValue, IF_MATCH};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::Client;
use super::api::Condition;
use super::path::segment;
use crate::failure::Failure;

/// How much of everything. Absent: as the platform's settings say, or without limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// Instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<u32>,
    /// Hostnames of all of them together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostnames: Option<u32>,
    /// Routes of one instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<u32>,
    /// Provisions and updates in a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes_per_minute: Option<u32>,
}

/// What is laid down for a team.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Policy {
    /// The wildcards that it may take.
    #[serde(default)]
    pub wildcards: Vec<String>,
    /// The zones below which its public hostnames need no proof, beside those of the platform.
    #[serde(default)]
    pub zones: Vec<String>,
    /// How much it may have.
    #[serde(default)]
    pub quota: Quota,
    /// What else there is, so that nothing is lost when it is laid down again.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// A team as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Team {
    /// OSB organisation.
    pub organization: String,
    /// OSB space.
    pub team: String,
    /// What is laid down for it.
    pub policy: Policy,
    /// What counts: what is laid down, and the platform's settings where that says nothing.
    pub limits: Quota,
    /// Instances that it has.
    pub instances: u32,
    /// Hostnames that it has.
    pub hostnames: u32,
    /// What else the broker tells, kept for programs.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Which team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TeamRef {
    /// OSB organisation; the platform's own where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// OSB space.
    pub team: String,
}

/// Who has a hostname.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Held {
    /// It, or the wildcard above.
    pub hostname: String,
    /// OSB organisation.
    pub organization: String,
    /// OSB space.
    pub team: String,
    /// The service that answers to it.
    pub service: String,
    /// Milliseconds since the Unix epoch.
    pub since: Millis,
}

/// For whom a hostname is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reserved {
    /// OSB organisation.
    pub organization: String,
    /// OSB space.
    pub team: String,
    /// The service that had it.
    pub service: String,
    /// Milliseconds since the Unix epoch.
    pub until: Millis,
}

/// A hostname as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Hostname {
    /// It.
    pub hostname: String,
    /// Who has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// For whom it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<Reserved>,
    /// Who has the wildcard above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under: Option<Held>,
    /// Whom they let have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<TeamRef>,
    /// How its proof stands, where one was ever needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// What else the broker tells, kept for programs.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// How the proof of a hostname stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// When it was proven: milliseconds since the Unix epoch; absent: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven_at: Option<Millis>,
    /// What is still to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// What else the broker tells, kept for programs.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// A service that is offered to another team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Offer {
    /// Its name.
    pub service: String,
    /// Its OSB id.
    #[schema(value_type = String)]
    pub instance: InstanceId,
    /// The team whose it is.
    pub from: TeamRef,
    /// The team that may take it.
    pub to: TeamRef,
    /// The names that go with it.
    pub hostnames: Vec<String>,
    /// The credential that offered it.
    pub by: String,
    /// When: milliseconds since the Unix epoch.
    pub at: Millis,
    /// What else the broker tells, kept for programs.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

#[derive(Deserialize)]
struct Teams {
    teams: Vec<Team>,
}

#[derive(Deserialize)]
struct Offers {
    offers: Vec<Offer>,
}

impl TeamRef {
    /// `?organization=`, where it is named.
    fn query(&self) -> Vec<(&'static str, String)> {
        self.organization.iter().map(|it| ("organization", it.clone())).collect()
    }

    fn path(&self) -> String {
        format!("/v1/teams/{}", segment(&self.team))
    }
}

impl Client {
    /// Every team.
    pub async fn teams(&self) -> Result<Vec<Team>, Failure> {
        let mut all: Vec<Team> = Vec::new();
        loop {
            let after = all
                .last()
                .map(|it| [("organization", it.organization.clone()), ("team", it.team.clone())]);
            let request = self.request(Method::GET, "/v1/teams");
            let page: Teams = self.ask(request.query(&after.unwrap_or_default().to_vec())).await?;
            if page.teams.is_empty() {
                return Ok(all);
            }
            all.extend(page.teams);
        }
    }

    /// One team, and the tag of what is laid down for it.
    pub async fn team(&self, team: &TeamRef) -> Result<(Team, Option<HeaderValue>), Failure> {
        let request = self.request(Method::GET, &team.path()).query(&team.query());
        let answer = self.send(request).await?;
        match answer.status.is_success() {
            true => {
                let tag = answer.tag.clone();
                Ok((answer.read()?, tag))
            }
            false => Err(answer.failure()),
        }
    }

    /// Lays down what a team may have, whole, in the place of what has this tag; `None`: something else
    /// is laid down by now.
    pub async fn set_team(
        &self,
        team: &TeamRef,
        policy: &Policy,
        over: Option<HeaderValue>,
    ) -> Result<Option<Team>, Failure> {
        let request = self.request(Method::PUT, &team.path()).query(&team.query()).json(policy);
        let request = match over {
            Some(tag) => request.header(IF_MATCH, tag),
            None => request,
        };
        let answer = self.send(request).await?;
        match answer.status {
            StatusCode::PRECONDITION_FAILED => Ok(None),
            status if status.is_success() => answer.read().map(Some),
            _ => Err(answer.failure()),
        }
    }

    /// Whose a hostname is.
    pub async fn hostname(&self, hostname: &str) -> Result<Hostname, Failure> {
        let path = format!("/v1/hostnames/{}", segment(hostname));
        self.ask(self.request(Method::GET, &path)).await
    }

    /// Does something about a hostname: `release`, `verify`, `consent` or `withdraw`.
    pub async fn about_hostname(
        &self,
        hostname: &str,
        what: &str,
        to: Option<&TeamRef>,
    ) -> Result<(), Failure> {
        let path = format!("/v1/hostnames/{}/{what}", segment(hostname));
        let request = self.request(Method::POST, &path);
        let request = match to {
            Some(to) => request.json(to),
            None => request,
        };
        self.ask::<Value>(request).await.map(drop)
    }

    /// What is offered by and to a team; of every team that one may see, where none is named.
    pub async fn offers(&self, team: Option<&str>) -> Result<Vec<Offer>, Failure> {
        let query: Vec<_> = team.iter().map(|team| ("team", *team)).collect();
        let request = self.request(Method::GET, "/v1/offers").query(&query);
        Ok(self.ask::<Offers>(request).await?.offers)
    }

    /// Offers an instance to another team.
    pub async fn offer(&self, id: &InstanceId, to: &TeamRef) -> Result<(), Failure> {
        let request = self.request(Method::POST, &format!("/v1/instances/{id}/offer"));
        self.ask::<Value>(request.json(to)).await.map(drop)
    }

    /// Takes what was offered.
    pub async fn take(&self, id: &InstanceId) -> Result<(), Failure> {
        let request = self.request(Method::POST, &format!("/v1/instances/{id}/take"));
        self.ask::<Value>(request.json(&json!({}))).await.map(drop)
    }

    /// Takes an offer back, or declines it.
    pub async fn withdraw_offer(&self, id: &InstanceId) -> Result<(), Failure> {
        let request = self.request(Method::DELETE, &format!("/v1/instances/{id}/offer"));
        self.ask::<Value>(request).await.map(drop)
    }
}
