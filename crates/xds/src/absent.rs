//! What a client gets for a name that does not exist, where it would wait or keep what it has.

use model::{Version, type_urls};
use prost::Message;

use crate::cache::Content;
use crate::kind::Kind;
use crate::wire::Blank;

/// Whether a name of nothing is told as something blank.
pub(crate) fn is_blank(kind: Kind, type_url: &str) -> bool {
    matches!(kind, Kind::Route | Kind::Endpoint) || type_url == type_urls::RUNTIME
}

/// A route configuration, endpoints, or a layer of the runtime, with a name and nothing in it.
pub(crate) fn blank(kind: Kind, type_url: &str, name: &str) -> Option<Content> {
    if !is_blank(kind, type_url) {
        return None;
    }
    let body = Blank { name: name.to_owned() }.encode_to_vec();
    let version = Version { epoch: 0, revision: 0, hash: Version::hash_of(&body) };
    Some(Content::encode(type_url, name, version, &body))
}
