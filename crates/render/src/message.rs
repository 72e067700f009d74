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
