//! Editions: templates with the facts that they see, as one value that never changes; and which of
//! them each group is given.

use std::fmt;
use std::sync::Arc;

use model::Node;
use render::{Complaint, NodeField, Platform, Templates};
use serde::{Deserialize, Serialize};

use crate::documents::{Followed, Opened, Revisions, Seen};
use crate::grouping::Grouping;

/// What an edition is made of, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// Files by name, sorted.
    pub templates: Vec<(String, String)>,
    /// What templates see as `platform`, but for the documents of sources.
    pub facts: Platform,
    /// The revisions of those that come to groups by stages.
    #[serde(default, skip_serializing_if = "Revisions::is_empty")]
    pub documents: Revisions,
}

impl Content {
    /// Without documents.
    pub fn new(templates: Vec<(String, String)>, facts: Platform) -> Self {
        Self { templates, facts, documents: Revisions::new() }
    }

    /// With these in place of its own.
    pub(crate) fn with(&self, documents: Revisions) -> Self {
        Self { documents, ..self.clone() }
    }
}

/// An edition, compiled.
pub struct Edition {
    /// Its number; 0 is what no store has numbered.
    pub(crate) number: u64,
    pub(crate) templates: Templates,
    /// With the documents of sources as they are now.
    pub(crate) platform: Arc<Platform>,
    /// The documents of its own.
    own: Opened,
}

impl fmt::Debug for Edition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Edition({})", self.number)
    }
}

impl Edition {
    /// Complains of templates that make no listeners, or would make a group of each proxy.
    pub(crate) fn new(
        number: u64,
        templates: Templates,
        platform: Platform,
        own: Opened,
    ) -> Result<Self, Vec<Complaint>> {
        Grouping::new(templates.varies_by())?;
        let edition = Self { number, templates, platform: Arc::new(platform), own };
        let node = Node { cluster: crate::DEFAULT_GROUP.to_owned(), ..Node::default() };
        edition.group(&node)?;
        Ok(edition)
    }

    /// Compiles what was kept.
    pub(crate) fn compile(
        number: u64,
        content: &Content,
        own: Opened,
        seen: &Seen,
    ) -> Result<Self, Vec<Complaint>> {
        let templates = Templates::compile(&content.templates)?;
        let sources = seen.with(&own);
        Self::new(number, templates, Platform { sources, ..content.facts.clone() }, own)
    }

    /// What a group gets beside its instances.
    pub(crate) fn group(&self, node: &Node) -> Result<Vec<render::Draft>, Vec<Complaint>> {
        self.templates.group(&self.platform, node)
    }

    fn seeing(&self, seen: &Seen) -> Arc<Self> {
        let platform = Platform { sources: seen.with(&self.own), ..(*self.platform).clone() };
        let (templates, own) = (self.templates.clone(), self.own.clone());
        Arc::new(Self { number: self.number, templates, platform: Arc::new(platform), own })
    }
}

/// Which edition each group is given: the first whose pattern has its name.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    /// When this was decided, on the store's counter of revisions: what a group gets of an edition
    /// has no lower version.
    pub(crate) revision: u64,
    /// The last is for every group.
    editions: Vec<(String, Arc<Edition>)>,
    /// What all of them see of sources, and what is shown of none.
    pub(crate) seen: Seen,
    /// The latest revisions of documents that come by stages.
    pub(crate) staged: Revisions,
    /// Rises with every change of what is rendered with.
    pub(crate) generation: u64,
    /// Up to which of them every instance has been rendered.
    pub(crate) rendered: u64,
    /// The first of its revisions since every instance was last rendered with all of them.
    behind: Option<u64>,
    /// Why proxies refused the listeners of it.
    pub(crate) refused: Option<String>,
}

impl Given {
    /// The same for all.
    pub(crate) fn all(edition: Edition) -> Self {
        let editions = vec![("*".to_owned(), Arc::new(edition))];
        Self {
            revision: 0,
            editions,
            seen: Seen::default(),
            staged: Revisions::new(),
            generation: 0,
            rendered: 0,
            behind: None,
            refused: None,
        }
    }

