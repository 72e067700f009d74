//! What changes for a proxy when an owner's resources become others: unchanged bytes are not sent.
//!
//! They are dated anew all the same. A version has the revision that its owner stands at by what the store
//! says, and not the one at which the bytes were first seen: that would be known to those processes alone
//! that were there.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use model::{Resource, TypeUrl, Version};
use render::Draft;

/// A resource that shall be, before it has a version.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) type_url: TypeUrl,
    pub(crate) name: Arc<str>,
    pub(crate) hash: u64,
    pub(crate) body: Bytes,
    /// The highest revision that another owner may have had under this name.
    pub(crate) after: u64,
}

impl From<Draft> for Wish {
    fn from(draft: Draft) -> Self {
        let Draft { type_url, name, hash, body, .. } = draft;
        Self { type_url, name, hash, body, after: 0 }
    }
}

impl From<&Kept> for Wish {
    fn from(kept: &Kept) -> Self {
        Self::from(&kept.resource)
    }
}

impl From<&Resource> for Wish {
    fn from(resource: &Resource) -> Self {
        let Resource { type_url, name, version, body } = resource.clone();
        Self { type_url, name, hash: version.hash, body, after: 0 }
    }
}

/// A resource that is, and the sequence number of its cache at which it became so.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) resource: Resource,
    pub(crate) seq: u64,
}

/// The change from what is kept to what is wished.
#[derive(Debug, Default)]
pub(crate) struct Diff {
    pub(crate) unchanged: Vec<Kept>,
    pub(crate) set: Vec<Resource>,
    pub(crate) remove: Vec<Resource>,
    /// Of what is unchanged that which has another version now.
    pub(crate) renewed: Vec<Resource>,
}

impl Diff {
    /// Compares. All of it gets `epoch` and `revision` in its version, but where it had a later one.
    pub(crate) fn between(kept: Vec<Kept>, wishes: Vec<Wish>, epoch: u64, revision: u64) -> Self {
        let key = |kept: Kept| ((kept.resource.type_url.clone(), kept.resource.name.clone()), kept);
        let mut kept: HashMap<(TypeUrl, Arc<str>), Kept> = kept.into_iter().map(key).collect();
        let mut diff = Self::default();
        for Wish { type_url, name, hash, body, after } in wishes {
            match kept.remove(&(type_url.clone(), name.clone())) {
                Some(mut same) if same.resource.version.hash == hash => {
                    let version = &mut same.resource.version;
                    let before = *version;
                    (version.epoch, version.revision) =
                        (epoch, revision).max((before.epoch, before.revision));
                    if *version != before {
                        diff.renewed.push(same.resource.clone());
                    }
                    diff.unchanged.push(same);
                }
                before => {
                    // Also where the store is of an earlier epoch than what was served.
                    let before = before.map(|kept| kept.resource.version);
                    let before = before.map_or((epoch, after), |it| (it.epoch, it.revision));
                    let (epoch, revision) = (epoch, revision.max(after)).max(before);
                    let version = Version { epoch, revision, hash };
                    diff.set.push(Resource { type_url, name, version, body });
                }
            }
        }
        diff.remove = kept.into_values().map(|kept| kept.resource).collect();
        diff.remove.sort_unstable_by(|a, b| (&a.type_url, &a.name).cmp(&(&b.type_url, &b.name)));
        diff
    }

    /// Whether nothing is sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use model::type_urls;

    use super::*;

    fn wish(name: &str, body: &str) -> Wish {
        let body = Bytes::from(body.to_owned());
        let hash = Version::hash_of(&body);
        Wish { type_url: TypeUrl::new(type_urls::CLUSTER), name: name.into(), hash, body, after: 0 }
    }

    fn kept(diff: Diff, seq: u64) -> Vec<Kept> {
        let set = diff.set.into_iter().map(|resource| Kept { resource, seq });
        diff.unchanged.into_iter().chain(set).collect()
    }

    #[test]
    fn what_is_unchanged_is_dated_anew_and_not_sent() {
        let first = Diff::between(Vec::new(), vec![wish("a", "1"), wish("b", "1")], 1, 5);
        assert_eq!(first.set.len(), 2);
        let second = Diff::between(kept(first, 1), vec![wish("a", "1"), wish("c", "1")], 1, 6);
        assert_eq!(second.unchanged[0].resource.version.revision, 6);
        assert_eq!(second.renewed, [second.unchanged[0].resource.clone()]);
        assert_eq!(second.set.len(), 1);
        assert_eq!(second.set[0].version.to_string(), format!("1.6-{:016x}", wish("c", "1").hash));
        let removed: Vec<&str> = second.remove.iter().map(|resource| &*resource.name).collect();
        assert_eq!(removed, ["b"]);
        let second = kept(second, 2);
        let third = Diff::between(second.clone(), vec![wish("c", "1"), wish("a", "1")], 1, 7);
        assert!(third.is_empty());
        assert_eq!(third.renewed.len(), 2);
        let earlier = Diff::between(second, vec![wish("c", "1"), wish("a", "1")], 1, 2);
        assert!(earlier.is_empty() && earlier.renewed.is_empty(), "no version goes backwards");
    }

    #[test]
    fn what_changes_is_dated_after_all_that_was_served_under_its_name() {
        let version = |diff: &Diff| (diff.set[0].version.epoch, diff.set[0].version.revision);
        let moved = Wish { after: 9, ..wish("a", "1") };
        let first = Diff::between(Vec::new(), vec![moved], 2, 5);
        assert_eq!(version(&first), (2, 9), "another owner had it");
        let second = Diff::between(kept(first, 1), vec![wish("a", "2")], 1, 30);
        assert_eq!(version(&second), (2, 9), "the store is of an earlier epoch");
    }

    #[test]
    fn old_bytes_that_come_back_get_the_newer_revision() {
        let good = Diff::between(Vec::new(), vec![wish("a", "good")], 1, 5);
        let good = kept(good, 1);
        let bad = kept(Diff::between(good.clone(), vec![wish("a", "bad")], 1, 7), 2);
        let back = Diff::between(bad, good.iter().map(Wish::from).collect(), 1, 7);
        assert_eq!(back.set[0].version.revision, 7);
        assert_eq!(back.set[0].version.hash, good[0].resource.version.hash);
        assert_eq!(back.set[0].body, "good");
    }
}
