//! The parameters of a binding: what is unknown, given twice or out of bounds is refused, all of it
//! at once.

use std::fmt;

use model::descriptor::{Code, Refusal};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::error::Error;
use crate::lasting;

/// The shortest life, in seconds: a token outlives its binding by less.
const TTL_S_MIN: u64 = 60;
/// The longest life, in seconds: five years.
const TTL_S_MAX: u64 = 5 * 365 * 24 * 60 * 60;
/// As long as a DNS label.
const NAME_CHARS_MAX: usize = 63;
/// Refusals that are told at once.
const REFUSALS_MAX: usize = 20;

/// What is asked of a binding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) name: Option<String>,
    pub(super) ttl_s: Option<u64>,
}

impl Parameters {
    /// Reads them, or tells everything that is wrong with them.
    pub(super) fn read(raw: &RawValue) -> Result<Self, Error> {
        let Pairs(pairs) = serde_json::from_str(raw.get())
            .map_err(|_| Error::bad_request("`parameters` is not a JSON object"))?;
        let (mut read, mut refusals) = (Self::default(), Vec::new());
        for (index, (key, value)) in pairs.iter().enumerate() {
            let is_again = pairs[..index].iter().any(|(other, _)| other == key);
            let result = if is_again { Err(again(key)) } else { read.set(key, value) };
            refusals.extend(result.err().map(|refusal| *refusal));
        }
        refusals.truncate(REFUSALS_MAX);
        if refusals.is_empty() { Ok(read) } else { Err(Error::refused(refusals)) }
    }

    fn set(&mut self, key: &str, value: &Value) -> Result<(), Box<Refusal>> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match key {
            "ttl" => {
                let given =
                    text(value).ok_or_else(|| wrong_type(key, "a duration such as `30d`"))?;
                self.ttl_s = Some(seconds(&given)?);
            }
            "name" => {
                let given =
                    text(value).ok_or_else(|| wrong_type(key, "a name such as `checkout`"))?;
                self.name = Some(name(given)?);
            }
            _ => return Err(unknown(key)),
        }
        Ok(())
    }

    /// As they are shown.
    pub(super) fn to_json(&self) -> Value {
        let mut shown = json!({});
        if let Some(name) = &self.name {
            shown["name"] = name.as_str().into();
        }
        if let Some(ttl_s) = self.ttl_s {
            shown["ttl"] = format!("{ttl_s}s").into();
        }
        shown
    }
}

/// Within bounds.
fn seconds(text: &str) -> Result<u64, Box<Refusal>> {
    let allowed = |seconds: &u64| (TTL_S_MIN..=TTL_S_MAX).contains(seconds);
    lasting::seconds(text).filter(allowed).ok_or_else(|| {
        bad_value("ttl", "this is not a duration from `60s` to `1825d`, such as `12h` or `90d`")
    })
}

fn name(text: String) -> Result<String, Box<Refusal>> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fits = (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_good);
    let why = "a name has 1 to 63 of `A-Z a-z 0-9 - _ .`";
    if fits { Ok(text) } else { Err(bad_value("name", why)) }
}

fn refusal(code: Code, path: &str, message: String, help: Option<String>) -> Box<Refusal> {
    let shown: String = path.chars().take(NAME_CHARS_MAX).collect();
    let place = None;
    Box::new(Refusal {
        code,
        path: shown,
        place,
        message,
        label: None,
        why: None,
        help,
        also: None,
    })
}

fn again(key: &str) -> Box<Refusal> {
    refusal(Code::Duplicate, key, "this is written twice".to_owned(), None)
}

fn unknown(key: &str) -> Box<Refusal> {
    let help = "a binding has `ttl` and `name`".to_owned();
    refusal(Code::UnknownKey, key, "a binding has no such parameter".to_owned(), Some(help))
}

fn wrong_type(key: &str, what: &str) -> Box<Refusal> {
    refusal(Code::WrongType, key, format!("this must be text: {what}"), None)
}

fn bad_value(key: &str, why: &str) -> Box<Refusal> {
    refusal(Code::BadValue, key, why.to_owned(), None)
}

/// An object as it was written, keys that are given twice included.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

/// The JSON Schema of the parameters, as platforms read it (draft 4).
pub(crate) fn schema() -> Value {
    json!({
        "$schema": "http://json-schema.org/draft-04/schema#",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "name": {
                "type": "string",
                "description": "What the caller is called, for people",
                "pattern": "^[A-Za-z0-9._-]{1,63}$",
            },
            "ttl": {
                "type": "string",
                "description": "How long the binding is good for, from 60s to 1825d; without it, until it is unbound",
                "pattern": "^[0-9]{1,9}[smhd]$",
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_has_a_unit_and_bounds() {
        for (text, expected) in [
            ("60s", Some(60)),
            ("90m", Some(5_400)),
            ("12h", Some(43_200)),
            ("1825d", Some(TTL_S_MAX)),
            ("59s", None),
            ("0d", None),
            ("1826d", None),
            ("999999999d", None),
            ("90", None),
        ] {
            assert_eq!(seconds(text).ok(), expected, "{text}");
        }
    }
}
