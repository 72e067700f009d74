//! What commands print with `-o json`, held to the schemas that `margrave schema` prints; and that
//! the text beside it is the same without a terminal.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::support::{Dev, command};

/// Command line, exit code, the schema that its output fits. In order: each finds what those before
/// it have made.
const CASES: &[(&str, i32, &str)] = &[
    ("list -o json", 0, "list"),
    ("validate -f good.yaml -o json", 0, "validate"),
    ("validate -f bad.yaml -o json", 3, "validate"),
    ("explain -o json", 0, "explain"),
    ("explain MG1004 -o json", 0, "explain"),
    ("plan -f good.yaml -o json", 2, "plan"),
    ("apply -f good.yaml -o json", 0, "apply"),
    ("plan -f good.yaml --resources -o json", 0, "plan"),
    ("apply -f good.yaml --wait -o json", 0, "apply"),
    ("apply -f other.yaml --no-wait -o json", 0, "apply"),
    ("status shop -o json", 0, "status"),
    ("list -o json", 0, "list"),
    ("audit list -o json", 0, "audit list"),
    ("audit verify -o json", 0, "audit verify"),
    ("whoami -o json", 0, "whoami"),
    ("token create --team shop --name ci -o json", 0, "token create"),
    ("token create --operator --credential ops.token -o json", 0, "token create"),
    ("token list -o json", 0, "token list"),
    ("token revoke ci -o json", 0, "token revoke"),
    ("token list --ended -o json", 0, "token list"),
    ("platform create cf -o json", 0, "platform create"),
    ("platform rotate cf --credential cf.password -o json", 0, "platform rotate"),
    ("platform list -o json", 0, "platform list"),
    ("platform delete cf -o json", 0, "platform delete"),
    ("logout -o json", 0, "logout"),
    ("delete shop --yes --no-wait -o json", 0, "delete"),
    ("delete other --yes -o json", 0, "delete"),
];

const SHOP: &str = "service: shop\nupstream: http://localhost:3000\n";

fn run(state: &Path, folder: &Path, line: &str) -> Output {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    let mut command = command(state, &arguments);
    command.current_dir(folder).output().expect("the binary runs")
}

/// Commands without a platform know no `--state`.
fn run_alone(folder: &Path, line: &str) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_margrave"));
    command.args(line.split_whitespace()).current_dir(folder).output().expect("the binary runs")
}

#[test]
fn what_is_printed_is_what_the_schema_says() {
    let (state, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("good.yaml", SHOP);
    write("other.yaml", &SHOP.replace("shop", "other"));
    write("bad.yaml", "service: shop\nupstrem: http://localhost:3000\n");
    let dev = Dev::start(state.path(), &[]);
    for (line, code, schema) in CASES {
        let output = match line.split_whitespace().next() {
            Some("validate" | "explain") => run_alone(folder.path(), line),
            _ => run(&dev.state, folder.path(), line),
        };
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(*code), "margrave {line}\n{out}\n{err}");
        let value: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{line}: {out}"));
        let schema = run_alone(folder.path(), &format!("schema {schema}"));
        let schema: Value = serde_json::from_slice(&schema.stdout).expect("a schema");
        let judge = jsonschema::validator_for(&schema).expect("a sound schema");
        let wrong: Vec<_> = judge.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "margrave {line}: {wrong:?}\n{out}");
        assert!(!format!("{out}{err}").contains('\u{1b}'), "colour without a terminal: {out}{err}");
    }
}

#[test]
fn a_step_tells_how_long_it_took() {
    let (state, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("margrave.yaml"), SHOP).unwrap();
    let dev = Dev::start(state.path(), &[]);
    let output = run(&dev.state, folder.path(), "apply");
    let said = text(&output.stderr);
    let steps: Vec<_> = said.lines().filter(|line| line.trim_start().starts_with("done")).collect();
    assert!(!steps.is_empty(), "{said}");
    assert!(steps.iter().all(|step| step.ends_with("s)")), "each ends with its time:\n{said}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}
