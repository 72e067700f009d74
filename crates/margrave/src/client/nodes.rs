//! Proxies that have joined, and the tokens by which hosts do.

use keys::Secret;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Client;
use crate::failure::Failure;

/// A token that lets one host in, once.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invitation {
    /// Told once.
    #[serde(deserialize_with = "super::credentials::secret")]
    pub secret: Secret,
    /// The group that the host joins.
    pub group: String,
    /// What it will be called, if that is laid down.
    #[serde(default)]
    pub node: Option<String>,
    /// When it ends, in milliseconds since the Unix epoch.
    pub expires_at: i64,
}

/// A proxy that has joined.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// `node.id`.
    pub node: String,
    /// `node.cluster`; empty: this platform was restored, and does not know the node that it has revoked.
    pub group: String,
    /// `joined`, `expired` or `revoked`.
    pub state: String,
    /// When it joined last, in milliseconds since the Unix epoch.
    pub joined_at: i64,
    /// The credential of whoever made its token.
    pub invited_by: String,
    /// The number of its latest certificate.
    pub serial: String,
    /// When that was issued.
    pub issued_at: i64,
    /// When that ends.
    pub not_after: i64,
    /// When it was revoked.
    #[serde(default)]
    pub revoked_at: Option<i64>,
}

#[derive(Deserialize)]
struct Page {
    nodes: Vec<Node>,
    #[serde(default)]
    next: Option<String>,
}

impl Client {
    /// Makes a token.
    pub async fn invite(&self, wish: &Value) -> Result<Invitation, Failure> {
        self.ask(self.request(Method::POST, "/v1/join-tokens").json(wish)).await
    }

    /// Those that have joined, of one group or of all.
    pub async fn nodes(&self, group: Option<&str>) -> Result<Vec<Node>, Failure> {
        let (mut all, mut after): (Vec<Node>, Option<String>) = (Vec::new(), None);
        loop {
            let mut query = vec![("limit", "1000")];
            query.extend(group.map(|group| ("group", group)));
            query.extend(after.as_deref().map(|after| ("after", after)));
            let request = self.request(Method::GET, "/v1/nodes").query(&query);
            let page: Page = self.ask(request).await?;
            all.extend(page.nodes);
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    /// Revokes one.
    pub async fn revoke_node(&self, node: &str) -> Result<Node, Failure> {
        let path = self.path(&["v1", "nodes", node]);
        let answer = self.send(self.request(Method::DELETE, &path)).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Err(Failure::Refused(format!(
                "no proxy `{node}` has joined that is not revoked; `margrave node list` tells who has"
            ))),
            status if status.is_success() => answer.read(),
            _ => Err(answer.failure()),
        }
    }
}
