//! The two protocols, and what their proxies have in common.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;

use super::door::Door;
use super::{LEARNER, QUIET};
use crate::http2::{Outgoing, Stream};
use crate::product::GROUP;
use crate::proxy::{self, Known};
use crate::sotw;

/// How proxies speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Way {
    /// What changed.
    Delta,
    /// State of the world: sets of resources whole.
    Sotw,
}

impl Way {
    /// The method of the discovery service.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Delta => {
                "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
            }
            Self::Sotw => {
                "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
            }
        }
    }
}

/// What proxies come with.
#[derive(Debug, Clone)]
pub(super) enum Script {
    Delta(Arc<Known>),
    Sotw(Arc<sotw::Script>),
}

impl Script {
    /// The same, of those that have nothing.
    pub(super) fn forgotten(&self) -> Self {
        match self {
            Self::Delta(_) => Self::Delta(Arc::default()),
            Self::Sotw(script) => {
                Self::Sotw(Arc::new(sotw::Script::clone(script).with(BTreeMap::new())))
            }
        }
    }

    pub(super) fn way(&self) -> Way {
        match self {
            Self::Delta(_) => Way::Delta,
            Self::Sotw(_) => Way::Sotw,
        }
    }

    /// What each says, once it is introduced.
    pub(super) fn comes(&self) -> Arc<[Bytes]> {
        match self {
            Self::Delta(known) => known.comes_back(),
            Self::Sotw(script) => script.comes().into(),
        }
    }

    /// The beginning of a stream: who speaks, and these words.
    pub(super) fn introduced(&self, id: &str, words: &[Bytes]) -> Vec<Bytes> {
        match self {
            Self::Delta(_) => proxy::introduced(id, GROUP, words),
            Self::Sotw(_) => sotw::introduced(id, words),
        }
    }

    pub(super) fn speaker(&self) -> Speaker {
        match self {
            Self::Delta(known) => Speaker::Delta(proxy::Proxy::new(known.clone())),
            Self::Sotw(script) => Speaker::Sotw(sotw::Proxy::new(script.clone())),
        }
    }
}

/// One proxy's side of a stream.
pub(super) enum Speaker {
    Delta(proxy::Proxy),
    Sotw(sotw::Proxy),
}

/// A response was heard.
pub(super) struct Heard {
    pub(super) says: Vec<Bytes>,
    /// What was looked for is in it.
    pub(super) found: bool,
    /// It was refused as a whole.
    pub(super) refused: bool,
}

/// What proxies look at, beside what the protocol makes them.
pub(super) struct Eye<'a> {
    /// A resource that is waited for.
    pub(super) awaited: &'a str,
    /// They refuse whatever has [`proxy::REFUSED`] in it.
    pub(super) refuses: bool,
}

impl Speaker {
    /// Takes bytes of the stream; what comes of the next whole response that they make.
    pub(super) fn take(&mut self, bytes: &[u8], eye: &Eye<'_>) -> Result<Option<Heard>> {
        match self {
            Self::Delta(proxy) => {
                let Some(response) = proxy.take(bytes)? else { return Ok(None) };
                if let Some(refusal) = eye.refuses.then(|| proxy::refusal(&response)).flatten() {
                    return Ok(Some(Heard { says: vec![refusal], found: false, refused: true }));
                }
                let found = response.resources.iter().any(|it| it.name == eye.awaited);
                Ok(Some(Heard { says: proxy.answer(&response)?, found, refused: false }))
            }
            Self::Sotw(proxy) => {
                let heard = proxy.take(bytes, eye.awaited)?;
                Ok(heard.map(|(response, says)| Heard {
                    says,
                    found: response.found,
                    refused: false,
                }))
            }
        }
    }
}

/// One proxy that comes with nothing is given all that there is; what it then has, and the bytes
/// that it took.
pub(super) async fn learn(door: &Door) -> Result<(Known, u64)> {
    let mut stream = door.open(LEARNER, Way::Delta.method()).await?;
    let words = proxy::introduced(LEARNER, GROUP, &Known::default().comes_back());
    words.into_iter().for_each(|word| stream.say(word));
    let (mut proxy, mut heard) = (proxy::Proxy::learner(), 0);
    let mut hear = |bytes: &[u8], out: &mut Outgoing| {
        heard += bytes.len() as u64;
        let mut rest = bytes;
        while let Some(response) = proxy.take(std::mem::take(&mut rest))? {
            proxy.answer(&response)?.into_iter().for_each(|word| out.say(word));
        }
        Ok(())
    };
    until_quiet(&mut stream, &mut hear).await?;
    Ok((proxy.learns.take().unwrap_or_default(), heard))
}

/// The same in the other protocol, of one that knows by now what to ask for: the versions that it is
/// told, by type.
pub(super) async fn learn_versions(
    door: &Door,
    script: &Arc<sotw::Script>,
) -> Result<(BTreeMap<String, String>, u64)> {
    let mut stream = door.open(LEARNER, Way::Sotw.method()).await?;
    let words = sotw::introduced(LEARNER, &script.comes());
    words.into_iter().for_each(|word| stream.say(word));
    let (mut proxy, mut heard) = (sotw::Proxy::new(script.clone()), 0);
    let mut versions = BTreeMap::new();
    let mut hear = |bytes: &[u8], out: &mut Outgoing| {
        heard += bytes.len() as u64;
        let mut rest = bytes;
        while let Some((response, says)) = proxy.take(std::mem::take(&mut rest), "")? {
            says.into_iter().for_each(|word| out.say(word));
            versions.insert(response.type_url, response.version);
        }
        Ok(())
    };
    until_quiet(&mut stream, &mut hear).await?;
    Ok((versions, heard))
}

/// Until the stream has ended, or nothing has come for a while.
pub(crate) async fn until_quiet(
    stream: &mut Stream,
    mut heard: impl FnMut(&[u8], &mut Outgoing) -> Result<()>,
) -> Result<()> {
    while let Ok(is_there) = tokio::time::timeout(QUIET, stream.step(&mut heard)).await {
        if !is_there? {
            break;
        }
    }
    Ok(())
}
