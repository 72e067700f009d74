//! Who may call a service: bound, listed and unbound; and the keys of the platform's secrets.

use model::InstanceId;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{Catalog, Client};
use crate::failure::Failure;

/// A binding, without its private key.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// Its id.
    pub id: String,
    /// What it was called.
    #[serde(default)]
    pub name: Option<String>,
    /// Who asked for it.
    pub created_by: String,
    /// When, in milliseconds since the Unix epoch.
    pub created_at: i64,
    /// When it ends by itself.
    #[serde(default)]
    pub expires_at: Option<i64>,
    /// Whether it has.
    pub expired: bool,
    /// What else the broker tells, kept for programs.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// The keys with which the platform seals its secrets, by id.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Keyring {
    /// The newest, which seals, comes last.
    pub keys: Vec<Key>,
}

/// A key by its id.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// A digest of the key.
    pub id: String,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at: i64,
}

#[derive(Deserialize)]
struct Bindings {
    bindings: Vec<Binding>,
}

fn path(instance: &InstanceId, binding: &str) -> String {
    format!("/v2/service_instances/{instance}/service_bindings/{binding}")
}

impl Client {
    /// Binds, or replaces `predecessor`; whether it is new, and the answer, which holds the private key.
    pub async fn bind(
        &self,
        catalog: &Catalog,
        instance: &InstanceId,
        binding: &str,
        parameters: Value,
        predecessor: Option<&str>,
    ) -> Result<(bool, Value), Failure> {
        let (service_id, plan_id) = catalog.ids()?;
        let mut body = json!({"service_id": service_id, "plan_id": plan_id});
        match predecessor {
            Some(predecessor) => body["predecessor_binding_id"] = predecessor.into(),
            None => body["parameters"] = parameters,
        }
        let request = self.request(Method::PUT, &path(instance, binding)).json(&body);
        let answer = self.send(request).await?;
        match answer.status {
            StatusCode::CREATED => Ok((true, answer.body)),
            StatusCode::OK => Ok((false, answer.body)),
            _ => Err(answer.failure()),
        }
    }

    /// Unbinds; whether there was anything to unbind.
    pub async fn unbind(
        &self,
        catalog: &Catalog,
        instance: &InstanceId,
        binding: &str,
    ) -> Result<bool, Failure> {
        let (service_id, plan_id) = catalog.ids()?;
        let query = [("service_id", service_id), ("plan_id", plan_id)];
        let answer =
            self.send(self.request(Method::DELETE, &path(instance, binding)).query(&query)).await?;
        match answer.status {
            StatusCode::OK => Ok(true),
            StatusCode::GONE => Ok(false),
            _ => Err(answer.failure()),
        }
    }

    /// Who may call; `None`: there is no such instance.
    pub async fn bindings(&self, instance: &InstanceId) -> Result<Option<Vec<Binding>>, Failure> {
        let path = format!("/v1/instances/{instance}/bindings");
        let found: Option<Bindings> = self.find(self.request(Method::GET, &path)).await?;
        Ok(found.map(|found| found.bindings))
    }

    /// The keyring.
    pub async fn keys(&self) -> Result<Keyring, Failure> {
        self.ask(self.request(Method::GET, "/v1/keys")).await
    }

    /// Another key for everything.
    pub async fn rotate_keys(&self) -> Result<Keyring, Failure> {
        self.ask(self.request(Method::POST, "/v1/keys/rotate")).await
    }
}
