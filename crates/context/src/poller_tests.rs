//! Two processes on one store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use store::sqlite::{Options, Sqlite};
use tokio::sync::oneshot;

use super::*;
use crate::source::{FetchError, Fetched, Format, Source, Validators};
use crate::testing::{Clock, Ring};

/// Counts questions; every answer is another.
#[derive(Default)]
struct Counted(AtomicUsize);

impl Counted {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Source for Counted {
    fn kind(&self) -> &'static str {
        "counted"
    }
    fn place(&self) -> String {
        String::new()
    }
    async fn fetch(&self, _: &Validators, _: usize) -> Result<Fetched, FetchError> {
        let count = self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Fetched::New(count.to_string().into_bytes(), Validators::default()))
    }
}

struct Process {
    source: Arc<Counted>,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Process {
    fn start(name: &str, store: &Arc<Sqlite>, clock: &Arc<Clock>) -> Self {
        let source = Arc::<Counted>::default();
        let declared = Declared {
            is_staged: false,
            name: "counted".to_owned(),
            format: Format::Json,
            interval: Duration::from_secs(1),
            jitter: Duration::ZERO,
            timeout: Duration::from_secs(1),
            bytes_max: 64,
            secret_paths: Vec::new(),
            source: source.clone(),
        };
        let clock = Arc::clone(clock);
        let ports = SourcePorts {
            blobs: Arc::<Sqlite>::clone(store),
            leases: Arc::<Sqlite>::clone(store),
            vault: Arc::<Ring>::default(),
            clock: Arc::new(move || clock.0.load(Ordering::Relaxed)),
            jitter: Arc::new(|| 0.0),
            holder: name.to_owned(),
        };
        let (stop, stopped) = oneshot::channel();
        let poller = Poller::new(Vec::new(), vec![declared], ports);
        let task = tokio::spawn(poller.run(async {
            let _ = stopped.await;
        }));
        Self { source, stop, task }
    }

    /// Returns when it has asked so often again.
    async fn asks(&self, times: usize) {
        let until = self.source.count() + times;
        while self.source.count() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn end(self) {
        drop(self.stop);
        self.task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn one_process_polls_and_another_takes_over() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::<Clock>::default();
    let options = Options::new(Arc::new(|| 0));
    let store = Arc::new(Sqlite::open(folder.path().join("store.db"), options).unwrap());
    let first = Process::start("first", &store, &clock);
    first.asks(3).await;
    let second = Process::start("second", &store, &clock);
    first.asks(20).await;
    assert_eq!(second.source.count(), 0, "one asks for both");

    // The first stops in order, and the second need not wait for the end of its lease.
    first.end().await;
    second.asks(3).await;

    // For the third, the second was stalled for longer than its lease.
    let later = Arc::new(Clock::default());
    later.0.store(20_000, Ordering::Relaxed);
    let third = Process::start("third", &store, &later);
    third.asks(1).await;
    let written = source_statuses(&*store).await.unwrap();
    assert!(written["counted"].revision > 0);
    // The second finds out when it next renews its lease, and asks no more.
    third.asks(20).await;
    let before = second.source.count();
    third.asks(20).await;
    assert_eq!(second.source.count(), before, "one asks for all");
    second.end().await;
    third.end().await;
}
