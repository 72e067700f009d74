//! What a host asks that has no credential: to join, and to stay.

use std::time::Duration;

use anyhow::{Context, anyhow};
use authority::Applicant;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keys::Secret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::http::Refusal;
use crate::failure::Failure;

/// How long the broker may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// What a proxy connects with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Admission {
    /// `node.id`.
    pub node: String,
    /// `node.cluster`.
    pub group: String,
    /// Its certificate, PEM.
    pub certificate: String,
    /// Who has signed the control plane's, PEM.
    pub authority: String,
    /// The name in the control plane's.
    pub server_name: String,
    /// Where the control plane listens.
    pub xds: String,
    /// When the certificate was issued.
    pub issued_at: i64,
    /// When it ends.
    pub not_after: i64,
}

/// Why a host has no certificate.
#[derive(Debug)]
pub enum NotAdmitted {
    /// The token or the certificate that it has is not good: asking again with it will not help.
    Denied(String),
    /// Whatever else.
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for NotAdmitted {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl NotAdmitted {
    /// As a command ends with it.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Denied(why) => Failure::Refused(why),
            Self::Failed(failure) => failure,
        }
    }
}

/// A broker, as a host asks it.
pub struct Host {
    http: reqwest::Client,
    url: String,
}

impl Host {
    /// It is not asked yet.
    pub fn of(url: &str) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .timeout(ANSWER_MAX)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, url: url.to_owned() })
    }

    /// Uses a token up.
    pub async fn join(&self, token: &Secret, asks: &Applicant) -> Result<Admission, NotAdmitted> {
        let token = token.expose_str().context("the token is not text")?;
        self.ask("/v1/join", &json!({"token": token, "request": asks.request()})).await
    }

    /// Replaces a certificate, by its key.
    pub async fn renew(
        &self,
        certificate: &str,
        key: &Secret,
        asks: &Applicant,
    ) -> Result<Admission, NotAdmitted> {
        let proof = asks.prove(key).context("the key that is there cannot be used")?;
        let (request, proof) = (asks.request(), STANDARD.encode(proof));
        let wish = json!({"certificate": certificate, "request": request, "proof": proof});
        self.ask("/v1/join/renew", &wish).await
    }

    async fn ask(&self, path: &str, wish: &Value) -> Result<Admission, NotAdmitted> {
        let request = self.http.post(format!("{}{path}", self.url)).json(wish);
        let answer = request.send().await.map_err(|error| {
            let error = anyhow::Error::from(error);
            anyhow!("the broker at {} does not answer: {}", self.url, error.root_cause())
        })?;
        let status = answer.status();
        let body = answer.bytes().await.context("the broker's answer was cut off")?;
        if status.is_success() {
            let read = serde_json::from_slice(&body);
            return Ok(read.context("the broker answers in words that this release does not know")?);
        }
        let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
        let said = refusal.description.unwrap_or_else(|| format!("the broker answers {status}"));
        match status.as_u16() {
            403 => Err(NotAdmitted::Denied(said)),
            // The same, and others of this address before it.
            429 if refusal.error.as_deref() == Some("Forbidden") => Err(NotAdmitted::Denied(said)),
            400 | 409 => Err(Failure::Refused(said).into()),
            _ => Err(anyhow!(said).into()),
        }
    }
}
