//! The audit log from the command line: listed, exported, verified, and caught at lying.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Dev, command, dev_command};

fn run(state: &Path, line: &str) -> Output {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    command(state, &arguments).current_dir(state).output().expect("the binary runs")
}

/// What a command that succeeds prints.
fn said(state: &Path, line: &str) -> String {
    let output = run(state, line);
    assert!(output.status.success(), "margrave {line}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The last head that the log stream told.
fn told(log: &Path) -> String {
    let log = std::fs::read_to_string(log).expect("a log");
    let heads = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut heads = heads.filter(|line| line["target"] == "audit");
    heads.next_back().expect("a head was told")["head"].as_str().expect("SEQ:HASH").to_owned()
}

#[test]
fn what_happened_is_told_and_proven() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let log = folder.path().join("log");
    let descriptor = state.join("margrave.yaml");
    std::fs::write(&descriptor, "service: shop\nupstream: http://localhost:3000\n").unwrap();
    let arguments = ["--envoy", "none", "--log-format", "json"];
    let to_file = |command: &mut Command| {
        command.stderr(Stdio::from(std::fs::File::create(&log).unwrap()));
    };
    let dev = Dev::start_as(&state, dev_command(&state, &arguments), to_file);
    said(&state, "apply --team pay");
    std::fs::write(&descriptor, "service: shop\nupstream: http://localhost:3001\n").unwrap();
    said(&state, "apply --team pay");

    let listed = said(&state, "audit list");
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 5, "{listed}");
    assert!(lines[0].starts_with("TIME"), "{listed}");
    assert!(lines[1].contains("operation.succeeded") && lines[1].contains("pay"), "{listed}");
    assert!(lines[2].contains("changed=upstream"), "{listed}");
    for (line, count) in [
        ("audit list --team pay --service shop -o json", 4),
        ("audit list --team web -o json", 0),
        ("audit list --action instance.update --since 1h -o json", 1),
        ("audit list --until 1h -o json", 0),
        ("audit list --limit 3 -o json", 3),
    ] {
        let entries: Value = serde_json::from_str(&said(&state, line)).expect(line);
        assert_eq!(entries.as_array().map(Vec::len), Some(count), "{line}");
    }
    assert!(said(&state, "audit verify").starts_with("the audit log is whole: 4 entries, head 4:"));
    let exported = folder.path().join("log.jsonl");
    std::fs::write(&exported, said(&state, "audit export")).unwrap();

    assert_eq!(dev.end(Signal::TERM).code(), Some(0));
    let head = told(&log);
    assert!(head.starts_with("4:"), "{head}");
    let database = state.join("margrave.db");
    let offline = format!("audit verify --database {} --head {head}", database.display());
    let whole = said(&state, &offline);
    assert!(whole.contains("contains every head"), "{whole}");
    said(&state, &format!("audit verify --export {} --head {head}", exported.display()));

    let export = std::fs::read_to_string(&exported).unwrap();
    let verify = |text: String, head: &str| {
        std::fs::write(&exported, text).unwrap();
        run(&state, &format!("audit verify --export {} {head}", exported.display()))
    };
    let mut lines: Vec<&str> = export.lines().collect();
    lines.pop();
    let cut = verify(lines.join("\n"), &format!("--head {head}"));
    assert_eq!(cut.status.code(), Some(3));
    assert!(text(&cut.stderr).contains("the log ends at entry 3"), "{}", text(&cut.stderr));
    let own = verify(lines.join("\n"), "");
    assert!(own.status.success(), "without the head nobody could tell");
    assert!(text(&own.stderr).contains("--head"), "{}", text(&own.stderr));
    let found = verify(export.replacen("pay", "web", 1), "");
    assert_eq!(found.status.code(), Some(3));
    assert!(text(&found.stderr).contains("entry 1 is not what was written"));
    assert_eq!(verify("no entry".to_owned(), "").status.code(), Some(1));
}
