//! Writes the marks of a tenant's `%` and `\` into rendered JSON, as each field reads them.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use crate::mark::{self, Reads};
use crate::schema::schema;

/// Settles a resource of a type.
pub(crate) fn resource(value: &mut Value, message: &MessageDescriptor) {
    walk(value, message, Reads::Plain);
}

fn walk(value: &mut Value, message: &MessageDescriptor, reads: Reads) {
    let Value::Object(object) = value else { return all(value, reads) };
    match message.full_name() {
        "google.protobuf.Any" => any(object, reads),
        name if name.starts_with("google.protobuf.") => all(value, reads),
        _ => {
            for (key, value) in object.iter_mut() {
                let found = message.get_field_by_json_name(key);
                match found.or_else(|| message.get_field_by_name(key)) {
                    Some(field) => field_value(value, &field, reads),
                    None => all(value, reads),
                }
            }
        }
    }
}

fn any(object: &mut Map<String, Value>, reads: Reads) {
    let inner = object.get("@type").and_then(Value::as_str).and_then(|url| schema().any(url));
    let mut value = Value::Object(std::mem::take(object));
    match inner {
        Some(inner) => walk(&mut value, &inner, reads),
        None => all(&mut value, reads),
    }
    if let Value::Object(settled) = value {
        *object = settled;
    }
}

fn field_value(value: &mut Value, field: &FieldDescriptor, inherited: Reads) {
    let reads = schema().reads(field).unwrap_or(inherited);
    let Kind::Message(message) = field.kind() else { return all(value, reads) };
    match value {
        Value::Object(entries) if field.is_map() => map(entries, &message, reads),
        Value::Array(items) if field.is_list() => {
            items.iter_mut().for_each(|item| walk(item, &message, reads));
        }
        other => walk(other, &message, reads),
    }
}

fn map(entries: &mut Map<String, Value>, entry: &MessageDescriptor, reads: Reads) {
    settle_keys(entries);
    let kind = entry.map_entry_value_field().kind();
    for value in entries.values_mut() {
        match &kind {
            Kind::Message(message) => walk(value, message, reads),
            _ => all(value, reads),
        }
    }
}

/// Every string below, whatever it means.
fn all(value: &mut Value, reads: Reads) {
    match value {
        Value::String(text) if mark::is_marked(text) => *text = mark::settle(text, reads),
        Value::Array(items) => items.iter_mut().for_each(|item| all(item, reads)),
        Value::Object(object) => {
            settle_keys(object);
            object.values_mut().for_each(|value| all(value, reads));
        }
        _ => {}
    }
}

/// A key is never formatted.
fn settle_keys(object: &mut Map<String, Value>) {
    if object.keys().any(|key| mark::is_marked(key)) {
        let entries = std::mem::take(object).into_iter();
        object.extend(entries.map(|(key, value)| (mark::settle(&key, Reads::Plain), value)));
    }
}
