//! The crowd in a process of its own, and whoever tells it what to do.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::door::Door;
use super::speaker::{self, Script};
use super::{CONNECTING, Crowd, Way};
use crate::envoy;
use crate::helper::{Boss, Helper};
use crate::moment::Moment;
use crate::sotw;

/// What the process is told when it starts.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The discovery service.
    #[arg(long)]
    address: SocketAddr,
    /// How the proxies speak.
    #[arg(long)]
    way: Way,
    /// The file with what they show; without, they come in clear.
    #[arg(long)]
    identities: Option<PathBuf>,
}

/// What it is told then.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    /// Find out what proxies have.
    Learn,
    /// Proxies have nothing.
    Forget,
    Join(usize),
    /// So many open a stream, say nothing and go.
    Knock(usize),
    Await(Awaited),
    /// Whether what has a certain mark is refused.
    Refuse(bool),
    /// What came since this was asked last.
    Heard,
    Leave,
}

/// What all wait for.
#[derive(Debug, Serialize, Deserialize)]
struct Awaited {
    name: String,
    /// What they say to it has so many bytes at least.
    answer: usize,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Done,
    Learned(Learned),
    Heard(Heard),
    /// After `Done`, when all have what was awaited.
    Arrived(Vec<Moment>),
}

/// What a proxy is given that comes with nothing.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Learned {
    pub(crate) resources: usize,
    pub(crate) bytes: u64,
}

/// What all proxies together were sent.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Heard {
    pub(crate) bytes: u64,
    pub(crate) responses: u64,
    /// Of these.
    pub(crate) refused: u64,
    /// Bytes that they said.
    pub(crate) said: u64,
}

/// Obeys until nobody wants anything any more.
pub(crate) async fn serve(args: Args) -> Result<()> {
    let mut boss = Boss::new();
    let door = Arc::new(Door::new(args.address, args.identities.as_deref())?);
    let mut crowd: Option<Crowd> = None;
    while let Some(order) = boss.hear().await? {
        let answer = match order {
            Order::Learn => {
                let (script, learned) = learn(&door, args.way).await?;
                crowd = Some(Crowd::new(door.clone(), script));
                Answer::Learned(learned)
            }
            Order::Forget => {
                crowd =
                    Some(Crowd::new(door.clone(), there(&mut crowd)?.shared.script.forgotten()));
                Answer::Done
            }
            Order::Join(size) => {
                there(&mut crowd)?.join(size).await?;
                Answer::Done
            }
            Order::Knock(size) => {
                knock(&door, size).await?;
                Answer::Done
            }
            Order::Await(Awaited { name, answer }) => {
                let crowd = there(&mut crowd)?;
                crowd.await_name(&name, answer);
                Boss::tell(&Answer::Done)?;
                Answer::Arrived(crowd.arrivals().await?)
            }
            Order::Refuse(refuses) => {
                there(&mut crowd)?.shared.refuses.store(refuses, Ordering::Relaxed);
                Answer::Done
            }
            Order::Heard => Answer::Heard(there(&mut crowd)?.heard()),
            Order::Leave => {
                there(&mut crowd)?.leave().await;
                Answer::Done
            }
        };
        Boss::tell(&answer)?;
    }
    Ok(())
}

fn there(crowd: &mut Option<Crowd>) -> Result<&mut Crowd> {
    crowd.as_mut().context("nothing was learned yet")
}

/// All at once, as far as a listener's queue holds them, and all are there at the end.
async fn knock(door: &Door, size: usize) -> Result<()> {
    let open = |at| async move { door.open(&super::name(at), Way::Delta.method()).await };
    let open = stream::iter(0..size).map(open).buffer_unordered(CONNECTING);
    open.try_collect::<Vec<_>>().await.map(drop)
}

