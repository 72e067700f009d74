//! Documents of the platform's own sources, made ready for templates once and not at each render.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use keys::Redactor;
use minijinja::value::Serde;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Documents by name, as templates see them in `platform.sources`, and what of them nobody else
/// shall see. Cheap to clone. Written out, it lacks that.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(from = "Documents", into = "Documents")]
pub struct Sources {
    documents: Arc<Documents>,
    seen: minijinja::Value,
    redactor: Redactor,
}

type Documents = BTreeMap<String, Value>;

impl Sources {
    /// Documents, and what takes their secrets out of whatever people are shown.
    pub fn new(documents: BTreeMap<String, Value>, redactor: Redactor) -> Self {
        let seen = minijinja::Value::from(Serde(&documents));
        Self { documents: Arc::new(documents), seen, redactor }
    }

    /// The documents, with all that is secret.
    pub fn documents(&self) -> &BTreeMap<String, Value> {
        &self.documents
    }

    /// Takes their secrets out of what people are shown.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Takes out also what was secret in `before`, which may still come up.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        self.redactor = self.redactor.and(&before.redactor);
        self
    }

    pub(crate) fn seen(&self) -> &minijinja::Value {
        &self.seen
    }
}

impl From<Documents> for Sources {
    fn from(documents: Documents) -> Self {
        Self::new(documents, Redactor::default())
    }
}

impl From<Sources> for Documents {
    fn from(sources: Sources) -> Self {
        let mut documents = Arc::unwrap_or_clone(sources.documents);
        documents.values_mut().for_each(|document| sources.redactor.json(document));
        documents
    }
}

impl PartialEq for Sources {
    fn eq(&self, other: &Self) -> bool {
        self.documents == other.documents
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.documents.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_secret_is_in_no_copy_for_people() {
        let documents = BTreeMap::from([("teams".to_owned(), json!({"key": "hunter22"}))]);
        let sources = Sources::new(documents, Redactor::of(["hunter22"]));
        assert_eq!(sources.documents()["teams"]["key"], "hunter22", "templates see it");
        assert_eq!(json!(sources), json!({"teams": {"key": "[redacted]"}}));
        assert_eq!(format!("{sources:?}"), r#"{"teams"}"#);
        let after = Sources::default().after(&sources);
        assert_eq!(after.redactor().text("the old hunter22"), "the old [redacted]");
    }
}
