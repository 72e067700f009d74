//! Who asks, as the broker sees it.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Client;
use crate::failure::Failure;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Whoami {
    /// What operations and the audit log call it.
    pub credential: String,
    /// `operator`, `platform` or `member`.
    pub role: String,
    /// Of a member: its teams.
    #[serde(default)]
    pub teams: Vec<String>,
    /// By what it came in: `configuration`, `credential` or `login`.
    pub by: String,
    /// When what was shown ends by itself, in milliseconds since the Unix epoch.
    #[serde(default, rename = "expiresAt")]
    pub expires_at: Option<i64>,
    /// What else the broker tells, kept for programs.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Client {
    /// Asks the broker.
    pub async fn whoami(&self) -> Result<Whoami, Failure> {
        self.ask(self.request(Method::GET, "/v1/whoami")).await
    }
}
