//! The same bytes under another version: what is here is dated anew, and nobody is sent it again.
//!
//! So the version of a resource is the same at every replica that knows the same, also at one that has
//! not seen how it came to be. Clients are told what they hold by the hash.

use model::Resource;

use super::content::Content;
use super::state::State;
use super::{Cache, Owner};

impl Cache {
    /// Gives what `owner` has here with these very bytes these versions. Sequence numbers do not rise,
    /// and nobody is woken: whoever comes from now on is told them.
    pub fn renew(&self, owner: &Owner, resources: &[Resource]) {
        if !resources.is_empty() {
            self.write().renew(owner, resources);
        }
    }
}

impl State {
    fn renew(&mut self, owner: &Owner, resources: &[Resource]) {
        let Some(id) = self.owner_known(owner) else { return };
        for resource in resources {
            let Some(key) = self.there(&resource.type_url, &resource.name) else { continue };
            let slot = self.slot(key);
            let now = slot.content.as_ref().filter(|_| slot.owner == id).map(|it| it.version);
            let is_other =
                |now: model::Version| now.hash == resource.version.hash && now != resource.version;
            if now.is_some_and(is_other) {
                let content = Content::new(resource, self.seq);
                self.tables[key.table as usize].renew(key.slot, content);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use model::{TypeUrl, Version, type_urls};

    use super::*;
    use crate::cache::Change;

    fn resource(name: &str, body: &str, revision: u64) -> Resource {
        let body = Bytes::from(body.to_owned());
        let version = Version { epoch: 1, revision, hash: Version::hash_of(&body) };
        Resource { type_url: TypeUrl::new(type_urls::CLUSTER), name: name.into(), version, body }
    }

    #[test]
    fn the_same_bytes_get_another_version_and_nothing_else_does() {
        let cache = Cache::default();
        let owner: Owner = Arc::from("a");
        let set = vec![resource("a/x", "1", 3), resource("a/y", "1", 3)];
        cache.apply(vec![Change { owner: owner.clone(), set, remove: Vec::new() }]);
        let (seq, digest) = (cache.seq(), cache.read().table(0).digest());
        let others =
            vec![resource("a/x", "1", 7), resource("a/y", "2", 7), resource("a/z", "1", 7)];
        cache.renew(&Arc::from("b"), &others);
        cache.renew(&owner, &others);
        let told = cache.dump(None).into_iter();
        let told: Vec<_> = told.map(|it| (it.changed, it.resource)).collect();
        assert_eq!(told, [(seq, resource("a/x", "1", 7)), (seq, resource("a/y", "1", 3))]);
        assert_eq!((cache.seq(), cache.read().table(0).digest()), (seq, digest));
    }
}
