//! A file. Its disk may be a network's, and hang: then one thread waits, and no second one.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::{FetchError, Fetched, Source, Validators};

/// A regular file.
pub struct FileSource {
    path: PathBuf,
    disk: Disk,
}

/// A disk that may hang: one thread waits for it then, and no second one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<AtomicBool>);

/// That a thread reads, as long as it does.
struct Busy(Arc<AtomicBool>);

impl Disk {
    fn take(&self) -> Option<Busy> {
        (!self.0.swap(true, Ordering::AcqRel)).then(|| Busy(Arc::clone(&self.0)))
    }

    /// What is read of it, on a thread that may wait.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, FetchError> {
        let busy = self.take().ok_or("still hangs in an earlier reading")?;
        let reading = tokio::task::spawn_blocking(move || {
            let _busy = busy;
            read()
        });
        Ok(reading.await.map_err(|_| "cannot be read")?)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl FileSource {
    /// The file at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path, disk: Disk::default() }
    }
}

#[async_trait]
impl Source for FileSource {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }

    async fn fetch(&self, _: &Validators, bytes_max: usize) -> Result<Fetched, FetchError> {
        let path = self.path.clone();
        let text = self.disk.read(move || read(&path, bytes_max)).await??;
        Ok(Fetched::New(text, Validators::default()))
    }
}

/// The bytes of a regular file that is not larger than that.
pub(crate) fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, FetchError> {
    // Anything else could wait for a writer as soon as it is opened.
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("is not a regular file".into());
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    let (mut text, most) = (Vec::new(), u64::try_from(bytes_max).unwrap_or(u64::MAX));
    file.take(most.saturating_add(1)).read_to_end(&mut text).map_err(|error| error.to_string())?;
    if text.len() > bytes_max {
        return Err(format!("is larger than {bytes_max} bytes").into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_read_whole_and_within_limits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let source = FileSource::new(path.clone());
        let fetch = async |most: usize| source.fetch(&Validators::default(), most).await;
        assert!(fetch(9).await.unwrap_err().0.contains("No such file"));
        std::fs::write(&path, "123456").unwrap();
        let whole = Fetched::New(b"123456".to_vec(), Validators::default());
        assert_eq!(fetch(6).await, Ok(whole));
        assert_eq!(fetch(5).await.unwrap_err().0, "is larger than 5 bytes");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert_eq!(fetch(6).await.unwrap_err().0, "is not a regular file");
    }

    #[tokio::test]
    async fn what_hangs_holds_one_thread_and_not_two() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        std::fs::write(&path, "1").unwrap();
        let source = FileSource::new(path);
        let hanging = source.disk.take().unwrap();
        let fetch = async || source.fetch(&Validators::default(), 9).await;
        assert_eq!(fetch().await.unwrap_err().0, "still hangs in an earlier reading");
        drop(hanging);
        assert!(fetch().await.is_ok());
    }
}
