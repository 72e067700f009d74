//! Polls as Envoy makes them, and what it costs to answer that nothing is new.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::extract::State;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::rival;
use crate::envoy::Envoy;

/// Longer than an Envoy takes to ask.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a real Envoy says when it polls: its whole node, with all extensions that it has.
pub(super) async fn overheard(program: &Path, folder: &Path) -> Result<Value> {
    let (tell, mut told) = mpsc::channel(1);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let bootstrap = rival::bootstrap(listener.local_addr()?);
    let router = Router::new()
        .fallback(|State(tell): State<mpsc::Sender<String>>, body: String| async move {
            // One is enough.
            let _ = tell.try_send(body);
            http::StatusCode::NOT_MODIFIED
        })
        .with_state(tell);
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let envoy = Envoy::start(program, folder, bootstrap).await?;
    let body = tokio::time::timeout(PATIENCE, told.recv()).await.context("an Envoy polls")?;
    drop(envoy);
    server.abort();
    Ok(serde_json::from_str(&body.context("told")?)?)
}

/// Who polls one control plane for some types, one after the other.
pub(super) struct Poller {
    client: reqwest::Client,
    /// URL and body of each type, with the version that is there.
    polls: Vec<(String, String)>,
}

impl Poller {
    /// Asks for everything once.
    pub(super) async fn start(address: SocketAddr, types: &[&str], node: &Value) -> Result<Self> {
        let mut this = Self { client: reqwest::Client::new(), polls: Vec::new() };
        for kind in types {
            let url = format!("http://{address}/v3/discovery:{kind}");
            let mut body = node.clone();
            body.as_object_mut().context("an object")?.remove("type_url");
            let (status, answer) = this.ask(&url, body.to_string()).await?;
            let answer: Value = serde_json::from_str(&answer)
                .with_context(|| format!("{url} was answered with {status}: {answer}"))?;
            body["version_info"] = answer["version_info"].clone();
            this.polls.push((url, body.to_string()));
        }
        Ok(this)
    }

    /// One poll of each type; an error if anything is new.
    pub(super) async fn cycle(&self) -> Result<()> {
        for (url, body) in &self.polls {
            let (status, _) = self.ask(url, body.clone()).await?;
            if status != 304 {
                bail!("{url} was answered with {status}, though nothing has changed");
            }
        }
        Ok(())
    }

    async fn ask(&self, url: &str, body: String) -> Result<(u16, String)> {
        let request = self.client.post(url).header("content-type", "application/json").body(body);
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }
}
