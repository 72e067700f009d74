//! The keyring of a state folder in a backup: wrapped by a passphrase, which comes from the environment
//! alone, because other users can see a process's arguments.

use std::path::Path;

use anyhow::{Context, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keys::{Keyring, Secret};

use crate::command::env;
use crate::private;

/// The variable that the passphrase is read from.
pub const VARIABLE: &str = "MARGRAVE_BACKUP_PASSPHRASE";
/// The keyring's file in a state folder.
const KEYRING: &str = "keys.json";

/// The passphrase, if one is given.
pub fn passphrase() -> Option<Secret> {
    env(VARIABLE).filter(|text| !text.is_empty()).map(Secret::from)
}

/// Whether the state folder has a keyring.
pub fn has_keyring(state: &Path) -> bool {
    state.join(KEYRING).exists()
}

/// The keyring of the state folder, wrapped, if it has one.
pub fn wrap(state: &Path, passphrase: &Secret) -> anyhow::Result<Option<String>> {
    let path = state.join(KEYRING);
    if !path.exists() {
        return Ok(None);
    }
    let reading = || format!("cannot read the keyring {}", path.display());
    let text = Secret::new(std::fs::read(&path).with_context(reading)?);
    let ring = Keyring::from_json(text.expose()).with_context(reading)?;
    let wrapped = ring.wrap(passphrase, &rand::random(), &rand::random())?;
    Ok(Some(STANDARD.encode(wrapped)))
}

/// The keyring that was wrapped.
pub fn unwrap(wrapped: &str, passphrase: &Secret) -> anyhow::Result<Keyring> {
    let bytes = STANDARD.decode(wrapped).map_err(|_| anyhow!("the wrapped keyring is damaged"))?;
    Ok(Keyring::unwrap(&bytes, passphrase)?)
}

/// A keyring that comes to a state folder in place of the one that is there. Each step is done whole or not
/// at all.
pub struct Coming<'a> {
    state: &'a Path,
    ring: Keyring,
    aside: &'a Path,
}

impl<'a> Coming<'a> {
    /// `ring` to `state`, and what was there to the folder `aside`.
    pub fn to(state: &'a Path, ring: Keyring, aside: &'a Path) -> Self {
        Self { state, ring, aside }
    }

    /// Keeps a copy of what is there.
    pub fn keep_old(&self) -> anyhow::Result<()> {
        let Some(old) = self.there()? else { return Ok(()) };
        let making = || format!("cannot make {}", self.aside.display());
        std::fs::create_dir_all(self.aside).with_context(making)?;
        private::replace(&self.aside.join(KEYRING), old.expose())
    }

    /// Opens what either opens. One that is no keyring opens nothing.
    pub fn open_both(&self) -> anyhow::Result<()> {
        let old = self.there()?.and_then(|text| Keyring::from_json(text.expose()).ok());
        let both = old.map_or_else(|| Ok(self.ring.clone()), |old| old.with(&self.ring));
        let both = both.context(
            "the keyrings of the folder and of the backup cannot be joined: start the platform once, which ends a \
             rotation of keys that was cut off",
        )?;
        self.write(&both)
    }

    /// Opens what the new one opens, and nothing else.
    pub fn close_old(&self) -> anyhow::Result<()> {
        self.write(&self.ring)
    }

    fn there(&self) -> anyhow::Result<Option<Secret>> {
        let path = self.state.join(KEYRING);
        match std::fs::read(&path) {
            Ok(text) => Ok(Some(Secret::new(text))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    fn write(&self, ring: &Keyring) -> anyhow::Result<()> {
        private::replace(&self.state.join(KEYRING), ring.to_json().expose())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn ring(seed: u8) -> Keyring {
        Keyring::new(&keys::Seed::new([seed; 32]), 1)
    }

    fn place(state: &Path, ring: &Keyring, aside: &Path) {
        let coming = Coming::to(state, ring.clone(), aside);
        coming.keep_old().unwrap();
        coming.open_both().unwrap();
        coming.close_old().unwrap();
    }

    #[test]
    fn a_keyring_travels_wrapped() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let word = |text: &str| Secret::from(text.to_owned());
        let right = word("correct horse battery");
        assert_eq!(wrap(from.path(), &right).unwrap(), None);
        place(from.path(), &ring(7), &from.path().join("aside"));
        let wrapped = wrap(from.path(), &right).unwrap().expect("there is one");
        assert!(unwrap(&wrapped, &word("correct horse batterz")).is_err());
        assert!(unwrap("no base64!", &right).is_err());
        assert!(wrap(from.path(), &word("short")).is_err());

        let aside = to.path().join("aside");
        place(to.path(), &ring(8), &aside);
        assert!(!aside.exists(), "there was none");
        place(to.path(), &unwrap(&wrapped, &right).unwrap(), &aside);
        let read = |path: &Path| Keyring::from_json(&std::fs::read(path).unwrap()).unwrap();
        assert!(read(&to.path().join(KEYRING)) == ring(7));
        assert!(read(&aside.join(KEYRING)) == ring(8));
        for path in [to.path().join(KEYRING), aside.join(KEYRING)] {
            let mode = std::fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn what_is_no_keyring_is_kept_and_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (state, aside) = (folder.path(), folder.path().join("aside"));
        std::fs::write(state.join(KEYRING), "{").unwrap();
        place(state, &ring(7), &aside);
        assert_eq!(std::fs::read_to_string(aside.join(KEYRING)).unwrap(), "{");
        assert!(
            Keyring::from_json(&std::fs::read(state.join(KEYRING)).unwrap()).unwrap() == ring(7)
        );
    }
}
