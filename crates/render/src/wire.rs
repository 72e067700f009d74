//! The protobuf encoding of a message, the same bytes for equal messages in every process: fields
//! by number, map entries by key, and so inside every `Any`.

use prost::bytes::BufMut;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value};

use crate::schema::schema;

/// Encodes a message.
pub(crate) fn encode(message: &DynamicMessage) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    put_message(&mut out, message);
    out
}

/// What an `Any` holds, where its type is known and its value whole.
pub(crate) fn open(message: &DynamicMessage) -> Option<DynamicMessage> {
    if message.descriptor().full_name() != "google.protobuf.Any" {
        return None;
    }
    let type_url = message.get_field_by_number(1)?;
    let value = message.get_field_by_number(2)?;
    let inner = schema().any(type_url.as_str()?)?;
    DynamicMessage::decode(inner, value.as_bytes()?.clone()).ok()
}

fn put_message(out: &mut Vec<u8>, message: &DynamicMessage) {
    let inner = open(message);
    for (field, value) in message.fields() {
        match &inner {
            Some(inner) if field.number() == 2 => put_bytes(out, 2, &encode(inner)),
            _ => put_field(out, &field, value),
        }
    }
}

fn put_field(out: &mut Vec<u8>, field: &FieldDescriptor, value: &Value) {
    match value {
        Value::List(items) if field.is_packed() => {
            let mut packed = Vec::new();
            items.iter().for_each(|item| put_scalar(&mut packed, &field.kind(), item));
            put_bytes(out, field.number(), &packed);
        }
        Value::List(items) => items.iter().for_each(|item| put_value(out, field, item)),
        Value::Map(entries) => {
            let Kind::Message(entry) = field.kind() else { return };
            let (key, content) = (entry.map_entry_key_field(), entry.map_entry_value_field());
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by(|a, b| a.0.cmp(b.0));
            for (name, value) in sorted {
                let mut body = Vec::new();
                put_value(&mut body, &key, &from_key(name));
                put_value(&mut body, &content, value);
                put_bytes(out, field.number(), &body);
            }
        }
        other => put_value(out, field, other),
    }
}

fn put_value(out: &mut Vec<u8>, field: &FieldDescriptor, value: &Value) {
    match value {
        Value::String(text) => put_bytes(out, field.number(), text.as_bytes()),
        Value::Bytes(bytes) => put_bytes(out, field.number(), bytes),
        Value::Message(message) => put_bytes(out, field.number(), &encode(message)),
        scalar => {
            encode_key(field.number(), wire_type(&field.kind()), out);
            put_scalar(out, &field.kind(), scalar);
        }
    }
}

fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.put_slice(bytes);
}

fn wire_type(kind: &Kind) -> WireType {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => WireType::SixtyFourBit,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => WireType::ThirtyTwoBit,
        Kind::String | Kind::Bytes | Kind::Message(_) => WireType::LengthDelimited,
        _ => WireType::Varint,
    }
}

/// A negative number of 32 bits is written in 64, as protobuf does.
#[expect(clippy::cast_sign_loss, reason = "protobuf writes two's complement")]
fn put_scalar(out: &mut Vec<u8>, kind: &Kind, value: &Value) {
    match (kind, value) {
        (_, Value::Bool(flag)) => encode_varint(u64::from(*flag), out),
        (Kind::Fixed32, Value::U32(number)) => out.put_u32_le(*number),
        (Kind::Sfixed32, Value::I32(number)) => out.put_i32_le(*number),
        (Kind::Fixed64, Value::U64(number)) => out.put_u64_le(*number),
        (Kind::Sfixed64, Value::I64(number)) => out.put_i64_le(*number),
        (Kind::Sint32, Value::I32(number)) => {
            encode_varint(u64::from(((number << 1) ^ (number >> 31)) as u32), out);
        }
        (Kind::Sint64, Value::I64(number)) => {
            encode_varint(((number << 1) ^ (number >> 63)) as u64, out);
        }
        (_, Value::I32(number) | Value::EnumNumber(number)) => {
            encode_varint(i64::from(*number) as u64, out);
        }
        (_, Value::I64(number)) => encode_varint(*number as u64, out),
        (_, Value::U32(number)) => encode_varint(u64::from(*number), out),
        (_, Value::U64(number)) => encode_varint(*number, out),
        (_, Value::F32(number)) => out.put_f32_le(*number),
        (_, Value::F64(number)) => out.put_f64_le(*number),
        // Strings, bytes, messages, lists and maps never come here.
        _ => {}
    }
}

fn from_key(key: &MapKey) -> Value {
    match key {
        MapKey::Bool(key) => Value::Bool(*key),
        MapKey::I32(key) => Value::I32(*key),
        MapKey::I64(key) => Value::I64(*key),
        MapKey::U32(key) => Value::U32(*key),
        MapKey::U64(key) => Value::U64(*key),
        MapKey::String(key) => Value::String(key.clone()),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use serde_json::json;

    use super::*;
    use crate::message;

    fn read(name: &str, json: &serde_json::Value) -> DynamicMessage {
        message::read(json, schema().message(name).expect("a message")).expect("it fits")
    }

    /// Every kind of field that there is, in messages that Envoy knows.
    fn samples() -> Vec<(&'static str, serde_json::Value)> {
        let fields: serde_json::Map<_, _> =
            (0..20).map(|n| (format!("key-{n}"), json!([n, null, {"a": "b"}]))).collect();
        vec![
            ("google.protobuf.Struct", json!(fields)),
            ("google.protobuf.Int64Value", json!("-9223372036854775808")),
            ("google.protobuf.UInt64Value", json!("18446744073709551615")),
            ("google.protobuf.Int32Value", json!(-1)),
            ("google.protobuf.DoubleValue", json!(-0.1)),
            ("google.protobuf.FloatValue", json!(0.5)),
            ("google.protobuf.BytesValue", json!("AAEC/w==")),
            ("google.protobuf.BoolValue", json!(true)),
            ("google.protobuf.Duration", json!("-1.5s")),
            (
                "envoy.config.core.v3.Metadata",
                json!({
                    "filter_metadata": {"b": fields, "a": fields},
                    "typed_filter_metadata": {
                        "y": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": fields},
                    "x": {"@type": "type.googleapis.com/google.protobuf.Int32Value", "value": 1},
                    },
                }),
            ),
            ("envoy.config.route.v3.RetryPolicy", json!({"retriable_status_codes": [503, 0, 300]})),
            (
                "envoy.config.cluster.v3.Cluster",
                json!({
                    "name": "c", "type": "EDS", "lb_subset_config": {"subset_selectors": [{}, {"keys": ["b", "a"]}]},
                }),
            ),
            (
                "io.prometheus.client.Histogram",
                json!({"positive_delta": ["-1", "1", "9223372036854775807"]}),
            ),
        ]
    }

    #[test]
    fn what_is_encoded_reads_back_and_is_always_the_same() {
        for (name, json) in samples() {
            let first = read(name, &json);
            let bytes = encode(&first);
            // Maps are in another order each time that they are made.
            for _ in 0..10 {
                assert_eq!(encode(&read(name, &json)), bytes, "{name}");
            }
            let back = DynamicMessage::decode(first.descriptor(), bytes.as_slice()).expect(name);
            assert_eq!(encode(&back), bytes, "{name}");
            if !name.ends_with("Metadata") {
                assert_eq!(back, first, "{name}");
                assert_eq!(bytes.len(), first.encoded_len(), "{name}");
            }
        }
    }
}
