//! File sources: files whose content templates see, polled into the store. One process does this;
//! every plane reads from the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use model::Millis;
use serde_json::Value;
use store::{BlobWrite, StoreError};

use crate::documents::{self, Document, Reach, Watch, put};
use crate::scribe::{Scribe, put_status};
use crate::source::{self, Disk, Format};
use crate::status::{self, SourceStatus};

/// A larger file is not read: every render sees all documents.
const MAX_FILE_BYTES: usize = 1 << 20;
/// More files than this are not read.
const MAX_FILES: usize = 100;
/// Between two looks at the files.
const POLL: Duration = Duration::from_secs(2);
/// That files are still good is written down no more often.
const TOLD_EVERY_MILLIS: Millis = 10_000;

/// Files and folders of files (`.json`, `.yaml`, `.yml`). A document is named by its file, without
/// the extension.
pub(crate) struct FileSources {
    paths: Vec<PathBuf>,
    /// Names of sources that are declared, and no business of files.
    declared: BTreeSet<String>,
    seen: BTreeMap<PathBuf, Stamp>,
    /// Paths that cannot be read, so that it is told once.
    failing: BTreeSet<PathBuf>,
    told_at: Millis,
    disk: Disk,
    /// What lies in the store: it is read again when it is another.
    documents: Arc<BTreeMap<String, Document>>,
    watch: Watch,
}

/// What tells cheaply that a file is another.
type Stamp = (SystemTime, u64);

/// What one look found out.
struct Look {
    documents: Arc<BTreeMap<String, Document>>,
    statuses: BTreeMap<String, SourceStatus>,
    /// The highest revisions that editions may have.
    highest: BTreeMap<String, u64>,
    now: Millis,
    /// What is good is written down, too.
    tells_all: bool,
    writes: Vec<BlobWrite>,
}

impl FileSources {
    /// Sources that have not yet been read, on this disk.
    pub(crate) fn new(paths: Vec<PathBuf>, declared: BTreeSet<String>, disk: Disk) -> Self {
        let (seen, failing) = (BTreeMap::new(), BTreeSet::new());
        let (documents, watch) = (Arc::default(), Watch::default());
        Self { paths, declared, seen, failing, told_at: Millis::MIN, disk, documents, watch }
    }

