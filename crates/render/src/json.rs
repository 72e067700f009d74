//! JSON as a template writes it: strict, but for a comma before a closing bracket, which spares
//! templates half of their conditions.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The most text that one template may make for one instance or group. The largest descriptor that
/// there can be makes a quarter of it.
pub(crate) const RENDERED_BYTES_MAX: usize = 8 << 20;

/// Parses rendered text. The error is a sentence with a line and a column of the rendered text.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    if text.len() > RENDERED_BYTES_MAX {
        return Err(format!("it renders more than {RENDERED_BYTES_MAX} bytes"));
    }
    let text = without_trailing_commas(text);
    serde_json::from_str::<Strict>(&text).map(|strict| strict.0).map_err(|error| {
        let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
        let from = line.floor_char_boundary(error.column().saturating_sub(40));
        let to = line.floor_char_boundary(error.column() + 20);
        let near = line.get(from..to).unwrap_or_default().trim();
        format!("what it renders is not JSON: {error}, near `{near}`")
    })
}

/// Blanks the commas that only white space parts from a closing bracket; positions stay.
fn without_trailing_commas(text: &str) -> String {
    let mut out = text.to_owned().into_bytes();
    let (mut in_string, mut escaped, mut comma, mut before) = (false, false, None, b'[');
    for (at, byte) in text.bytes().enumerate() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => (in_string, comma) = (true, None),
            b',' => comma = (!matches!(before, b'[' | b'{' | b',')).then_some(at),
            b'}' | b']' => {
                if let Some(at) = comma.take() {
                    out[at] = b' ';
                }
            }
            byte if byte.is_ascii_whitespace() => continue,
            _ => comma = None,
        }
        before = byte;
    }
    // Only ASCII was replaced, by ASCII.
    String::from_utf8(out).unwrap_or_default()
}

/// A value whose objects hold no key twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = access.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let Strict(value) = access.next_value()?;
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("the key `{key}` appears twice")));
            }
            map.insert(key, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_comma_before_a_closing_bracket_is_nothing() {
        let text = "[{\"a\": [1, 2, ],\n \"b\": \",]\\\",}\" , }, ]";
        assert_eq!(parse(text), Ok(json!([{"a": [1, 2], "b": ",]\",}"}])));
    }

    #[test]
    fn the_rest_is_strict() {
        for (text, says) in [
            ("[1,,]", "near"),
            ("{\"a\": 1, \"b\": {\"c\": 1, \"c\": 2}}", "`c` appears twice"),
            ("[1] 2", "trailing characters"),
            ("[, ]", "expected value"),
            ("{'a': 1}", "key must be a string"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(says), "{error}");
        }
    }
}
