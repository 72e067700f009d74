//! The state folder, as the platform keeps it and as the other commands find the platform by it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use keys::{Keyring, Secret};
use rand::Rng;
use rand::distr::Alphanumeric;
use serde::{Deserialize, Serialize};
use store::SummaryFolder;

use crate::config::Credentials;
use crate::private;

/// The state folder when nothing names another.
pub const DEFAULT: &str = ".margrave";
/// The username of credentials that were made.
const USERNAME: &str = "developer";
/// 32 characters of 62 are 190 bits.
const PASSWORD_CHARACTERS: usize = 32;
/// The folder of what replicas of the control plane keep and tell.
const REPLICAS: &str = "replicas";
/// The file of what a replica has served.
pub const LAST_GOOD: &str = "last-good.db";
/// The socket at which a replica is asked.
const QUESTIONS: &str = "questions";
/// The file of the keyring.
const KEYRING: &str = "keys.json";
/// The largest file of ours that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Where everything of a running platform answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// The process.
    pub pid: u32,
    /// Zone of default hostnames.
    pub zone: String,
    /// Broker and platform API: a URL.
    pub broker: String,
    /// Console: a URL.
    #[serde(default)]
    pub console: String,
    /// Metrics and probes: a URL.
    pub metrics: String,
    /// xDS.
    pub xds: SocketAddr,
    /// Envoy's public listener.
    pub public: SocketAddr,
    /// Envoy's internal listener.
    pub internal: SocketAddr,
    /// Envoy's admin interface; absent when no Envoy was started.
    pub admin: Option<SocketAddr>,
}

/// A state folder.
#[derive(Debug, Clone)]
pub struct State(PathBuf);

impl State {
    /// The folder at `path`, which need not exist to be read.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the folder, for our eyes only, and takes it for this process as long as the lock
    /// lives.
    pub fn take(&self) -> anyhow::Result<File> {
        let shown = self.0.display();
        match lock(&self.0)? {
            Some(lock) => Ok(lock),
            None => bail!(
                "the state folder {shown} is in use by another `margrave dev` or `margrave serve`: end that, or \
                 choose another folder with --state"
            ),
        }
    }

    /// What replicas keep here, taken one after the other; the second: the names of those that run.
    pub fn replicas(&self) -> anyhow::Result<(Vec<Replica>, Vec<String>)> {
        let (mut taken, mut running) = (Vec::new(), Vec::new());
        for found in std::fs::read_dir(self.0.join(REPLICAS)).into_iter().flatten().flatten() {
            let (folder, name) = (found.path(), found.file_name().to_string_lossy().into_owned());
            if !folder.is_dir() {
                continue;
            }
            match lock(&folder)? {
                Some(lock) => taken.push(Replica { name, folder, _lock: lock }),
                None => running.push(name),
            }
        }
        running.sort();
        Ok((taken, running))
    }

    /// What replicas of the control plane tell of their proxies.
    pub fn summaries(&self) -> SummaryFolder {
        SummaryFolder::at(self.0.join(REPLICAS))
    }

    /// Where a replica of the control plane can be asked.
    pub fn questions(&self, replica: &str) -> PathBuf {
        self.0.join(REPLICAS).join(replica).join(QUESTIONS)
    }

    /// What a replica of the control plane keeps here for itself alone, as long as this lives.
    pub fn replica(&self, name: &str) -> anyhow::Result<Replica> {
        let folder = self.0.join(REPLICAS).join(name);
        match lock(&folder)? {
            Some(lock) => Ok(Replica { name: name.to_owned(), folder, _lock: lock }),
            None => bail!(
                "another process is the replica `{name}` of {}: give this one another name with \
                 --replica",
                self.0.display()
            ),
        }
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.0.join("margrave.db")
    }

