//! Documents of the platform's own sources, made ready for templates once and not at each render.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::Serde;
use serde::{Deserialize, Serialize};

/// Documents by name, as templates see them in `platform.sources`. Cheap to clone.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Documents", into = "Documents")]
pub struct Sources {
    documents: Arc<Documents>,
    seen: minijinja::Value,
}

type Documents = BTreeMap<String, serde_json::Value>;

impl Sources {
    /// The documents.
    pub fn documents(&self) -> &BTreeMap<String, serde_json::Value> {
        &self.documents
    }

    pub(crate) fn seen(&self) -> &minijinja::Value {
        &self.seen
    }
}

impl From<Documents> for Sources {
    fn from(documents: Documents) -> Self {
        let seen = minijinja::Value::from(Serde(&documents));
        Self { documents: Arc::new(documents), seen }
    }
}

impl From<Sources> for Documents {
    fn from(sources: Sources) -> Self {
        Arc::unwrap_or_clone(sources.documents)
    }
}

impl PartialEq for Sources {
    fn eq(&self, other: &Self) -> bool {
        self.documents == other.documents
    }
}
