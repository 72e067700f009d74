//! The tutorial, and how-tos that say so, word for word: every `yaml` block is saved, every `console`
//! block is run and must answer what it shows.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::Dev;

/// Where the pages are.
const DOCS: &str = "../../docs";

/// The fenced blocks of a page: their language and text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let fenced = page.split("\n```").skip(1).step_by(2);
    fenced.filter_map(|block| block.split_once('\n')).collect()
}

/// A `console` block as pairs of command and expected output.
fn commands(block: &str) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), pairs.last_mut()) {
            (Some(command), _) => pairs.push((command.to_owned(), String::new())),
            (None, Some((_, output))) => *output += &format!("{line}\n"),
            (None, None) => panic!("a console block begins with a command: {line}"),
        }
    }
    pairs
}

/// Whether a text is as shown, where `…` stands for anything.
fn is_shown(text: &str, shown: &str) -> bool {
    let mut rest = text;
    let mut pieces = shown.split('…');
    let first = pieces.next().unwrap_or_default();
    let Some(after) = rest.strip_prefix(first) else { return false };
    rest = after;
    let mut last = first;
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
        last = piece;
    }
    rest.is_empty() || last.is_empty()
}

struct Backend(Child, String);

impl Backend {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_margrave"));
        command.args(["sample-backend", "--port", "0"]).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the backend starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("it says where it is");
        let port = line.trim().rsplit(':').next().expect("a port").to_owned();
        Self(child, port)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a line in a shell; what it writes to stdout and stderr, in order.
fn run(folder: &Path, line: &str) -> String {
    let bin = Path::new(env!("CARGO_BIN_EXE_margrave")).parent().expect("a folder");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{{ {line} ; }} 2>&1")]).current_dir(folder).env("PATH", path);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MARGRAVE_")) {
        shell.env_remove(name);
    }
    shell.env("XDG_CONFIG_HOME", folder.join("settings"));
    let output = shell.stdin(Stdio::null()).output().expect("a shell");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    if text.is_empty() || text.ends_with('\n') { text } else { text + "\n" }
}

/// Runs what a page shows, and compares; how many commands it has.
fn is_true(page: &str) -> usize {
    let folder = tempfile::tempdir().expect("a folder");
    let backend = Backend::start();
    let dev = Dev::start(&folder.path().join(".margrave"), &[]);
    let port = |name: &str| dev.endpoint(name).rsplit(':').next().expect("a port").to_owned();
    let ports = [
        (":8080", format!(":{}", port("broker"))),
        (":3000", format!(":{}", backend.1)),
        (":10080", format!(":{}", port("public"))),
        (":11080", format!(":{}", port("internal"))),
    ];
    let here = |text: &str| ports.iter().fold(text.to_owned(), |text, (a, b)| text.replace(a, b));
    let there = |text: &str| ports.iter().fold(text.to_owned(), |text, (a, b)| text.replace(b, a));
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCS).join(page);
    let page = std::fs::read_to_string(page).expect("the page");
    let mut ran = 0;
    for (language, block) in blocks(&page) {
        match language {
            "yaml" => {
                std::fs::write(folder.path().join("margrave.yaml"), here(block)).expect("saved");
            }
            "console" => {
                for (command, shown) in commands(block) {
                    let said = there(&run(folder.path(), &here(&command)));
                    assert!(is_shown(&said, &shown), "$ {command}\n{said}--- shown:\n{shown}");
                    ran += 1;
                }
            }
            other => panic!("what is a block of `{other}`?"),
        }
    }
    ran
}

#[test]
fn the_tutorial_is_true_word_for_word() {
    let ran = is_true("tutorial/first-load-balancer.md");
    assert!(ran > 10, "only {ran} commands were found");
}

#[test]
fn a_token_for_ci_is_made_used_and_replaced_as_the_page_says() {
    assert_eq!(is_true("how-to/tokens-for-ci.md"), 10);
}

#[test]
fn a_platform_is_connected_as_the_page_says() {
    assert_eq!(is_true("how-to/connect-a-platform.md"), 8);
}

#[test]
fn dots_stand_for_anything_and_nothing_else_does() {
    for (text, shown, expected) in [
        ("a b c", "a b c", true),
        ("a b c", "a b", false),
        ("a b c", "a … c", true),
        ("a b c d", "a … c", false),
        ("a b c d", "a …", true),
        ("a", "b", false),
        ("x a", "a", false),
    ] {
        assert_eq!(is_shown(text, shown), expected, "{text} / {shown}");
    }
}
