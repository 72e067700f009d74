//! The shape of the house: layers, names and words that no compiler checks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// From the top of the line's layers to its floor; crates of one layer never name each other.
const LAYERS: &[&[&str]] = &[
    &["bench", "margrave"],
    &["broker", "console", "worker", "plane"],
    &["authority", "context", "login", "render", "xds"],
    &["store"],
    &["model", "keys"],
];

/// `store` is below `context`, but `render` and `xds` must not even see it.
const BLIND: &[(&str, &str)] = &[("render", "store"), ("xds", "store")];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--locked", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().expect("packages");
    let names: BTreeSet<_> = packages.iter().map(|p| text(&p["name"])).collect();
    let ours = |package: &serde_json::Value| {
        let all = package["dependencies"].as_array().expect("dependencies").iter();
        all.filter(|d| d["kind"].is_null())
            .map(|d| text(&d["name"]))
            .filter(|n| names.contains(n))
            .collect()
    };
    packages.iter().map(|package| (text(&package["name"]), ours(package))).collect()
}

#[test]
fn crates_name_only_crates_of_lower_layers() {
    let layer = |name: &str| LAYERS.iter().position(|layer| layer.contains(&name));
    for (name, dependencies) in dependencies() {
        let at = layer(&name).unwrap_or_else(|| panic!("`{name}` has no place in LAYERS"));
        for dependency in dependencies {
            let below = layer(&dependency).is_some_and(|other| other > at);
            assert!(below, "`{name}` names `{dependency}`, which is not in a layer below it");
            assert!(!BLIND.contains(&(&name, &dependency)), "`{name}` must not see `{dependency}`");
        }
    }
}

#[test]
fn the_map_names_every_crate() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    for name in dependencies().keys() {
        assert!(map.contains(&format!("| `{name}` |")), "ARCHITECTURE.md does not list `{name}`");
    }
}

#[test]
fn every_module_says_what_it_is_and_nothing_is_left_undone() {
    // Spelled in two halves so that this file passes its own test.
    let undone = ["FIX", "TO", "XX"].map(|half| match half {
        "FIX" => "FIXME",
        "TO" => "TODO",
        _ => "XXX",
    });
    for file in sources(&root().join("crates")) {
        let text = std::fs::read_to_string(&file).expect("readable");
        let shown = file.display();
        if !file.ends_with("tests/house.rs") {
            for word in undone {
                assert!(!text.contains(word), "{shown} holds {word}");
            }
        }
        assert!(text.trim_start().starts_with("//!"), "{shown} begins without a `//!` sentence");
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{shown} has {lines} lines; split it along an idea");
    }
}

/// No file grows beyond this; most have around a hundred lines.
const LINES_MAX: usize = 600;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Tests that cannot run somewhere are listed in `tests-skipped.txt` with their reason; an
/// `#[ignore]` that is not on the list fails, and so does a line without its test.
#[test]
fn skipped_tests_are_on_the_list() {
    let list =
        std::fs::read_to_string(root().join("tests-skipped.txt")).expect("tests-skipped.txt");
    let listed: BTreeSet<_> = list
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| {
            let (name, reason) = line.split_once(": ").expect("`name: reason`");
            assert!(reason.len() > 10, "`{name}` needs a reason");
            name.to_owned()
        })
        .collect();
    let ignored: BTreeSet<_> = sources(&root().join("crates"))
        .iter()
        .filter(|file| !file.ends_with("tests/house.rs"))
        .flat_map(|file| ignored_tests(&std::fs::read_to_string(file).expect("readable")))
        .collect();
    assert_eq!(listed, ignored, "tests-skipped.txt (left) and the #[ignore]d tests (right) differ");
}

fn ignored_tests(text: &str) -> Vec<String> {
    let after_ignore = text.split("#[ignore").skip(1);
    after_ignore
        .filter_map(|rest| rest.split("fn ").nth(1)?.split('(').next().map(str::to_owned))
        .collect()
}
