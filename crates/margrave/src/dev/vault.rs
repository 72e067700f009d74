//! The keyring of a state folder, in use: seals and opens for the broker, and is rotated.

use std::sync::{Arc, PoisonError, RwLock};

use anyhow::bail;
use async_trait::async_trait;
use broker::Sealing;
use keys::{Keyring, Place, SealError, Sealed, Secret, Seed};
use model::Millis;
use rand::RngCore;
use store::{Bindings, Blobs, Leases, Nodes, Reseal};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::state::State;

/// Where the key of the authority lies that signs certificates of proxies.
pub const AUTHORITY: Place<'static> = Place { kind: "authority", id: "1" };

/// The keyring, where it is kept, and what is sealed with it.
pub struct Vault {
    ring: RwLock<Keyring>,
    state: State,
    bindings: Arc<dyn Bindings>,
    nodes: Arc<dyn Nodes>,
    documents: Documents,
    /// Held by whoever seals until that is kept.
    sealing: Arc<tokio::sync::RwLock<()>>,
    /// One rotation at a time.
    turn: Mutex<()>,
}

/// Documents of sources, whose secrets are sealed.
pub struct Documents {
    /// Where they lie.
    pub blobs: Arc<dyn Blobs>,
    /// What writes them unless they are others by now.
    pub leases: Arc<dyn Leases>,
}

impl Vault {
    /// The vault of a state folder; its keyring is made where nothing is sealed yet.
    pub async fn open(
        state: State,
        bindings: Arc<dyn Bindings>,
        nodes: Arc<dyn Nodes>,
        documents: Documents,
        now: Millis,
    ) -> anyhow::Result<Self> {
        let mut sealing = bindings.sealing_keys().await?;
        sealing.extend(nodes.authority().await?.map(|kept| kept.sealed.key()));
        sealing.extend(context::sealing_keys(&*documents.blobs).await?);
        let ring = match state.keyring()? {
            Some(ring) => ring,
            None if sealing.is_empty() => {
                let ring = Keyring::new(&seed(), now);
                state.write_keyring(&ring)?;
                ring
            }
            None => bail!(
                "{} is missing, and the store holds secrets that were sealed with it: put it back \
                 from where it was kept. Without it those bindings cannot be answered again",
                state.keyring_path().display()
            ),
        };
        if let Some(unknown) = sealing.iter().find(|key| !ring.has(key)) {
            bail!(
                "the store holds secrets that were sealed with the key `{unknown}`, which {} does \
                 not have: it belongs to another state. Put back the one that was beside this store",
                state.keyring_path().display()
            );
        }
        Ok(Self {
            ring: RwLock::new(ring),
            state,
            bindings,
            nodes,
            documents,
            sealing: Arc::default(),
            turn: Mutex::default(),
        })
    }

    /// Ends a rotation that was cut off, then waits to be told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> anyhow::Result<()> {
        let _turn = self.turn.lock().await;
        if let Err(error) = self.finish().await {
            tracing::warn!("a rotation of keys was not finished, every key is kept: {error:#}");
        }
        drop(_turn);
        stop.cancelled().await;
        Ok(())
    }

    fn ring(&self) -> Keyring {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// On the disk first: nothing is sealed with a key that could be lost.
    fn keep(&self, ring: Keyring) -> anyhow::Result<()> {
        self.state.write_keyring(&ring)?;
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
        Ok(())
    }

    /// Seals with the newest key what is sealed with another, then forgets the others.
    async fn finish(&self) -> anyhow::Result<()> {
        let mut ring = self.ring();
        let newest = ring.newest();
        if ring.keys().len() < 2 {
            return Ok(());
        }
        // From here on nothing is sealed with an old key, and what was is kept, or will be by the
        // time that a write is answered which was asked for after it.
        drop(self.sealing.write().await);
        self.bindings.reseal(Vec::new()).await?;
        while let Some(old) =
            self.bindings.sealing_keys().await?.into_iter().find(|key| *key != newest)
        {
            let batch = self.bindings.sealed_with(&old).await?;
            let anew = batch.into_iter().map(|(binding, old)| {
                let place = broker::place(&binding);
                let new = ring.seal(place, &nonce(), &ring.open(place, &old)?)?;
                Ok(Reseal { binding: binding.clone(), old, new })
            });
            let anew = anew.collect::<Result<Vec<_>, SealError>>()?;
            self.bindings.reseal(anew).await?;
        }
        self.reseal_authority(&ring).await?;
        let Documents { blobs, leases } = &self.documents;
        context::reseal(&**blobs, &**leases, self, &newest).await?;
        ring.keep_newest();
        self.keep(ring)
    }

    async fn reseal_authority(&self, ring: &Keyring) -> anyhow::Result<()> {
        while let Some(kept) = self.nodes.authority().await?
            && kept.sealed.key() != ring.newest()
        {
            let new = ring.seal(AUTHORITY, &nonce(), &ring.open(AUTHORITY, &kept.sealed)?)?;
            self.nodes.reseal_authority(kept.sealed, new).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl broker::Vault for Vault {
    fn draw(&self) -> Seed {
        seed()
    }

    async fn seal(&self, place: Place<'_>, secret: &Secret) -> Result<Sealing, SealError> {
        let held = Box::new(Arc::clone(&self.sealing).read_owned().await);
        Ok(Sealing { sealed: self.ring().seal(place, &nonce(), secret)?, held })
    }

    fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret, SealError> {
        self.ring().open(place, sealed)
    }

    fn keys(&self) -> Vec<(String, Millis)> {
        self.ring().keys()
    }

    async fn rotate(&self, now: Millis) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        let rotated = async {
            let mut ring = self.ring();
            ring.add(&seed(), now)?;
            self.keep(ring)?;
            self.finish().await
        };
        rotated.await.map_err(|error: anyhow::Error| format!("{error:#}"))
    }
}

#[async_trait]
impl context::Vault for Vault {
    async fn seal(&self, place: Place<'_>, secret: &Secret) -> Result<context::Sealing, SealError> {
        let Sealing { sealed, held } = broker::Vault::seal(self, place, secret).await?;
        Ok(context::Sealing { sealed, held: Box::new(held) })
    }

    fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret, SealError> {
        self.ring().open(place, sealed)
    }
}

fn seed() -> Seed {
    let mut seed = Seed::default();
    rand::rng().fill_bytes(seed.as_mut_slice());
    seed
}

fn nonce() -> keys::Nonce {
    let mut nonce = keys::Nonce::default();
    rand::rng().fill_bytes(&mut nonce);
    nonce
}
