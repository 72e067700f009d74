//! The face of the command line: exit codes, and what goes where. No platform runs here.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs a command line in `folder`, without whatever the environment says about Margrave.
fn margrave(folder: &Path, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_margrave"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MARGRAVE_") {
            command.env_remove(name);
        }
    }
    command.env("XDG_CONFIG_HOME", folder.join("settings"));
    let command = command.args(line.split_whitespace()).current_dir(folder).stdin(Stdio::null());
    command.output().expect("the binary runs")
}

const GOOD: &str = "service: shop\nupstream: http://localhost:3000\n";
const BAD: &str = "service: shop\nupstream: http://localhost:3000\nvisibilty: public\n";

/// Command line, exit code, a piece of stdout, a piece of stderr. An empty piece: nothing at all.
const CASES: &[(&str, i32, &str, &str)] = &[
    ("--version", 0, "margrave ", ""),
    ("--help", 0, "Usage: margrave", ""),
    ("", 64, "", "Usage: margrave"),
    ("fly", 64, "", "unrecognized subcommand 'fly'"),
    ("validate --fil x", 64, "", "--file"),
    ("validate -f good.yaml", 0, "good.yaml: service shop (internal) is valid", ""),
    ("validate -f good.yaml -o json", 0, "\"valid\": true", ""),
    ("validate -f bad.yaml", 3, "", "--> bad.yaml:3:1"),
    ("validate -f bad.yaml", 3, "", "did you mean `visibility`?"),
    ("validate -f bad.yaml", 3, "", "1 error; more with `margrave explain MG1004`"),
    ("validate -f none.yaml", 1, "", "there is no none.yaml; name another with -f"),
    ("validate", 1, "", "there is no margrave.yaml"),
    ("apply -f bad.yaml", 3, "", "--> bad.yaml:3:1"),
    ("apply -f good.yaml", 1, "", "is `margrave dev` running?"),
    ("apply -f good.yaml --timeout 0", 64, "", "0 is not in 1..=86400"),
    ("status shop", 1, "", "no platform found in `.margrave`"),
    ("status", 64, "", "which service? Name it"),
    ("status Shop", 64, "", "is not a service name"),
    ("list --url http://127.0.0.1:1 --state kept", 1, "", "http://127.0.0.1:1 does not answer"),
    ("list --url http://127.0.0.1:1", 1, "", "MARGRAVE_BROKER_PASSWORD"),
    ("list --url http://127.0.0.1:1", 1, "", "set MARGRAVE_TOKEN"),
    (
        "list --url http://a:b@127.0.0.1:1",
        64,
        "",
        "credentials do not belong into the broker's URL",
    ),
    (
        "list --url http://127.0.0.1:1 --broker-username a",
        64,
        "",
        "MARGRAVE_BROKER_PASSWORD is missing",
    ),
    ("platform create CF", 64, "", "`CF` is not a credential's name: 1 to 64 of a-z"),
    ("token create --ttl 1d", 64, "", "<--team <NAME>|--operator>"),
    ("logout --url http://127.0.0.1:1", 0, "nothing was kept for http://127.0.0.1:1", ""),
    ("token keep --url http://127.0.0.1:1", 64, "", "no token came in on stdin"),
    ("schema", 0, "\"$schema\": \"http://json-schema.org/draft-04/schema#\"", ""),
    ("schema descriptor", 0, "\"$schema\": \"http://json-schema.org/draft-04/schema#\"", ""),
    ("schema status", 0, "\"$schema\": \"https://json-schema.org/draft/2020-12/schema\"", ""),
    ("schema statsu", 64, "", "there is no schema of `statsu`; did you mean `status`?"),
    ("completion bash", 0, "complete -F _margrave", ""),
    ("completion zsh", 0, "#compdef margrave", ""),
    ("completion fish", 0, "complete -c margrave", ""),
    ("completion tcsh", 64, "", "possible values"),
    ("apply --wait --no-wait", 64, "", "cannot be used with"),
    ("validate -f bad.yaml -o json", 3, "\"code\": \"MG1004\"", "--> bad.yaml:3:1"),
    ("explain mg1004", 0, "MG1004", ""),
    ("explain", 0, "MG1001", ""),
    ("explain MG104", 64, "", "did you mean `MG1004`?"),
    ("dev --config bad.toml", 64, "", "bad.toml:1:1: unknown setting `zoen`; did you mean `zone`?"),
    ("dev --xds poll", 64, "", "--xds: `xds` must be delta|sotw|rest, not `poll`"),
    ("dev --broker-password secret", 64, "", "unexpected argument"),
    ("dev --envoy /none --state s", 1, "", "/none cannot be started as Envoy: get it with"),
];

#[test]
fn exit_codes_and_streams() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("has a parent")).expect("makes folders");
        std::fs::write(path, text).expect("writes");
    };
    write("good.yaml", GOOD);
    write("bad.yaml", BAD);
    write("bad.toml", "zoen = 'x'\n");
    write("kept/credentials.json", r#"{"username": "u", "password": "p"}"#);
    for (line, code, stdout, stderr) in CASES {
        let output = margrave(folder.path(), line);
        let out = String::from_utf8(output.stdout).expect("UTF-8");
        let err = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(*code), "margrave {line}\n{out}\n{err}");
        for (name, found, expected) in [("stdout", &out, stdout), ("stderr", &err, stderr)] {
            let fits =
                if expected.is_empty() { found.is_empty() } else { found.contains(expected) };
            assert!(fits, "margrave {line}: {name} should hold `{expected}`:\n{found}");
        }
        assert!(!err.contains('\u{1b}'), "margrave {line}: colour without a terminal:\n{err}");
    }
}

#[test]
fn the_password_of_a_state_folder_goes_to_its_own_platform_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join(".margrave");
    std::fs::create_dir(&state).expect("made");
    let kept = r#"{"username": "u", "password": "p"}"#;
    std::fs::write(state.join("credentials.json"), kept).expect("written");
    for (line, said) in [
        ("list --url http://127.0.0.1:1", "nothing lets us in"),
        ("list --url http://127.0.0.1:1 --state .margrave", "does not answer"),
    ] {
        let output = margrave(folder.path(), line);
        let err = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(output.status.code() == Some(1) && err.contains(said), "margrave {line}\n{err}");
    }
}
