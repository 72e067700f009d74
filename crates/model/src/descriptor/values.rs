//! The texts of a descriptor: how each is written, and what it may not be.

mod address;
mod duration;
mod header;
mod name;
mod path;
mod size;
mod text;
mod word;

pub(crate) use address::{AddressText, RedirectTarget, UpstreamUrl, url};
pub(crate) use duration::{Span, show as show_duration};
pub(crate) use header::{HeaderName, HeaderValue, MatchHeaderName};
pub(crate) use name::{RouteName, UpstreamName};
pub(crate) use path::{PathText, PrefixText};
pub(crate) use size::{BodySize, show as show_size};
pub(crate) use text::{Body, ContentType, QueryName, QueryValue, SchemaUrl};
pub(crate) use word::{Method, RedirectStatus, RetryOn};
