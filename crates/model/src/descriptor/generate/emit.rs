//! JSON values as text: JSON, or YAML in block and flow style with all its ways to quote.

use serde_json::{Map, Value};

use super::rng::Rng;

/// Deeper than this YAML is written in flow style.
const BLOCK_DEPTH: usize = 4;

/// A text that says this value, keys in any order.
pub(super) fn emit(value: &Value, rng: &mut Rng) -> String {
    match rng.below(10) {
        0 => value.to_string(),
        1 => ascii(&format!("{value:#}")),
        2 => format!("---\n{}\n", flow(value, rng)),
        _ => {
            let mut out = String::from(if rng.chance(30) { "# generated\n" } else { "" });
            block(value, 0, &mut out, rng);
            out
        }
    }
}

/// JSON whose characters beyond ASCII are escapes, in pairs of surrogates where need be.
fn ascii(json: &str) -> String {
    let mut out = String::new();
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

fn shuffled<'v>(map: &'v Map<String, Value>, rng: &mut Rng) -> Vec<(&'v String, &'v Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    rng.shuffle(&mut entries);
    entries
}

/// Lines that begin at `depth`; the first one where the text stands already.
fn block(value: &Value, depth: usize, out: &mut String, rng: &mut Rng) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (index, (key, value)) in shuffled(map, rng).into_iter().enumerate() {
                indent(index > 0, depth, out);
                out.push_str(&text(key, true, rng));
                out.push(':');
                below(value, depth, out, rng);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                indent(index > 0, depth, out);
                out.push_str("- ");
                if nested(item) && depth < BLOCK_DEPTH {
                    block(item, depth + 1, out, rng);
                } else {
                    out.push_str(&flow(item, rng));
                    out.push('\n');
                }
            }
        }
        other => {
            out.push_str(&flow(other, rng));
            out.push('\n');
        }
    }
}

fn below(value: &Value, depth: usize, out: &mut String, rng: &mut Rng) {
    if nested(value) && depth < BLOCK_DEPTH && rng.chance(60) {
        out.push('\n');
        indent(true, depth + 1, out);
        block(value, depth + 1, out, rng);
    } else {
        let comment = if rng.chance(5) { " # so it is" } else { "" };
        out.push_str(&format!(" {}{comment}\n", flow(value, rng)));
    }
}

fn nested(value: &Value) -> bool {
    value.as_object().is_some_and(|map| !map.is_empty())
        || value.as_array().is_some_and(|items| !items.is_empty())
}

fn indent(wanted: bool, depth: usize, out: &mut String) {
    if wanted {
        out.push_str(&"  ".repeat(depth));
    }
}

fn flow(value: &Value, rng: &mut Rng) -> String {
    match value {
        Value::Object(map) => {
            let entries: Vec<String> = shuffled(map, rng)
                .into_iter()
                .map(|(key, value)| format!("{}: {}", text(key, true, rng), flow(value, rng)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| flow(item, rng)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::String(string) => text(string, false, rng),
        other => other.to_string(),
    }
}

/// A text in double quotes, in single quotes, or plain where it is a word.
fn text(text: &str, key: bool, rng: &mut Rng) -> String {
    let word = text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '/' | '.'))
        && !matches!(text, "true" | "false" | "null");
    if word && rng.chance(if key { 90 } else { 70 }) {
        return text.to_owned();
    }
    if !text.contains(['\n', '\t']) && rng.chance(30) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    Value::from(text).to_string()
}