    /// The credentials kept here, made on first use.
    pub fn credentials_or_make(&self) -> anyhow::Result<Credentials> {
        if let Some(kept) = self.credentials()? {
            return Ok(kept);
        }
        let password = rand::rng().sample_iter(Alphanumeric).take(PASSWORD_CHARACTERS);
        let made =
            Kept { username: USERNAME.to_owned(), password: password.map(char::from).collect() };
        self.write("credentials.json", &made)?;
        Ok(Credentials { username: made.username, password: made.password })
    }

    /// The credentials kept here, if any.
    pub fn credentials(&self) -> anyhow::Result<Option<Credentials>> {
        let kept: Option<Kept> = self.read("credentials.json")?;
        Ok(kept.map(|Kept { username, password }| Credentials { username, password }))
    }

    /// Where the keyring is.
    pub fn keyring_path(&self) -> PathBuf {
        self.0.join(KEYRING)
    }

    /// The keys with which secrets are sealed, if any.
    pub fn keyring(&self) -> anyhow::Result<Option<Keyring>> {
        let path = self.keyring_path();
        let reading = || format!("cannot read {}", path.display());
        match self.bytes(KEYRING)?.map(Secret::new) {
            None => Ok(None),
            Some(text) => Ok(Some(Keyring::from_json(text.expose()).with_context(reading)?)),
        }
    }

    /// Keeps the keys, durably.
    pub fn write_keyring(&self, ring: &Keyring) -> anyhow::Result<()> {
        self.write_bytes(KEYRING, ring.to_json().expose())
    }

    /// Where the platform of this folder answers, or did.
    pub fn endpoints(&self) -> anyhow::Result<Option<Endpoints>> {
        self.read("endpoints.json")
    }

    /// Tells where the platform answers.
    pub fn write_endpoints(&self, endpoints: &Endpoints) -> anyhow::Result<()> {
        self.write("endpoints.json", endpoints)
    }

    /// The platform does not answer any more.
    pub fn remove_endpoints(&self) {
        // Missing is as good as removed.
        let _ = std::fs::remove_file(self.0.join("endpoints.json"));
    }

    fn read<T: for<'a> Deserialize<'a>>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let reading = || format!("cannot read {}", self.0.join(name).display());
        let text = self.bytes(name)?;
        text.map(|text| serde_json::from_slice(&text).with_context(reading)).transpose()
    }

    fn bytes(&self, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let path = self.0.join(name);
        let reading = || format!("cannot read {}", path.display());
        if !path.exists() {
            return Ok(None);
        }
        let length = std::fs::metadata(&path).with_context(reading)?.len();
        if length > FILE_BYTES_MAX {
            bail!("{} is too large to be ours", path.display());
        }
        Ok(Some(std::fs::read(&path).with_context(reading)?))
    }

    fn write(&self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        self.write_bytes(name, &serde_json::to_vec_pretty(value)?)
    }

    fn write_bytes(&self, name: &str, text: &[u8]) -> anyhow::Result<()> {
        private::replace(&self.0.join(name), text)
    }
}

/// A replica's own folder, taken for this process.
pub struct Replica {
    name: String,
    folder: PathBuf,
    _lock: File,
}

impl Replica {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Where it is asked.
    pub fn questions(&self) -> PathBuf {
        self.folder.join(QUESTIONS)
    }

