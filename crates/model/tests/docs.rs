//! The reference pages say what the code does: tables and codes are written from it, and every
//! example is read. `UPDATE_GOLDEN=1` writes what is generated anew.

use std::fs;
use std::path::{Path, PathBuf};

use model::Descriptor;
use model::descriptor::{Code, explain, schema, show};
use serde_json::Value;

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name)
}

/// Compares a page with what it should be.
fn golden(file: &Path, wanted: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(file, wanted).expect("a page to write");
    }
    let found = fs::read_to_string(file).unwrap_or_default();
    assert_eq!(found, wanted, "{}; UPDATE_GOLDEN=1 writes it anew", file.display());
}

#[test]
fn every_code_has_its_page() {
    let mut text = String::from(
        "# Refusals\n\nEvery refusal of a descriptor has a code that keeps its meaning across releases. \
         All that is wrong with\na file is told at once, each with its place, the reason and a mend.\n\n\
         | code | what |\n|---|---|\n",
    );
    for code in Code::ALL {
        let link = code.as_str().to_lowercase();
        text.push_str(&format!("| [{code}](#{link}) | {} |\n", code.title()));
    }
    for code in Code::ALL {
        assert_eq!(explain(code.as_str()), Some(code.text()));
        assert!(code.text().contains("Mend: "), "{code} has no mend");
        text.push_str(&format!("\n## {code}\n\n**{}**\n\n{}", code.title(), code.text()));
    }
    assert!(Code::ALL.is_sorted_by_key(|code| code.as_str()), "codes are in order");
    assert_eq!(explain("mg1004"), explain("MG1004"));
    assert_eq!(explain("MG9999"), None);
    golden(&page("refusals.md"), &text);
}

/// A table stands between `<!-- keys of X -->` and `<!-- end -->`, where X is a path in the schema.
#[test]
fn the_tables_of_the_descriptor_are_those_of_the_schema() {
    let schema = schema::descriptor();
    let mut tables = Vec::new();
    collect(&schema, String::new(), &mut tables);
    let file = page("descriptor.md");
    let mut text = fs::read_to_string(&file).expect("the page");
    for (path, table) in &tables {
        let name = if path.is_empty() { "the top level" } else { path };
        let start = format!("<!-- keys of {name} -->\n");
        let (before, rest) =
            text.split_once(&start).unwrap_or_else(|| panic!("no table of {name}"));
        let (_, after) = rest.split_once("<!-- end -->").expect("the end of a table");
        text = format!("{before}{start}{table}<!-- end -->{after}");
    }
    assert_eq!(text.matches("<!-- keys of ").count(), tables.len(), "a table too many");
    golden(&file, &text);
}

/// Each different record with its path and its table.
fn collect(schema: &Value, path: String, tables: &mut Vec<(String, String)>) {
    if let Some(properties) = schema["properties"].as_object() {
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let table = table(properties, &required);
        if tables.iter().all(|(_, known)| *known != table) {
            tables.push((path.clone(), table));
        }
        for (key, value) in properties {
            let dot = if path.is_empty() { "" } else { "." };
            collect(value, format!("{path}{dot}{key}"), tables);
        }
    }
    if schema["items"].is_object() {
        collect(&schema["items"], format!("{path}[]"), tables);
    }
    for value in schema["patternProperties"].as_object().into_iter().flat_map(|map| map.values()) {
        collect(value, format!("{path}.<name>"), tables);
    }
    for option in schema["anyOf"].as_array().into_iter().flatten() {
        collect(option, path.clone(), tables);
    }
}

fn table(properties: &serde_json::Map<String, Value>, required: &[&str]) -> String {
    let mut rows = String::from("| key | value | default | what it means |\n|---|---|---|---|\n");
    let mut keys: Vec<(&String, &Value)> = properties.iter().collect();
    keys.sort_by_key(|(key, _)| !required.contains(&key.as_str()));
    for (key, schema) in keys {
        let doc = schema["description"].as_str().expect("a description");
        let (doc, default) = doc.split_once(" Default: ").unwrap_or((doc, ""));
        let needed = if required.contains(&key.as_str()) { "*required*" } else { "" };
        let default = if default.is_empty() { needed } else { default.trim_end_matches('.') };
        let value = words(schema).replace('|', "\\|");
        rows.push_str(&format!("| `{key}` | {value} | {default} | {doc} |\n"));
    }
    rows
}

/// A schema in a few words.
fn words(schema: &Value) -> String {
    let number = |key: &str| schema[key].as_u64().expect("a number");
    if let Some(options) = schema["anyOf"].as_array() {
        return options.iter().map(words).collect::<Vec<_>>().join(", or ");
    }
    if let Some(options) = schema["enum"].as_array() {
        let shown: Vec<String> = options
            .iter()
            .map(|o| format!("`{}`", o.as_str().map_or(o.to_string(), str::to_owned)))
            .collect();
        return shown.join(", ");
    }
    match schema["type"].as_str() {
        Some("string") => {
            let title = schema["title"].as_str().expect("a title");
            if title.contains(" from `") {
                title.to_owned()
            } else {
                format!("{title}; at most {} characters", number("maxLength"))
            }
        }
        Some("integer") => {
            format!("a whole number from {} to {}", number("minimum"), number("maximum"))
        }
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("array") => {
            let differ = if schema["uniqueItems"] == true { ", all different" } else { "" };
            let items = if schema["items"]["properties"].is_object() {
                "maps, see below".to_owned()
            } else {
                words(&schema["items"])
            };
            format!(
                "a list of {} to {} items{differ}; each: {items}",
                number("minItems"),
                number("maxItems")
            )
        }
        Some("object") if schema["patternProperties"].is_object() => {
            let (_, value) = schema["patternProperties"]
                .as_object()
                .and_then(|map| map.iter().next())
                .expect("a pattern");
            let values = if value["properties"].is_object() {
                "maps, see below".to_owned()
            } else {
                words(value)
            };
            format!("a map of at most {} names; each value: {values}", number("maxProperties"))
        }
        _ => "a map, see below".to_owned(),
    }
}

#[test]
fn every_example_of_the_reference_is_accepted() {
    let text = fs::read_to_string(page("descriptor.md")).unwrap();
    let examples: Vec<&str> =
        text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() >= 8, "{}", examples.len());
    for example in examples {
        if let Err(refusals) = Descriptor::from_yaml(example) {
            panic!("{}", show(&refusals, "descriptor.md", example));
        }
    }
}