async fn learn(door: &Door, way: Way) -> Result<(Script, Learned)> {
    let (known, mut bytes) = speaker::learn(door).await?;
    let resources = known.len();
    let script = match way {
        Way::Delta => Script::Delta(Arc::new(known)),
        Way::Sotw => {
            let script = Arc::new(sotw::Script::new(&known));
            let versions;
            (versions, bytes) = speaker::learn_versions(door, &script).await?;
            let script = Arc::into_inner(script).context("nobody else holds it")?;
            Script::Sotw(Arc::new(script.with(versions)))
        }
    };
    Ok((script, Learned { resources, bytes }))
}

/// A crowd in another process.
pub(crate) struct Load {
    helper: Helper,
    size: usize,
}

impl Load {
    /// Processor time that the crowd has used.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        envoy::cpu(self.helper.process()?)
    }

    /// How many joined last.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Starts the process; nobody has connected.
    pub(crate) async fn start(address: SocketAddr, way: Way) -> Result<(Self, Learned)> {
        Self::with(address, way, None).await
    }

    /// The same, of proxies that show what is in a file.
    pub(crate) async fn with(
        address: SocketAddr,
        way: Way,
        identities: Option<&Path>,
    ) -> Result<(Self, Learned)> {
        let way = way.to_possible_value().context("a name")?;
        let (address, identities) = (address.to_string(), identities.map(Path::to_string_lossy));
        let mut arguments = vec!["crowd", "--address", &address, "--way", way.get_name()];
        arguments.extend(identities.iter().flat_map(|file| ["--identities", file]));
        let mut this = Self { helper: Helper::start(&arguments)?, size: 0 };
        match this.ask(&Order::Learn).await? {
            Answer::Learned(learned) => Ok((this, learned)),
            other => bail!("{other:?}"),
        }
    }

    async fn ask(&mut self, order: &Order) -> Result<Answer> {
        self.helper.tell(order).await?;
        self.helper.hear().await
    }

    async fn done(&mut self, order: &Order) -> Result<()> {
        match self.ask(order).await? {
            Answer::Done => Ok(()),
            other => bail!("{other:?}"),
        }
    }

    /// Those that join from now on have nothing.
    pub(crate) async fn forget(&mut self) -> Result<()> {
        self.done(&Order::Forget).await
    }

    /// All connect; returns once each has said what it has.
    pub(crate) async fn join(&mut self, size: usize) -> Result<()> {
        self.size = size;
        self.done(&Order::Join(size)).await
    }

    /// So many open a stream, say nothing and go.
    pub(crate) async fn knock(&mut self, size: usize) -> Result<()> {
        self.done(&Order::Knock(size)).await
    }

    /// All go at once.
    pub(crate) async fn leave(&mut self) -> Result<()> {
        self.done(&Order::Leave).await
    }

    /// From now on whatever has [`crate::proxy::REFUSED`] in it is refused, or not any more.
    pub(crate) async fn refuse(&mut self, refuses: bool) -> Result<()> {
        self.done(&Order::Refuse(refuses)).await
    }

    /// What was received since this was asked last.
    pub(crate) async fn heard(&mut self) -> Result<Heard> {
        match self.ask(&Order::Heard).await? {
            Answer::Heard(heard) => Ok(heard),
            other => bail!("{other:?}"),
        }
    }

    /// From now on each tells, once, when it has acknowledged a resource of this name.
    pub(crate) async fn await_name(&mut self, name: String) -> Result<()> {
        self.await_answered(name, 0).await
    }

    /// The same, with answers of so many bytes at least.
    pub(crate) async fn await_answered(&mut self, name: String, answer: usize) -> Result<()> {
        self.done(&Order::Await(Awaited { name, answer })).await
    }

    /// When each had it, in order.
    pub(crate) async fn arrivals(&mut self) -> Result<Vec<Moment>> {
        match self.helper.hear().await? {
            Answer::Arrived(times) => Ok(times),
            other => bail!("{other:?}"),
        }
    }
}