    /// Keeps the store as the files are, until the lease is lost. What cannot be read keeps its last
    /// good value.
    pub(crate) async fn run(mut self, scribe: Scribe) {
        loop {
            match self.poll(&scribe).await {
                // What is of no file has gone.
                Ok(()) if self.paths.is_empty() => return,
                Ok(()) => {}
                Err(StoreError::Fenced) => return,
                Err(error) => {
                    tracing::warn!(%error, "sources are not written");
                    // What was seen may not be in the store.
                    self.seen.clear();
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Looks once, and writes what changed.
    pub(crate) async fn poll(&mut self, scribe: &Scribe) -> Result<(), StoreError> {
        if let Some(all) = scribe.news(&mut self.watch).await? {
            self.documents = Arc::new(all);
        }
        let (documents, statuses) = (Arc::clone(&self.documents), scribe.statuses().await?);
        let (now, highest) = (scribe.now(), scribe.highest().await?);
        let tells_all = now.saturating_sub(self.told_at) >= TOLD_EVERY_MILLIS;
        let mut look = Look { documents, statuses, highest, now, tells_all, writes: Vec::new() };
        let Self { paths, declared, seen, failing, .. } = &mut *self;
        let mut files = Files {
            paths: paths.clone(),
            names: declared.clone(),
            seen: std::mem::take(seen),
            failing: failing.clone(),
        };
        let looked = self.disk.read(move || {
            files.look(&mut look);
            (files, look)
        });
        let (files, look) = match looked.await {
            Ok(looked) => looked,
            Err(why) => {
                tracing::warn!(%why, "the files of sources cannot be looked at");
                return Ok(());
            }
        };
        (self.seen, self.failing) = (files.seen, files.failing);
        if !look.writes.is_empty() {
            scribe.all_of(look.writes).await?;
        }
        if tells_all {
            self.told_at = now;
        }
        Ok(())
    }
}

/// One look at the files.
struct Files {
    paths: Vec<PathBuf>,
    /// Of sources that there are.
    names: BTreeSet<String>,
    seen: BTreeMap<PathBuf, Stamp>,
    failing: BTreeSet<PathBuf>,
}

impl Files {
    /// On a thread that may wait for a disk.
    fn look(&mut self, look: &mut Look) {
        let mut is_whole = true;
        for path in self.paths.clone() {
            match files(&path) {
                Err(error) => {
                    is_whole = false;
                    self.fails(&path, &error);
                }
                Ok(files) => {
                    self.failing.remove(&path);
                    files.iter().for_each(|file| self.take(file, look));
                }
            }
        }
        if is_whole {
            look.remove_others(&self.names);
            self.failing.retain(|path| path.exists());
        }
    }

    fn take(&mut self, file: &Path, look: &mut Look) {
        let name = name_of(file);
        if !self.names.insert(name.clone()) {
            let error = io::Error::other(format!("another source has the name `{name}`"));
            return self.fails(file, &error);
        }
        let stamp = stamp_of(file).ok();
        let is_known = look.documents.contains_key(&name);
        if is_known && stamp.is_some() && self.seen.get(file) == stamp.as_ref() {
            return look.good(&name, file, None);
        }
        match read(file) {
            Err(error) => {
                self.fails(file, &error);
                look.failed(&name, file, &error);
            }
            Ok(found) => {
                look.good(&name, file, Some(found));
                self.failing.remove(file);
                self.seen.extend(stamp.map(|stamp| (file.to_owned(), stamp)));
            }
        }
    }

    fn fails(&mut self, path: &Path, error: &io::Error) {
        if self.failing.insert(path.to_owned()) {
            let path = path.display();
            tracing::warn!(%path, %error, "a source cannot be read; its last value stays");
        }
    }
}

impl Look {
    /// A file has this, or what it had before.
    fn good(&mut self, name: &str, file: &Path, found: Option<(Value, u64)>) {
        let before = self.statuses.remove(name).unwrap_or_default();
        let mut status = SourceStatus {
            fetched_at: Some(self.now),
            failing_since: None,
            problem: None,
            ..of_file(file, &before)
        };
        let kept = self.documents.get(name);
        // A file is the platform's, like a template.
        let reach = Reach::of(true, kept.map(|kept| kept.reach));
        let is_known =
            |value: &Value| kept.is_some_and(|it| it.value == *value && it.reach == reach);
        if let Some((value, bytes)) = found
            && (!is_known(&value) || before.bytes != bytes)
        {
            let is_same = kept.is_some_and(|kept| kept.value == value);
            let highest = self.highest.get(name).copied().unwrap_or(0).max(before.revision);
            let revision = kept.map_or(highest, |kept| kept.revision);
            status.revision = if is_same { revision } else { revision + 1 };
            status.bytes = bytes;
            let document = Document { revision: status.revision, value, reach };
            self.writes.extend(put(name, &document));
            self.writes.push(put_status(name, &status));
        } else if self.tells_all || before.failing_since.is_some() {
            self.writes.push(put_status(name, &status));
        }
    }

    fn failed(&mut self, name: &str, file: &Path, error: &io::Error) {
        let before = self.statuses.remove(name).unwrap_or_default();
        let problem = Some(error.to_string());
        if before.problem != problem {
            let since = before.failing_since.unwrap_or(self.now);
            let status =
                SourceStatus { problem, failing_since: Some(since), ..of_file(file, &before) };
            self.writes.push(put_status(name, &status));
        }
    }

    /// What no source has any more goes.
    fn remove_others(&mut self, names: &BTreeSet<String>) {
        let all: BTreeSet<_> = self.documents.keys().chain(self.statuses.keys()).collect();
        for gone in all.into_iter().filter(|name| !names.contains(*name)) {
            self.writes.push(BlobWrite::Delete(documents::key(gone)));
            self.writes.push(BlobWrite::Delete(status::key(gone)));
        }
    }
}

fn of_file(file: &Path, before: &SourceStatus) -> SourceStatus {
    SourceStatus {
        kind: "file".to_owned(),
        place: file.display().to_string(),
        is_secret: false,
        is_staged: true,
        interval_ms: u64::try_from(POLL.as_millis()).unwrap_or(u64::MAX),
        ..before.clone()
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

/// Its value, and its size.
fn read(file: &Path) -> io::Result<(Value, u64)> {
    let text = source::read_file(file, MAX_FILE_BYTES).map_err(io::Error::other)?;
    let is_json = file.extension().is_some_and(|extension| extension == "json");
    let format = if is_json { Format::Json } else { Format::Yaml };
    let value = format.read(&text).map_err(io::Error::other)?;
    Ok((value, text.len() as u64))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use store::Blobs as _;

    use super::*;
    use crate::testing::{self, Clock, Kept};

    struct World {
        folder: tempfile::TempDir,
        blobs: Arc<Kept>,
        scribe: Scribe,
        sources: FileSources,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (blobs, clock) = (Arc::<Kept>::default(), Arc::<Clock>::default());
            let scribe = testing::scribe(&blobs, &clock);
            let paths = vec![folder.path().to_owned()];
            let sources = FileSources::new(paths, ["declared".to_owned()].into(), Disk::default());
            Self { folder, blobs, scribe, sources }
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.folder.path().join(name), text).unwrap();
        }

        /// What the store has after a look.
        async fn look(&mut self) -> Value {
            self.sources.poll(&self.scribe).await.unwrap();
            let all = documents::documents(&*self.blobs).await.unwrap();
            all.into_iter().map(|(name, it)| (name, json!([it.revision, it.value]))).collect()
        }

        /// How often the store is read for a look.
        async fn reads(&mut self) -> usize {
            let before = self.blobs.reads();
            self.sources.poll(&self.scribe).await.unwrap();
            self.blobs.reads() - before
        }

        async fn problem(&self, name: &str) -> Option<String> {
            status::source_statuses(&*self.blobs).await.unwrap().remove(name)?.problem
        }
    }

    #[tokio::test]
    async fn documents_that_are_what_they_were_are_not_read_again() {
        let mut world = World::new();
        (0..20).for_each(|n| world.write(&format!("f{n}.json"), "1"));
        world.reads().await;
        let all = world.reads().await;
        assert_eq!(world.reads().await, all - 20 - 1, "neither they nor their list");
        world.write("f0.json", "17");
        world.reads().await;
        assert_eq!(world.reads().await, all);
    }

    #[tokio::test]
    async fn who_follows_documents_reads_none_while_none_changes() {
        let mut world = World::new();
        let mut watch = Watch::default();
        let blobs = Arc::clone(&world.blobs);
        let mut read = async || {
            let before = blobs.reads();
            let all = watch.news(&*blobs).await.unwrap();
            let names: Option<Vec<String>> = all.map(|all| all.into_keys().collect());
            (names, blobs.reads() - before)
        };
        let names = |names: &[&str]| Some(names.iter().map(|it| (*it).to_owned()).collect());
        let of_before = json!({"revision": 1, "value": 1}).to_string();
        world.blobs.put("sources/declared", of_before.as_bytes()).await.unwrap();
        for _ in 0..2 {
            assert_eq!(read().await, (names(&["declared"]), 3), "nobody has said what is new");
        }
        world.write("a.json", "1");
        world.look().await;
        assert_eq!(read().await, (names(&["a", "declared"]), 4));
        for _ in 0..3 {
            world.look().await;
            assert_eq!(read().await, (None, 1), "nothing but the mark");
        }
        world.write("a.json", "17");
        world.look().await;
        assert_eq!(read().await, (names(&["a", "declared"]), 4));
        fs::remove_file(world.folder.path().join("a.json")).unwrap();
        world.look().await;
        assert_eq!(read().await, (names(&["declared"]), 3), "one that has gone is news");
        assert_eq!(read().await, (None, 1));
        world.scribe.tell("declared", &SourceStatus::default()).await.unwrap();
        assert_eq!(read().await, (None, 1), "how a source stands is not its document");
    }

    #[tokio::test]
    async fn the_store_follows_the_files_and_keeps_the_last_good_value() {
        let mut world = World::new();
        world.write("limits.json", r#"{"rps": 5}"#);
        world.write("teams.yaml", "shop: [a, b]\n");
        world.write("notes.txt", "not a source");
        let both = json!({"limits": [1, {"rps": 5}], "teams": [1, {"shop": ["a", "b"]}]});
        assert_eq!(world.look().await, both);

        for broken in [r#"{"rps": "#, "", r#"{"$sealed": ""}"#] {
            world.write("limits.json", broken);
            assert_eq!(world.look().await, both, "a broken file changes nothing");
            assert!(world.problem("limits").await.is_some(), "{broken}");
        }
        world.write("limits.json", r#"{"rps": 500}"#);
        fs::remove_file(world.folder.path().join("teams.yaml")).unwrap();
        assert_eq!(world.look().await, json!({"limits": [2, {"rps": 500}]}));
        assert_eq!(world.problem("limits").await, None);
        let statuses = status::source_statuses(&*world.blobs).await.unwrap();
        assert_eq!(statuses.keys().collect::<Vec<_>>(), ["limits"]);
        assert_eq!((statuses["limits"].revision, statuses["limits"].bytes), (2, 12));
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_empties_nothing() {
        let mut world = World::new();
        world.write("a.json", "1");
        let one = json!({"a": [1, 1]});
        assert_eq!(world.look().await, one);
        fs::remove_dir_all(world.folder.path()).unwrap();
        assert_eq!(world.look().await, one);
    }

    #[tokio::test]
    async fn a_name_is_of_one_source() {
        let mut world = World::new();
        world.blobs.put("sources/declared", br#"{"revision":7,"value":7}"#).await.unwrap();
        world.blobs.put("sources/gone", br#"{"revision":1,"value":1}"#).await.unwrap();
        for name in ["declared.json", "a.json", "a.yaml"] {
            world.write(name, "1");
        }
        assert_eq!(world.look().await, json!({"a": [1, 1], "declared": [7, 7]}));
        assert_eq!(world.sources.failing.len(), 2, "{:?}", world.sources.failing);
    }

    #[tokio::test]
    async fn nothing_is_written_when_nothing_changes() {
        let mut world = World::new();
        world.write("a.json", "1");
        world.look().await;
        let written = world.blobs.writes();
        world.look().await;
        assert_eq!(world.blobs.writes(), written);
    }
}
