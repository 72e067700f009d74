//! Golden folders: `golden/<case>/in.yaml` is a descriptor (or `platform.json`, of which listeners
//! are made), `out.json` beside it what becomes of it. `UPDATE_GOLDEN=1` writes the outputs again,
//! and removes those without an input.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::descriptor::{Descriptor, Upstream};
use model::{Node, type_urls};
use render::{Draft, Endpoints, Platform, Templates};
use serde_json::{Map, Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn cases() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).expect("the folder is there").flatten();
    let mut cases: Vec<_> =
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    cases.sort();
    cases
}

/// What a case renders; `None` when it has no input.
fn rendered(case: &Path) -> Option<Vec<Draft>> {
    let read = |name: &str| std::fs::read_to_string(case.join(name)).ok();
    let templates = Templates::builtin();
    if let Some(platform) = read("platform.json") {
        let mut all = serde_json::to_value(common::platform()).expect("JSON");
        let some: Map<String, Value> = serde_json::from_str(&platform).expect("an object");
        all.as_object_mut().expect("an object").extend(some);
        let platform: Platform = serde_json::from_value(all).expect("a platform");
        return Some(templates.group(&platform, &Node::default()).expect("it renders"));
    }
    let text = read("in.yaml")?;
    let descriptor = Descriptor::from_yaml(&text).unwrap_or_else(|told| panic!("{told:?}"));
    let endpoints = endpoints(&descriptor);
    let spec = common::spec_of(descriptor);
    let callers = ["b-one", "b-two"].map(|id| common::callers::Bound::new(id).caller());
    let platform = common::platform();
    let drafts = common::render_for(&templates, &platform, "i-1", &spec, &endpoints, &callers);
    Some(drafts.unwrap_or_else(|told| panic!("{}: {told:#?}", case.display())))
}

/// Addresses in numbers as they are; names at 10.0.0.1 and on.
fn endpoints(descriptor: &Descriptor) -> Endpoints {
    let resolve = |upstream: &Upstream| {
        let addresses = upstream.addresses.iter().zip(1..);
        let at = |(to, n): (&model::descriptor::Address, u8)| {
            let ip: std::net::IpAddr = to.host.parse().unwrap_or_else(|_| [10, 0, 0, n].into());
            (ip, to.port).into()
        };
        addresses.map(at).collect()
    };
    let parameters = &descriptor.parameters;
    let top = parameters.upstream.iter().map(|upstream| ("default".to_owned(), resolve(upstream)));
    let named =
        parameters.upstreams.iter().map(|(name, upstream)| (name.clone(), resolve(upstream)));
    top.chain(named).collect()
}

/// `type name hash`, a line each: the bytes are the same in every process.
fn hashes(drafts: &[Draft]) -> String {
    let line = |draft: &Draft| {
        format!("{} {} {:016x}\n", draft.type_url.message(), draft.name, draft.hash)
    };
    drafts.iter().map(line).collect()
}

/// `{type: {name: resource}}`, indented.
fn shown(drafts: &[Draft]) -> String {
    let mut shown: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for draft in drafts {
        let of_type = shown.entry(draft.type_url.message()).or_default();
        of_type.insert(draft.name.to_string(), draft.json.clone());
    }
    serde_json::to_string_pretty(&json!(shown)).expect("JSON") + "\n"
}

#[test]
fn cases_render_as_they_did() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut different = Vec::new();
    for case in cases() {
        let drafts = rendered(&case);
        for (name, show) in [("out.json", shown as fn(&[Draft]) -> String), ("out.hashes", hashes)]
        {
            let file = case.join(name);
            let is = drafts.as_deref().map(show);
            let was = std::fs::read_to_string(&file).ok();
            match (is, was) {
                (is, was) if is == was => {}
                (Some(is), _) if update => std::fs::write(&file, is).expect("writable"),
                (None, Some(_)) if update => std::fs::remove_file(&file).expect("removable"),
                _ => different.push(file.display().to_string()),
            }
        }
        if drafts.is_none() && update {
            std::fs::remove_dir(&case).expect("nothing else is in it");
        }
    }
    assert!(different.is_empty(), "UPDATE_GOLDEN=1 and review the diff of {different:#?}");
    assert!(cases().len() >= 10, "the cases are gone");
}

#[test]
fn envoy_accepts_every_case() {
    let groups =
        |drafts: &[Draft]| drafts.iter().any(|d| d.type_url.as_str() == type_urls::LISTENER);
    let listeners = Templates::builtin().group(&common::platform(), &Node::default());
    let listeners = listeners.expect("they render");
    let some = rendered(&folder().join("minimal")).expect("it has an input");
    for case in cases() {
        let drafts = rendered(&case).expect("it has an input");
        let bootstrap = match groups(&drafts) {
            true => common::envoy::bootstrap(&drafts, &some),
            false => common::envoy::bootstrap(&listeners, &drafts),
        };
        assert_eq!(common::envoy::validate(&bootstrap), Ok(()), "{}", case.display());
    }
}
