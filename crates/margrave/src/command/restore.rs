//! `margrave restore`: the platform as a backup has it.

mod exchange;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use keys::Keyring;
use model::{Requester, counted};
use serde::Serialize;
use store::sqlite::backup::{
    self, BackupError, Manifest, Named, Order, Reopened, Replaced, Restored,
};
use utoipa::ToSchema;

use self::exchange::Exchange;
use crate::failure::Failure;
use crate::output::Format;
use crate::state::{self, State};
use crate::{clock, when, wrapped};

/// Instances named of each kind for people; programs get more.
const NAMED_MAX: usize = 10;

/// Make a state folder what a backup has; the platform of that folder must be stopped
///
/// The keys of secrets are unwrapped by the passphrase in MARGRAVE_BACKUP_PASSPHRASE.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file that `margrave backup` made
    file: PathBuf,

    /// The state folder
    #[arg(long, env = "MARGRAVE_STATE", value_name = "PATH", default_value = state::DEFAULT)]
    state: PathBuf,

    /// Take the place of the state that is there, which is moved aside and not deleted
    #[arg(long)]
    replace: bool,

    #[command(flatten)]
    output: Format,
}

/// What was restored.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Brought {
    /// Of which moment it is, in milliseconds since the Unix epoch.
    at: i64,
    /// The epoch from now on.
    epoch: u64,
    /// Instances in it.
    instances: u64,
    /// Operations that were in progress, and go on when the platform starts.
    in_progress: u64,
    /// Where the state is that was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<String>,
    /// The head of that state's audit log.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced_audit_head: Option<String>,
    /// Whether that state could be compared with this one.
    compared: bool,
    /// Made after the backup: not known any more.
    unknown: Vec<Instance>,
    /// Changed after the backup: as they were.
    older: Vec<Instance>,
    /// Deleted after the backup: there again.
    back: Vec<Instance>,
    /// Ended after the backup: good again.
    reopened: Vec<Opens>,
    /// Proxies that were revoked after the backup, and stay so.
    shut_out: Vec<String>,
    /// Keys that its secrets are sealed with, and the keyring of the folder lacks.
    lacks: Vec<String>,
    /// Replicas of the control plane that run, and were left as they are.
    running: Vec<String>,
}

/// What lets somebody in again.
#[derive(Debug, Serialize, ToSchema)]
struct Opens {
    /// `token`, `platform`, `binding` or `node`.
    kind: String,
    /// Its id.
    id: String,
    /// What it is called; of a binding, the service.
    name: String,
    /// The team of the service, of a binding.
    team: Option<String>,
}

/// An instance.
#[derive(Debug, Serialize, ToSchema)]
struct Instance {
    /// Its id.
    id: String,
    /// Its service.
    service: String,
    /// OSB space: the team.
    team: String,
}

impl Args {
    /// What the operator must know, on stdout.
    pub fn run(self) -> Result<(), Failure> {
        let state = State::at(&self.state);
        let _lock = state.take()?;
        let at = clock::now();
        let aside = self.state.join(format!("replaced-{}", compact(at)));
        let order = Order {
            backup: &self.file,
            database: &state.database(),
            aside: self.replace.then_some(&aside),
            at,
            by: Requester {
                credential: format!("uid {}", rustix::process::getuid().as_raw()),
                originating_identity: None,
                request_identity: None,
            },
        };
        let ring = self.keyring()?;
        let ready = backup::prepare(&order).map_err(refused)?;
        let (restored, running) = Exchange::of(&state, ready, ring, &aside).make()?;
        let lacks = lacking(&state, &restored.sealed_with);
        let brought = Brought { running, lacks, ..Brought::of(restored) };
        Ok(self.output.print(&brought, || words(&brought, &self.state))?)
    }
}

impl Args {
    /// The keys that the backup holds; those that are there already do without a passphrase.
    fn keyring(&self) -> Result<Option<Keyring>, Failure> {
        let file = std::fs::File::open(&self.file);
        let file = file.with_context(|| format!("cannot read {}", self.file.display()))?;
        let manifest = Manifest::read(&self.file, &mut std::io::BufReader::new(file));
        let Some(wrapped) = manifest.map_err(refused)?.keyring else { return Ok(None) };
        match wrapped::passphrase() {
            Some(passphrase) => Ok(Some(wrapped::unwrap(&wrapped, &passphrase)?)),
            None if wrapped::has_keyring(&self.state) => Ok(None),
            None => Err(Failure::Refused(format!(
                "the backup holds the keys of its secrets, wrapped: set {} to their passphrase",
                wrapped::VARIABLE
            ))),
        }
    }
}

/// Which of these the keyring of the folder lacks.
fn lacking(state: &State, keys: &[String]) -> Vec<String> {
    // One that cannot be read has none.
    let ring = state.keyring().ok().flatten();
    let lacks = |key: &&String| !ring.as_ref().is_some_and(|ring| ring.has(key));
    keys.iter().filter(lacks).cloned().collect()
}

fn refused(error: BackupError) -> Failure {
    match error {
        BackupError::Occupied(_) | BackupError::NotABackup(_) | BackupError::Damaged(_) => {
            Failure::Refused(error.to_string())
        }
        other => Failure::Error(other.into()),
    }
}

/// A time in a file's name.
fn compact(at: i64) -> String {
    when::shown(at).chars().filter(|c| !matches!(c, '-' | ':')).collect()
}

