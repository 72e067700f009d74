//! One request to the broker, and what can become of it.

use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, ETAG, HeaderValue};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::credential::Presented;
use crate::failure::Failure;

/// The OSB version that we speak.
const API_VERSION: &str = "2.17";
/// How long the broker may take to answer; everything slow is asynchronous.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// To connect.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// A client of one broker.
pub struct Client {
    http: reqwest::Client,
    url: String,
    authorization: HeaderValue,
    presented: Presented,
}

/// The broker's own words for not doing what was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Refusal {
    /// OSB's or our code, such as `ConcurrencyError`.
    #[serde(default)]
    pub error: Option<String>,
    /// For the user.
    #[serde(default)]
    pub description: Option<String>,
}

/// An answer that is no transport failure.
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// JSON, or null.
    pub body: Value,
    /// What is told of, where the broker says so: `ETag`.
    pub tag: Option<HeaderValue>,
    /// What the answer means, where that depends on who asked.
    told: Option<String>,
}

impl Client {
    /// A client of the broker at `url`, which is not asked yet.
    pub fn new(url: String, presented: Presented) -> Result<Self, Failure> {
        let authorization = presented.credential.header()?;
        let http = reqwest::Client::builder()
            .timeout(ANSWER_MAX)
            .connect_timeout(CONNECT_MAX)
            // The broker is asked directly: a proxy of the environment does not know it.
            .no_proxy()
            // A broker sends nobody elsewhere, and what we show is for it alone.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, url, authorization, presented })
    }

    /// Where the broker is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it is shown, in the middle of a sentence.
    pub fn shows(&self) -> String {
        self.presented.source.told()
    }

    /// Whether a token is shown, whose teams the broker knows.
    pub fn is_token(&self) -> bool {
        self.presented.credential.is_token()
    }

    /// The team that is kept beside what is shown.
    pub fn kept_team(&self) -> Option<&str> {
        self.presented.team.as_deref()
    }

    /// A path of these segments, which may hold anything.
    pub fn path(&self, segments: &[&str]) -> String {
        let Ok(mut url) = reqwest::Url::parse(&self.url) else { return String::new() };
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(segments);
        }
        url.path().to_owned()
    }

    /// A request; `path` begins with a slash.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.url))
            .header(AUTHORIZATION, self.authorization.clone())
            .header("x-broker-api-version", API_VERSION)
    }

    /// Sends a request; only what is no answer of a broker is an error.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let answer = request.send().await.map_err(|error| self.unreachable(error))?;
        let (status, tag) = (answer.status(), answer.headers().get(ETAG).cloned());
        let bytes = answer.bytes().await.context("the broker's answer was cut off")?;
        Ok(Answer { tag, ..self.answer(status, &bytes) })
    }

    /// Sends a request whose answer is a success, and long.
    pub async fn stream(&self, request: RequestBuilder) -> Result<reqwest::Response, Failure> {
        let answer = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let bytes = answer.bytes().await.context("the broker's answer was cut off")?;
        Err(self.answer(status, &bytes).failure())
    }

    async fn bytes(&self, request: RequestBuilder) -> Result<(StatusCode, Bytes), Failure> {
        let answer = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = answer.status();
        let bytes = answer.bytes().await.context("the broker's answer was cut off")?;
        Ok((status, bytes))
    }

    /// Sends a request whose answer must be a success.
    pub async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let answer = self.send(request).await?;
        if answer.status.is_success() {
            return answer.read();
        }
        Err(answer.failure())
    }

    /// As [`Self::ask`], where the answer's very bytes matter.
    pub async fn ask_exactly<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, Failure> {
        let (status, bytes) = self.bytes(request).await?;
        if !status.is_success() {
            return Err(self.answer(status, &bytes).failure());
        }
        let read = serde_json::from_slice(&bytes);
        Ok(read.context("the broker answers in words that this release does not know")?)
    }

    /// As [`Self::ask`]; what the broker does not know (404) or not any more (410) is `None`.
    pub async fn find<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<Option<T>, Failure> {
        let answer = self.send(request).await?;
        match answer.status {
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
            status if status.is_success() => answer.read().map(Some),
            _ => Err(answer.failure()),
        }
    }

    fn answer(&self, status: StatusCode, bytes: &[u8]) -> Answer {
        let mut answer = Answer { status, body: json_or_text(bytes), tag: None, told: None };
        answer.told = match status {
            StatusCode::UNAUTHORIZED => Some(self.presented.refused(&self.url, &answer.said())),
            StatusCode::FORBIDDEN => Some(self.presented.forbidden(&answer.said())),
            StatusCode::TOO_MANY_REQUESTS => Some(self.presented.held_up(&answer.said())),
            _ => None,
        };
        answer
    }

    fn unreachable(&self, error: reqwest::Error) -> Failure {
        let hint = if error.is_connect() { ". Is `margrave dev` running?" } else { "" };
        // Every layer of the client adds its own words; the innermost are the reason.
        let error = anyhow::Error::from(error);
        anyhow!("the broker at {} does not answer: {}{hint}", self.url, error.root_cause()).into()
    }
}

