//! A document as a tree of nodes, each with its place: what YAML and JSON have in common.

mod budget;
mod json;
mod yaml;

use std::borrow::Cow;

use super::refusal::Spot;
use super::{Code, Place, Refusal};

/// The longest text of a descriptor.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;
/// The deepest nesting of lists and maps.
pub const DEPTH_MAX: usize = 32;
/// Scalars, lists and maps of a document, with aliases expanded.
pub const NODES_MAX: usize = 20_000;

/// A value of a document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Option<Place>,
}

/// What a node holds. Numbers stay text, so that the decoder chooses their type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value. Duplicates are kept, for the decoder to refuse.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_place: Option<Place>,
    pub(crate) value: Node,
}

impl Value {
    /// The kind of value, with its article.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// Reads YAML, or JSON with its own escapes when that is what the text is.
pub(crate) fn read(text: &str) -> Result<Node, Box<Refusal>> {
    budget::text(text)?;
    let text = lines(text.strip_prefix('\u{feff}').unwrap_or(text));
    let text = text.as_ref();
    if !text.trim_start().starts_with('{') {
        return yaml::read(text).and_then(not_empty);
    }
    match json::read(text) {
        Err(json) if json.code == Code::Syntax => yaml::read(text).map_err(|yaml| {
            // A quoted first key is how JSON begins; then its words are the better ones.
            let quoted = text.trim_start()[1..].trim_start().starts_with('"');
            if quoted && yaml.code == Code::Syntax { json } else { yaml }
        }),
        read => read,
    }
}

/// Line breaks of every system as line feeds, which is what YAML makes of them.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    if !text.contains('\r') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
}

fn not_empty(node: Node) -> Result<Node, Box<Refusal>> {
    if node.value != Value::Null {
        return Ok(node);
    }
    let spot = Spot { path: String::new(), place: None };
    let refusal = Refusal::new(Code::MissingKey, &spot, "there is nothing here")
        .help("begin with `service: <name>` and `upstream: http://host:port`");
    Err(Box::new(refusal))
}

/// Reads the JSON of a request, whose lines nobody has seen: nodes have no place.
pub(crate) fn read_json(text: &str) -> Result<Node, Box<Refusal>> {
    budget::text(text)?;
    let mut node = json::read(text)?;
    forget_places(&mut node);
    Ok(node)
}

fn forget_places(node: &mut Node) {
    node.place = None;
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(forget_places),
        Value::Map(entries) => entries.iter_mut().for_each(|entry| {
            entry.key_place = None;
            forget_places(&mut entry.value);
        }),
        _ => {}
    }
}
