//! JSON Schema, draft 4, as much of it as our schemas use; what they do not use is an error.

use std::collections::BTreeMap;
use std::sync::Mutex;

use regex::Regex;
use serde_json::Value;

/// What a schema refuses about a value.
pub(crate) fn complaints(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, value, "", &mut found);
    found
}

fn check(schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    for (keyword, rule) in schema.as_object().expect("a schema") {
        if !holds(schema, keyword, rule, value, at, found) {
            found.push(format!("{at}: {keyword} {rule}"));
        }
    }
}

fn holds(
    schema: &Value,
    keyword: &str,
    rule: &Value,
    value: &Value,
    at: &str,
    found: &mut Vec<String>,
) -> bool {
    let limit = || usize::try_from(rule.as_u64().expect("a limit")).expect("a small one");
    let text = value.as_str();
    let list = value.as_array();
    let map = value.as_object();
    match keyword {
        "$schema" | "title" | "description" | "properties" | "patternProperties" => true,
        "type" => is_type(rule, value),
        "enum" => rule.as_array().expect("a list").contains(value),
        "minLength" => text.is_none_or(|text| text.chars().count() >= limit()),
        "maxLength" => text.is_none_or(|text| text.chars().count() <= limit()),
        "pattern" => text.is_none_or(|text| regex(rule).is_match(text)),
        "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().expect("a number")),
        "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().expect("a number")),
        "minItems" => list.is_none_or(|list| list.len() >= limit()),
        "maxItems" => list.is_none_or(|list| list.len() <= limit()),
        "uniqueItems" => list.is_none_or(|list| {
            rule == false || (1..list.len()).all(|i| !list[..i].contains(&list[i]))
        }),
        "maxProperties" => map.is_none_or(|map| map.len() <= limit()),
        "required" => map.is_none_or(|map| {
            let names = rule.as_array().expect("a list");
            names.iter().all(|name| map.contains_key(name.as_str().expect("a name")))
        }),
        "items" => {
            for (index, item) in list.into_iter().flatten().enumerate() {
                check(rule, item, &format!("{at}/{index}"), found);
            }
            true
        }
        "additionalProperties" => properties(schema, value, at, found),
        "anyOf" => {
            rule.as_array().expect("a list").iter().any(|one| complaints(one, value).is_empty())
        }
        "not" => !complaints(rule, value).is_empty(),
        other => panic!("no keyword of ours: {other}"),
    }
}

fn is_type(rule: &Value, value: &Value) -> bool {
    match rule.as_str().expect("a type") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("no type of ours: {other}"),
    }
}

/// Every key by its own schema, by that of its pattern, or not at all.
fn properties(schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) -> bool {
    let mut known = true;
    for (key, value) in value.as_object().into_iter().flatten() {
        let at = format!("{at}/{key}");
        let patterns = schema.get("patternProperties").and_then(Value::as_object);
        let pattern = patterns.into_iter().flatten();
        let by_pattern =
            pattern.filter(|(pattern, _)| regex(&Value::from(pattern.as_str())).is_match(key));
        let own = schema["properties"].get(key);
        let rules: Vec<&Value> = own.into_iter().chain(by_pattern.map(|(_, rule)| rule)).collect();
        known &= !rules.is_empty() || schema["additionalProperties"] != false;
        rules.into_iter().for_each(|rule| check(rule, value, &at, found));
    }
    known
}

/// Compiled once: a schema is asked for every place of every document.
fn regex(pattern: &Value) -> Regex {
    static COMPILED: Mutex<BTreeMap<String, Regex>> = Mutex::new(BTreeMap::new());
    let text = pattern.as_str().expect("a pattern");
    let mut compiled = COMPILED.lock().expect("nobody panics here");
    let new = || Regex::new(text).expect("a pattern without look-around");
    compiled.entry(text.to_owned()).or_insert_with(new).clone()
}

/// What keeps a schema from being a bounded one of draft 4.
pub(crate) fn is_draft_4(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    well_formed(schema, "", true, &mut found);
    found
}

fn well_formed(schema: &Value, at: &str, bounded: bool, found: &mut Vec<String>) {
    let Some(map) = schema.as_object() else {
        return found.push(format!("{at}: not a schema"));
    };
    let has = |key: &str| map.contains_key(key);
    for (keyword, rule) in map {
        let at = format!("{at}/{keyword}");
        let below = |key: &str| format!("{at}/{key}");
        let fits = match keyword.as_str() {
            "$schema" | "title" | "description" | "pattern" => rule.is_string(),
            "type" => rule.is_string(),
            "minLength" | "maxLength" | "minItems" | "maxItems" | "maxProperties" => rule.is_u64(),
            "minimum" | "maximum" => rule.is_number(),
            "uniqueItems" | "additionalProperties" => rule.is_boolean(),
            "enum" | "required" => rule.as_array().is_some_and(|list| !list.is_empty()),
            "items" | "not" => {
                well_formed(rule, &at, bounded && keyword == "items", found);
                true
            }
            "anyOf" => {
                let options = rule.as_array().filter(|list| !list.is_empty());
                options.into_iter().flatten().for_each(|one| well_formed(one, &at, bounded, found));
                options.is_some()
            }
            "properties" | "patternProperties" => {
                let entries = rule.as_object();
                entries.into_iter().flatten().for_each(|(key, one)| {
                    well_formed(one, &below(key), bounded, found);
                });
                entries.is_some()
            }
            _ => false,
        };
        if !fits {
            found.push(format!("{at}: not of draft 4"));
        }
    }
    let bound = match map.get("type").and_then(Value::as_str) {
        Some("string") => has("maxLength") || has("enum"),
        Some("array") => has("maxItems") && has("items"),
        Some("integer") => has("minimum") && has("maximum"),
        Some("object") => map.get("additionalProperties") == Some(&Value::from(false)),
        Some("boolean") => true,
        _ => !bounded || has("anyOf") || has("enum"),
    };
    if !bound {
        found.push(format!("{at}: without bounds"));
    }
}
