//! Files for their owner alone: secrets of any kind, from their first byte.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

/// A new file; one that is there may hold another secret, and is left alone.
pub fn create_new(path: &Path) -> anyhow::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            anyhow!(
                "{} is there already, and may hold another secret: name a new file",
                path.display()
            )
        }
        _ => anyhow!("cannot make the file {}: {error}", path.display()),
    })
}

/// Writes beside and renames, so that a reader never sees half a file, and durably.
pub fn replace(path: &Path, text: &[u8]) -> anyhow::Result<()> {
    let writing = || format!("cannot write {}", path.display());
    let beside = beside(path);
    // A new file, so that its mode is ours.
    let _ = std::fs::remove_file(&beside);
    let mut file = create_new(&beside)?;
    file.write_all(text).with_context(writing)?;
    file.sync_all().with_context(writing)?;
    std::fs::rename(&beside, path).with_context(writing)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(writing)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// A secret's file that is filled once the secret is known: made before anything is asked for, as a
/// secret that cannot be kept is one that nobody has, and taken away again if nothing comes of it.
#[derive(Debug)]
pub struct Promised {
    path: PathBuf,
    file: Option<File>,
}

impl Promised {
    /// Makes the file, empty.
    pub fn at(path: &Path) -> anyhow::Result<Self> {
        Ok(Self { path: path.to_owned(), file: Some(create_new(path)?) })
    }

    /// Writes the secret, durably, and tells where it is.
    pub fn keep(mut self, secret: &[u8]) -> anyhow::Result<String> {
        let shown = self.path.display().to_string();
        let writing = || format!("cannot write {shown}");
        if let Some(mut file) = self.file.take() {
            file.write_all(secret).with_context(writing)?;
            file.sync_all().with_context(writing)?;
        }
        Ok(shown)
    }
}

impl Drop for Promised {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // Made a moment ago, and empty.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_promised_file_is_for_our_eyes_only_and_goes_if_nothing_comes_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        drop(Promised::at(&path).unwrap());
        assert!(!path.exists(), "an empty file was left");
        Promised::at(&path).unwrap().keep(b"first").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Promised::at(&path).is_err(), "a secret is not overwritten");
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
    }
}
