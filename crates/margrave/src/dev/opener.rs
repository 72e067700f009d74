//! The keyring of a state folder as a replica has it: it opens, and seals nothing.

use std::sync::{PoisonError, RwLock};

use async_trait::async_trait;
use context::Sealing;
use keys::{Keyring, Place, SealError, Sealed, Secret};

use crate::state::State;

/// Opens with the keys that the folder has at that time.
pub struct Opener {
    state: State,
    ring: RwLock<Option<Keyring>>,
}

impl Opener {
    /// Of this folder, which need not have keys as long as nothing is sealed.
    pub fn new(state: State) -> Self {
        Self { state, ring: RwLock::default() }
    }

    fn with(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret, SealError> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let unknown = || SealError::Unknown(sealed.key());
        ring.as_ref().ok_or_else(unknown)?.open(place, sealed)
    }
}

#[async_trait]
impl context::Vault for Opener {
    async fn seal(&self, _: Place<'_>, _: &Secret) -> Result<Sealing, SealError> {
        Err(SealError::Unknown("none of a replica".to_owned()))
    }

    /// Whoever rotates keys adds the new one to the folder before anything is sealed with it.
    fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret, SealError> {
        match self.with(place, sealed) {
            Err(SealError::Unknown(_)) => {}
            known => return known,
        }
        match self.state.keyring() {
            Ok(found) => *self.ring.write().unwrap_or_else(PoisonError::into_inner) = found,
            Err(error) => tracing::error!("the keyring cannot be read: {error:#}"),
        }
        self.with(place, sealed)
    }
}

#[cfg(test)]
mod tests {
    use context::Vault as _;
    use keys::Seed;

    use super::*;

    #[test]
    fn it_follows_the_keys_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path());
        let opener = Opener::new(state.clone());
        let place = Place { kind: "sources", id: "teams" };
        let secret = Secret::from("hunter22".to_owned());
        let mut ring = Keyring::new(&Seed::new([1; 32]), 0);
        let first = ring.seal(place, &[1; 24], &secret).unwrap();
        assert!(opener.open(place, &first).is_err(), "there is no keyring");
        state.write_keyring(&ring).unwrap();
        assert_eq!(opener.open(place, &first).as_ref(), Ok(&secret));
        ring.add(&Seed::new([2; 32]), 0).unwrap();
        state.write_keyring(&ring).unwrap();
        let second = ring.seal(place, &[2; 24], &secret).unwrap();
        assert_eq!(opener.open(place, &second), Ok(secret));
    }
}
