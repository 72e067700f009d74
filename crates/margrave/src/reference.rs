//! The reference pages that are made from the code: what stands between the markers
//! `<!-- generated: NAME -->` and `<!-- end -->` of a page is compared, and written anew with
//! `UPDATE_GOLDEN=1`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use crate::config::{Kind, SETTINGS};

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name)
}

fn check(file: &str, section: &str, generated: &str) {
    let path = page(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let begin = format!("<!-- generated: {section} -->\n");
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{file}: no {begin}"));
    let (found, after) = rest.split_once("<!-- end -->").expect("an end marker");
    if found == generated {
        return;
    }
    assert!(
        std::env::var_os("UPDATE_GOLDEN").is_some(),
        "docs/reference/{file} is not what the code says; run with UPDATE_GOLDEN=1 and review.\n\
         --- the page\n{found}\n--- the code\n{generated}"
    );
    let text = format!("{before}{begin}{generated}<!-- end -->{after}");
    std::fs::write(&path, text).expect("the page can be written");
}

#[test]
fn the_configuration_page_has_every_setting() {
    let mut table = String::from(
        "\n| key | variable | flag | value | default | what |\n|---|---|---|---|---|---|\n",
    );
    for setting in SETTINGS {
        let flag = setting.flag().map_or("none".to_owned(), |flag| format!("`--{flag}`"));
        let default = match setting.default {
            "" => String::new(),
            default => format!("`{default}`"),
        };
        let shape = match setting.kind {
            Kind::Choice(words) => format!("`{}`", words.join("`, `")),
            _ => format!("`{}`", setting.shape().replace('|', "\\|")),
        };
        let (key, env, help) = (setting.key, setting.env(), setting.help);
        writeln!(table, "| `{key}` | `{env}` | {flag} | {shape} | {default} | {help} |").unwrap();
    }
    table.push('\n');
    check("configuration.md", "settings", &table);
}

#[test]
fn the_example_of_the_configuration_page_is_sound() {
    let text = std::fs::read_to_string(page("configuration.md")).unwrap();
    let example = text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("margrave.toml");
    std::fs::write(&file, example.expect("an example")).unwrap();
    let loaded = crate::config::load(Some(&file), &crate::config::Flags::default(), &|_| None);
    let (config, _) = loaded.unwrap_or_else(|failure| panic!("{}", failure.text()));
    assert_eq!(config.listen.public, "0.0.0.0:10080".parse().unwrap());
    assert_eq!(config.state, folder.path().join(".margrave"));
}

#[test]
fn a_second_platform_has_ports_of_its_own() {
    let path = page("../how-to/run-dev.md");
    let text = std::fs::read_to_string(path).unwrap();
    for setting in SETTINGS.iter().filter(|setting| setting.key.starts_with("listen.")) {
        assert!(text.contains(&format!("{}=0", setting.env())), "{}", setting.key);
    }
}

#[test]
fn the_command_page_has_every_command() {
    let mut definition = crate::command::definition().term_width(100);
    definition.build();
    let mut text = String::new();
    for command in definition.get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = command.get_name();
        let mut command = command.clone().bin_name(format!("margrave {name}"));
        // Variables are named, but the values that they happen to have here are not.
        command = command.mut_args(|arg| arg.hide_env_values(true));
        let help = command.render_help().to_string();
        write!(text, "\n## margrave {name}\n\n```text\n{}\n```\n", tidy(&help)).unwrap();
    }
    text.push('\n');
    check("cli.md", "commands", &text);
}

/// Without spaces at the ends of lines.
fn tidy(text: &str) -> String {
    text.trim_end().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_metrics_page_has_every_metric() {
    let described = Described::default();
    metrics::with_local_recorder(&described, crate::dev::probes::describe);
    let mut rows = described.0.into_inner().unwrap();
    rows.sort();
    let table: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let head = "\n| metric | kind | what |\n|---|---|---|\n";
    check("metrics.md", "metrics", &format!("{head}{table}\n"));
}

/// What an action of the audit log is done to.
const NOUNS: [&str; 10] = [
    "binding",
    "fleet",
    "hostname",
    "instance",
    "join-token",
    "node",
    "operation",
    "platform",
    "team",
    "token",
];

#[test]
fn the_audit_page_has_every_action() {
    let text = std::fs::read_to_string(page("audit.md")).unwrap();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = std::collections::BTreeSet::new();
    for file in
        ["broker", "model", "store"].iter().flat_map(|name| rust(&crates.join(name).join("src")))
    {
        let code = std::fs::read_to_string(&file).unwrap();
        found.extend(code.split('"').filter(|word| is_action(word)).map(str::to_owned));
    }
    assert!(found.len() > 20, "only {found:?}");
    for action in found {
        assert!(text.contains(&format!("`{action}`")), "docs/reference/audit.md lacks `{action}`");
    }
}

/// Noun and verb, such as `token.create`.
fn is_action(word: &str) -> bool {
    let Some((noun, verb)) = word.split_once('.') else { return false };
    let is_word = !verb.is_empty() && verb.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    NOUNS.contains(&noun) && is_word
}

fn rust(folder: &Path) -> Vec<PathBuf> {
    files(folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs")).collect()
}

#[test]
fn links_of_the_documentation_lead_somewhere_and_every_page_is_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let mut pages = vec![root.join("README.md"), root.join("ARCHITECTURE.md")];
    pages.extend(markdown(&root.join("docs")));
    let mut linked = std::collections::BTreeSet::new();
    for page in &pages {
        let text = std::fs::read_to_string(page).unwrap();
        let folder = page.parent().unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") || target.starts_with('#') {
                continue;
            }
            let file = folder.join(target.split('#').next().unwrap_or_default());
            let found = file.canonicalize();
            linked.insert(found.unwrap_or_else(|_| panic!("{}: {target}", page.display())));
        }
    }
    let decisions = root.join("docs/decisions");
    for page in pages.iter().filter(|page| page.starts_with(root.join("docs"))) {
        let is_found = linked.contains(page) || page.starts_with(&decisions);
        assert!(
            is_found || page.ends_with("docs/README.md"),
            "nothing leads to {}",
            page.display()
        );
    }
}

fn markdown(folder: &Path) -> Vec<PathBuf> {
    files(folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == "md")).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let (folders, found): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    found.into_iter().chain(folders.iter().flat_map(|folder| files(folder))).collect()
}

/// A recorder that only takes down what is described.
#[derive(Default)]
struct Described(Mutex<Vec<String>>);

impl Described {
    fn add(&self, name: &KeyName, kind: &str, what: &SharedString) {
        let what = what.trim_end_matches('.');
        let row = format!("| `{}` | {kind} | {what} |", name.as_str());
        self.0.lock().unwrap().push(row);
    }
}

impl Recorder for Described {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, what: SharedString) {
        self.add(&name, "counter", &what);
    }
    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, what: SharedString) {
        self.add(&name, "gauge", &what);
    }
    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, what: SharedString) {
        self.add(&name, "histogram", &what);
    }
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
