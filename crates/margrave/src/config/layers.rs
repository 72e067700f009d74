//! Values of settings from four places, low to high: defaults, the file, the environment, flags.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::file;
use super::setting::{Kind, SETTINGS, Setting};
use super::source::SourceConfig;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The table of settings.
    Default,
    /// A file, with line and column.
    File(PathBuf, usize, usize),
    /// A variable.
    Env(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line, column) => write!(f, "{}:{line}:{column}", path.display()),
            Self::Env(name) => f.write_str(name),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// A value as written, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// As written.
    pub text: String,
    /// Where.
    pub origin: Origin,
}

/// The winning value of every setting, by key.
#[derive(Debug, Clone)]
pub struct Layers(BTreeMap<&'static str, Value>, Vec<SourceConfig>);

impl Layers {
    /// Only the defaults.
    pub fn defaults() -> Self {
        let value =
            |setting: &Setting| Value { text: setting.default.to_owned(), origin: Origin::Default };
        let values = SETTINGS.iter().map(|setting| (setting.key, value(setting))).collect();
        Self(values, Vec::new())
    }

    /// Lays a file over what is there; says everything that is wrong with it. Its sources may name
    /// variables.
    pub fn file(
        &mut self,
        path: &Path,
        text: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Vec<String> {
        let file::Read { entries, sources, problems } = file::read(path, text, env);
        self.1 = sources;
        for entry in entries {
            let mut text = entry.text;
            if entry.setting.kind == Kind::Path && text != super::NONE {
                let folder = path.parent().unwrap_or(Path::new(""));
                text = folder.join(text).to_string_lossy().into_owned();
            }
            let origin = Origin::File(path.to_owned(), entry.line, entry.column);
            self.0.insert(entry.setting.key, Value { text, origin });
        }
        problems
    }

    /// Lays the environment over what is there. An empty variable counts as unset.
    pub fn env(&mut self, env: &dyn Fn(&str) -> Option<String>) {
        for setting in SETTINGS {
            if let Some(text) = env(&setting.env()).filter(|text| !text.is_empty()) {
                self.0.insert(setting.key, Value { text, origin: Origin::Env(setting.env()) });
            }
        }
    }

    /// Lays flags, by key, over what is there.
    pub fn flags(&mut self, flags: &BTreeMap<&'static str, String>) {
        for (key, text) in flags {
            let name = Setting::find(key).and_then(Setting::flag).unwrap_or_default();
            self.0.insert(key, Value { text: text.clone(), origin: Origin::Flag(name) });
        }
    }

    /// The value of a setting; empty when it has none.
    pub fn get(&self, key: &str) -> (&str, &Origin) {
        self.0.get(key).map_or(("", &Origin::Default), |value| (&value.text, &value.origin))
    }

    /// The sources that the file declares.
    pub fn sources(&self) -> &[SourceConfig] {
        &self.1
    }

    /// Every setting as `key=value`, secrets replaced, for the log.
    pub fn redacted(&self) -> String {
        let shown = SETTINGS.iter().filter(|setting| !self.get(setting.key).0.is_empty());
        let line = |setting: &Setting| match setting.kind {
            Kind::Secret => format!("{}=<redacted>", setting.key),
            _ => format!("{}={}", setting.key, self.get(setting.key).0),
        };
        shown.map(line).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_covers_the_one_below() {
        let mut layers = Layers::defaults();
        let file = "log = 'debug'\nxds = 'sotw'\nzone = 'file.test'\n[listen]\nbroker = 1\n";
        assert_eq!(layers.file(Path::new("m.toml"), file, &|_| None), Vec::<String>::new());
        layers.env(&|name| match name {
            "MARGRAVE_LISTEN_BROKER" => Some("2".to_owned()),
            "MARGRAVE_ZONE" => Some("env.test".to_owned()),
            "MARGRAVE_LOG" => Some(String::new()),
            _ => None,
        });
        layers.flags(&BTreeMap::from([("listen.broker", "3".to_owned())]));
        assert_eq!(layers.get("log_format").0, "text");
        assert_eq!(layers.get("log").0, "debug");
        assert_eq!(layers.get("zone"), ("env.test", &Origin::Env("MARGRAVE_ZONE".to_owned())));
        assert_eq!(layers.get("listen.broker"), ("3", &Origin::Flag("listen-broker".to_owned())));
        assert_eq!(layers.get("xds"), ("sotw", &Origin::File("m.toml".into(), 2, 1)));
    }

    #[test]
    fn paths_of_a_file_are_relative_to_its_folder() {
        let mut layers = Layers::defaults();
        layers
            .file(Path::new("/etc/margrave/m.toml"), "state = 'data'\nenvoy = 'none'\n", &|_| None);
        assert_eq!(layers.get("state").0, "/etc/margrave/data");
        assert_eq!(layers.get("envoy").0, "none");
    }

    #[test]
    fn a_secret_is_never_shown() {
        let mut layers = Layers::defaults();
        layers.file(
            Path::new("m.toml"),
            "[broker]\nusername = 'anna'\npassword = 'hunter2'\n",
            &|_| None,
        );
        let shown = layers.redacted();
        assert!(shown.contains("broker.username=anna broker.password=<redacted>"), "{shown}");
        assert!(!shown.contains("hunter2"));
    }
}
