//! YAML as JSON: the core schema, without what JSON has not (tags, complex keys) and without
//! aliases, which can make a small file large.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// Deeper documents are refused, as the parser of JSON refuses them.
const MAX_DEPTH: usize = 128;

/// Reads the first document.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    let mut reader = Reader { events: Parser::new_from_str(text) };
    loop {
        match reader.next()? {
            Event::StreamStart | Event::DocumentStart(_) => {}
            Event::StreamEnd => return Ok(Value::Null),
            event => return reader.value(event, 0),
        }
    }
}

struct Reader<'t> {
    events: Parser<'t, saphyr_parser::StrInput<'t>>,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Event<'t>, String> {
        match self.events.next_event() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("the document ends early".to_owned()),
        }
    }

    fn value(&mut self, event: Event<'t>, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err(format!("it is nested deeper than {MAX_DEPTH}"));
        }
        match event {
            Event::Scalar(text, ScalarStyle::Plain, _, None) => Ok(plain(&text)),
            Event::Scalar(text, _, _, None) => Ok(Value::String(text.into_owned())),
            Event::SequenceStart(_, None) => self.sequence(depth),
            Event::MappingStart(_, None) => self.mapping(depth),
            Event::Alias(_) => Err("aliases are not supported".to_owned()),
            _ => Err("tags are not supported".to_owned()),
        }
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, String> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(Value::Array(items)),
                event => items.push(self.value(event, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, String> {
        let mut map = Map::new();
        loop {
            let key = match self.next()? {
                Event::MappingEnd => return Ok(Value::Object(map)),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err("a key is not a string".to_owned()),
            };
            let event = self.next()?;
            let value = self.value(event, depth + 1)?;
            if map.insert(key.clone(), value).is_some() {
                return Err(format!("key `{key}` is there twice"));
            }
        }
    }
}

/// A plain scalar of the core schema.
//= https://yaml.org/spec/1.2.2/#1032-tag-resolution
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if let Ok(integer) = unsigned.parse::<i64>() {
        return integer.into();
    }
    let real = unsigned.parse::<f64>().ok().filter(|_| number);
    real.and_then(serde_json::Number::from_f64)
        .map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_becomes_the_json_that_it_means() {
        let text = "a: 1\nb: [x, 'true', true, ~, -1.5, 1e3, 0x, .5]\nc:\n  d: |\n    two\n    lines\n? e\n:\n";
        let value = json!({
            "a": 1, "b": ["x", "true", true, null, -1.5, 1000.0, "0x", 0.5],
            "c": {"d": "two\nlines\n"}, "e": null,
        });
        assert_eq!(parse(text), Ok(value));
        assert_eq!(parse(""), Ok(Value::Null));
    }

    #[test]
    fn what_json_has_not_is_refused() {
        for (text, why) in [
            ("a: &x 1\nb: *x", "aliases"),
            ("a: !!binary x", "tags"),
            ("a: 1\na: 2", "twice"),
            ("[a]: 1", "not a string"),
            ("a: [", ""),
            (&"[".repeat(200), "deeper"),
        ] {
            assert!(parse(text).unwrap_err().contains(why), "{text}");
        }
    }
}
