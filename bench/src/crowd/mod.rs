//! Many proxies at once, each with a connection of its own, and when each has a change.

mod door;
mod load;
mod speaker;

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub(crate) use self::door::{Identities, Identity};
pub(crate) use self::load::{Args, Heard, Load, serve};
pub(crate) use self::speaker::{Way, until_quiet};

use self::door::Door;
use self::speaker::{Eye, Script, Speaker};
use crate::http2::Outgoing;
use crate::moment::Moment;
use crate::wire;

/// Connections that are being made at the same time: as many as a listener's queue holds.
const CONNECTING: usize = 128;
/// Nothing more comes if nothing came for so long.
const QUIET: Duration = Duration::from_secs(1);
/// After a stream was ended.
const RETRY: Duration = Duration::from_millis(100);
/// Longer than any change takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Who learns for all what there is.
pub(crate) const LEARNER: &str = "learner";

/// What the proxies of a crowd are called.
pub(crate) fn name(at: usize) -> String {
    format!("load-{at}")
}

/// A resource that all wait for.
#[derive(Debug, Default, Clone)]
struct Awaited {
    name: Arc<str>,
    /// How many were awaited before.
    round: u64,
    /// What is said to it is as long as this, at least.
    zeros: Bytes,
}

/// What all streams share.
struct Shared {
    door: Arc<Door>,
    script: Script,
    hello: Arc<[Bytes]>,
    awaited: RwLock<Awaited>,
    told: mpsc::UnboundedSender<Moment>,
    bytes: AtomicU64,
    responses: AtomicU64,
    refused: AtomicU64,
    said: AtomicU64,
    refuses: AtomicBool,
    lost: AtomicBool,
}

/// Many proxies.
struct Crowd {
    shared: Arc<Shared>,
    times: mpsc::UnboundedReceiver<Moment>,
    streams: JoinSet<Infallible>,
    size: usize,
}

impl Crowd {
    /// Nobody yet: they will all come with what the script has.
    fn new(door: Arc<Door>, script: Script) -> Self {
        let (told, times) = mpsc::unbounded_channel();
        let hello = script.comes();
        let awaited = RwLock::default();
        let [bytes, responses, refused, said] = [const { AtomicU64::new(0) }; 4];
        let [refuses, lost] = [const { AtomicBool::new(false) }; 2];
        let shared = Arc::new(Shared {
            door,
            script,
            hello,
            awaited,
            told,
            bytes,
            responses,
            refused,
            said,
            refuses,
            lost,
        });
        Self { shared, times, streams: JoinSet::new(), size: 0 }
    }

    /// All connect; returns once each has said what it has.
    async fn join(&mut self, size: usize) -> Result<()> {
        let (ready, mut heard) = mpsc::channel(CONNECTING);
        let mut next = 0;
        let mut arrived = 0;
        while arrived < size {
            while next < size && next - arrived < CONNECTING {
                let id = name(next);
                self.streams.spawn(self.shared.clone().proxy(id, ready.clone()));
                next += 1;
            }
            heard.recv().await.context("proxies live")?;
            arrived += 1;
        }
        self.size = size;
        Ok(())
    }

    /// All go at once.
    async fn leave(&mut self) {
        self.streams.shutdown().await;
        self.size = 0;
    }

    /// What was received since this was asked last.
    fn heard(&self) -> Heard {
        let Shared { bytes, responses, refused, said, .. } = &*self.shared;
        let all = [bytes, responses, refused, said].map(|it| it.swap(0, Ordering::Relaxed));
        let [bytes, responses, refused, said] = all;
        Heard { bytes, responses, refused, said }
    }

    /// From now on each tells, once, when it has acknowledged a resource of this name.
    fn await_name(&mut self, name: &str, answer: usize) {
        let mut awaited = self.shared.awaited.write().unwrap_or_else(PoisonError::into_inner);
        let (round, zeros) = (awaited.round + 1, vec![0; answer].into());
        *awaited = Awaited { name: name.into(), round, zeros };
        while self.times.try_recv().is_ok() {}
    }

    /// When each had it, in order.
    async fn arrivals(&mut self) -> Result<Vec<Moment>> {
        let mut times = Vec::with_capacity(self.size);
        while times.len() < self.size {
            tokio::select! {
                Some(time) = self.times.recv() => times.push(time),
                () = tokio::time::sleep(PATIENCE) => bail!("{} of {} have it", times.len(), self.size),
            }
        }
        times.sort_unstable();
        Ok(times)
    }
}

impl Shared {
    /// Comes back with what it had when its stream is ended, however that is.
    async fn proxy(self: Arc<Self>, id: String, ready: mpsc::Sender<()>) -> Infallible {
        let (mut ready, mut told) = (Some(ready), 0);
        loop {
            if let Err(why) = self.talk(&id, &mut ready, &mut told).await {
                self.lost(&id, &why);
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Says why a stream was lost, the first time: a measurement with many such is worth little.
    #[expect(clippy::print_stderr, reason = "whoever measures must know")]
    fn lost(&self, id: &str, why: &anyhow::Error) {
        if !self.lost.swap(true, Ordering::Relaxed) {
            eprintln!("{id} has lost its stream and comes back (others may have, too): {why:#}");
        }
    }

    /// One stream. `told`: the last round of which it told that it has what is awaited.
    async fn talk(
        &self,
        id: &str,
        ready: &mut Option<mpsc::Sender<()>>,
        told: &mut u64,
    ) -> Result<()> {
        let mut stream = self.door.open(id, self.script.way().method()).await?;
        let words = self.script.introduced(id, &self.hello);
        words.into_iter().for_each(|word| stream.say(word));
        if let Some(ready) = ready.take() {
            let _ = ready.send(()).await;
        }
        let mut speaker = self.script.speaker();
        while stream.step(|bytes, out| self.hear(bytes, out, &mut speaker, told)).await? {}
        bail!("the server has ended it")
    }

    /// Bytes of a stream have come.
    fn hear(
        &self,
        bytes: &[u8],
        out: &mut Outgoing,
        speaker: &mut Speaker,
        told: &mut u64,
    ) -> Result<()> {
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let awaited = self.awaited.read().unwrap_or_else(PoisonError::into_inner);
        let refuses = self.refuses.load(Ordering::Relaxed);
        let (eye, mut rest) = (Eye { awaited: &awaited.name, refuses }, bytes);
        while let Some(heard) = speaker.take(std::mem::take(&mut rest), &eye)? {
            self.responses.fetch_add(1, Ordering::Relaxed);
            self.refused.fetch_add(u64::from(heard.refused), Ordering::Relaxed);
            let says = wire::padded(heard.says, &awaited.zeros);
            let said: usize = says.iter().map(Bytes::len).sum();
            self.said.fetch_add(said as u64, Ordering::Relaxed);
            says.into_iter().for_each(|word| out.say(word));
            if heard.found && *told != awaited.round {
                *told = awaited.round;
                let _ = self.told.send(Moment::now());
            }
        }
        Ok(())
    }
}
