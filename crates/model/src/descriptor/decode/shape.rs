//! What a declared value looks like: the one source of schema, suggestions and reference.

use serde_json::Value;

/// What a value looks like.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// A text, number or boolean: its JSON Schema.
    Scalar(Value),
    /// A list of `min` to `max` items.
    List { item: Box<Shape>, min: usize, max: usize, unique: bool },
    /// A map of at most `max` entries whose keys the user chooses.
    Map { pattern: &'static str, value: Box<Shape>, max: usize },
    /// A map with known keys.
    Record(RecordShape),
    /// One or the other.
    Either(Vec<Shape>),
}

/// A map with known keys.
#[derive(Debug, Clone)]
pub(crate) struct RecordShape {
    pub(crate) doc: &'static str,
    pub(crate) keys: Vec<Key>,
    /// Of each group at most one key may be given.
    pub(crate) exclusive: &'static [&'static [&'static str]],
}

/// A known key.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) required: bool,
    pub(crate) shape: Shape,
}

impl Shape {
    /// Every record in this shape with its path, such as `routes[].match`; the root's is empty.
    pub(crate) fn records(&self) -> Vec<(String, &RecordShape)> {
        let mut found = Vec::new();
        self.collect(String::new(), &mut found);
        found
    }

    fn collect<'s>(&'s self, path: String, found: &mut Vec<(String, &'s RecordShape)>) {
        match self {
            Self::Scalar(_) => {}
            Self::List { item, .. } => item.collect(format!("{path}[]"), found),
            Self::Map { value, .. } => value.collect(format!("{path}.<name>"), found),
            Self::Either(shapes) => {
                shapes.iter().for_each(|shape| shape.collect(path.clone(), found));
            }
            Self::Record(record) => {
                found.push((path.clone(), record));
                for key in &record.keys {
                    let dot = if path.is_empty() { "" } else { "." };
                    key.shape.collect(format!("{path}{dot}{}", key.name), found);
                }
            }
        }
    }
}
