//! How a list of runners is started, watched and stopped.
//!
//! Started in order and stopped in reverse, so that whoever writes stops before whoever reads it. A
//! runner that ends by itself ends the process.

use std::time::Duration;

use anyhow::anyhow;
use futures::future::{BoxFuture, select_all};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a runner may take to stop before it is abandoned; longer than any of them gives its own
/// work (the worker 10 s).
const STOP_MAX: Duration = Duration::from_secs(12);

/// One thing that runs until it is told to stop.
pub struct Runner {
    /// Its name in logs and errors.
    pub name: &'static str,
    /// What it reads.
    pub reads: &'static str,
    /// What it writes.
    pub writes: &'static str,
    /// Told to stop by this.
    pub stop: CancellationToken,
    /// The work.
    pub work: BoxFuture<'static, anyhow::Result<()>>,
}

impl Runner {
    /// A runner from a function that is given the token that will tell it to stop.
    pub fn new<F>(
        name: &'static str,
        reads: &'static str,
        writes: &'static str,
        work: impl FnOnce(CancellationToken) -> F,
    ) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let work = Box::pin(work(stop.clone()));
        Self { name, reads, writes, stop, work }
    }
}

/// A runner that was started.
struct Running {
    name: &'static str,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

/// Runs the list until `until` is ready or a runner ends by itself, which is an error; then stops
/// them all.
pub async fn run(list: Vec<Runner>, until: impl Future<Output = ()>) -> anyhow::Result<()> {
    let mut running: Vec<_> = list.into_iter().map(start).collect();
    let ended = tokio::select! {
        () = until => Ok(()),
        failure = first_end(&mut running) => Err(failure),
    };
    for runner in running.into_iter().rev() {
        stop(runner).await;
    }
    ended
}

fn start(runner: Runner) -> Running {
    let Runner { name, reads, writes, stop, work } = runner;
    tracing::debug!(runner = name, reads, writes, "starting");
    Running { name, stop, task: tokio::spawn(work) }
}

/// Waits for any runner to end, which none should; takes it off the list and says why.
async fn first_end(running: &mut Vec<Running>) -> anyhow::Error {
    if running.is_empty() {
        return std::future::pending().await;
    }
    let tasks = running.iter_mut().map(|runner| &mut runner.task);
    let (result, index, _) = select_all(tasks).await;
    let name = running.remove(index).name;
    match result {
        Ok(Ok(())) => anyhow!("{name} ended although nobody asked it to"),
        Ok(Err(error)) => error.context(format!("{name} failed")),
        Err(panic) => anyhow!("{name} failed: {panic}"),
    }
}

async fn stop(mut runner: Running) {
    tracing::debug!(runner = runner.name, "stopping");
    runner.stop.cancel();
    match tokio::time::timeout(STOP_MAX, &mut runner.task).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => {
            tracing::warn!(runner = runner.name, "stopped with an error: {error:#}");
        }
        Ok(Err(panic)) => tracing::error!(runner = runner.name, "stopped with a panic: {panic}"),
        Err(_) => {
            tracing::warn!(runner = runner.name, "did not stop within {STOP_MAX:?}: left behind");
            runner.task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    type Log = Arc<Mutex<Vec<&'static str>>>;

    fn obedient(name: &'static str, log: &Log) -> Runner {
        let log = log.clone();
        Runner::new(name, "", "", move |stop| async move {
            stop.cancelled().await;
            log.lock().unwrap().push(name);
            Ok(())
        })
    }

    #[tokio::test]
    async fn they_stop_in_reverse() {
        let log = Log::default();
        let list =
            vec![obedient("plane", &log), obedient("worker", &log), obedient("broker", &log)];
        run(list, async {}).await.unwrap();
        assert_eq!(*log.lock().unwrap(), ["broker", "worker", "plane"]);
    }

    #[tokio::test]
    async fn one_that_dies_takes_the_others_down_and_is_named() {
        let log = Log::default();
        let dies = Runner::new("xds", "", "", |_| async { Err(anyhow!("no more files")) });
        let panics = Runner::new("xds", "", "", |_| async { panic!("out of luck") });
        let ends = Runner::new("xds", "", "", |_| async { Ok(()) });
        for (runner, why) in [
            (dies, "xds failed: no more files"),
            (panics, "xds failed: "),
            (ends, "xds ended although nobody asked it to"),
        ] {
            let list = vec![obedient("plane", &log), runner];
            let error = run(list, std::future::pending()).await.expect_err("must fail");
            assert!(format!("{error:#}").starts_with(why), "{error:#}");
        }
        assert_eq!(*log.lock().unwrap(), ["plane", "plane", "plane"]);
    }
}
