//! The tokens that this user keeps, each for the broker that it opens: a file in the folder of the
//! user's settings, for nobody else's eyes.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use keys::Secret;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::renew::Renewal;
use crate::failure::Failure;
use crate::private;

/// The largest file that is read, in bytes: what an issuer of logins signs is long.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What only its owner may be given.
const OTHERS: u32 = 0o077;

/// The file.
#[derive(Debug, Clone)]
pub struct Kept(PathBuf);

/// What is kept for one broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What is sent.
    #[serde(serialize_with = "write_secret", deserialize_with = "read_secret")]
    pub token: Secret,
    /// The team that is meant when nobody names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Of a login: what makes it new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Renewal>,
    /// What another release has written.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Document {
    #[serde(default)]
    brokers: BTreeMap<String, Entry>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

impl Kept {
    /// That of whoever runs this: `$XDG_CONFIG_HOME/margrave/credentials.json`, or below `~/.config`.
    /// `None`: this user has no home.
    pub fn of_user() -> Option<Self> {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let home = || Some(absolute("HOME")?.join(".config"));
        let settings = absolute("XDG_CONFIG_HOME").or_else(home)?;
        Some(Self(settings.join("margrave/credentials.json")))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What is kept for the broker at `url`.
    pub fn read(&self, url: &str) -> anyhow::Result<Option<Entry>> {
        Ok(self.document()?.brokers.remove(&key(url)))
    }

    /// Keeps `entry` for the broker at `url`, in place of what was kept for it.
    pub fn save(&self, url: &str, entry: Entry) -> anyhow::Result<()> {
        self.change(|document| document.brokers.insert(key(url), entry)).map(|_| ())
    }

    /// Keeps nothing for the broker at `url`; whether anything was.
    pub fn forget(&self, url: &str) -> anyhow::Result<bool> {
        // A folder need not be made to forget what is not there.
        if !self.0.exists() {
            return Ok(false);
        }
        self.change(|document| document.brokers.remove(&key(url))).map(|gone| gone.is_some())
    }

    /// What is kept for the broker at `url`, made new. Two commands take turns, so that the second sees
    /// what the first has brought.
    pub fn renew(
        &self,
        url: &str,
        renew: impl FnOnce(Entry) -> Result<Entry, Failure>,
    ) -> Result<Entry, Failure> {
        let _turn = self.turn()?;
        let mut document = self.document()?;
        let gone = || Failure::Refused(format!("what was kept for {url} has just been forgotten"));
        let before = document.brokers.remove(&key(url)).ok_or_else(gone)?;
        let after = renew(before.clone())?;
        if after != before {
            document.brokers.insert(key(url), after.clone());
            self.write(&document)?;
        }
        Ok(after)
    }

    fn document(&self) -> anyhow::Result<Document> {
        let shown = self.0.display();
        let mut file = match File::open(&self.0) {
            // Of a user without a home, `HOME` may be no folder.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(Document::default());
            }
            opened => opened.with_context(|| format!("cannot read {shown}"))?,
        };
        let found = file.metadata().with_context(|| format!("cannot read {shown}"))?;
        let mode = found.permissions().mode() & 0o777;
        if mode & OTHERS != 0 {
            bail!(
                "{shown} holds tokens, and other users of this machine may read it (its mode is \
                 {mode:04o}): say `chmod 600 {shown}`, and revoke what they may have seen"
            );
        }
        if found.len() > FILE_BYTES_MAX {
            bail!("{shown} is too large to be ours");
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).with_context(|| format!("cannot read {shown}"))?;
        let text = Secret::new(text);
        // What is wrong is told by its place alone: a line of it may be a token.
        serde_json::from_slice(text.expose()).map_err(|why| {
            anyhow::anyhow!(
                "{shown} is not as it was written (line {}, column {}): mend it, or delete it and \
                 log in anew",
                why.line(),
                why.column()
            )
        })
    }

    /// Changes the file as a whole; two commands at a time take turns.
    fn change<T>(&self, change: impl FnOnce(&mut Document) -> T) -> anyhow::Result<T> {
        let _turn = self.turn()?;
        let mut document = self.document()?;
        let changed = change(&mut document);
        self.write(&document)?;
        Ok(changed)
    }

