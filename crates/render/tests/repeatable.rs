//! Versions cannot flap by rendering: the same facts make the same bytes, each time, in each process,
//! in whatever order they came; and a template has nothing to ask for the time or for chance.

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use model::{Node, Version};
use render::{Draft, Sources, Templates};

/// How often, and of how many worlds.
const TIMES: u64 = 3;
const WORLDS: u64 = 20;
const PROCESSES: usize = 3;
/// What stands before what a process has made.
const MADE: &str = "made ";

/// Walks over everything that has an order of its own making.
const WALKS: &str = r#"{#-
resource: type.googleapis.com/envoy.service.runtime.v3.Runtime
for_each: group
varies_by: [metadata.b, metadata.a, region]

-#}
{"name": "margrave", "layer": {
  "whole": {{ platform.sources.some }},
  "text": {{ platform.sources|tojson|string }},
  {%- for name, document in platform.sources|items %}
  {%- for key, value in document|items %}
  {{ name ~ "/" ~ key ~ "/" ~ loop.index }}: {{ value }},
  {%- endfor %}
  {%- endfor %}
  {%- for key in platform.sources.some %}
  {{ "key/" ~ loop.index }}: {{ key }},
  {%- endfor %}
  {%- set made = dict(z=1, y=2, x=platform.zone) %}
  "made": {{ made }},
  "keys": {{ made|list }},
  {%- for key, value in platform.sources.some|dictsort %}
  {{ "sorted/" ~ loop.index }}: {{ key }},
  {%- endfor %}
  {%- for key in platform.sources.other|unique %}
  {{ "unique/" ~ loop.index }}: {{ key }},
  {%- endfor %}
  "node": {{ node }},
}}
"#;

/// Documents in two orders.
const ORDERS: [[&str; 2]; 2] = [
    [r#"{"b": 1, "a": {"y": 1, "x": [2, 1]}, "c": 1}"#, r#"{"k": 0, "j": 1}"#],
    [r#"{"c": 1, "a": {"x": [2, 1], "y": 1}, "b": 1}"#, r#"{"j": 1, "k": 0}"#],
];

/// Names, types and bytes.
fn digest(drafts: &[Draft]) -> u64 {
    let mut all = String::new();
    for draft in drafts {
        let (name, kind, hash) = (&draft.name, draft.type_url.as_str(), draft.hash);
        let pieces = draft.shape.pieces();
        let _ = writeln!(all, "{name} {kind} {hash} {pieces:?} {} {:?}", draft.json, draft.body);
    }
    Version::hash_of(all.as_bytes())
}

/// What the template makes of documents in this order.
fn walked([some, other]: [&str; 2]) -> Vec<Draft> {
    let files = [("walks.j2".to_owned(), WALKS.to_owned())];
    let templates = Templates::compile(&files).expect("it compiles");
    let document = |text: &str| serde_json::from_str(text).expect("JSON");
    let documents = [("some", document(some)), ("other", document(other))];
    let documents = documents.map(|(name, document)| (name.to_owned(), document));
    let sources = Sources::new(BTreeMap::from(documents), Default::default());
    let metadata = [("a", "1"), ("b", "2"), ("c", "3")];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let node = Node { metadata: metadata.into_iter().collect(), ..Node::default() };
    let platform = render::Platform { sources, ..common::platform() };
    templates.group(&platform, &node).unwrap_or_else(|told| panic!("{told:#?}"))
}

/// All that is rendered here, as a few numbers.
fn everything() -> Vec<u64> {
    let templates = Templates::builtin();
    let walked = ORDERS.map(|order| digest(&walked(order)));
    let worlds = (0..WORLDS).map(|seed| digest(&common::generated::drafts(&templates, seed)));
    worlds.chain(walked).collect()
}

#[test]
fn in_whatever_order_facts_come_the_bytes_are_the_same() {
    let [one, other] = ORDERS.map(walked);
    assert!(one[0].json["layer"]["key/3"].is_string(), "it walks over all: {}", one[0].json);
    assert_eq!((&one[0].json, &one[0].body), (&other[0].json, &other[0].body));
}

#[test]
fn each_time_and_in_each_process_the_bytes_are_the_same() {
    let here = everything();
    for _ in 1..TIMES {
        assert_eq!(everything(), here);
    }
    let wanted = format!("{MADE}{here:?}");
    for _ in 0..PROCESSES {
        let myself = std::env::current_exe().expect("a test");
        let name = "what_another_process_makes";
        let ran = Command::new(myself).args(["--exact", "--nocapture", name]).output();
        let said = String::from_utf8_lossy(&ran.expect("it runs").stdout).into_owned();
        assert!(said.contains(&wanted), "{said}");
    }
}

/// Is also run by the test above, in processes of its own.
#[test]
fn what_another_process_makes() {
    println!("{MADE}{:?}", everything());
}

#[test]
fn nothing_is_offered_that_would_answer_otherwise_the_next_time() {
    let made = |expression: &str| {
        let header = "resource: type.googleapis.com/envoy.service.runtime.v3.Runtime";
        let text = format!(
            "{{# {header}\nfor_each: group #}}{{\"name\": \"r\", \"layer\": {{\"a\": {{{{ {expression} }}}}}}}}"
        );
        let templates = Templates::compile(&[("one.j2".to_owned(), text)]).expect("it compiles");
        templates
            .group(&common::platform(), &Node::default())
            .map_err(|told| told[0].message.clone())
    };
    assert!(made("range(2)|list").is_ok());
    for name in ["now", "time", "random", "randrange", "uuid", "lipsum", "env", "debug", "cycler"] {
        let told = made(&format!("{name}()")).expect_err(name);
        assert!(told.contains("unknown function"), "{name}: {told}");
    }
    for name in ["random", "shuffle", "now", "strftime", "hash", "pprint_random"] {
        let told = made(&format!("[1, 2]|{name}")).expect_err(name);
        assert!(told.contains("unknown filter"), "{name}: {told}");
    }
}
