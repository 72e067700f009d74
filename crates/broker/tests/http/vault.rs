//! A vault whose randomness is a counter.

use std::sync::RwLock;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use broker::{Sealing, Vault};
use keys::{Keyring, Place, SealError, Sealed, Secret, Seed};
use model::Millis;

pub(crate) struct Counting {
    ring: RwLock<Keyring>,
    drawn: AtomicU8,
}

impl Counting {
    pub(crate) fn new() -> Self {
        let ring = RwLock::new(Keyring::new(&Seed::new([1; 32]), 0));
        Self { ring, drawn: AtomicU8::new(100) }
    }

    fn next(&self) -> u8 {
        self.drawn.fetch_add(1, Ordering::Relaxed)
    }
}

#[async_trait]
impl Vault for Counting {
    fn draw(&self) -> Seed {
        Seed::new([self.next(); 32])
    }
    async fn seal(&self, place: Place<'_>, secret: &Secret) -> Result<Sealing, SealError> {
        let ring = self.ring.read().expect("not poisoned");
        Ok(Sealing { sealed: ring.seal(place, &[self.next(); 24], secret)?, held: Box::new(()) })
    }
    fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret, SealError> {
        self.ring.read().expect("not poisoned").open(place, sealed)
    }
    fn keys(&self) -> Vec<(String, Millis)> {
        self.ring.read().expect("not poisoned").keys()
    }
    async fn rotate(&self, now: Millis) -> Result<(), String> {
        let mut ring = self.ring.write().expect("not poisoned");
        // Nothing is sealed anew here, so that no key can be dropped, and a ring has few places.
        if ring.keys().len() == 8 {
            return Ok(());
        }
        ring.add(&Seed::new([self.next(); 32]), now).map_err(|error| error.to_string())
    }
}