    /// As long as this is held, nobody else changes the file.
    fn turn(&self) -> anyhow::Result<File> {
        let writing = || format!("cannot write {}", self.0.display());
        let folder = self.0.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(writing)?;
        let lock = folder.join("credentials.lock");
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(lock);
        let lock = lock.with_context(writing)?;
        lock.lock().with_context(writing)?;
        Ok(lock)
    }

    fn write(&self, document: &Document) -> anyhow::Result<()> {
        let writing = || format!("cannot write {}", self.0.display());
        let text = Secret::new(serde_json::to_vec_pretty(document).with_context(writing)?);
        private::replace(&self.0, text.expose())
    }
}

/// One broker has one key, however its URL was written.
fn key(url: &str) -> String {
    let written = reqwest::Url::parse(url).map_or_else(|_| url.to_owned(), String::from);
    written.trim_end_matches('/').to_owned()
}

pub(super) fn write_secret<S: Serializer>(
    secret: &Secret,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let text = secret.expose_str().ok_or_else(|| serde::ser::Error::custom("this is no text"))?;
    serializer.serialize_str(text)
}

pub(super) fn read_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(token: &str) -> Entry {
        let token = Secret::from(token.to_owned());
        Entry { token, team: Some("shop".to_owned()), login: None, more: Map::new() }
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_kept_is_for_one_broker_and_for_our_eyes_only() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept(folder.path().join("margrave/credentials.json"));
        assert_eq!(kept.read("http://a").unwrap(), None);
        assert!(!kept.forget("http://a").unwrap());
        kept.save("http://A:8080/", entry("one")).unwrap();
        kept.save("http://b", entry("two")).unwrap();
        assert_eq!(kept.read("http://a:8080").unwrap(), Some(entry("one")));
        assert_eq!(kept.read("http://a").unwrap(), None, "another port is another broker");
        assert_eq!(mode(kept.path()), 0o600);
        assert_eq!(mode(kept.path().parent().unwrap()), 0o700);
        assert!(kept.forget("http://a:8080/").unwrap());
        assert_eq!(kept.read("http://a:8080").unwrap(), None);
        assert_eq!(kept.read("http://b").unwrap(), Some(entry("two")));
    }

    #[test]
    fn what_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept(folder.path().join("credentials.json"));
        kept.save("http://a", entry("one")).unwrap();
        for open in [0o640, 0o604, 0o660] {
            std::fs::set_permissions(kept.path(), PermissionsExt::from_mode(open)).unwrap();
            let said = kept.read("http://a").expect_err("it is open").to_string();
            assert!(said.contains("chmod 600") && said.contains(&format!("{open:04o}")), "{said}");
            kept.save("http://b", entry("two")).expect_err("it is open");
        }
    }

    #[test]
    fn what_is_damaged_is_told_without_its_text_and_what_is_not_ours_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept(folder.path().join("credentials.json"));
        private::replace(kept.path(), b"{\"brokers\": {\"http://a\": \"s3cr3t\"}}").unwrap();
        let said = kept.read("http://a").expect_err("damaged").to_string();
        assert!(!said.contains("s3cr3t") && said.contains("line 1"), "{said}");
        let text = br#"{"brokers": {"http://a": {"token": "t", "refresh": "r"}}, "later": 1}"#;
        private::replace(kept.path(), text).unwrap();
        kept.save("http://b", entry("two")).unwrap();
        let found: Value = serde_json::from_slice(&std::fs::read(kept.path()).unwrap()).unwrap();
        assert_eq!(found["brokers"]["http://a"]["refresh"], "r");
        assert_eq!(found["later"], 1);
    }

    #[test]
    fn commands_take_turns() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept(folder.path().join("credentials.json"));
        std::thread::scope(|scope| {
            for number in 0..8 {
                let kept = &kept;
                let url = format!("http://broker-{number}");
                scope.spawn(move || kept.save(&url, entry("t")).unwrap());
            }
        });
        for number in 0..8 {
            let found = kept.read(&format!("http://broker-{number}")).unwrap();
            assert_eq!(found, Some(entry("t")), "{number} was lost");
        }
    }
}
