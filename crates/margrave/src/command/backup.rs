//! `margrave backup`: the whole platform in one file.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use keys::Secret;
use model::counted;
use reqwest::Method;
use serde::Serialize;
use store::sqlite::backup::{self, Manifest};
use utoipa::ToSchema;

use crate::client::Access;
use crate::failure::Failure;
use crate::output::Format;
use crate::{clock, private, when, wrapped};

/// How long a backup may take to arrive.
const ARRIVAL_MAX: Duration = Duration::from_hours(6);

/// Back up the whole platform to one file, as it is at one moment, while it runs
///
/// The keys of secrets are in it, wrapped by the passphrase in MARGRAVE_BACKUP_PASSPHRASE, if there is one.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file to make, for its owner alone; it holds what every team has
    file: PathBuf,

    /// Read the state folder and not the running platform
    #[arg(long)]
    offline: bool,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

/// A backup that was made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackedUp {
    /// The file.
    file: String,
    /// Of which moment, in milliseconds since the Unix epoch.
    at: i64,
    /// The length of the store in it.
    bytes: u64,
    /// The SHA-256 of the store in it.
    sha256: String,
    /// The revision last published.
    revision: u64,
    /// Instances in it.
    instances: u64,
    /// The last entry of the audit log in it, as `SEQ:HASH`.
    audit_head: String,
    /// Whether the keys of secrets are in it, wrapped.
    keyring: bool,
}

impl Args {
    /// What was backed up, on stdout.
    pub fn run(self) -> Result<(), Failure> {
        let file = &self.file;
        if file.exists() {
            return Err(Failure::Usage(format!(
                "{} exists: name a file that does not, so that no backup is lost",
                file.display()
            )));
        }
        let part = with_suffix(file, ".part");
        let made = match self.offline {
            true => assemble(&self.access.database(), &part).map_err(Failure::from),
            false => super::runtime()?.block_on(fetch(&self.access, &part)),
        };
        let manifest = made.and_then(|()| Ok(finish(&part, file)?)).inspect_err(|_| {
            // What is not whole is no backup.
            let _ = std::fs::remove_file(&part);
        })?;
        let Manifest { at, bytes, sha256, revision, instances, audit_head, .. } = manifest;
        let keyring = manifest.keyring.is_some();
        let file = file.display().to_string();
        let made = BackedUp { file, at, bytes, sha256, revision, instances, audit_head, keyring };
        Ok(self.output.print(&made, || text(&made))?)
    }
}

fn text(made: &BackedUp) -> String {
    let BackedUp { file, at, bytes, instances, audit_head, .. } = made;
    let keys = match made.keyring {
        true => "the keys of secrets are in it, wrapped by the passphrase",
        false => {
            "keys of secrets, where there are any, are not in it: MARGRAVE_BACKUP_PASSPHRASE wraps them"
        }
    };
    format!(
        "{file}: {} as of {}, {}, audit head {audit_head}\n{keys}\n\
         `margrave restore {file} --state DIR` brings it back",
        counted(*instances, "instance"),
        when::shown(*at),
        counted(*bytes, "byte")
    )
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// For its owner alone, from the first byte: one that is there was left by a backup that was cut off, or
/// laid there by somebody who wants to read it.
fn anew(path: &Path) -> anyhow::Result<File> {
    let _ = std::fs::remove_file(path);
    private::create_new(path)
}

async fn fetch(access: &Access, part: &Path) -> Result<(), Failure> {
    let client = access.client()?;
    let passphrase = wrapped::passphrase();
    let passphrase = passphrase.as_ref().and_then(Secret::expose_str);
    let request = client.request(Method::POST, "/v1/backup").timeout(ARRIVAL_MAX);
    let request = request.json(&serde_json::json!({"passphrase": passphrase}));
    let mut answer = client.stream(request).await?;
    let mut file = anew(part)?;
    while let Some(chunk) = answer.chunk().await.context("the backup was cut off")? {
        file.write_all(&chunk).with_context(|| format!("cannot write {}", part.display()))?;
    }
    Ok(())
}

fn assemble(database: &Path, part: &Path) -> anyhow::Result<()> {
    let scratch = with_suffix(part, ".store");
    let put_together = || {
        let mut manifest = backup::copy(database, &scratch, clock::now())?;
        if let (Some(passphrase), Some(state)) = (wrapped::passphrase(), database.parent()) {
            manifest.keyring = wrapped::wrap(state, &passphrase)?;
        }
        let mut file = anew(part)?;
        file.write_all(manifest.header().as_bytes())?;
        std::io::copy(&mut File::open(&scratch)?, &mut file)?;
        Ok(())
    };
    let made = put_together();
    let _ = std::fs::remove_file(&scratch);
    made
}

/// Only what was read back whole gets its name.
fn finish(part: &Path, file: &Path) -> anyhow::Result<Manifest> {
    let manifest = backup::read(part)?;
    File::open(part)?.sync_all()?;
    if file.exists() {
        bail!("{} has come into being meanwhile", file.display());
    }
    std::fs::rename(part, file).with_context(|| format!("cannot make {}", file.display()))?;
    Ok(manifest)
}
