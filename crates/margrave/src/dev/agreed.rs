//! What all processes of a platform hold alike: what the one that writes was told. A replica takes it from
//! the store, and remembers it for a start without it.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use plane::Content;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::{Blobs, EditionFeed};

use crate::config::{Config, Listen};

/// Where it lies.
const KEY: &str = "platform/agreed";
/// Where a replica remembers what all groups are rendered with that no roll-out names.
const BASE: &str = "platform/base";

/// What no edition holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    /// Where the platform itself listens: no upstream may lead there.
    pub own: Vec<SocketAddr>,
    /// How many proxies of a group are given a change first.
    pub canaries: usize,
    /// Proxies are known by certificates.
    speaks_tls: bool,
}

impl Agreed {
    /// As this process was told.
    pub fn of(config: &Config, listen: &Listen) -> Self {
        let Listen { broker, console, metrics, xds, public, internal, envoy_admin } = *listen;
        let own = vec![broker, console, metrics, xds, public, internal, envoy_admin];
        Self { own, canaries: config.canaries, speaks_tls: config.xds_tls.shows.is_some() }
    }

    /// Tells it to the others.
    pub async fn tell(&self, store: &dyn Blobs) -> anyhow::Result<()> {
        Ok(store.put(KEY, &serde_json::to_vec(self)?).await?)
    }

    /// What holds for a replica: what it was told only counts for its own ports.
    ///
    /// # Errors
    /// It would answer in clear where proxies have identities.
    pub async fn at_replica(
        mine: Self,
        store: &dyn Blobs,
        memory: &dyn Blobs,
    ) -> anyhow::Result<Self> {
        let told: Option<Self> = match store.get(KEY).await {
            Ok(Some(told)) => remembered(memory, KEY, told).await,
            Ok(None) | Err(_) => recalled(memory, KEY).await,
        };
        let Some(mut told) = told else { return Ok(mine) };
        if told.speaks_tls && !mine.speaks_tls {
            bail!(
                "the process that writes speaks TLS with its proxies, and this replica would not: set \
                 `xds_tls.mode` here as it is there, or its proxies would be known to nobody"
            );
        }
        told.own.extend(mine.own.into_iter().filter(|it| it.port() != 0));
        Ok(told)
    }
}

/// What groups have that no roll-out names; none where the store says nothing, now or earlier.
pub async fn base<S: EditionFeed>(store: &S, memory: &dyn Blobs) -> Option<Content> {
    match read_base(store).await {
        Ok(bytes) => remembered(memory, BASE, bytes).await,
        Err(error) => {
            tracing::info!(
                "what groups have is taken from memory, or from the configuration: {error:#}"
            );
            recalled(memory, BASE).await
        }
    }
}

/// What groups have that no roll-out names, as the process that writes finds it; none where they were never
/// given anything.
pub async fn given<S: EditionFeed>(store: &S) -> anyhow::Result<Option<Content>> {
    match store.standing().await?.given.editions.is_empty() {
        true => Ok(None),
        false => Ok(serde_json::from_slice(&read_base(store).await?)?),
    }
}

async fn read_base<S: EditionFeed>(store: &S) -> anyhow::Result<Vec<u8>> {
    let given = store.standing().await?.given.editions;
    let (_, number) = given.last().context("groups are given nothing yet")?;
    store.edition(*number).await?.context("it is not there any more")
}

async fn remembered<T: DeserializeOwned>(
    memory: &dyn Blobs,
    key: &str,
    bytes: Vec<u8>,
) -> Option<T> {
    if let Err(error) = memory.put(key, &bytes).await {
        tracing::warn!(%error, key, "it cannot be remembered for a start without the store");
    }
    serde_json::from_slice(&bytes).ok()
}

async fn recalled<T: DeserializeOwned>(memory: &dyn Blobs, key: &str) -> Option<T> {
    serde_json::from_slice(&memory.get(key).await.ok()??).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use store::sqlite::{Options, Sqlite};

    use super::*;

    fn agreed(port: u16, canaries: usize, speaks_tls: bool) -> Agreed {
        Agreed { own: vec![([10, 0, 0, 1], port).into()], canaries, speaks_tls }
    }

    fn blobs(folder: &std::path::Path, name: &str) -> Sqlite {
        Sqlite::open(folder.join(name), Options::new(Arc::new(|| 1))).unwrap()
    }

    #[tokio::test]
    async fn a_replica_holds_what_the_writer_was_told_and_remembers_it() {
        let folder = tempfile::tempdir().unwrap();
        let [store, memory, empty] =
            ["store", "memory", "empty"].map(|name| blobs(folder.path(), name));
        let (writer, mine) = (agreed(8080, 2, true), agreed(18001, 0, true));
        let alone = Agreed::at_replica(mine.clone(), &store, &empty).await.unwrap();
        assert_eq!(alone, mine, "nobody has told anything yet");
        writer.tell(&store).await.unwrap();
        for store in [&store, &empty] {
            let held = Agreed::at_replica(mine.clone(), store, &memory).await.unwrap();
            assert_eq!((held.canaries, held.speaks_tls), (2, true));
            assert_eq!(held.own, [writer.own.clone(), mine.own.clone()].concat());
        }
        let clear = Agreed::at_replica(agreed(1, 0, false), &store, &memory).await.unwrap_err();
        assert!(clear.to_string().contains("set `xds_tls.mode` here"), "{clear}");
        agreed(8080, 2, false).tell(&store).await.unwrap();
        assert!(Agreed::at_replica(agreed(1, 0, true), &store, &memory).await.is_ok());
    }
}
