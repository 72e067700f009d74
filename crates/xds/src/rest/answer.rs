//! What a poll is answered: a set of resources, and a version that is the same wherever the set is.

use bytes::Bytes;
use model::{TypeUrl, Version};

use crate::absent::blank;
use crate::cache::{Cache, Content};
use crate::kind::Kind;

/// A set of resources of one type, not written out yet.
pub(super) struct Set {
    pub(super) version: Version,
    bodies: Vec<Bytes>,
}

impl Set {
    /// What a client that has `held` is to have of a type: of all of it, or of these `names`. None
    /// when that is what it has: then nothing was looked at that costs anything. A route
    /// configuration or endpoints that do not exist are there, and blank: a client that got none
    /// would keep those it has.
    pub(super) fn of(
        cache: &Cache,
        type_url: &TypeUrl,
        names: Option<&[&str]>,
        held: &str,
    ) -> Option<Self> {
        let held = Version::parse(held).map(|version| version.hash);
        let state = cache.read();
        let table = state.table_of(type_url.as_str());
        let Some(names) = names else {
            let table = table.map(|table| state.table(table));
            let digest = table.map_or(0, |table| table.digest());
            if held == Some(digest) {
                return None;
            }
            let none = Version { epoch: 0, revision: 0, hash: 0 };
            let version = table.map_or(none, |table| table.version_of(digest));
            let places = table.iter().flat_map(|table| table.places());
            let contents = places.filter_map(|(_, slot)| slot.content.as_ref());
            return Some(Self { version, bodies: contents.map(Content::body).collect() });
        };
        let kind = Kind::of(type_url.as_str());
        let found = names.iter().filter_map(|name| {
            let key = table.and_then(|table| state.find(table, name));
            let content = key.and_then(|key| state.slot(key).content.clone());
            content.or_else(|| blank(kind, type_url.as_str(), name))
        });
        let contents: Vec<Content> = found.collect();
        let version = Self::version_of(&contents);
        let bodies = || contents.iter().map(Content::body).collect();
        (held != Some(version.hash)).then(|| Self { version, bodies: bodies() })
    }

    /// The hash of what is there, and the order of the newest of it.
    fn version_of(contents: &[Content]) -> Version {
        let hash = contents.iter().fold(0_u64, |sum, content| sum.wrapping_add(content.mark));
        let orders = contents.iter().map(|it| (it.version.epoch, it.version.revision));
        let (epoch, revision) = orders.max().unwrap_or_default();
        Version { epoch, revision, hash }
    }

    /// Writes it out as a `DiscoveryResponse`.
    pub(super) fn write(
        &self,
        type_url: &TypeUrl,
        json: &dyn super::Json,
    ) -> Result<Bytes, String> {
        let mut text = format!(
            "{{\"version_info\":\"{}\",\"type_url\":\"{}\",\"resources\":[",
            self.version,
            type_url.as_str()
        );
        for (at, body) in self.bodies.iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            text.push_str(&json.any(type_url, body)?);
        }
        text.push_str("]}");
        Ok(text.into())
    }
}
