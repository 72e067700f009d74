//! Credentials of others: tokens of people and CI, and those of platforms; made, listed and ended.

use std::fmt;

use keys::Secret;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Client;
use crate::failure::Failure;

/// The most rows of a page that the broker gives.
const PAGE_ROWS_MAX: &str = "1000";

/// A credential, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// Its id.
    pub id: String,
    /// What operations and the audit log call it; of a platform, its username.
    pub name: String,
    /// `operator`, `platform` or `member`.
    pub role: String,
    /// Of a member: its teams.
    #[serde(default)]
    pub teams: Vec<String>,
    /// `alive`, `expired` or `revoked`.
    pub state: String,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at: i64,
    /// The credential of whoever made it.
    pub created_by: String,
    /// When it ends by itself.
    #[serde(default)]
    pub expires_at: Option<i64>,
    /// When it was last used, within an hour.
    #[serde(default)]
    pub last_used_at: Option<i64>,
    /// When it was revoked.
    #[serde(default)]
    pub revoked_at: Option<i64>,
    /// What else the broker tells, kept for programs.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// A credential that was made, or given another secret.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    /// Told once.
    #[serde(deserialize_with = "secret")]
    pub secret: Secret,
    /// Until when the one before is good.
    #[serde(default)]
    pub previous_until: Option<i64>,
    /// The credential.
    #[serde(alias = "token", alias = "platform")]
    pub held: Held,
}

/// A secret that is told once.
pub fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::from)
}

/// The two kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of people and CI.
    Token,
    /// Of OSB platforms.
    Platform,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token => "token",
            Self::Platform => "platform",
        })
    }
}

impl Kind {
    fn path(self) -> &'static str {
        match self {
            Self::Token => "/v1/tokens",
            Self::Platform => "/v1/platforms",
        }
    }
}

#[derive(Deserialize)]
struct Page {
    #[serde(alias = "tokens", alias = "platforms")]
    held: Vec<Held>,
    #[serde(default)]
    next: Option<String>,
}

impl Client {
    /// Makes one; the answer holds its secret.
    pub async fn make(&self, kind: Kind, wish: &Value) -> Result<Made, Failure> {
        self.ask(self.request(Method::POST, kind.path()).json(wish)).await
    }

    /// Gives a platform another password.
    pub async fn rotate(&self, id: &str, wish: &Value) -> Result<Made, Failure> {
        let path = format!("{}/{id}/secrets", Kind::Platform.path());
        self.ask(self.request(Method::POST, &path).json(wish)).await
    }

    /// Those that are there, and with `ended` also those that were.
    pub async fn held(&self, kind: Kind, ended: bool) -> Result<Vec<Held>, Failure> {
        let (mut all, mut after): (Vec<Held>, Option<String>) = (Vec::new(), None);
        loop {
            let mut query = Vec::new();
            if ended {
                query.push(("ended", "true"));
            }
            if kind == Kind::Token {
                query.push(("limit", PAGE_ROWS_MAX));
                query.extend(after.as_deref().map(|after| ("after", after)));
            }
            let request = self.request(Method::GET, kind.path()).query(&query);
            let page: Page = self.ask(request).await?;
            all.extend(page.held);
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    /// The one that has this id or name, among those that have not ended.
    pub async fn one(&self, kind: Kind, which: &str) -> Result<Held, Failure> {
        let all = self.held(kind, false).await?;
        let found = all.into_iter().find(|held| held.id == which || held.name == which);
        found.ok_or_else(|| unknown(kind, which))
    }

    /// Ends one, at once.
    pub async fn revoke(&self, kind: Kind, which: &str) -> Result<Held, Failure> {
        let Held { id, .. } = self.one(kind, which).await?;
        let request = self.request(Method::DELETE, &format!("{}/{id}", kind.path()));
        let answer = self.send(request).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Err(unknown(kind, which)),
            status if status.is_success() => answer.read(),
            _ => Err(answer.failure()),
        }
    }
}

fn unknown(kind: Kind, which: &str) -> Failure {
    Failure::Refused(format!(
        "there is no {kind} `{which}`, or not any more; `margrave {kind} list` tells what there is"
    ))
}
