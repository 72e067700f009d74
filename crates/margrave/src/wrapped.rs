//! The keyring of a state folder in a backup: wrapped by a passphrase, which comes from the environment
//! alone, because other users can see a process's arguments.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keys::{Keyring, Secret};

use crate::command::env;

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

/// Makes `ring` the keyring of the state folder; one that is there is moved to `aside`.
pub fn place(state: &Path, ring: &Keyring, aside: &Path) -> anyhow::Result<()> {
    let (path, beside) = (state.join(KEYRING), state.join(format!("{KEYRING}.restoring")));
    let writing = || format!("cannot write {}", path.display());
    let _ = std::fs::remove_file(&beside);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
    let mut file = file.with_context(writing)?;
    file.write_all(ring.to_json().expose()).with_context(writing)?;
    file.sync_all().with_context(writing)?;
    if path.exists() {
        std::fs::create_dir_all(aside).with_context(writing)?;
        std::fs::rename(&path, aside.join(KEYRING)).with_context(writing)?;
    }
    std::fs::rename(&beside, &path).with_context(writing)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_keyring_travels_wrapped() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let word = |text: &str| Secret::from(text.to_owned());
        let right = word("correct horse battery");
        assert_eq!(wrap(from.path(), &right).unwrap(), None);
        let ring = Keyring::new(&keys::Seed::new([7; 32]), 1);
        place(from.path(), &ring, &from.path().join("aside")).unwrap();
        let wrapped = wrap(from.path(), &right).unwrap().expect("there is one");
        assert!(unwrap(&wrapped, &word("correct horse batterz")).is_err());
        assert!(unwrap("no base64!", &right).is_err());
        assert!(wrap(from.path(), &word("short")).is_err());

        let other = Keyring::new(&keys::Seed::new([8; 32]), 1);
        place(to.path(), &other, &to.path().join("aside")).unwrap();
        place(to.path(), &unwrap(&wrapped, &right).unwrap(), &to.path().join("aside")).unwrap();
        let read = |path: &Path| Keyring::from_json(&std::fs::read(path).unwrap()).unwrap();
        assert!(read(&to.path().join(KEYRING)) == ring);
        assert!(read(&to.path().join("aside").join(KEYRING)) == other);
        let mode = std::fs::metadata(to.path().join(KEYRING)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
