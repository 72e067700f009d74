//! Values written as one text. Every one has a greatest length, and none holds what cannot be
//! seen; both are checked here, before the type's own rule.

use serde_json::{Map, Value, json};

use super::{Decode, Reader, Shape, near};
use crate::descriptor::refusal::quote;
use crate::descriptor::tree::{self, Node};
use crate::descriptor::{Code, Refusal};

/// A value written as one text.
pub(crate) trait Scalar: Sized {
    /// What it is, with its article: "a duration such as `5s`".
    const WHAT: &'static str;
    /// The greatest length, in characters.
    const CHARS_MAX: usize;
    /// Whether it may be empty.
    const EMPTY: bool = false;
    /// Whether line breaks and tabs are part of it.
    const LINES: bool = false;
    /// A regular expression (ECMA 262, without look-around) that every good text matches.
    const PATTERN: &'static str = "";
    /// The only texts there are, when they can be listed.
    const ONE_OF: &'static [&'static str] = &[];

    /// What it is, with its bounds, for schema and reference.
    fn title() -> String {
        Self::WHAT.to_owned()
    }

    /// Reads a text of proper length and characters.
    fn parse(text: &str) -> Result<Self, Wrong>;

    /// What to write instead of this bare number.
    fn for_number(number: &str) -> String {
        format!("write it in quotes: `\"{number}\"`")
    }
}

/// Why a text is not what it should be.
#[derive(Debug, Clone)]
pub(crate) struct Wrong {
    code: Code,
    message: String,
    label: Option<String>,
    help: Option<String>,
}

impl Wrong {
    /// With a code of its own.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), label: None, help: None }
    }

    /// A bad value.
    pub(crate) fn value(message: impl Into<String>) -> Self {
        Self::new(Code::BadValue, message)
    }

    /// How to mend it.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// A near miss.
    pub(crate) fn label(self, label: impl Into<String>) -> Self {
        Self { label: Some(label.into()), ..self }
    }
}

/// Reads a scalar from a text that stands at `node` or is its key.
pub(super) fn parse<T: Scalar>(text: &str) -> Result<T, Wrong> {
    visible(text, T::LINES)?;
    if text.is_empty() && !T::EMPTY {
        return Err(Wrong::value(format!("expected {}, found an empty text", T::WHAT)));
    }
    let length = text.chars().count();
    if length > T::CHARS_MAX {
        let message =
            format!("{} has {length} characters; {} are the limit", quote(text), T::CHARS_MAX);
        return Err(Wrong::value(message));
    }
    if !T::ONE_OF.is_empty() && !T::ONE_OF.contains(&text) {
        let wrong = Wrong::value(format!("{} is not {}", quote(text), T::WHAT));
        let wrong = Wrong { help: one_of::<T>(), ..wrong };
        return Err(match near(text, T::ONE_OF.iter().copied()) {
            Some(near) => wrong.label(format!("did you mean `{near}`?")),
            None => wrong,
        });
    }
    T::parse(text)
}

fn one_of<T: Scalar>() -> Option<String> {
    (!T::ONE_OF.is_empty()).then(|| format!("one of: {}", T::ONE_OF.join(", ")))
}

/// Refuses what a reader of the file could not see, and what the renderer keeps for itself.
fn visible(text: &str, lines: bool) -> Result<(), Wrong> {
    let noncharacter =
        |c: char| matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
    let bad =
        |c: &char| (c.is_control() && !(lines && matches!(c, '\n' | '\t'))) || noncharacter(*c);
    match text.chars().find(bad) {
        None => Ok(()),
        Some(c) => Err(Wrong::value(format!(
            "the text holds the {} U+{:04X}, which is not allowed",
            if noncharacter(c) { "noncharacter" } else { "control character" },
            u32::from(c)
        ))),
    }
}

impl Reader {
    /// The number at a node, still as text.
    pub(crate) fn number<'n>(&mut self, node: &'n Node, wanted: &str) -> Option<&'n str> {
        match &node.value {
            tree::Value::Number(number) => return Some(number),
            tree::Value::Text(text) if text.parse::<u32>().is_ok() => {
                self.quoted(node, wanted, text);
            }
            _ => self.wrong_kind(node, wanted),
        }
        None
    }

    /// Notes that quotes have made a text of something else.
    fn quoted(&mut self, node: &Node, wanted: &str, text: &str) {
        let message = format!("expected {wanted}, found a text");
        let wrong =
            Wrong::new(Code::WrongType, message).help(format!("write {text} without quotes"));
        self.wrong(wrong, node.place);
    }

    /// Notes what is wrong with a text.
    pub(super) fn wrong(&mut self, wrong: Wrong, place: Option<crate::descriptor::Place>) {
        let Wrong { code, message, label, help } = wrong;
        let refusal = Refusal::new(code, &self.spot(place), message);
        self.refusals.push(Refusal { label, help, ..refusal });
    }
}

impl<T: Scalar> Decode for T {
    fn shape() -> Shape {
        let mut schema = Map::new();
        schema.insert("type".to_owned(), json!("string"));
        schema.insert("title".to_owned(), json!(T::title()));
        if T::ONE_OF.is_empty() {
            schema.insert("maxLength".to_owned(), json!(T::CHARS_MAX));
            if !T::EMPTY {
                schema.insert("minLength".to_owned(), json!(1));
            }
            if !T::PATTERN.is_empty() {
                schema.insert("pattern".to_owned(), json!(T::PATTERN));
            }
        } else {
            schema.insert("enum".to_owned(), json!(T::ONE_OF));
        }
        Shape::Scalar(Value::Object(schema))
    }

    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            tree::Value::Text(text) => match parse(text) {
                Ok(value) => return Some(value),
                Err(wrong) => reader.wrong(wrong, node.place),
            },
            tree::Value::Number(number) => {
                let message = format!("expected {}, found the number {}", T::WHAT, quote(number));
                let help = one_of::<T>().unwrap_or_else(|| T::for_number(number));
                reader.wrong(Wrong::new(Code::WrongType, message).help(help), node.place);
            }
            tree::Value::Bool(yes) => {
                let message = format!("expected {}, found the boolean `{yes}`", T::WHAT);
                let help = one_of::<T>()
                    .unwrap_or_else(|| format!("if you mean the word, quote it: `\"{yes}\"`"));
                reader.wrong(Wrong::new(Code::WrongType, message).help(help), node.place);
            }
            _ => reader.wrong_kind(node, T::WHAT),
        }
        None
    }
}

/// A whole number between two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Int<const MIN: u32, const MAX: u32>(pub(crate) u32);

impl<const MIN: u32, const MAX: u32> Decode for Int<MIN, MAX> {
    fn shape() -> Shape {
        Shape::Scalar(json!({"type": "integer", "minimum": MIN, "maximum": MAX}))
    }

    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let number = reader.number(node, "a whole number")?;
        match number.parse() {
            Ok(value) if (MIN..=MAX).contains(&value) => Some(Self(value)),
            _ => {
                let message =
                    format!("{} is not a whole number from {MIN} to {MAX}", quote(number));
                reader.wrong(Wrong::value(message), node.place);
                None
            }
        }
    }
}

impl Decode for bool {
    fn shape() -> Shape {
        Shape::Scalar(json!({"type": "boolean"}))
    }

    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            tree::Value::Bool(yes) => return Some(*yes),
            tree::Value::Text(text) if matches!(text.as_str(), "true" | "false") => {
                reader.quoted(node, "`true` or `false`", text);
            }
            _ => reader.wrong_kind(node, "`true` or `false`"),
        }
        None
    }
}
