//! The crowd in a process of its own, and whoever tells it what to do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::speaker::{self, Script};
use super::{Crowd, Way};
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
}

/// What it is told then.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    /// Find out what proxies have.
    Learn,
    Join(usize),
    Await(String),
    /// What came since this was asked last.
    Heard,
    Leave,
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
}

/// Obeys until nobody wants anything any more.
pub(crate) async fn serve(args: Args) -> Result<()> {
    let mut boss = Boss::new();
    let mut crowd: Option<Crowd> = None;
    while let Some(order) = boss.hear().await? {
        let answer = match order {
            Order::Learn => {
                let (script, learned) = learn(args.address, args.way).await?;
                crowd = Some(Crowd::new(args.address, script));
                Answer::Learned(learned)
            }
            Order::Join(size) => {
                there(&mut crowd)?.join(size).await?;
                Answer::Done
            }
            Order::Await(name) => {
                let crowd = there(&mut crowd)?;
                crowd.await_name(&name);
                Boss::tell(&Answer::Done)?;
                Answer::Arrived(crowd.arrivals().await?)
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

async fn learn(address: SocketAddr, way: Way) -> Result<(Script, Learned)> {
    let (known, mut bytes) = speaker::learn(address).await?;
    let resources = known.len();
    let script = match way {
        Way::Delta => Script::Delta(Arc::new(known)),
        Way::Sotw => {
            let script = Arc::new(sotw::Script::new(&known));
            let versions;
            (versions, bytes) = speaker::learn_versions(address, &script).await?;
            let script = Arc::into_inner(script).context("nobody else holds it")?;
            Script::Sotw(Arc::new(script.with(versions)))
        }
    };
    Ok((script, Learned { resources, bytes }))
}

/// A crowd in another process.
pub(crate) struct Load(Helper);

impl Load {
    /// Processor time that the crowd has used.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        envoy::cpu(self.0.process()?)
    }

    /// Starts the process; nobody has connected.
    pub(crate) async fn start(address: SocketAddr, way: Way) -> Result<(Self, Learned)> {
        let way = way.to_possible_value().context("a name")?;
        let arguments = ["crowd", "--address", &address.to_string(), "--way", way.get_name()];
        let mut this = Self(Helper::start(&arguments)?);
        match this.ask(&Order::Learn).await? {
            Answer::Learned(learned) => Ok((this, learned)),
            other => bail!("{other:?}"),
        }
    }

    async fn ask(&mut self, order: &Order) -> Result<Answer> {
        self.0.tell(order).await?;
        self.0.hear().await
    }

    async fn done(&mut self, order: &Order) -> Result<()> {
        match self.ask(order).await? {
            Answer::Done => Ok(()),
            other => bail!("{other:?}"),
        }
    }

    /// All connect; returns once each has said what it has.
    pub(crate) async fn join(&mut self, size: usize) -> Result<()> {
        self.done(&Order::Join(size)).await
    }

    /// All go at once.
    pub(crate) async fn leave(&mut self) -> Result<()> {
        self.done(&Order::Leave).await
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
        self.done(&Order::Await(name)).await
    }

    /// When each had it, in order.
    pub(crate) async fn arrivals(&mut self) -> Result<Vec<Moment>> {
        match self.0.hear().await? {
            Answer::Arrived(times) => Ok(times),
            other => bail!("{other:?}"),
        }
    }
}