    /// What a group is given.
    pub(crate) fn to(&self, group: &str) -> &Arc<Edition> {
        let cluster = group.split(',').next().unwrap_or(group);
        let is_it = |pattern: &str| matches(pattern, group) || matches(pattern, cluster);
        let found = self.editions.iter().find(|(pattern, _)| is_it(pattern));
        &found.unwrap_or(&self.editions[self.editions.len() - 1]).1
    }

    /// From now on groups are given these. Ignored without any.
    pub(crate) fn set(&mut self, revision: u64, editions: Vec<(String, Arc<Edition>)>) {
        if !editions.is_empty() {
            self.revision = self.revision.max(revision);
            self.behind.get_or_insert(self.revision);
            self.editions = editions;
            self.refused = None;
            self.refresh();
        }
    }

    /// Each edition once, also where several patterns lead to it.
    fn refresh(&mut self) {
        for (_, edition) in &self.editions {
            self.seen.hide(&edition.own);
        }
        let mut fresh: Vec<(Arc<Edition>, Arc<Edition>)> = Vec::new();
        for (_, edition) in &mut self.editions {
            let known = fresh.iter().find(|(old, _)| Arc::ptr_eq(old, edition));
            let new = known.map_or_else(|| edition.seeing(&self.seen), |(_, new)| new.clone());
            let old = std::mem::replace(edition, new.clone());
            fresh.push((old, new));
        }
        self.generation += 1;
    }

    /// Every instance has been rendered with what was of this generation. An older one may be told
    /// later, and takes nothing back.
    pub(crate) fn was_rendered(&mut self, generation: u64) {
        self.rendered = self.rendered.max(generation);
        if generation == self.generation {
            self.behind = None;
        }
    }

    /// Revisions up to which nothing of it is behind, of those up to `position`.
    pub(crate) fn reached(&self, position: u64) -> u64 {
        let known = position.max(self.revision);
        self.behind.map_or(known, |first| known.min(first.saturating_sub(1)))
    }

    /// All that any of them varies by.
    pub(crate) fn varies_by(&self) -> Vec<NodeField> {
        let fields = self.editions.iter().flat_map(|(_, edition)| edition.templates.varies_by());
        let mut fields: Vec<NodeField> = fields.cloned().collect();
        fields.sort_unstable();
        fields.dedup();
        fields
    }

    /// An edition that is in use.
    pub(crate) fn numbered(&self, number: u64) -> Option<Arc<Edition>> {
        let mut editions = self.editions.iter().map(|(_, edition)| edition);
        editions.find(|edition| edition.number == number).cloned()
    }

    /// Documents that all of them see have changed.
    pub(crate) fn renew(&mut self, followed: Followed) {
        self.seen.follow(followed);
        self.refresh();
    }
}

/// Whether a pattern has a name: `*` stands for anything, at any place.
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, rest)) => {
            let Some(tail) = name.strip_prefix(head) else { return false };
            (0..=tail.len()).any(|at| tail.is_char_boundary(at) && matches(rest, &tail[at..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_rendered_is_not_taken_back_by_what_ends_later() {
        let facts = serde_json::json!({
            "zone": "localhost", "internal": "127.0.0.1:1", "public": "127.0.0.1:2",
            "trusted_hops": 0, "on_demand": false, "shared_clusters": [], "sources": {},
        });
        let platform = serde_json::from_value(facts).unwrap();
        let edition = Edition::new(0, Templates::builtin(), platform, Opened::default()).unwrap();
        let mut given = Given::all(edition);
        for revision in [5, 6] {
            given.set(revision, given.editions.clone());
        }
        assert_eq!((given.generation, given.reached(9)), (2, 4), "nothing is rendered");
        given.was_rendered(2);
        given.was_rendered(1);
        assert_eq!((given.rendered, given.reached(9)), (2, 9));
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name, is_one) in [
            ("*", "", true),
            ("*", "eu-west-1", true),
            ("eu-*", "eu-west-1", true),
            ("eu-*", "us-east-1", false),
            ("*-1", "eu-west-1", true),
            ("*-1", "eu-west-2", false),
            ("eu-*-1", "eu-west-1", true),
            ("eu-*-1", "eu-1", false),
            ("eu-west-1", "eu-west-1", true),
            ("eu-west-1", "eu-west-11", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, name), is_one, "{pattern} {name}");
        }
    }
}
