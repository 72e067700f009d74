//! JSON Schema (draft 4) of descriptor and parameters, from the same declarations as the parser.
//!
//! A schema says less than the parser: what it accepts may still be refused, what it refuses always
//! is. It has no `const`, no numeric `exclusiveMinimum`, no reference and no look-around in patterns,
//! so that validators of every age and language can read it.

use serde_json::{Map, Value, json};

use super::decode::{Decode, Key, RecordShape, Scope, Shape};
use super::syntax;

/// The schema's dialect.
const DRAFT: &str = "http://json-schema.org/draft-04/schema#";

/// The schema of a whole descriptor.
pub fn descriptor() -> Value {
    document(Scope::Descriptor)
}

/// The schema of OSB `parameters`: a descriptor without `visibility`.
pub fn parameters() -> Value {
    document(Scope::Parameters)
}

fn document(scope: Scope) -> Value {
    let mut root = match syntax::Descriptor::shape() {
        Shape::Record(record) => record,
        _ => return Value::Null,
    };
    root.keys.retain(|key| !scope.hides(key.name));
    let mut schema = record(&root);
    schema.insert("$schema".to_owned(), json!(DRAFT));
    Value::Object(schema)
}

fn schema(shape: &Shape) -> Map<String, Value> {
    match shape {
        Shape::Scalar(schema) => schema.as_object().cloned().unwrap_or_default(),
        Shape::List { item, min, max, unique } => list(item, *min, *max, *unique),
        Shape::Map { pattern, value, max } => object([
            ("type", json!("object")),
            ("maxProperties", json!(max)),
            ("patternProperties", json!({*pattern: schema(value)})),
            ("additionalProperties", json!(false)),
        ]),
        Shape::Record(shape) => record(shape),
        Shape::Either(shapes) => {
            object([("anyOf", shapes.iter().map(|shape| json!(schema(shape))).collect())])
        }
    }
}

fn list(item: &Shape, min: usize, max: usize, unique: bool) -> Map<String, Value> {
    object([
        ("type", json!("array")),
        ("minItems", json!(min)),
        ("maxItems", json!(max)),
        ("uniqueItems", json!(unique)),
        ("items", json!(schema(item))),
    ])
}

fn record(shape: &RecordShape) -> Map<String, Value> {
    let properties: Map<String, Value> =
        shape.keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> =
        shape.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut schema = object([
        ("type", json!("object")),
        ("description", json!(shape.doc.trim())),
        ("properties", json!(properties)),
        ("additionalProperties", json!(false)),
    ]);
    // Draft 4 wants at least one element in `required`.
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    let excluded = pairs(shape.exclusive);
    if !excluded.is_empty() {
        schema.insert("not".to_owned(), json!({"anyOf": excluded}));
    }
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = schema(&key.shape);
    schema.insert("description".to_owned(), json!(key.doc.trim()));
    Value::Object(schema)
}

/// Every two keys of a group, as a schema that wants both.
fn pairs(groups: &[&[&str]]) -> Vec<Value> {
    let both = |group: &&[&str]| {
        let pairs = group.iter().enumerate();
        pairs
            .flat_map(|(index, one)| group[index + 1..].iter().map(move |other| [*one, *other]))
            .map(|pair| json!({"required": pair}))
            .collect::<Vec<_>>()
    };
    groups.iter().flat_map(both).collect()
}

fn object<const N: usize>(entries: [(&str, Value); N]) -> Map<String, Value> {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
