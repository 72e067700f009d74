//! What was answered is there after kill -9, at whatever instruction it comes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::{OnDisk, clock, now};
use model::{InstanceState, OperationId, OperationKind, OperationState};
use store::chain::Check;
use store::contract::{State, sample};
use store::sqlite::{Options, Sqlite, each_entry, verify};
use store::{Accepted, Queue, Store, Write};

/// The file, in the process that is to be killed.
const FILE: &str = "MARGRAVE_TEST_KILLED_FILE";
/// Tells one life from the next, so that ids differ.
const LIFE: &str = "MARGRAVE_TEST_KILLED_LIFE";
/// Set by `make soak`.
const SOAK: &str = "MARGRAVE_SOAK";

const PRODUCERS: usize = 8;
const WORKERS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_kill_nine_soak() {
    if let Some(file) = std::env::var_os(FILE) {
        return live(&PathBuf::from(file)).await;
    }
    let lives = if std::env::var_os(SOAK).is_some() { 200 } else { 8 };
    let disk = OnDisk::fresh();
    let mut answered = Answered::default();
    for life in 0..lives {
        // Anywhere from the first answers to some way into checkpoints.
        let lines = 5 + (life * 7_919) % 900;
        let mut latest = Answered::default();
        latest.read(&disk.path(), life, lines);
        latest.check(&disk).await;
        answered.accepted.extend(latest.accepted);
        answered.published.extend(latest.published);
    }
    answered.check(&disk).await;
    assert!(answered.published.len() > 100, "{} publishes", answered.published.len());
}

/// What the killed processes said that had happened.
#[derive(Default)]
struct Answered {
    accepted: Vec<OperationId>,
    published: BTreeMap<OperationId, u64>,
}

impl Answered {
    /// Starts a process, reads so many answers of it, and kills it.
    fn read(&mut self, file: &Path, life: usize, lines: usize) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "what_was_answered_survives_kill_nine_soak", "--nocapture"])
            .env(FILE, file)
            .env(LIFE, life.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let answers = said.by_ref().map(Result::unwrap).filter(|line| line.starts_with("did "));
        let mut heard = 0;
        for line in answers.take(lines) {
            self.note(&line);
            heard += 1;
        }
        assert_eq!(heard, lines, "it ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        // What it could still say had happened, too; the last line may be torn.
        let rest: Vec<_> = said.map_while(Result::ok).collect();
        for line in rest.iter().filter(|line| line.starts_with("did ") && line.ends_with(" .")) {
            self.note(line);
        }
    }

    fn note(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["did", "accept", id, "."] => self.accepted.push(id.parse().unwrap()),
            ["did", "publish", id, revision, "."] => {
                let before = self.published.insert(id.parse().unwrap(), revision.parse().unwrap());
                assert_eq!(before, None, "{id} was published twice");
            }
            _ => panic!("{line}"),
        }
    }

    async fn check(&self, disk: &OnDisk) {
        let conn = rusqlite::Connection::open(disk.path()).unwrap();
        let sound: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
        assert!(!conn.prepare("PRAGMA foreign_key_check").unwrap().exists([]).unwrap());
        drop(conn);
        self.check_log(disk);
        let store = disk.sqlite();
        for id in &self.accepted {
            let operation = store.operation(id).await.unwrap().expect("it was accepted");
            let claims = store.claims(&operation.instance).await.unwrap();
            assert_eq!(claims.len(), 1, "its claim is there too");
        }
        for (id, revision) in &self.published {
            let operation = store.operation(id).await.unwrap().expect("it was published");
            assert_eq!(operation.state, OperationState::Succeeded);
            assert_eq!(operation.revision, Some(*revision));
            let instance = store.instance(&operation.instance).await.unwrap().expect("there");
            assert_eq!(
                (instance.state, instance.revision),
                (InstanceState::Ready, Some(*revision))
            );
        }
        assert_eq!(store.sweep(now()).await, Ok(0), "no job is lost");
    }
}

impl Answered {
    /// The audit log is whole, and tells of each once.
    fn check_log(&self, disk: &OnDisk) {
        assert!(verify(&disk.path(), Check::default()).unwrap().is_ok());
        let mut told: BTreeMap<(String, String), usize> = BTreeMap::new();
        let read: Option<()> = each_entry(&disk.path(), |record| {
            let entry = record.entry().unwrap();
            let operation = entry.detail["operation"].as_str().unwrap_or_default().to_owned();
            *told.entry((entry.action, operation)).or_default() += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(read.is_none());
        let told = |action: &str, id: &OperationId| {
            told.get(&(action.to_owned(), id.to_string())).copied()
        };
        for id in &self.accepted {
            assert_eq!(told("instance.provision", id), Some(1), "{id}");
        }
        for id in self.published.keys() {
            assert_eq!(told("operation.succeeded", id), Some(1), "{id}");
        }
    }
}

/// The life of a process: producers and workers that say what was answered, until it is killed.
async fn live(file: &Path) {
    let store: Arc<dyn State> = Arc::new(Sqlite::open(file, Options::new(clock())).unwrap());
    let life = std::env::var(LIFE).unwrap();
    let mut running = tokio::task::JoinSet::new();
    for producer in 0..PRODUCERS {
        running.spawn(produce(Arc::clone(&store), format!("{life}-{producer}")));
    }
    for _ in 0..WORKERS {
        running.spawn(work(Arc::clone(&store)));
    }
    running.join_all().await;
}

fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "did {what} .").and_then(|()| out.flush()).unwrap();
}

async fn produce(store: Arc<dyn State>, prefix: String) {
    for index in 0.. {
        let id = format!("{prefix}-{index}");
        let spec = sample::spec("shop", &[&format!("h{id}.example.com")]);
        let mut wish = sample::accept(OperationKind::Provision, &id, &spec, now());
        wish.operation.id = format!("o{id}").parse().unwrap();
        assert_eq!(store.accept(wish, None).await, Ok(Accepted::Yes));
        say(&format!("accept o{id}"));
    }
}

async fn work(store: Arc<dyn State>) {
    loop {
        store.ready(Duration::from_secs(1)).await;
        let Some(lease) = store.lease(now(), Duration::from_millis(200)).await.unwrap() else {
            continue;
        };
        let id = lease.job.operation_id;
        let operation = store.operation(&id).await.unwrap().expect("every job has one");
        let writes = vec![Write::Publish(operation.target.clone().expect("a provision"))];
        let save = sample::finish(&lease.fence, &operation, writes, now());
        match store.save(save).await {
            Ok(revision) => say(&format!("publish {id} {}", revision.expect("published"))),
            Err(error) => assert_eq!(error, store::StoreError::Fenced),
        }
    }
}
