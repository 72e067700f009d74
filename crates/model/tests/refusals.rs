//! What is refused, and in which words. Each input has its refusal beside it; with
//! `UPDATE_GOLDEN=1` they are written anew, to be read as a diff.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use model::descriptor::{Code, Refusal, show};
use model::{Descriptor, Parameters};

fn inputs(folder: &str, extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let entries =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path());
    let mut inputs: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    inputs.sort();
    inputs
}

/// Compares with the file beside the input.
fn golden(input: &Path, told: &str) {
    let file = input.with_extension("txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, told).expect("a file to write");
    }
    let wanted = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(told, wanted, "{}; UPDATE_GOLDEN=1 writes it anew", file.display());
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("a name").to_string_lossy().into_owned()
}

#[test]
fn bad_descriptors_are_refused_in_these_words() {
    let mut seen: BTreeSet<Code> = BTreeSet::new();
    for input in inputs("refusals", "yaml") {
        let text = fs::read_to_string(&input).unwrap();
        let refusals = Descriptor::from_yaml(&text).expect_err(&stem(&input));
        golden(&input, &show(&refusals, "margrave.yaml", &text));
        let name = stem(&input);
        let named = name.starts_with(|c: char| c.is_ascii_digit());
        let code = format!("MG{}", name.split('-').next().unwrap_or_default());
        let kept = refusals.iter().any(|refusal| refusal.code.as_str() == code);
        assert!(!named || kept, "{name} has no {code}");
        seen.extend(refusals.iter().map(|refusal| refusal.code));
    }
    // The broker alone knows which hostnames are taken.
    seen.extend([Code::Taken, Code::Wildcard, Code::Quota]);
    let unseen: Vec<_> = Code::ALL.iter().filter(|code| !seen.contains(code)).collect();
    assert_eq!(unseen, Vec::<&Code>::new(), "codes without an example");
}

#[test]
fn bad_parameters_are_refused_by_path_and_without_lines() {
    for input in inputs("parameters", "json") {
        let text = fs::read_to_string(&input).unwrap();
        let refusals = Parameters::from_json(&text).expect_err(&stem(&input));
        let lines: Vec<String> = refusals.iter().map(|refusal| format!("{refusal}\n")).collect();
        golden(&input, &lines.concat());
        let syntax = refusals.iter().all(|refusal| refusal.code == Code::Syntax);
        assert!(syntax || refusals.iter().all(|refusal| refusal.place.is_none()), "{lines:?}");
    }
}

#[test]
fn a_refusal_travels_as_json() {
    let text = "service: shop\nupstream: http://a\nservice: b\n";
    let refusals = Descriptor::from_yaml(text).unwrap_err();
    let json = serde_json::to_value(&refusals).unwrap();
    let wanted = serde_json::json!([{
        "code": "MG1002",
        "path": "service",
        "place": {"line": 3, "col": 1, "len": 7},
        "message": "`service` is written twice",
        "help": "keep one of the two",
        "also": {
            "path": "service",
            "place": {"line": 1, "col": 1, "len": 7},
            "label": "first written here",
        },
    }]);
    assert_eq!(json, wanted);
    assert_eq!(serde_json::from_value::<Vec<Refusal>>(json).unwrap(), refusals);
}
