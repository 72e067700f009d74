//! A backup that is being read. The next begins when it was read, its reader has gone, or was cut off: one that
//! stalls would hold up all others, and keep the file on the disk.

use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout_at};

use crate::port::Content;

/// How long a reader may take nothing: longer than any network that is mended by itself needs.
const STALLED_MAX: Duration = Duration::from_mins(1);
/// How long it may take in all, however little at a time: as long as `margrave backup` waits.
const READ_MAX: Duration = Duration::from_hours(6);

/// What is read.
pub(super) struct Reading {
    rest: Arc<Mutex<Rest>>,
    /// Told whenever something was read.
    progress: watch::Sender<()>,
}

/// What is not read yet; nothing, once its reader was cut off.
struct Rest {
    held: Option<(Content, OwnedSemaphorePermit)>,
    /// Of a reader that waits for the disk.
    waiting: Option<Waker>,
}

impl Reading {
    /// Of `content`; `place` is free when it has ended.
    pub(super) fn new(content: Content, place: OwnedSemaphorePermit) -> Self {
        let rest = Rest { held: Some((content, place)), waiting: None };
        let rest = Arc::new(Mutex::new(rest));
        let (progress, seen) = watch::channel(());
        tokio::spawn(watch_over(Arc::clone(&rest), seen));
        Self { rest, progress }
    }
}

impl AsyncRead for Reading {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let mut rest = locked(&self.rest);
        let Some((content, _)) = &mut rest.held else {
            return Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "it was read too slowly")));
        };
        let read = content.as_mut().poll_read(context, buffer);
        match read {
            Poll::Pending => rest.waiting = Some(context.waker().clone()),
            Poll::Ready(_) => self.progress.send_replace(()),
        }
        read
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        locked(&self.rest).held = None;
    }
}

/// Beside the reader: while that takes nothing, nobody asks it whether its time has run out.
async fn watch_over(rest: Arc<Mutex<Rest>>, mut seen: watch::Receiver<()>) {
    let end = Instant::now() + READ_MAX;
    while let Ok(progress) = timeout_at(end.min(Instant::now() + STALLED_MAX), seen.changed()).await
    {
        if progress.is_err() || Instant::now() >= end {
            break;
        }
    }
    let mut rest = locked(&rest);
    if rest.held.take().is_some() {
        tracing::warn!("a backup was read too slowly, and is cut off");
    }
    if let Some(waiting) = rest.waiting.take() {
        waiting.wake();
    }
}

fn locked(rest: &Mutex<Rest>) -> MutexGuard<'_, Rest> {
    rest.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::sync::Semaphore;
    use tokio::time::{advance, sleep};

    use super::*;

    const ALMOST: Duration = Duration::from_secs(59);

    fn begin(content: Content) -> (Reading, Arc<Semaphore>) {
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).try_acquire_owned().expect("it is free");
        (Reading::new(content, place), places)
    }

    /// Long enough for whoever was woken.
    async fn a_moment() {
        sleep(Duration::from_millis(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_stalls_is_cut_off_and_the_next_goes() {
        let (mut reading, places) = begin(Box::pin(tokio::io::repeat(7)));
        let mut read = [0; 8];
        for _ in 0..5 {
            advance(ALMOST).await;
            reading.read_exact(&mut read).await.expect("it goes on");
            a_moment().await;
            assert_eq!(places.available_permits(), 0, "who reads is not cut off");
        }
        advance(STALLED_MAX).await;
        a_moment().await;
        assert_eq!(places.available_permits(), 1);
        let cut = reading.read(&mut read).await.expect_err("it was cut off");
        assert_eq!(cut.kind(), ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn who_drips_is_cut_off_in_the_end() {
        let (mut reading, places) = begin(Box::pin(tokio::io::repeat(7)));
        let began = Instant::now();
        while reading.read_u8().await.is_ok() {
            advance(ALMOST).await;
            a_moment().await;
        }
        assert_eq!(places.available_permits(), 1);
        assert!(began.elapsed() < READ_MAX + STALLED_MAX + ALMOST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_holds_nobody() {
        let (silent, _other) = tokio::io::duplex(8);
        let (mut reading, places) = begin(Box::pin(silent));
        let read = tokio::time::timeout(READ_MAX, reading.read_u8()).await.expect("it is woken");
        let cut = read.expect_err("it was cut off");
        assert_eq!((cut.kind(), places.available_permits()), (ErrorKind::TimedOut, 1));
    }

    #[tokio::test]
    async fn who_has_read_all_or_is_gone_makes_room() {
        let (mut reading, places) = begin(Box::pin(std::io::Cursor::new(b"a backup")));
        let mut all = Vec::new();
        reading.read_to_end(&mut all).await.expect("it is read");
        assert_eq!(all, b"a backup");
        drop(reading);
        assert_eq!(places.available_permits(), 1);
    }
}
