//! File sources: files whose content templates see, polled into the store. One process does this;
//! every plane reads from the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use store::{Blobs, StoreError};
use tokio::time::Instant;

use crate::documents::{Document, documents, remove, write};
use crate::metrics;

/// A larger file is not read: every render sees all documents.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// More files than this are not read.
const MAX_FILES: usize = 100;
/// Between two looks at the files.
const POLL: Duration = Duration::from_secs(2);

/// Files and folders of files (`.json`, `.yaml`, `.yml`). A document is named by its file, without
/// the extension.
pub struct FileSources {
    paths: Vec<PathBuf>,
    blobs: Arc<dyn Blobs>,
    seen: BTreeMap<PathBuf, Stamp>,
    failing_since: BTreeMap<PathBuf, Instant>,
}

/// What tells cheaply that a file is another.
type Stamp = (SystemTime, u64);

impl FileSources {
    /// Sources that have not yet been read.
    pub fn new(paths: Vec<PathBuf>, blobs: Arc<dyn Blobs>) -> Self {
        Self { paths, blobs, seen: BTreeMap::new(), failing_since: BTreeMap::new() }
    }

    /// Keeps the store as the files are, until the future is dropped. What cannot be read keeps
    /// its last good value.
    pub async fn run(mut self) {
        loop {
            if let Err(error) = self.poll().await {
                tracing::warn!(%error, "sources are not written");
                // What was seen may not be in the store.
                self.seen.clear();
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Looks once, and writes what changed.
    pub async fn poll(&mut self) -> Result<(), StoreError> {
        let stored = documents(&*self.blobs).await?;
        let mut names = BTreeSet::new();
        let mut is_whole = true;
        for path in self.paths.clone() {
            match files(&path) {
                Err(error) => {
                    is_whole = false;
                    self.fails(&path, &error);
                }
                Ok(files) => {
                    self.failing_since.remove(&path);
                    for file in files {
                        let name = name_of(&file);
                        self.take(&file, &name, stored.get(&name)).await?;
                        names.insert(name);
                    }
                }
            }
        }
        if is_whole {
            for gone in stored.keys().filter(|name| !names.contains(*name)) {
                remove(&*self.blobs, gone).await?;
            }
            self.failing_since.retain(|path, _| path.exists());
        }
        let longest = self.failing_since.values().map(Instant::elapsed).max();
        metrics::sources(self.failing_since.len(), longest.unwrap_or_default());
        Ok(())
    }

    async fn take(
        &mut self,
        file: &Path,
        name: &str,
        stored: Option<&Document>,
    ) -> Result<(), StoreError> {
        let stamp = stamp_of(file).ok();
        if stored.is_some() && stamp.is_some() && self.seen.get(file) == stamp.as_ref() {
            return Ok(());
        }
        match read(file) {
            Err(error) => self.fails(file, &error),
            Ok(value) => {
                if stored.is_none_or(|stored| stored.value != value) {
                    write(&*self.blobs, name, stored, value).await?;
                }
                self.failing_since.remove(file);
                self.seen.extend(stamp.map(|stamp| (file.to_owned(), stamp)));
            }
        }
        Ok(())
    }

    fn fails(&mut self, path: &Path, error: &io::Error) {
        let path_said = path.display();
        if !self.failing_since.contains_key(path) {
            tracing::warn!(path = %path_said, %error, "a source cannot be read; its last value stays");
        }
        self.failing_since.entry(path.to_owned()).or_insert_with(Instant::now);
    }
}

/// The files of a path, sorted.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let extension = file.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("json" | "yaml" | "yml")) {
            files.push(file);
        }
    }
    if files.len() > MAX_FILES {
        return Err(io::Error::other(format!("there are more than {MAX_FILES} files")));
    }
    files.sort();
    Ok(files)
}

fn name_of(file: &Path) -> String {
    file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

fn stamp_of(file: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(file)?;
    Ok((metadata.modified()?, metadata.len()))
}

fn read(file: &Path) -> io::Result<Value> {
    if fs::metadata(file)?.len() > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("it is larger than {MAX_FILE_BYTES} bytes")));
    }
    let text = fs::read_to_string(file)?;
    if file.extension().is_some_and(|extension| extension == "json") {
        return serde_json::from_str(&text).map_err(io::Error::other);
    }
    crate::yaml::parse(&text).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::Kept;

    async fn values(blobs: &Arc<Kept>) -> Value {
        let all = documents(&**blobs).await.unwrap();
        all.into_iter().map(|(name, found)| (name, json!([found.revision, found.value]))).collect()
    }

    #[tokio::test]
    async fn the_store_follows_the_files_and_keeps_the_last_good_value() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let blobs = Arc::<Kept>::default();
        let mut sources = FileSources::new(vec![folder.path().to_owned()], blobs.clone());
        fs::write(file("limits.json"), r#"{"rps": 5}"#).unwrap();
        fs::write(file("teams.yaml"), "shop: [a, b]\n").unwrap();
        fs::write(file("notes.txt"), "not a source").unwrap();
        sources.poll().await.unwrap();
        let both = json!({"limits": [1, {"rps": 5}], "teams": [1, {"shop": ["a", "b"]}]});
        assert_eq!(values(&blobs).await, both);

        fs::write(file("limits.json"), r#"{"rps": "#).unwrap();
        sources.poll().await.unwrap();
        assert_eq!(values(&blobs).await, both, "a broken file changes nothing");
        assert_eq!(sources.failing_since.len(), 1);

        fs::write(file("limits.json"), r#"{"rps": 500}"#).unwrap();
        fs::remove_file(file("teams.yaml")).unwrap();
        sources.poll().await.unwrap();
        assert_eq!(values(&blobs).await, json!({"limits": [2, {"rps": 500}]}));
        assert!(sources.failing_since.is_empty());
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_empties_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (path, blobs) = (folder.path().to_owned(), Arc::<Kept>::default());
        fs::write(path.join("a.json"), "1").unwrap();
        let mut sources = FileSources::new(vec![path], blobs.clone());
        sources.poll().await.unwrap();
        drop(folder);
        sources.poll().await.unwrap();
        assert_eq!(values(&blobs).await, json!({"a": [1, 1]}));
    }
}