impl Brought {
    fn of(restored: Restored) -> Self {
        let Restored { manifest, epoch, in_progress, replaced, .. } = restored;
        let Replaced { database, told, difference } = match replaced {
            Some(replaced) => replaced,
            None => Replaced { database: PathBuf::new(), told: None, difference: None },
        };
        let shown = (!database.as_os_str().is_empty()).then(|| database.display().to_string());
        let compared = difference.is_some();
        let difference = difference.unwrap_or_default();
        let lines = |named: Vec<Named>| {
            let line = |Named { id, service, space }| Instance { id, service, team: space };
            named.into_iter().map(line).collect()
        };
        Self {
            at: manifest.at,
            epoch,
            instances: manifest.instances,
            in_progress,
            replaced: shown,
            replaced_audit_head: told.map(|(_, _, head)| head),
            compared,
            unknown: lines(difference.unknown),
            older: lines(difference.older),
            back: lines(difference.back),
            reopened: difference.reopened.into_iter().map(Opens::of).collect(),
            shut_out: difference.shut_out,
            lacks: Vec::new(),
            running: Vec::new(),
        }
    }
}

fn words(brought: &Brought, state: &Path) -> String {
    let mut text = format!(
        "restored to {}: {} as of {}\n",
        state.display(),
        counted(brought.instances, "instance"),
        when::shown(brought.at)
    );
    let _ = writeln!(
        text,
        "epoch {}: what proxies are given from now on counts as newer than all that they have",
        brought.epoch
    );
    if brought.in_progress > 0 {
        let operations = counted(brought.in_progress, "operation");
        let _ = writeln!(text, "{operations} in progress will go on");
    }
    if let Some(replaced) = &brought.replaced {
        let _ = writeln!(text, "\nthe state that was there is kept: {replaced}");
        if let Some(head) = &brought.replaced_audit_head {
            let _ = writeln!(text, "its audit log ends at {head}");
        }
    }
    for (instances, what) in [
        (&brought.unknown, "made since the backup, and not known any more (proxies keep them)"),
        (&brought.older, "changed since the backup, and now as they were"),
        (&brought.back, "deleted since the backup, and there again"),
    ] {
        list(&mut text, what, instances);
    }
    opens(&mut text, &brought.reopened);
    shut_out(&mut text, &brought.shut_out);
    if !brought.compared {
        text.push_str(
            "\nwhat was done after the backup is not known here; a proxy that was revoked since is let in \
             again until it is revoked again\n",
        );
    }
    if !brought.running.is_empty() {
        let _ = writeln!(
            text,
            "\nreplicas of the control plane run here, and follow the restored store: {}",
            brought.running.join(", ")
        );
    }
    lacks(&mut text, &brought.lacks, state);
    text.push_str(
        "\nwhat to do now:\n\
         \x20 1. start the platform: proxies that reconnect lose nothing that this state does not know\n\
         \x20 2. `margrave fleet status` tells what they have that is ahead of the backup\n\
         \x20 3. apply again what is to stay, then `margrave fleet confirm-removal` lets the rest go\n\
         \x20 4. credentials, tokens and bindings are as of the backup, too: revoke again what was\n\
         \x20    revoked since; what was made since is not valid any more. Proxies that joined or renewed\n\
         \x20    since stay\n\
         \x20 5. operations that were accepted since are not known any more: who waits for one must ask again",
    );
    text
}

impl Opens {
    fn of(Reopened { kind, id, name, space }: Reopened) -> Self {
        Self { kind, id, name, team: space }
    }

    /// What it is, and how it is ended again.
    fn line(&self) -> String {
        let Self { kind, id, name, team } = self;
        match (kind.as_str(), team) {
            ("binding", Some(team)) => {
                format!("binding of {name}: `margrave unbind {id} {name} --team {team}`")
            }
            ("platform", _) => format!(
                "platform {name}, with its password of that day: `margrave platform rotate {name} --overlap 0s`, or `delete`"
            ),
            _ => format!("{kind} {name}: `margrave {kind} revoke {name}`"),
        }
    }
}

fn opens(text: &mut String, reopened: &[Opens]) {
    if reopened.is_empty() {
        return;
    }
    text.push_str("\nrevoked or replaced since the backup, and good again; end it once more:\n");
    for opens in reopened.iter().take(NAMED_MAX) {
        let _ = writeln!(text, "  {}", opens.line());
    }
    if reopened.len() > NAMED_MAX {
        let _ = writeln!(text, "  and {} more: see -o json", reopened.len() - NAMED_MAX);
    }
}

/// A platform whose secrets cannot be opened does not start: better said now than then.
fn lacks(text: &mut String, keys: &[String], state: &Path) {
    if keys.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "\nits secrets are sealed with the key {}, which {} does not have, so that the platform will \
         not start: put back the file of that day, or restore again with the passphrase of the \
         backup in {}",
        keys.join(", "),
        State::at(state).keyring_path().display(),
        wrapped::VARIABLE
    );
}

fn shut_out(text: &mut String, proxies: &[String]) {
    if proxies.is_empty() {
        return;
    }
    text.push_str("\nproxies that were revoked since the backup stay so:\n");
    for proxy in proxies.iter().take(NAMED_MAX) {
        let _ = writeln!(text, "  {proxy}");
    }
    if proxies.len() > NAMED_MAX {
        let _ = writeln!(text, "  and {} more: see -o json", proxies.len() - NAMED_MAX);
    }
}

fn list(text: &mut String, what: &str, instances: &[Instance]) {
    if instances.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{what}:");
    for Instance { id, service, team } in instances.iter().take(NAMED_MAX) {
        let _ = writeln!(text, "  {service} of {team} ({id})");
    }
    if instances.len() > NAMED_MAX {
        let _ = writeln!(text, "  and {} more: see -o json", instances.len() - NAMED_MAX);
    }
}
