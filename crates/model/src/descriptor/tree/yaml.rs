//! YAML 1.2 text to nodes: one document, core schema, aliases expanded, no tags.

mod words;

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::budget::{Budget, Size};
use super::{Entry, Node, Value};
use crate::descriptor::refusal::{Spot, quote};
use crate::descriptor::{Code, Place, Refusal};

type Read<T> = Result<T, Box<Refusal>>;

pub(super) fn read(text: &str) -> Read<Node> {
    let mut loader = Loader { end: end(text), ..Loader::default() };
    let mut parser: Parser<'_, StrInput<'_>> = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| loader.unreadable(text, &error))?;
        let place = loader.place(span);
        loader.event(event, place)?;
    }
    Ok(loader.root.unwrap_or(Node { value: Value::Null, place: None }))
}

#[derive(Default)]
struct Loader {
    root: Option<Node>,
    documents: usize,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    budget: Budget,
    /// Behind the last character of the text.
    end: Marker,
}

/// A list or map whose end has not come.
struct Open {
    node: Node,
    anchor: usize,
    /// The key that waits for its value.
    key: Option<(String, Option<Place>)>,
}

impl Loader {
    fn event(&mut self, event: Event<'_>, place: Place) -> Read<()> {
        match event {
            Event::DocumentStart(_) => self.document(place),
            Event::SequenceStart(anchor, tag) => {
                self.start(Value::List(Vec::new()), anchor, tag.as_deref(), place)
            }
            Event::MappingStart(anchor, tag) => {
                self.start(Value::Map(Vec::new()), anchor, tag.as_deref(), place)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Scalar(text, style, anchor, tag) => {
                untagged(tag.as_deref(), place)?;
                let value = match style {
                    ScalarStyle::Plain => plain(&text),
                    _ => Value::Text(text.into_owned()),
                };
                let node = Node { value, place: Some(place) };
                self.budget.take(Size::of(&node), self.open.len(), node.place)?;
                self.put(node, anchor)
            }
            Event::Alias(anchor) => self.alias(anchor, place),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn document(&mut self, place: Place) -> Read<()> {
        self.documents += 1;
        if self.documents > 1 {
            let refusal = wrong(place, "a second document begins here")
                .help("keep one descriptor a file, without `---` between");
            return Err(Box::new(refusal));
        }
        Ok(())
    }

    fn start(&mut self, value: Value, anchor: usize, tag: Option<&Tag>, place: Place) -> Read<()> {
        untagged(tag, place)?;
        if let Some(Open { node: Node { value: Value::Map(_), .. }, key: None, .. }) =
            self.open.last()
        {
            return Err(Box::new(wrong(place, "a key is a plain word, not a list or a map")));
        }
        let place = Some(Place { len: 1, ..place });
        self.budget.take(Size { nodes: 1, bytes: 0, height: 1 }, self.open.len(), place)?;
        self.open.push(Open { node: Node { value, place }, anchor, key: None });
        Ok(())
    }

    fn end(&mut self) -> Read<()> {
        match self.open.pop() {
            Some(closed) => self.put(closed.node, closed.anchor),
            None => Ok(()),
        }
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Read<()> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(Box::new(wrong(place, "this alias stands inside what it names")));
        };
        self.budget.take(Size::of(&node), self.open.len(), Some(place))?;
        self.put(node, 0)
    }

    /// The parser may point to a line behind the last one; nobody else would.
    fn place(&self, span: Span) -> Place {
        let behind = span.start.line() > self.end.line();
        let start = if behind { self.end } else { span.start };
        let one_line = !behind && span.start.line() == span.end.line();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place {
            line: count(start.line()).max(1),
            col: count(start.col()).saturating_add(1),
            len: if one_line { count(span.len()).max(1) } else { 1 },
        }
    }

    /// What the parser says, in other words; and the bracket that is still open, which may be why.
    fn unreadable(&self, text: &str, error: &ScanError) -> Box<Refusal> {
        let (message, help) = words::of(error.info());
        let refusal = wrong(self.place(Span::empty(*error.marker())), message).help(help);
        let bracket = self.open.last().and_then(|open| open.node.place).filter(|place| {
            let line = text.lines().nth(place.line as usize - 1);
            let found = line.and_then(|line| line.chars().nth(place.col as usize - 1));
            matches!(found, Some('[' | '{'))
        });
        Box::new(match bracket {
            Some(place) => {
                let spot = Spot { path: String::new(), place: Some(place) };
                refusal.also(&spot, "this bracket is still open")
            }
            None => refusal,
        })
    }

    /// Hands a finished node to the collection that is open, as key or as value.
    fn put(&mut self, node: Node, anchor: usize) -> Read<()> {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.node.value {
            Value::List(items) => items.push(node),
            Value::Map(entries) => match open.key.take() {
                Some((key, key_place)) => entries.push(Entry { key, key_place, value: node }),
                None => open.key = Some(key(node)?),
            },
            _ => {}
        }
        Ok(())
    }
}

fn key(node: Node) -> Read<(String, Option<Place>)> {
    let place = node.place;
    let text = match node.value {
        Value::Text(text) | Value::Number(text) => text,
        Value::Bool(yes) => yes.to_string(),
        Value::Null => "null".to_owned(),
        Value::List(_) | Value::Map(_) => {
            let place = place.unwrap_or(Place { line: 1, col: 1, len: 1 });
            return Err(Box::new(wrong(place, "a key is a plain word, not a list or a map")));
        }
    };
    if text == "<<" {
        let place = place.unwrap_or(Place { line: 1, col: 1, len: 1 });
        let refusal = wrong(place, "merge keys (`<<`) are not YAML 1.2")
            .help("give the whole value an anchor (`&name`) and repeat it with `*name`");
        return Err(Box::new(refusal));
    }
    Ok((text, place))
}

fn untagged(tag: Option<&Tag>, place: Place) -> Read<()> {
    let Some(tag) = tag else { return Ok(()) };
    let shown =
        if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { tag.to_string() };
    let refusal = wrong(place, format!("tags such as {} mean nothing here", quote(&shown)))
        .help("leave out the tag; write a text in quotes");
    Err(Box::new(refusal))
}

/// A plain scalar by the core schema of YAML 1.2, where `yes` and `no` are words.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if is_number(text) => Value::Number(text.to_owned()),
        _ => Value::Text(text.to_owned()),
    }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let radix = |prefix, base| {
        text.strip_prefix(prefix)
            .is_some_and(|rest: &str| !rest.is_empty() && rest.chars().all(|c| c.is_digit(base)))
    };
    radix("0x", 16)
        || radix("0o", 8)
        || matches!(unsigned, ".inf" | ".Inf" | ".INF")
        || matches!(text, ".nan" | ".NaN" | ".NAN")
        || (unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && unsigned.contains(|c: char| c.is_ascii_digit())
            && unsigned.parse::<f64>().is_ok())
}

/// Behind the last character.
fn end(text: &str) -> Marker {
    let (before, last) = text.rsplit_once('\n').unwrap_or(("", text));
    let line = if last.len() == text.len() { 1 } else { before.matches('\n').count() + 2 };
    Marker::new(text.chars().count(), line, last.chars().count())
}

fn wrong(place: Place, message: impl Into<String>) -> Refusal {
    Refusal::new(Code::Syntax, &Spot { path: String::new(), place: Some(place) }, message)
}
