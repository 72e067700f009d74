//! What a document may cost: a small text must not become a large tree.

use super::{DEPTH_MAX, NODES_MAX, Node, TEXT_BYTES_MAX, Value};
use crate::descriptor::refusal::Spot;
use crate::descriptor::{Code, Place, Refusal};

/// Refuses a text that is too long.
pub(super) fn text(text: &str) -> Result<(), Box<Refusal>> {
    if text.len() <= TEXT_BYTES_MAX {
        return Ok(());
    }
    let message = format!("the text has {} bytes; {TEXT_BYTES_MAX} are the limit", text.len());
    Err(Box::new(Refusal::new(Code::TooMuch, &Spot::default(), message)))
}

/// How large a subtree is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    pub(super) nodes: usize,
    pub(super) bytes: usize,
    pub(super) height: usize,
}

impl Size {
    /// Measures a subtree.
    pub(super) fn of(node: &Node) -> Self {
        let parts: Vec<Self> = match &node.value {
            Value::List(items) => items.iter().map(Self::of).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| {
                    let size = Self::of(&entry.value);
                    Self { bytes: size.bytes + entry.key.len(), ..size }
                })
                .collect(),
            Value::Text(text) | Value::Number(text) => {
                return Self { nodes: 1, bytes: text.len(), height: 0 };
            }
            Value::Null | Value::Bool(_) => return Self { nodes: 1, bytes: 0, height: 0 },
        };
        parts.iter().fold(Self { nodes: 1, bytes: 0, height: 1 }, |whole, part| Self {
            nodes: whole.nodes + part.nodes,
            bytes: whole.bytes + part.bytes,
            height: whole.height.max(part.height + 1),
        })
    }
}

/// What a document has spent so far.
#[derive(Debug, Default)]
pub(super) struct Budget {
    nodes: usize,
    bytes: usize,
}

impl Budget {
    /// Takes a node, or the copy of a subtree, that comes to lie below `depth` collections.
    pub(super) fn take(
        &mut self,
        size: Size,
        depth: usize,
        place: Option<Place>,
    ) -> Result<(), Box<Refusal>> {
        self.nodes += size.nodes;
        self.bytes += size.bytes;
        let what = if depth + size.height > DEPTH_MAX {
            format!("lists and maps are nested deeper than {DEPTH_MAX}")
        } else if self.nodes > NODES_MAX {
            format!("the document has more than {NODES_MAX} values")
        } else if self.bytes > TEXT_BYTES_MAX {
            format!("the document grows beyond {TEXT_BYTES_MAX} bytes when aliases are expanded")
        } else {
            return Ok(());
        };
        let spot = Spot { path: String::new(), place };
        Err(Box::new(Refusal::new(Code::TooMuch, &spot, what)))
    }
}
