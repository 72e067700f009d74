//! What the shape of a resource forgets of the values in it: the classes of
//! `descriptors/forgotten_values.txt`.

use std::time::Duration;

use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};

/// Envoy's own limit of a header, and more than any other text of a tenant has.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// A class of values that make no difference to Envoy's verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forget {
    /// Text.
    Text,
    /// Text in which `%` is an operator.
    Format,
    /// Text in which `\1` is a group.
    Substitution,
    /// The name of a header.
    Header,
    /// A hostname.
    Domain,
    /// A `DataSource` with a text of at most so many bytes.
    Body(usize),
    /// A number in this range.
    Number(u64, u64),
    /// A `Duration` in this range.
    Time(Duration, Duration),
}

impl Forget {
    /// Reads a cell of the table.
    pub(crate) fn read(cell: &str) -> Option<Self> {
        let words: Vec<_> = cell.split_whitespace().collect();
        let seconds = |text: &str| text.parse().ok().map(Duration::from_secs_f64);
        Some(match words[..] {
            ["text"] => Self::Text,
            ["format"] => Self::Format,
            ["substitution"] => Self::Substitution,
            ["header"] => Self::Header,
            ["domain"] => Self::Domain,
            ["body", bytes] => Self::Body(bytes.parse().ok()?),
            ["number", from, to] => Self::Number(from.parse().ok()?, to.parse().ok()?),
            ["seconds", from, to] => Self::Time(seconds(from)?, seconds(to)?),
            _ => return None,
        })
    }

    /// What is left of a value; `None`: all of it, as it is not of the class.
    pub(crate) fn left(self, value: &Value) -> Option<String> {
        match (self, value) {
            (Self::Body(max), Value::Message(source)) => body(source, max),
            (Self::Time(from, to), Value::Message(time)) => {
                (from..=to).contains(&duration(time)?).then(String::new)
            }
            (Self::Number(from, to), value) => {
                (from..=to).contains(&number(value)?).then(String::new)
            }
            (class, Value::String(text)) => class.left_of(text),
            _ => None,
        }
    }

    fn left_of(self, text: &str) -> Option<String> {
        // Whether there is a text at all may be what Envoy looks at.
        if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.contains(char::is_control) {
            return None;
        }
        match self {
            Self::Text => Some(String::new()),
            Self::Format => (!text.replace("%%", "").contains('%')).then(String::new),
            Self::Substitution => Some(groups(text)),
            Self::Header => {
                (!text.starts_with(':') && !text.eq_ignore_ascii_case("host")).then(String::new)
            }
            Self::Domain => {
                let (wildcard, name) = text.split_at(if text.starts_with("*.") { 2 } else { 0 });
                (!name.is_empty() && !name.contains('*')).then(|| wildcard.to_owned())
            }
            _ => None,
        }
    }
}

/// The groups that a substitution names, in order.
fn groups(text: &str) -> String {
    let mut left = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c == '\\'
            && let Some(next) = characters.next().filter(|next| *next != '\\')
        {
            left.extend([c, next]);
        }
    }
    // One at the very end is no group, and Envoy says so.
    if text.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1 {
        left.push('\\');
    }
    left
}

fn body(source: &DynamicMessage, max: usize) -> Option<String> {
    let mut fields = source.fields();
    let (field, value) = fields.next()?;
    let is_alone = fields.next().is_none();
    let fits = value.as_str().is_some_and(|text| text.len() <= max);
    (field.name() == "inline_string" && fits && is_alone).then(String::new)
}

fn duration(message: &DynamicMessage) -> Option<Duration> {
    let part = |number| message.get_field_by_number(number);
    let seconds = u64::try_from(part(1)?.as_i64()?).ok()?;
    Some(Duration::new(seconds, u32::try_from(part(2)?.as_i32()?).ok()?))
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::U32(number) => Some(u64::from(*number)),
        Value::U64(number) => Some(*number),
        Value::I32(number) => u64::try_from(*number).ok(),
        Value::I64(number) => u64::try_from(*number).ok(),
        Value::Message(wrapper) if wrapper.descriptor().name().ends_with("Value") => {
            number(&*wrapper.get_field_by_number(1)?)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_envoy_would_read_is_left() {
        for (cell, text, left) in [
            ("text", "any 100% \\1", Some("")),
            ("text", "a\nb", None),
            ("text", "", None),
            ("format", "100%% sure", Some("")),
            ("format", "%REQ(x)%", None),
            ("format", "100%", None),
            ("format", "%%%", None),
            ("substitution", "\\1/a\\\\2/\\3", Some("\\1\\3")),
            ("substitution", "a\\", Some("\\")),
            ("substitution", "a\\\\", Some("")),
            ("header", "x-any", Some("")),
            ("header", "Host", None),
            ("header", ":path", None),
            ("domain", "a.example.com", Some("")),
            ("domain", "*.example.com", Some("*.")),
            ("domain", "*", None),
            ("domain", "*.", None),
            ("domain", "a.*", None),
        ] {
            let class = Forget::read(cell).expect(cell);
            let told = class.left(&Value::String(text.to_owned()));
            assert_eq!(told.as_deref(), left, "{cell}: {text}");
        }
        for (cell, value, is_forgotten) in [
            ("number 1 9", Value::U32(9), true),
            ("number 1 9", Value::U32(0), false),
            ("number 1 9", Value::I64(10), false),
            ("number 1 9", Value::I32(-1), false),
            ("text", Value::U32(1), false),
        ] {
            let class = Forget::read(cell).expect(cell);
            assert_eq!(class.left(&value).is_some(), is_forgotten, "{cell}: {value:?}");
        }
        assert_eq!(Forget::read("everything"), None);
    }
}
