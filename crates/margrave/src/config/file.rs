//! Reads `margrave.toml`, and says everything that is wrong with it in one run, with its place.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::setting::{SETTINGS, Setting};
use super::source::{self, SourceConfig};
use crate::suggest;

/// The table of declared sources, which are no settings: there may be any number.
const SOURCE: &str = "source";

/// One setting as the file has it.
pub struct Entry {
    /// Which.
    pub setting: &'static Setting,
    /// Its value.
    pub text: String,
    /// Line of its key, from 1.
    pub line: usize,
    /// Column of its key, from 1.
    pub column: usize,
}

/// What a file says.
pub struct Read {
    /// Its settings.
    pub entries: Vec<Entry>,
    /// The sources that it declares.
    pub sources: Vec<SourceConfig>,
    /// What is wrong with it.
    pub problems: Vec<String>,
}

/// The settings of a file, its sources, and what is wrong with it.
pub fn read(path: &Path, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Read {
    let read = Read { entries: Vec::new(), sources: Vec::new(), problems: Vec::new() };
    let mut reader = Reader { path, text, env, read };
    match DeTable::parse(text) {
        Ok(table) => reader.table("", table.get_ref()),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            reader.problem(at, error.message());
        }
    }
    reader.read
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    env: &'a dyn Fn(&str) -> Option<String>,
    read: Read,
}

impl Reader<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let full = format!("{prefix}{}", key.get_ref());
            let at = key.span().start;
            match (Setting::find(&full), value.get_ref()) {
                (Some(setting), _) => self.setting(setting, at, value),
                (None, _) if full == SOURCE => self.sources(value),
                (None, DeValue::Table(inner)) if is_table(&full) => {
                    self.table(&format!("{full}."), inner);
                }
                _ => {
                    let known = SETTINGS.iter().map(|setting| setting.key).chain([SOURCE]);
                    let hint = suggest::near(&full, known);
                    self.problem(at, &format!("unknown setting `{full}`{hint}"));
                }
            }
        }
    }

    fn setting(&mut self, setting: &'static Setting, at: usize, value: &Spanned<DeValue<'_>>) {
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Boolean(yes) => yes.to_string(),
            _ => {
                let expected = setting.shape();
                self.problem(at, &format!("`{}` must be one value: {expected}", setting.key));
                return;
            }
        };
        let (line, column) = place(self.text, at);
        self.read.entries.push(Entry { setting, text, line, column });
    }

    fn sources(&mut self, value: &Spanned<DeValue<'_>>) {
        let around = source::Around { path: self.path, env: self.env };
        let (sources, problems) = source::read(value, &around);
        self.read.sources = sources;
        problems.into_iter().for_each(|(at, what)| self.problem(at.start, &what));
    }

    fn problem(&mut self, at: usize, what: &str) {
        let (line, column) = place(self.text, at);
        self.read.problems.push(format!("{}:{line}:{column}: {what}", self.path.display()));
    }
}

fn is_table(key: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.key.starts_with(&format!("{key}.")))
}

/// Line and column, both from 1, of a byte offset.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        read(Path::new("m.toml"), text, &|_| None).problems
    }

    #[test]
    fn unknown_settings_are_refused_with_a_suggestion() {
        let text = "zoen = 'x'\n\n[listen]\n  brokr = 1\n[lisetn]\nbroker = 1\n";
        let expected = [
            "m.toml:5:2: unknown setting `lisetn`",
            "m.toml:4:3: unknown setting `listen.brokr`; did you mean `listen.broker`?",
            "m.toml:1:1: unknown setting `zoen`; did you mean `zone`?",
        ];
        let mut found = problems(text);
        found.sort_by(|a, b| b.cmp(a));
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found} should begin with {expected}");
        }
    }

    #[test]
    fn what_is_not_one_value_is_refused() {
        let found = problems("log = ['info']\n");
        assert_eq!(found, ["m.toml:1:1: `log` must be one value: TEXT"]);
    }

    #[test]
    fn a_syntax_error_has_its_place() {
        let found = problems("log = 'info'\nzone =\n");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("m.toml:2:"), "{found:?}");
    }
}
