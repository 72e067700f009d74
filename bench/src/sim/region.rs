//! A region's proxies, in a process of their own: what they have is told on stdout as it changes, and
//! what must never happen at once. A byte on stdin asks for where the few differ from the many; it ends
//! with its stdin.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

use super::proxy::{Proxy, Words};
use crate::crowd::Way;
use crate::http2::{Outgoing, Stream};
use crate::proxy::introduced;

/// Between two looks at what changed.
const TELL: Duration = Duration::from_millis(100);
/// A connection that is not made within this is tried again.
const CONNECT: Duration = Duration::from_secs(10);
/// Before a proxy comes back, and so much again at random: as Envoy's first retries.
const PAUSE: Duration = Duration::from_millis(500);
/// Differences that are told.
const ODD_MAX: usize = 8;

/// A region, as its process is told.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Its name, which is its proxies' group.
    #[arg(long)]
    name: String,
    /// Where it finds the platform.
    #[arg(long)]
    address: SocketAddr,
    /// How many proxies it has.
    #[arg(long)]
    size: usize,
    /// Scopes that there always are.
    #[arg(long)]
    floor: usize,
}

/// What a region says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// How many have each digest.
    pub(crate) digests: BTreeMap<u64, usize>,
    /// How many have a stream.
    pub(crate) connected: usize,
    /// How often a stream was opened.
    pub(crate) opened: u64,
    /// Bytes that were received.
    pub(crate) bytes: u64,
    /// What must never happen, and has.
    pub(crate) wrong: Vec<String>,
    /// In what the few differ from the many, once that was asked for.
    pub(crate) odd: Vec<String>,
}

/// All its proxies.
struct Region {
    args: Args,
    proxies: Vec<Mutex<State>>,
    opened: AtomicU64,
    bytes: AtomicU64,
    wrong: Mutex<Vec<String>>,
    odd: Mutex<Vec<String>>,
}

struct State {
    proxy: Proxy,
    connected: bool,
}

/// Runs until stdin ends.
pub(crate) async fn run(args: Args) -> Result<()> {
    let words = Words::default();
    let state = || State { proxy: Proxy::new(words.clone(), args.floor), connected: false };
    let proxies = (0..args.size).map(|_| Mutex::new(state())).collect();
    let region = Arc::new(Region {
        args,
        proxies,
        opened: AtomicU64::default(),
        bytes: AtomicU64::default(),
        wrong: Mutex::default(),
        odd: Mutex::default(),
    });
    let mut tasks = JoinSet::new();
    for at in 0..region.proxies.len() {
        tasks.spawn(region.clone().live(at));
    }
    tasks.spawn(tell(region.clone()));
    let mut asked = [0];
    while tokio::io::stdin().read(&mut asked).await? > 0 {
        *region.odd.lock().unwrap_or_else(PoisonError::into_inner) = region.odd();
    }
    Ok(())
}

async fn tell(region: Arc<Region>) {
    let mut last = None;
    loop {
        let told = region.told();
        if last.as_ref() != Some(&told) {
            let line = serde_json::to_string(&told).unwrap_or_default();
            // Who does not listen any more ends this process by its stdin.
            let _ = writeln!(std::io::stdout(), "{line}");
            last = Some(told);
        }
        tokio::time::sleep(TELL).await;
    }
}

impl Region {
    fn told(&self) -> Told {
        let mut told = Told {
            opened: self.opened.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            wrong: self.wrong.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            odd: self.odd.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            ..Told::default()
        };
        for at in 0..self.proxies.len() {
            let state = self.state(at);
            *told.digests.entry(state.proxy.digest()).or_default() += 1;
            told.connected += usize::from(state.connected);
        }
        told
    }

    fn state(&self, at: usize) -> MutexGuard<'_, State> {
        self.proxies[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What one of the fewest and one of the most do not both have.
    fn odd(&self) -> Vec<String> {
        let digests = self.told().digests;
        let has = |digest: u64| {
            let mut all = (0..self.proxies.len()).map(|at| (at, self.state(at)));
            all.find(|(_, it)| it.proxy.digest() == digest).map(|(at, it)| (at, it.proxy.here()))
        };
        let many = digests.iter().max_by_key(|(_, size)| **size).and_then(|(it, _)| has(*it));
        let few = digests.iter().min_by_key(|(_, size)| **size).and_then(|(it, _)| has(*it));
        let (Some((_, many)), Some((at, few))) = (many, few) else { return Vec::new() };
        let more = few.difference(&many).map(|what| format!("{at} alone has {what}"));
        let less = many.difference(&few).map(|what| format!("{at} lacks {what}"));
        more.chain(less).take(ODD_MAX).collect()
    }

    /// One proxy's life: stream after stream.
    async fn live(self: Arc<Self>, at: usize) {
        let mut dice = at as u64 + 1;
        loop {
            let _ = self.stream(at).await;
            self.state(at).connected = false;
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            tokio::time::sleep(PAUSE + PAUSE.mul_f64((dice >> 40) as f64 / (1u64 << 24) as f64))
                .await;
        }
    }

    async fn stream(&self, at: usize) -> Result<()> {
        let opened = Stream::connect(self.args.address, Way::Delta.method());
        let mut stream = tokio::time::timeout(CONNECT, opened).await??;
        self.opened.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}-{at}", self.args.name);
        let words = self.state(at).proxy.comes_back();
        let words = introduced(&id, &self.args.name, &words);
        words.into_iter().for_each(|word| stream.say(word));
        self.state(at).connected = true;
        while stream.step(|bytes, out| self.hear(at, &id, bytes, out)).await? {}
        Ok(())
    }

    /// Bytes of a proxy's stream have come.
    fn hear(&self, at: usize, id: &str, bytes: &[u8], out: &mut Outgoing) -> Result<()> {
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let (mut state, mut rest) = (self.state(at), bytes);
        while let Some((says, wrong)) = state.proxy.take(std::mem::take(&mut rest))? {
            says.into_iter().for_each(|word| out.say(word));
            if !wrong.is_empty() {
                let wrong = wrong.into_iter().map(|what| format!("{id} {what}"));
                self.wrong.lock().unwrap_or_else(PoisonError::into_inner).extend(wrong);
            }
        }
        Ok(())
    }
}
