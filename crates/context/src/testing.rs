//! What the tests of this crate share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keys::{Keyring, Place, SealError, Sealed, Secret, Seed};
use model::Millis;
use store::{BlobWrite, Blobs, Holding, Leases, StoreError};
use tokio::sync::Notify;

use crate::scribe::{Scribe, SourcePorts};
use crate::sealing::{Sealing, Vault};

/// Blobs in memory, news of each write, and whether writing fails.
#[derive(Default)]
pub(crate) struct Kept(
    Mutex<BTreeMap<String, Vec<u8>>>,
    pub(crate) Notify,
    AtomicUsize,
    pub(crate) AtomicBool,
    AtomicUsize,
);

impl Kept {
    /// How often something was put.
    pub(crate) fn writes(&self) -> usize {
        self.2.load(Ordering::Relaxed)
    }

    /// How often something was read.
    pub(crate) fn reads(&self) -> usize {
        self.4.load(Ordering::Relaxed)
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait::async_trait]
impl Blobs for Kept {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.4.fetch_add(1, Ordering::Relaxed);
        Ok(self.with(|kept| kept.get(key).cloned()))
    }
    async fn put(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        if self.3.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("told to".to_owned()));
        }
        self.with(|kept| kept.insert(key.to_owned(), value.to_vec()));
        self.2.fetch_add(1, Ordering::Relaxed);
        self.1.notify_one();
        Ok(())
    }
    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.with(|kept| kept.remove(key));
        Ok(())
    }
    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.4.fetch_add(1, Ordering::Relaxed);
        Ok(self.with(|kept| kept.keys().filter(|key| key.starts_with(prefix)).cloned().collect()))
    }
}

#[async_trait::async_trait]
impl Leases for Kept {
    async fn hold(
        &self,
        name: &str,
        _: &str,
        _: Millis,
        _: Duration,
    ) -> Result<Option<Holding>, StoreError> {
        Ok(Some(Holding { name: name.to_owned(), number: 1 }))
    }
    async fn let_go(&self, _: &Holding) -> Result<(), StoreError> {
        Ok(())
    }
    async fn write_held(&self, _: &Holding, writes: Vec<BlobWrite>) -> Result<(), StoreError> {
        for write in writes {
            match write {
                BlobWrite::Put(key, value) => self.put(&key, &value).await?,
                BlobWrite::Delete(key) => self.delete(&key).await?,
            }
        }
        Ok(())
    }
    async fn swap(&self, key: &str, old: &[u8], new: &[u8]) -> Result<bool, StoreError> {
        let is_it = self.get(key).await?.as_deref() == Some(old);
        if is_it {
            self.put(key, new).await?;
        }
        Ok(is_it)
    }
}

/// A keyring in memory.
pub(crate) struct Ring(Mutex<(Keyring, u8)>);

impl Default for Ring {
    fn default() -> Self {
        Self(Mutex::new((Keyring::new(&Seed::default(), 0), 0)))
    }
}

impl Ring {
    fn with<T>(&self, act: impl FnOnce(&mut Keyring, &mut u8) -> T) -> T {
        let (ring, count) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        act(ring, count)
    }

    pub(crate) fn newest(&self) -> String {
        self.with(|ring, _| ring.newest())
    }

    pub(crate) fn rotate(&self) {
        self.with(|ring, count| ring.add(&Seed::new([*count; 32]), 0)).unwrap();
    }

    pub(crate) fn forget(&self) {
        self.with(|ring, _| ring.keep_newest());
    }
}

#[async_trait::async_trait]
impl Vault for Ring {
    async fn seal(&self, place: Place<'_>, secret: &Secret) -> Result<Sealing, SealError> {
        let seal = |ring: &mut Keyring, count: &mut u8| ring.seal(place, &[*count; 24], secret);
        Ok(Sealing { sealed: self.with(seal)?, held: Box::new(()) })
    }
    fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret, SealError> {
        self.with(|ring, _| ring.open(place, sealed))
    }
}

/// A clock that is set by hand.
#[derive(Default)]
pub(crate) struct Clock(pub(crate) AtomicI64);

/// Who writes into these.
pub(crate) fn scribe(blobs: &Arc<Kept>, clock: &Arc<Clock>) -> Scribe {
    Scribe::new(ports(blobs, clock), Holding { name: "sources".to_owned(), number: 1 })
}

/// What polling needs.
pub(crate) fn ports(blobs: &Arc<Kept>, clock: &Arc<Clock>) -> SourcePorts {
    let clock = Arc::clone(clock);
    SourcePorts {
        blobs: Arc::<Kept>::clone(blobs),
        leases: Arc::<Kept>::clone(blobs),
        vault: Arc::<Ring>::default(),
        clock: Arc::new(move || clock.0.load(Ordering::Relaxed)),
        jitter: Arc::new(|| 0.0),
        holder: "this".to_owned(),
    }
}
