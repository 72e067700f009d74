//! JSON to protobuf, strictly, saying where it does not fit.

use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::Value;

use crate::fault::Fault;

/// Reads proto3 JSON; unknown fields, types and enum names are faults.
pub(crate) fn read(value: &Value, message: MessageDescriptor) -> Result<DynamicMessage, Fault> {
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
    DynamicMessage::deserialize(message, tracked).map_err(|error| {
        let path = track.path().to_string();
        Fault::at(if path == "." { "" } else { &path }, error.to_string())
    })
}

/// A string field; empty when it is not set.
pub(crate) fn text(message: &DynamicMessage, field: &str) -> String {
    let value = message.get_field_by_name(field);
    value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// A field that is a list of strings.
pub(crate) fn texts(message: &DynamicMessage, field: &str) -> Vec<String> {
    let value = message.get_field_by_name(field);
    let items = value.as_ref().and_then(|value| value.as_list()).unwrap_or_default();
    items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// A field that is a message, where it is set.
pub(crate) fn child(message: &DynamicMessage, field: &str) -> Option<DynamicMessage> {
    if !message.has_field_by_name(field) {
        return None;
    }
    message.get_field_by_name(field)?.as_message().cloned()
}

/// A field that is a list of messages.
pub(crate) fn children(message: &DynamicMessage, field: &str) -> Vec<DynamicMessage> {
    let value = message.get_field_by_name(field);
    let items = value.as_ref().and_then(|value| value.as_list()).unwrap_or_default();
    items.iter().filter_map(|item| item.as_message().cloned()).collect()
}
