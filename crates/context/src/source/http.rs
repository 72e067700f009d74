//! A document behind a URL. No redirect is followed: what is answered from elsewhere is not the
//! source's, and its credentials are not for others.

use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{
    ACCEPT, CONTENT_ENCODING, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LAST_MODIFIED, LOCATION, USER_AGENT,
};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use keys::Secret;

use super::file::{self, Disk};
use super::{FetchError, Fetched, Source, Validators};

/// The longest text of a header that a file holds.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// A longer validator is not kept.
const VALIDATOR_BYTES_MAX: usize = 1 << 10;

/// What a header says.
#[derive(Debug, Clone, PartialEq)]
pub enum HeaderText {
    /// This.
    Given(Secret),
    /// `prefix` and what the file says at that time, without white space at its ends.
    File {
        /// Such as `Bearer `.
        prefix: String,
        /// Read each time, so that it may be replaced.
        path: PathBuf,
    },
}

/// A URL that is asked with `GET`.
pub struct HttpSource {
    uri: Uri,
    headers: Vec<(HeaderName, HeaderText)>,
    client: HttpClient,
    /// Where files of headers lie.
    disk: Disk,
}

enum HttpClient {
    Clear(Client<HttpConnector, Empty<Bytes>>),
    Tls(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>),
}

impl HttpSource {
    /// Asks `uri` with these headers. By TLS a certificate is good if an authority that the machine
    /// trusts has signed it.
    ///
    /// # Errors
    /// The machine trusts no authority at all, and the URL is `https://`.
    pub fn new(uri: Uri, headers: Vec<(HeaderName, HeaderText)>) -> Result<Self, std::io::Error> {
        let executor = TokioExecutor::new();
        let client = match uri.scheme_str() {
            Some("https") => {
                let tls = HttpsConnectorBuilder::new().with_native_roots()?.https_only();
                HttpClient::Tls(Client::builder(executor).build(tls.enable_http1().build()))
            }
            _ => HttpClient::Clear(Client::builder(executor).build_http()),
        };
        Ok(Self { uri, headers, client, disk: Disk::default() })
    }

    async fn request(&self, known: &Validators) -> Result<Request<Empty<Bytes>>, FetchError> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(USER_AGENT, HeaderValue::from_static("margrave"));
        for (name, text) in &self.headers {
            headers.insert(name.clone(), header(name, text, &self.disk).await?);
        }
        let since = [(IF_NONE_MATCH, &known.etag), (IF_MODIFIED_SINCE, &known.last_modified)];
        for (name, value) in since {
            if let Some(value) = value.as_ref().and_then(|value| value.parse().ok()) {
                headers.insert(name, value);
            }
        }
        Ok(request)
    }
}

async fn header(
    name: &HeaderName,
    text: &HeaderText,
    disk: &Disk,
) -> Result<HeaderValue, FetchError> {
    let bytes = match text {
        HeaderText::Given(secret) => secret.expose().to_vec(),
        HeaderText::File { prefix, path } => {
            let path = path.clone();
            let read = disk.read(move || file::read(&path, HEADER_BYTES_MAX)).await;
            let read = read.and_then(|read| read);
            let read = read.map_err(|why| format!("the file of the header `{name}`: {why}"))?;
            [prefix.as_bytes(), read.trim_ascii()].concat()
        }
    };
    let value = HeaderValue::from_bytes(&bytes);
    let mut value = value.map_err(|_| {
        format!("the header `{name}` cannot be sent: it has line breaks or control characters")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[async_trait]
impl Source for HttpSource {
    fn kind(&self) -> &'static str {
        "http"
    }

    /// Without its query, which may hold a secret.
    fn place(&self) -> String {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        let authority = self.uri.authority().map(ToString::to_string).unwrap_or_default();
        format!("{scheme}://{authority}{}", self.uri.path())
    }

    async fn fetch(&self, known: &Validators, bytes_max: usize) -> Result<Fetched, FetchError> {
        let request = self.request(known).await?;
        let sent = match &self.client {
            HttpClient::Clear(client) => client.request(request).await,
            HttpClient::Tls(client) => client.request(request).await,
        };
        let answer = sent.map_err(|error| format!("cannot be reached: {}", innermost(&error)))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if !known.is_empty() => return Ok(Fetched::Same),
            status => return Err(unusable(status, answer.headers())),
        }
        if let Some(coding) = answer.headers().get(CONTENT_ENCODING) {
            return Err(format!("answers in a coding that was not asked for: {coding:?}").into());
        }
        let validators = validators(answer.headers());
        Ok(Fetched::New(body(answer, bytes_max).await?, validators))
    }
}

fn unusable(status: StatusCode, headers: &HeaderMap) -> FetchError {
    if status == StatusCode::NOT_MODIFIED {
        return "answers 304, although it was not asked whether anything is new".into();
    }
    if !status.is_redirection() {
        return format!("answers {status}").into();
    }
    let to = headers.get(LOCATION).and_then(|to| to.to_str().ok()).and_then(|to| to.parse().ok());
    let to = to.as_ref().and_then(Uri::host).map(|host| format!(" to {host}")).unwrap_or_default();
    format!("answers {status}{to}: no redirect is followed; name the place itself in `url`").into()
}

async fn body<B>(answer: Response<B>, bytes_max: usize) -> Result<Vec<u8>, FetchError>
where
    B: BodyExt<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let whole = Limited::new(answer.into_body(), bytes_max).collect().await;
    let whole = whole.map_err(|error| match error.is::<http_body_util::LengthLimitError>() {
        true => format!("is larger than {bytes_max} bytes"),
        false => format!("broke off: {}", innermost(&*error)),
    })?;
    Ok(whole.to_bytes().to_vec())
}

fn validators(headers: &HeaderMap) -> Validators {
    let text = |name: HeaderName| {
        let text = headers.get(name)?.to_str().ok()?;
        (text.len() <= VALIDATOR_BYTES_MAX).then(|| text.to_owned())
    };
    Validators { etag: text(ETAG), last_modified: text(LAST_MODIFIED) }
}

/// Every layer of a client adds its own words; the innermost are the reason.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
