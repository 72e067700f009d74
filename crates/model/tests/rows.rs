//! Rows of the store: parameters are written as canonical JSON and read back, by every release.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use model::descriptor::{Auth, HeaderRules};
use model::{Descriptor, Parameters};

#[test]
fn what_was_accepted_is_read_again_whatever_the_rules_of_today() {
    let row =
        r#"{"service": "shop", "routes": [{"name": "a", "match": {"prefix": "/"}, "to": "gone"}]}"#;
    assert!(Parameters::from_json(row).is_err());
    let read: Parameters = serde_json::from_str(row).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), read.to_json());

    let bare = Parameters {
        service: "shop".parse().unwrap(),
        upstream: None,
        hostnames: Vec::new(),
        routes: Vec::new(),
        upstreams: BTreeMap::new(),
        request_headers: HeaderRules::default(),
        response_headers: HeaderRules::default(),
        auth: Auth::None,
    };
    let row = serde_json::to_string(&bare).unwrap();
    assert_eq!(serde_json::from_str::<Parameters>(&row).unwrap(), bare);
}

#[test]
fn a_row_that_is_not_well_formed_is_refused_with_its_path() {
    let row = r#"{"service": "shop", "upstream": "http://web", "routes": 5}"#;
    let error = serde_json::from_str::<Parameters>(row).unwrap_err().to_string();
    assert!(error.contains("MG1005 routes"), "{error}");
}

/// One file a release: lines are added, never changed, so that a later release is seen to read them.
#[test]
fn rows_of_every_release_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rows");
    let mut rows = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        for line in fs::read_to_string(&path).unwrap().lines() {
            let read: Parameters = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{}: {error}\n{line}", path.display()));
            assert_eq!(read.to_json().to_string(), line, "{}", path.display());
            rows += 1;
        }
    }
    assert!(rows >= 5, "{rows}");
}

#[test]
fn a_descriptor_serialises_as_a_user_would_write_it() {
    let text = "service: shop\nupstream: http://web\nvisibility: public\n";
    let descriptor = Descriptor::from_yaml(text).unwrap();
    let json = serde_json::to_string(&descriptor).unwrap();
    assert_eq!(json, r#"{"service":"shop","upstream":"http://web","visibility":"public"}"#);
    assert_eq!(serde_json::from_str::<Descriptor>(&json).unwrap(), descriptor);
}
