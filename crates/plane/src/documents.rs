//! What templates see of sources: documents that come to all groups at once, and those that come by
//! stages, at the revisions that an edition has.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use context::{Document, Reach, Vault};
use keys::Redactor;
use render::Sources;
use serde_json::Value;
use store::{Blobs, StoreError};

/// Revisions of documents, by name.
pub type Revisions = BTreeMap<String, u64>;

type Values = BTreeMap<String, Value>;

/// Documents with all that is secret, and what shows nothing of that. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Opened {
    values: Arc<Values>,
    redactor: Redactor,
}

impl Opened {
    fn of(vault: &dyn Vault, documents: &BTreeMap<String, Document>) -> Self {
        let (values, redactor) = context::open_all(vault, documents);
        Self { values: Arc::new(values), redactor }
    }

    /// Documents at these revisions. One that is gone is left out: what templates make without it is
    /// refused, and what was good before stays.
    pub(crate) async fn read(
        blobs: &dyn Blobs,
        vault: &dyn Vault,
        revisions: &Revisions,
    ) -> Result<Self, StoreError> {
        let mut found = BTreeMap::new();
        for (name, revision) in revisions {
            match context::version(blobs, name, *revision).await? {
                Some(document) => _ = found.insert(name.clone(), document),
                None => {
                    tracing::error!(source = name, revision, "a document is gone, and left out");
                }
            }
        }
        Ok(Self::of(vault, &found))
    }
}

impl Opened {
    /// What templates see, secrets included.
    pub(crate) fn values(&self) -> &BTreeMap<String, Value> {
        &self.values
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

/// Documents that are seen whatever edition a group has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Followed {
    at_once: Opened,
    /// Unless an edition has one of its own.
    until_staged: Opened,
}

impl Followed {
    /// Of all documents; and the revisions of those that come by stages.
    pub(crate) fn of(vault: &dyn Vault, all: &BTreeMap<String, Document>) -> (Self, Revisions) {
        let with = |reach: Reach| {
            let those = all.iter().filter(|(_, document)| document.reach == reach);
            Opened::of(vault, &those.map(|(name, it)| (name.clone(), it.clone())).collect())
        };
        let staged = all.iter().filter(|(_, document)| document.reach != Reach::AtOnce);
        let staged = staged.map(|(name, document)| (name.clone(), document.revision)).collect();
        let (at_once, until_staged) = (with(Reach::AtOnce), with(Reach::StagedSince));
        (Self { at_once, until_staged }, staged)
    }
}

impl PartialEq for Followed {
    fn eq(&self, other: &Self) -> bool {
        self.at_once.values == other.at_once.values
            && self.until_staged.values == other.until_staged.values
    }
}

/// What every edition sees, and what people see of none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) followed: Followed,
    /// Takes out also what was secret before: it may still come up.
    pub(crate) redactor: Redactor,
}

impl Seen {
    /// Before anything was read it is not known what is secret: no word of a proxy is shown.
    pub(crate) fn unread() -> Self {
        Self { redactor: Redactor::everything(), ..Self::default() }
    }

    /// Sees these from now on.
    pub(crate) fn follow(&mut self, followed: Followed) {
        if self.redactor.is_everything() {
            self.redactor = Redactor::default();
        }
        self.hide(&followed.at_once);
        self.hide(&followed.until_staged);
        self.followed = followed;
    }

    /// Shows nothing of what is secret there.
    pub(crate) fn hide(&mut self, opened: &Opened) {
        if !self.redactor.is_everything() {
            self.redactor = opened.redactor.and(&self.redactor);
        }
    }

    /// What an edition with documents of its own sees.
    pub(crate) fn with(&self, own: &Opened) -> Sources {
        let mut values = (*self.followed.until_staged.values).clone();
        for more in [&own.values, &self.followed.at_once.values] {
            values.extend(more.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        Sources::new(values, own.redactor.and(&self.redactor))
    }
}

#[cfg(test)]
mod tests {
    use keys::{Place, SealError, Sealed, Secret};
    use serde_json::json;

    use super::*;

    /// Nothing is sealed here.
    struct Nothing;

    #[async_trait::async_trait]
    impl Vault for Nothing {
        async fn seal(&self, _: Place<'_>, _: &Secret) -> Result<context::Sealing, SealError> {
            Err(SealError::Damaged)
        }
        fn open(&self, _: Place<'_>, _: &Sealed) -> Result<Secret, SealError> {
            Err(SealError::Damaged)
        }
    }

    fn documents(all: &[(&str, u64, Reach)]) -> BTreeMap<String, Document> {
        let document = |(name, revision, reach): &(&str, u64, Reach)| {
            let value = json!(revision);
            ((*name).to_owned(), Document { revision: *revision, value, reach: *reach })
        };
        all.iter().map(document).collect()
    }

    #[test]
    fn an_edition_sees_its_own_but_what_comes_at_once() {
        let all = [
            ("at_once", 9, Reach::AtOnce),
            ("staged", 9, Reach::Staged),
            ("since", 9, Reach::StagedSince),
        ];
        let (followed, staged) = Followed::of(&Nothing, &documents(&all));
        assert_eq!(staged, [("since".to_owned(), 9), ("staged".to_owned(), 9)].into());
        let mut seen = Seen::unread();
        seen.follow(followed);
        for (own, expected) in [
            (&[][..], json!({"at_once": 9, "since": 9})),
            (&["staged"], json!({"at_once": 9, "since": 9, "staged": 1})),
            (&["since", "at_once"], json!({"at_once": 9, "since": 1})),
        ] {
            let own: Vec<_> = own.iter().map(|name| (*name, 1, Reach::Staged)).collect();
            let own = Opened::of(&Nothing, &documents(&own));
            assert_eq!(json!(seen.with(&own).documents()), expected);
        }
    }

    #[test]
    fn nothing_is_shown_before_it_is_known_what_is_secret() {
        let mut seen = Seen::unread();
        seen.hide(&Opened { redactor: Redactor::of(["hunter22"]), ..Opened::default() });
        assert_eq!(seen.redactor.text("a word"), "[redacted]");
        seen.follow(Followed::default());
        assert_eq!(seen.redactor.text("a word"), "a word");
    }
}
