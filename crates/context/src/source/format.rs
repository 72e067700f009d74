//! From text to a value.

use serde_json::Value;

use super::FetchError;
use crate::sealing::SEALED;

/// What a document is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// YAML, as far as JSON has it.
    Yaml,
    /// Anything: one text.
    Text,
}

impl Format {
    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "yaml" => Some(Self::Yaml),
            "text" => Some(Self::Text),
            _ => None,
        }
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::Text => "text",
        }
    }

    /// The value that a text means. An error tells nothing of the text but places.
    pub(crate) fn read(self, text: &[u8]) -> Result<Value, FetchError> {
        let text = std::str::from_utf8(text).map_err(|_| "is not UTF-8")?;
        if self != Self::Text && text.trim().is_empty() {
            return Err("is empty".into());
        }
        let value = match self {
            Self::Json => serde_json::from_str(text).map_err(|error| {
                format!("is not JSON: line {}, column {}", error.line(), error.column())
            })?,
            Self::Yaml => crate::yaml::parse(text).map_err(|_| "is not YAML that JSON can say")?,
            Self::Text => Value::String(text.to_owned()),
        };
        if has_seal(&value) {
            return Err(
                format!("has a key `{SEALED}`, which stands for what is sealed here").into()
            );
        }
        Ok(value)
    }
}

/// Whether it could be taken for something that was sealed.
fn has_seal(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_seal),
        Value::Object(map) => map.contains_key(SEALED) || map.values().any(has_seal),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_means_a_value_or_is_refused_without_being_shown() {
        for (format, text, expected) in [
            (Format::Json, r#"{"a": [1]}"#, Ok(json!({"a": [1]}))),
            (Format::Yaml, "a: [1]", Ok(json!({"a": [1]}))),
            (Format::Text, " a\n", Ok(json!(" a\n"))),
            (Format::Text, "", Ok(json!(""))),
            (Format::Json, "<html>hunter2", Err("is not JSON: line 1, column 1")),
            (Format::Json, "{\n\"a\": hunter2", Err("is not JSON: line 2, column 6")),
            (Format::Json, " \n", Err("is empty")),
            (Format::Yaml, "", Err("is empty")),
            (Format::Yaml, "a: *hunter2", Err("is not YAML that JSON can say")),
            (
                Format::Json,
                r#"[{"x": {"$sealed": "AQ"}}]"#,
                Err("has a key `$sealed`, which stands for what is sealed here"),
            ),
        ] {
            let read = format.read(text.as_bytes()).map_err(|error| error.to_string());
            assert_eq!(read, expected.map_err(str::to_owned), "{text}");
        }
        assert_eq!(Format::Text.read(b"\xff").unwrap_err().0, "is not UTF-8");
    }
}
