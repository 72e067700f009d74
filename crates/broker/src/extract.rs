//! Path segments and query strings, refused as JSON and in our own words.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{ConnectInfo, FromRequestParts, Path, Query};
use axum::http::Extensions;
use axum::http::request::Parts;
use model::{CredentialId, Hostname, InstanceId, NameError, NodeId, OperationId};
use serde::de::DeserializeOwned;

use crate::error::Error;

/// An id of the path.
pub(crate) struct Id<T>(pub(crate) T);

impl<S: Send + Sync> FromRequestParts<S> for Id<InstanceId> {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Ok(Self(parse(&segment(parts, state).await?)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id<CredentialId> {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Ok(Self(parse(&segment(parts, state).await?)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id<NodeId> {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Ok(Self(parse(&segment(parts, state).await?)?))
    }
}

/// The address that a request comes from.
pub(crate) struct Peer(pub(crate) IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(address(&parts.extensions)))
    }
}

/// The same, for who has the request whole.
pub(crate) fn address(extensions: &Extensions) -> IpAddr {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip())
}

impl<S: Send + Sync> FromRequestParts<S> for Id<OperationId> {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Ok(Self(parse(&segment(parts, state).await?)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id<Hostname> {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Ok(Self(parse(&segment(parts, state).await?)?))
    }
}

/// A team's name, as text.
impl<S: Send + Sync> FromRequestParts<S> for Id<String> {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Ok(Self(segment(parts, state).await?))
    }
}

async fn segment<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, Error> {
    let unreadable = |_: PathRejection| Error::bad_request("the path is not percent-encoded UTF-8");
    let Path(segment) = Path::from_request_parts(parts, state).await.map_err(unreadable)?;
    Ok(segment)
}

/// Text as an id.
pub(crate) fn parse<T: std::str::FromStr<Err = NameError>>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|why: NameError| Error::bad_request(why.to_string()))
}

/// The query. A parameter that is given twice is refused.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let unreadable = |why: QueryRejection| Error::bad_request(why.body_text());
        let Query(query) = Query::from_request_parts(parts, state).await.map_err(unreadable)?;
        Ok(Self(query))
    }
}

/// OSB's hints to a GET: not needed, and not compared, because while a plan changes it is the one
/// before. But what is given is not empty.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Hints {
    service_id: Option<String>,
    plan_id: Option<String>,
    pub(crate) operation: Option<String>,
}

impl Hints {
    /// None of them is empty.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let hints = [
            ("service_id", &self.service_id),
            ("plan_id", &self.plan_id),
            ("operation", &self.operation),
        ];
        match hints.iter().find(|(_, hint)| hint.as_deref() == Some("")) {
            None => Ok(()),
            Some((name, _)) => Err(Error::bad_request(format!("{name} is empty; leave it out"))),
        }
    }
}