    /// The keys with which this replica seals what it keeps; `make` makes the first. What is none is set
    /// aside: nothing that it sealed is missed for long. What cannot be read now is left as it is.
    pub fn keyring_or(&self, make: impl FnOnce() -> Keyring) -> anyhow::Result<Keyring> {
        let path = self.folder.join(KEYRING);
        match std::fs::read(&path).map(Secret::new) {
            Ok(kept) => match Keyring::from_json(kept.expose()) {
                Ok(ring) => return Ok(ring),
                Err(error) => {
                    tracing::error!(%error, "{} is no keyring: it is set aside", path.display());
                    let aside = self.folder.join(format!("{KEYRING}.bad"));
                    std::fs::rename(&path, aside)
                        .with_context(|| format!("cannot set {} aside", path.display()))?;
                }
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        }
        let ring = make();
        private::replace(&path, ring.to_json().expose())?;
        Ok(ring)
    }

    /// Tells where the replica answers.
    pub fn write_endpoints(&self, endpoints: &ReplicaEndpoints) -> anyhow::Result<()> {
        private::replace(
            &self.folder.join("endpoints.json"),
            &serde_json::to_vec_pretty(endpoints)?,
        )
    }

    /// The replica does not answer any more.
    pub fn remove_endpoints(&self) {
        // Missing is as good as removed.
        let _ = std::fs::remove_file(self.folder.join("endpoints.json"));
    }
}

/// Where a replica of the control plane answers.
#[derive(Debug, Serialize)]
pub struct ReplicaEndpoints {
    /// The process.
    pub pid: u32,
    /// Metrics and probes: a URL.
    pub metrics: String,
    /// xDS.
    pub xds: SocketAddr,
}

/// Makes a folder for our eyes only, and takes it; `None` when another process has it.
fn lock(folder: &Path) -> anyhow::Result<Option<File>> {
    let shown = folder.display();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the folder {shown}"))?;
    let lock = OpenOptions::new().create(true).append(true).open(folder.join("lock"));
    let lock = lock.with_context(|| format!("cannot write to the folder {shown}"))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock the folder {shown}"))
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Kept {
    username: String,
    password: String,
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn credentials_are_made_once_and_for_our_eyes_only() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(&folder.path().join("state"));
        let _lock = state.take().unwrap();
        let made = state.credentials_or_make().unwrap();
        assert_eq!(made.password.len(), PASSWORD_CHARACTERS);
        assert!(state.credentials_or_make().unwrap() == made);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state.path().join("credentials.json")), 0o600);
        assert_eq!(mode(state.path()), 0o700);
        let other = State::at(&folder.path().join("other"));
        let _lock = other.take().unwrap();
        assert!(other.credentials_or_make().unwrap().password != made.password);
    }

    #[test]
    fn a_keyring_that_cannot_be_read_now_is_left_and_one_that_is_none_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let replica = State::at(folder.path()).replica("a").unwrap();
        let make = |seed| move || Keyring::new(&keys::Seed::new([seed; 32]), 1);
        let at = |name: &str| replica.path().join(name);
        let text = |ring: Keyring| String::from_utf8(ring.to_json().expose().to_vec()).unwrap();
        let first = text(replica.keyring_or(make(1)).unwrap());
        assert_eq!(text(replica.keyring_or(make(2)).unwrap()), first);
        // A folder in its place can be read by nobody, for now.
        std::fs::rename(at(KEYRING), at("moved")).unwrap();
        std::fs::create_dir(at(KEYRING)).unwrap();
        assert!(replica.keyring_or(make(2)).is_err());
        std::fs::remove_dir(at(KEYRING)).unwrap();
        std::fs::rename(at("moved"), at(KEYRING)).unwrap();
        assert_eq!(text(replica.keyring_or(make(2)).unwrap()), first);
        std::fs::write(at(KEYRING), "{").unwrap();
        assert!(text(replica.keyring_or(make(2)).unwrap()) != first);
        assert_eq!(std::fs::read_to_string(at("keys.json.bad")).unwrap(), "{");
    }

    #[test]
    fn replicas_that_run_are_named_and_left() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path());
        let running = state.replica("b").unwrap();
        drop(state.replica("a").unwrap());
        let (taken, left) = state.replicas().unwrap();
        assert_eq!(taken.iter().map(Replica::name).collect::<Vec<_>>(), ["a"]);
        assert_eq!(left, ["b"]);
        drop((running, taken));
        assert_eq!(state.replicas().unwrap().0.len(), 2);
    }

    #[test]
    fn a_folder_serves_one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path());
        let lock = state.take().unwrap();
        let error = state.take().expect_err("it is taken").to_string();
        assert!(error.contains("in use by another `margrave dev` or"), "{error}");
        drop(lock);
        assert!(state.take().is_ok());
    }
}
