//! The shape of a resource: what of it Envoy's verdict can depend on. Envoy is asked about a shape
//! once; what it said holds for every resource of that shape.
//!
//! A shape is a set of pieces. A piece is a message with all inside it, but for what Envoy judges by
//! itself, such as the items of some lists: each of these is a piece of its own. Of a list it counts which items
//! there are, not how many nor in which order; of a value everything counts that
//! `descriptors/forgotten_values.txt` does not forget.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use model::Version;
use prost_reflect::{DynamicMessage, FieldDescriptor, MapKey, ReflectMessage as _, Value};

use crate::forget::Forget;
use crate::schema::schema;
use crate::wire;

/// The pieces of a resource, each as a hash that is the same in every process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape(Arc<[u64]>);

impl Shape {
    /// Of a resource that is unlike all others.
    pub(crate) fn exact(hash: u64) -> Self {
        Self([hash].into())
    }

    /// Of an instance's resource. `besides` is what is known of it beside its message.
    pub(crate) fn of(message: &DynamicMessage, besides: Option<&str>) -> Self {
        let hashes = texts(message, besides).into_iter();
        let hashes: BTreeSet<u64> = hashes.map(|text| Version::hash_of(text.as_bytes())).collect();
        Self(hashes.into_iter().collect())
    }

    /// In rising order.
    pub fn pieces(&self) -> &[u64] {
        &self.0
    }
}

/// The pieces as texts.
fn texts(message: &DynamicMessage, besides: Option<&str>) -> BTreeSet<String> {
    let mut root = Piece::default();
    root.text.push_str(message.descriptor().full_name());
    root.text.push_str(besides.unwrap_or_default());
    root.message(message);
    let mut texts = BTreeSet::new();
    root.collect("", &mut texts);
    texts
}

#[derive(Debug, Default)]
struct Piece {
    text: String,
    /// Pieces of lists, and whether what is around their list counts for them.
    parts: Vec<(Piece, bool)>,
}

impl Piece {
    fn collect(self, around: &str, texts: &mut BTreeSet<String>) {
        let here = format!("{around}{}", self.text);
        for (part, is_inside) in self.parts {
            part.collect(if is_inside { &here } else { "" }, texts);
        }
        texts.insert(here);
    }

    fn message(&mut self, message: &DynamicMessage) {
        self.text.push('{');
        match wire::open(message) {
            Some(inner) => {
                self.text.push_str(inner.descriptor().full_name());
                self.message(&inner);
            }
            None => message.fields().for_each(|(field, value)| self.field(&field, value)),
        }
        self.text.push('}');
    }

    fn field(&mut self, field: &FieldDescriptor, value: &Value) {
        let forget = schema().forgets(field);
        match (schema().apart(field), value) {
            (Some(is_inside), Value::List(items)) => {
                self.parts.extend(items.iter().map(|item| (Self::item(field, item), is_inside)));
                return;
            }
            (Some(is_inside), single) => {
                let _ = write!(self.text, " {}", field.number());
                self.parts.push((Self::item(field, single), is_inside));
                return;
            }
            (None, _) => drop(write!(self.text, " {}:", field.number())),
        }
        match value {
            Value::List(items) => {
                let each = items.iter().map(|item| self.apart(|part| part.value(forget, item)));
                let each: BTreeSet<String> = each.collect();
                self.text.extend(each);
            }
            Value::Map(entries) => {
                let mut sorted: Vec<_> = entries.iter().collect();
                sorted.sort_by(|a, b| a.0.cmp(b.0));
                for (key, value) in sorted {
                    self.key(key);
                    self.value(forget, value);
                }
            }
            single => self.value(forget, single),
        }
    }

    /// An item as a piece of its own.
    fn item(field: &FieldDescriptor, item: &Value) -> Self {
        let mut piece = Self { text: format!("/{}", field.full_name()), parts: Vec::new() };
        piece.value(schema().forgets(field), item);
        piece
    }

    /// What `write` writes, by itself.
    fn apart(&mut self, write: impl FnOnce(&mut Self)) -> String {
        let before = std::mem::take(&mut self.text);
        write(self);
        std::mem::replace(&mut self.text, before)
    }

    fn key(&mut self, key: &MapKey) {
        let _ = write!(self.text, " {key:?}=");
    }

    fn value(&mut self, forget: Option<Forget>, value: &Value) {
        match (forget.and_then(|forget| forget.left(value)), value) {
            (Some(left), _) => {
                let _ = write!(self.text, "~{left:?}");
            }
            (None, Value::Message(message)) => self.message(message),
            (None, scalar) => {
                let _ = write!(self.text, "{scalar:?}");
            }
        }
    }
}
