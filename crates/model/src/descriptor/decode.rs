//! From nodes to declared values, collecting everything that is wrong on the way.
//!
//! A type says once what it is, as a [`Shape`], and how it is read. The parser, the suggestions and
//! the JSON Schema all follow from that.

mod collection;
mod given;
#[macro_use]
mod record;
mod scalar;
mod shape;
mod suggest;

pub(crate) use collection::{List, Map, Set};
pub(crate) use given::{At, Given};
pub(crate) use record::{Keys, record};
pub(crate) use scalar::{Int, Scalar, Wrong};
pub(crate) use shape::{Key, RecordShape, Shape};
pub(crate) use suggest::{Scope, near};

use super::refusal::{Refusals, Spot};
use super::tree::{Entry, Node};
use super::{Code, Place, Refusal};

/// A value that a descriptor can hold.
pub(crate) trait Decode: Sized {
    /// What it looks like.
    fn shape() -> Shape;
    /// Reads it; `None` when it was refused, which the reader then knows.
    fn decode(node: &Node, reader: &mut Reader) -> Option<Self>;
}

/// Where the decoder is in the document, and what it has refused.
#[derive(Debug)]
pub(crate) struct Reader {
    path: String,
    scope: Scope,
    pub(crate) refusals: Refusals,
}

impl Reader {
    /// A reader at the root of a document.
    pub(crate) fn new(scope: Scope) -> Self {
        Self { path: String::new(), scope, refusals: Refusals::default() }
    }

    /// Here, with a place in the text.
    pub(crate) fn spot(&self, place: Option<Place>) -> Spot {
        Spot { path: self.path.clone(), place }
    }

    /// Notes that something here is wrong.
    pub(crate) fn refuse(&mut self, code: Code, place: Option<Place>, message: impl Into<String>) {
        self.refusals.push(Refusal::new(code, &self.spot(place), message));
    }

    /// Notes that a value is of the wrong kind.
    pub(crate) fn wrong_kind(&mut self, node: &Node, wanted: &str) {
        let message = format!("expected {wanted}, found {}", node.value.kind());
        self.refuse(Code::WrongType, node.place, message);
    }

    /// Reads below a key.
    pub(crate) fn under<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.path.len();
        push_key(&mut self.path, key);
        let value = read(self);
        self.path.truncate(before);
        value
    }

    /// Reads below an index.
    pub(crate) fn at<T>(&mut self, index: usize, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.path.len();
        self.path.push_str(&format!("[{index}]"));
        let value = read(self);
        self.path.truncate(before);
        value
    }

    /// Reads a value and remembers where it was.
    pub(crate) fn read<T: Decode>(&mut self, node: &Node) -> Given<T> {
        match T::decode(node, self) {
            Some(value) => Given::Good(At { value, spot: self.spot(node.place) }),
            None => Given::Bad,
        }
    }

    /// Notes that something is written twice.
    pub(crate) fn duplicate(&mut self, what: impl Into<String>, second: &Spot, first: &Spot) {
        let refusal = Refusal::new(Code::Duplicate, second, what)
            .also(first, "first written here")
            .help("keep one of the two");
        self.refusals.push(refusal);
    }
}

/// The spot of an entry's key, seen from the record or map that holds it.
pub(crate) fn key_spot(reader: &mut Reader, entry: &Entry) -> Spot {
    reader.under(&entry.key, |reader| reader.spot(entry.key_place))
}

/// Appends a key to a path, in quotes where it could be misread; long ones are clipped.
fn push_key(path: &mut String, key: &str) {
    const SHOWN_CHARS: usize = 60;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$');
    if !key.is_empty() && key.len() <= SHOWN_CHARS && key.chars().all(plain) {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
    } else {
        let shown: String = key.chars().take(SHOWN_CHARS).collect();
        path.push_str(&format!("[{shown:?}]"));
    }
}
