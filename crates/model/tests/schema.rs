//! The JSON Schemas: draft 4 that any validator reads, and never stricter than the parser.

mod validator;

use std::fs;
use std::path::Path;

use model::descriptor::generate::descriptor;
use model::descriptor::schema;
use model::{Descriptor, Parameters};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use validator::{complaints, is_draft_4};

/// Platforms refuse longer ones.
const SCHEMA_CHARS_MAX: usize = 65_535;

#[test]
fn the_schemas_are_draft_4_bounded_and_short() {
    for (name, schema) in
        [("descriptor", schema::descriptor()), ("parameters", schema::parameters())]
    {
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-04/schema#");
        assert_eq!(is_draft_4(&schema), Vec::<String>::new(), "{name}");
        let chars = schema.to_string().chars().count();
        assert!(chars <= SCHEMA_CHARS_MAX, "{name} has {chars} characters");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/schema/{name}.json"));
        let text = format!("{schema:#}\n");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&file, &text).unwrap();
        }
        let wanted = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(text, wanted, "{}; UPDATE_GOLDEN=1 writes it anew", file.display());
    }
}

#[test]
fn visibility_is_not_a_parameter() {
    let properties = |schema: Value| schema["properties"].as_object().unwrap().clone();
    assert!(properties(schema::descriptor()).contains_key("visibility"));
    assert!(!properties(schema::parameters()).contains_key("visibility"));
    assert!(!properties(schema::parameters()).contains_key("$schema"));
}

#[test]
fn what_the_parser_accepts_the_schema_accepts() {
    let (whole, parameters) = (schema::descriptor(), schema::parameters());
    let mut documents = 0;
    for seed in 0..300 {
        let (text, read) = descriptor(seed);
        assert_eq!(complaints(&whole, &read.to_json()), Vec::<String>::new(), "seed {seed}");
        let json = read.parameters.to_json();
        assert_eq!(complaints(&parameters, &json), Vec::<String>::new(), "seed {seed}");
        // Some of the texts are JSON, in other spellings than the canonical one.
        if let Ok(written) = serde_json::from_str::<Value>(&text) {
            assert_eq!(complaints(&whole, &written), Vec::<String>::new(), "seed {seed}: {text}");
            documents += 1;
        }
    }
    assert!(documents > 20, "{documents}");
}

/// Each differs from a good descriptor in one thing, which both must refuse.
#[test]
fn what_the_schema_can_say_it_says() {
    let good = json!({
        "service": "shop", "upstream": "http://web",
        "routes": [{"name": "a", "match": {"prefix": "/a"}, "to": "a"}],
        "upstreams": {"a": {"url": "http://a"}},
    });
    let schema = schema::descriptor();
    assert_eq!(complaints(&schema, &good), Vec::<String>::new());
    let bad = [
        ("/service", json!("Shop")),
        ("/service", json!(5)),
        ("/visibility", json!("Public")),
        ("/visibilty", json!("public")),
        ("/upstream", json!("web:80")),
        ("/hostnames", json!(["a.b", "a.b"])),
        ("/hostnames", json!("a.b")),
        ("/routes/0/name", json!("A b")),
        ("/routes/0/match/path", json!("/b")),
        ("/routes/0/match/methods", json!(["get"])),
        ("/routes/0/match/methods", json!([])),
        ("/routes/0/match/headers", json!({"x y": "1"})),
        ("/routes/0/match/headers", json!({"x": 1})),
        ("/routes/0/match/prefix", json!("a")),
        ("/routes/0/respond", json!({"body": "x"})),
        ("/routes/0/timeout", json!({"request": 5})),
        ("/routes/0/timeout", json!({"request": "5"})),
        ("/routes/0/retry", json!({"attempts": 6})),
        ("/routes/0/retry", json!({"on": ["200"]})),
        ("/routes/0/limits", json!({"maxBodySize": "1MB"})),
        ("/routes/0/to", json!([{"weight": 1}])),
        ("/routes/0/to", json!([{"upstream": "a", "weight": -1}])),
        ("/upstreams/a/addresses", json!(["a:1"])),
        ("/upstreams/a/tls", json!(true)),
        ("/upstreams/a/healthCheck", json!({})),
        ("/requestHeaders", json!({"set": {"x": ""}})),
        ("/requestHeaders", json!({"set": {"x": "a\nb"}})),
    ];
    for (pointer, value) in bad {
        let mut document = good.clone();
        put(&mut document, pointer, value);
        assert!(!complaints(&schema, &document).is_empty(), "the schema accepts {document}");
        assert!(Descriptor::from_yaml(&document.to_string()).is_err(), "{document}");
    }
}

fn put(document: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    document.pointer_mut(parent).expect("a parent")[key] = value;
}

/// Every place in a document.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            let key = key.replace('~', "~0").replace('/', "~1");
            pointers(value, &format!("{at}/{key}"), found);
        }),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| pointers(item, &format!("{at}/{index}"), found)),
        _ => {}
    }
}

fn junk() -> impl Strategy<Value = Value> {
    let words = prop_oneof![
        Just("5s".to_owned()),
        Just("/x".to_owned()),
        Just("http://a".to_owned()),
        Just("x".repeat(5000)),
        ".{0,12}",
    ];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f32>().prop_map(|x| json!(x)),
        words.prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!({"path": "/a", "prefix": "/a"})),
        Just(json!([1, 1])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_schema_refuses_the_parser_refuses(
        seed in any::<u64>(), place in any::<prop::sample::Index>(), junk in junk(), add in any::<bool>()
    ) {
        let mut document = descriptor(seed).1.parameters.to_json();
        let mut places = Vec::new();
        pointers(&document, "", &mut places);
        let target = document.pointer_mut(&places[place.index(places.len())]).expect("a place");
        match target {
            Value::Object(map) if add => drop(map.insert("wombat".to_owned(), junk)),
            Value::Array(items) if add => items.push(items.first().cloned().unwrap_or(junk)),
            other => *other = junk,
        }
        let complaints = complaints(&schema::parameters(), &document);
        let parsed = Parameters::from_json(&document.to_string());
        prop_assert!(complaints.is_empty() || parsed.is_err(), "{complaints:?} {document}");
    }
}

/// The validator itself can refuse: otherwise the tests above would say nothing.
#[test]
fn the_validator_sees_what_is_wrong() {
    let schema = json!({"type": "object", "required": ["a"], "additionalProperties": false,
        "properties": {"a": {"type": "string", "maxLength": 2, "pattern": "^x"}}});
    for bad in
        [json!(1), json!({}), json!({"a": "xxx"}), json!({"a": "y"}), json!({"a": "x", "b": 1})]
    {
        assert!(!complaints(&schema, &bad).is_empty(), "{bad}");
    }
    assert!(
        complaints(&schema, &Value::Object(Map::from_iter([("a".to_owned(), json!("x"))])))
            .is_empty()
    );
    assert!(!is_draft_4(&json!({"type": "string"})).is_empty(), "unbounded");
    assert!(!is_draft_4(&json!({"const": 1})).is_empty(), "a later draft");
}
