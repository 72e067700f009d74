//! The two protocols, and what their proxies have in common.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;

use super::{QUIET, open, open_as};
use crate::proxy::{self, Known, first_word};
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
    pub(super) fn method(self) -> &'static str {
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
    pub(super) fn way(&self) -> Way {
        match self {
            Self::Delta(_) => Way::Delta,
            Self::Sotw(_) => Way::Sotw,
        }
    }

    /// What each says after its own first word.
    pub(super) fn comes(&self) -> Arc<[Bytes]> {
        match self {
            Self::Delta(known) => known.comes_back(),
            Self::Sotw(script) => script.comes().into(),
        }
    }

    /// Who speaks.
    pub(super) fn first_word(&self, id: &str) -> Bytes {
        match self {
            Self::Delta(_) => first_word(id, ""),
            Self::Sotw(_) => sotw::first_word(id),
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
}

impl Speaker {
    /// Takes bytes of the stream; what comes of the next whole response that they make.
    pub(super) fn take(&mut self, bytes: &[u8], wanted: &str) -> Result<Option<Heard>> {
        Ok(match self {
            Self::Delta(proxy) => match proxy.take(bytes)? {
                Some(response) => {
                    let found = response.resources.iter().any(|it| it.name == wanted);
                    Some(Heard { says: proxy.answer(&response)?, found })
                }
                None => None,
            },
            Self::Sotw(proxy) => {
                let heard = proxy.take(bytes, wanted)?;
                heard.map(|(response, says)| Heard { says, found: response.found })
            }
        })
    }
}

/// One proxy that comes with nothing is given all that there is; what it then has, and the bytes
/// that it took.
pub(super) async fn learn(address: SocketAddr) -> Result<(Known, u64)> {
    let (mut say, mut hear, _kept) = open(address).await?;
    say.send_data(first_word("learner", ""), false)?;
    for frame in Known::default().comes_back().iter() {
        say.send_data(frame.clone(), false)?;
    }
    let (mut proxy, mut bytes) = (proxy::Proxy::learner(), 0);
    while let Ok(Some(chunk)) = tokio::time::timeout(QUIET, hear.data()).await {
        let chunk = chunk?;
        bytes += chunk.len() as u64;
        hear.flow_control().release_capacity(chunk.len())?;
        let mut rest: &[u8] = &chunk;
        while let Some(response) = proxy.take(std::mem::take(&mut rest))? {
            for word in proxy.answer(&response)? {
                say.send_data(word, false)?;
            }
        }
    }
    Ok((proxy.learns.take().unwrap_or_default(), bytes))
}

/// The same in the other protocol, of one that knows by now what to ask for: the versions that it is
/// told, by type.
pub(super) async fn learn_versions(
    address: SocketAddr,
    script: &Arc<sotw::Script>,
) -> Result<(BTreeMap<String, String>, u64)> {
    let (mut say, mut hear, _kept) = open_as(address, Way::Sotw).await?;
    say.send_data(sotw::first_word("learner"), false)?;
    for frame in script.comes() {
        say.send_data(frame, false)?;
    }
    let (mut proxy, mut bytes) = (sotw::Proxy::new(script.clone()), 0);
    let mut versions = BTreeMap::new();
    while let Ok(Some(chunk)) = tokio::time::timeout(QUIET, hear.data()).await {
        let chunk = chunk?;
        bytes += chunk.len() as u64;
        hear.flow_control().release_capacity(chunk.len())?;
        let mut rest: &[u8] = &chunk;
        while let Some((response, says)) = proxy.take(std::mem::take(&mut rest), "")? {
            for word in says {
                say.send_data(word, false)?;
            }
            versions.insert(response.type_url, response.version);
        }
    }
    Ok((versions, bytes))
}
