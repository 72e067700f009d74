//! What a replica of the control plane is asked by the process that answers people, because it alone can
//! answer: a proxy in depth. The question comes over a socket in the replica's own folder, which nobody
//! can open but the user that the platform runs as, and nothing of it goes over a network.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use plane::{Plane, ProxyReport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// A `node.id` is shorter.
const QUESTION_BYTES_MAX: u64 = 8 << 10;
/// A proxy in depth has 1,000 differences at most, each with 2 kB of an Envoy's words.
const ANSWER_BYTES_MAX: u64 = 8 << 20;
/// A replica that has not answered by then is not waited for.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// Questions that are answered at once; more wait.
const AT_ONCE: usize = 4;
/// After a connection that could not be taken.
const AGAIN: Duration = Duration::from_millis(100);

/// Answers, until `stop`. Proxies do not depend on it: where it cannot be, that is told, and no more.
pub async fn answer(
    plane: Arc<Plane>,
    socket: PathBuf,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    match listen(&socket) {
        Ok(listener) => {
            stop.run_until_cancelled(serve(&plane, listener)).await;
            // Missing is as good as removed.
            let _ = std::fs::remove_file(&socket);
        }
        Err(error) => {
            tracing::warn!("nobody can ask about the proxies here in depth: {error:#}");
            stop.cancelled().await;
        }
    }
    Ok(())
}

/// The folder is taken for this process alone: a socket that is there is of an earlier one.
fn listen(socket: &Path) -> anyhow::Result<UnixListener> {
    let _ = std::fs::remove_file(socket);
    UnixListener::bind(socket).with_context(|| format!("cannot listen at {}", socket.display()))
}

async fn serve(plane: &Arc<Plane>, listener: UnixListener) {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let plane = Arc::clone(plane);
                tokio::spawn(async move {
                    let _turn = turn;
                    // Whoever asks and does not read has no answer.
                    let _ = timeout(ANSWER_WAIT, reply(&plane, stream)).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a question is not taken");
                sleep(AGAIN).await;
            }
        }
    }
}

async fn reply(plane: &Plane, mut stream: UnixStream) -> std::io::Result<()> {
    let mut id = String::new();
    (&mut stream).take(QUESTION_BYTES_MAX).read_to_string(&mut id).await?;
    let answer = serde_json::to_vec(&plane.proxy(&id)).unwrap_or_default();
    stream.write_all(&answer).await
}

/// Asks the replica that has this socket about one of its proxies. `None`: it does not know it (any more).
/// The error is for people.
pub async fn ask(socket: &Path, id: &str) -> Result<Option<ProxyReport>, String> {
    match timeout(ANSWER_WAIT, exchange(socket, id)).await {
        Ok(Ok(answer)) if answer.len() as u64 > ANSWER_BYTES_MAX => {
            Err("its answer is too long".to_owned())
        }
        Ok(Ok(answer)) => serde_json::from_slice(&answer)
            .map_err(|_| "its answer cannot be read: it may be of another release".to_owned()),
        Ok(Err(error)) => Err(format!("it cannot be asked: {error}")),
        Err(_) => Err(format!("it has not answered in {} s", ANSWER_WAIT.as_secs())),
    }
}

async fn exchange(socket: &Path, id: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(id.as_bytes()).await?;
    stream.shutdown().await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_does_not_answer_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("questions");
        let why = ask(&socket, "p1").await.unwrap_err();
        assert!(why.starts_with("it cannot be asked: "), "{why}");
        let _silent = listen(&socket).unwrap();
        assert_eq!(ask(&socket, "p1").await.unwrap_err(), "it has not answered in 2 s");
    }

    #[tokio::test]
    async fn what_is_no_answer_is_none() {
        for (said, why) in [
            (b"{".to_vec(), "its answer cannot be read: it may be of another release"),
            (vec![b' '; ANSWER_BYTES_MAX as usize + 2], "its answer is too long"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let socket = folder.path().join("questions");
            let listener = listen(&socket).unwrap();
            let task = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read_to_end(&mut Vec::new()).await;
                let _ = stream.write_all(&said).await;
            });
            assert_eq!(ask(&socket, "p1").await.unwrap_err(), why);
            task.abort();
        }
    }
}