fn json_or_text(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

impl Answer {
    /// The body as `T`.
    pub fn read<T: DeserializeOwned>(self) -> Result<T, Failure> {
        let read = serde_json::from_value(self.body);
        Ok(read.context("the broker answers in words that this release does not know")?)
    }

    /// The broker's words.
    pub fn refusal(&self) -> Refusal {
        Refusal::deserialize(&self.body).unwrap_or_default()
    }

    /// What this answer means for the command: a 4xx is a refusal, anything else a failure.
    pub fn failure(&self) -> Failure {
        let said = self.told.clone().unwrap_or_else(|| self.said());
        if self.status.is_client_error() && self.status != StatusCode::TOO_MANY_REQUESTS {
            return Failure::Refused(said);
        }
        Failure::Error(anyhow!(said))
    }

    fn said(&self) -> String {
        self.refusal().description.unwrap_or_else(|| match &self.body {
            Value::String(text) if !text.is_empty() => text.clone(),
            _ => format!("the broker answers {}", self.status),
        })
    }
}

#[cfg(test)]
mod tests {
    use keys::Secret;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::credential::{Credential, Source};
    use super::*;

    /// Answers one request with `answer`, and tells what was asked.
    async fn once(listener: &TcpListener, answer: &str) -> String {
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 4096];
        let length = peer.read(&mut asked).await.unwrap();
        peer.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&asked[..length]).into_owned()
    }

    #[tokio::test]
    async fn nobody_is_followed_elsewhere() {
        let [listener, other] = [
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        ];
        let url = format!("http://{}", listener.local_addr().unwrap());
        let credential = Credential::Token(Secret::from("mgt_secret".to_owned()));
        let presented = Presented { credential, source: Source::Token, team: None };
        let client = Client::new(url, presented).unwrap();
        let elsewhere = other.local_addr().unwrap();
        let answer = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{elsewhere}/\r\n\
             content-length: 0\r\nconnection: close\r\n\r\n"
        );
        let ask = client.send(client.request(Method::GET, "/v1/whoami"));
        let (asked, found) = tokio::join!(once(&listener, &answer), ask);
        assert!(asked.to_lowercase().contains("authorization: bearer mgt_secret"), "{asked}");
        let Ok(found) = found else { panic!("it followed to {elsewhere}") };
        assert_eq!(found.status, StatusCode::TEMPORARY_REDIRECT);
        let said = found.failure().text();
        assert!(said.contains("307") && !said.contains("mgt_secret"), "{said}");
    }

    #[tokio::test]
    async fn a_refusal_says_what_was_shown_and_not_its_text() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let credential = Credential::Token(Secret::from("mgt_secret".to_owned()));
        let presented = Presented { credential, source: Source::Token, team: None };
        let client = Client::new(url, presented).unwrap();
        let body = r#"{"description":"no"}"#;
        for (status, piece) in [
            ("401 Unauthorized", "refuses the token of MARGRAVE_TOKEN: no"),
            ("403 Forbidden", "whoami"),
            ("429 Too Many Requests", "help: wait some seconds"),
        ] {
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            let ask = client.ask::<Value>(client.request(Method::GET, "/v1/whoami"));
            let (_, found) = tokio::join!(once(&listener, &answer), ask);
            let said = found.expect_err("it is refused").text();
            assert!(said.contains(piece) && !said.contains("mgt_secret"), "{said}");
        }
    }
}
