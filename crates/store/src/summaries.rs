//! The embedded [`Summaries`]: a file a replica, replaced whole. Whoever is stopped in the middle of
//! writing holds nobody up, as a lock of the store would.

use std::fs;
use std::io::{Error, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use model::Millis;

use crate::{REPLICAS_MAX, SUMMARY_BYTES_MAX, StoreError, Summaries, Told};

/// The file of a replica, in the folder of its name.
const FILE: &str = "summary";
/// Where it is put together.
const SCRATCH: &str = "summary.tmp";
/// The file begins with the time, as so many bytes.
const TIME_BYTES: usize = 8;

/// A folder of folders, one a replica.
#[derive(Debug, Clone)]
pub struct SummaryFolder(Arc<PathBuf>);

impl SummaryFolder {
    /// The folder at `path`; it need not be there before somebody tells.
    pub fn at(path: PathBuf) -> Self {
        Self(Arc::new(path))
    }

    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let folder = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || work(&folder)).await;
        let failed = |error: Error| StoreError::Unavailable(format!("summaries: {error}"));
        done.map_err(|error| StoreError::Unavailable(error.to_string()))?.map_err(failed)
    }
}

fn write(folder: &Path, told: &Told) -> Result<(), Error> {
    let own = folder.join(&told.replica);
    fs::create_dir_all(&own)?;
    let scratch = own.join(SCRATCH);
    let mut file = fs::File::create(&scratch)?;
    file.write_all(&told.at.to_be_bytes())?;
    file.write_all(&told.summary)?;
    fs::rename(scratch, own.join(FILE))
}

fn time(path: &Path) -> Result<Millis, Error> {
    let mut bytes = [0; TIME_BYTES];
    std::io::Read::read_exact(&mut fs::File::open(path)?, &mut bytes)?;
    Ok(Millis::from_be_bytes(bytes))
}

fn read(folder: &Path, replica: String) -> Result<Told, Error> {
    let path = folder.join(&replica).join(FILE);
    if fs::metadata(&path)?.len() > (SUMMARY_BYTES_MAX + TIME_BYTES) as u64 {
        return Err(Error::new(ErrorKind::InvalidData, "a summary that is too long to be ours"));
    }
    let bytes = fs::read(path)?;
    let (at, summary) = bytes
        .split_first_chunk::<TIME_BYTES>()
        .ok_or_else(|| Error::new(ErrorKind::UnexpectedEof, "a summary without a time"))?;
    Ok(Told { replica, at: Millis::from_be_bytes(*at), summary: summary.to_vec() })
}

/// What is there; a folder that is not there yet has nobody.
fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let has_told = |entry: &fs::DirEntry| entry.path().join(FILE).exists();
    let named =
        entries.flatten().filter(has_told).filter_map(|it| it.file_name().into_string().ok());
    let mut names: Vec<String> = named.collect();
    names.sort_unstable();
    names.truncate(REPLICAS_MAX);
    Ok(names)
}

#[async_trait]
impl Summaries for SummaryFolder {
    async fn tell(&self, told: Told) -> Result<(), StoreError> {
        if told.summary.len() > SUMMARY_BYTES_MAX {
            let bytes = told.summary.len();
            return Err(StoreError::TooLarge(format!("a summary has {bytes} bytes")));
        }
        self.aside(move |folder| write(folder, &told)).await
    }

    async fn leave(&self, replica: &str) -> Result<(), StoreError> {
        let replica = replica.to_owned();
        self.aside(move |folder| match fs::remove_file(folder.join(replica).join(FILE)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .await
    }

    async fn told(
        &self,
        known: &[(String, Millis)],
    ) -> Result<(Vec<Told>, Vec<String>), StoreError> {
        let known = known.to_vec();
        self.aside(move |folder| {
            let names = names(folder)?;
            let is_news = |name: &String| {
                let at = time(&folder.join(name).join(FILE)).ok();
                at.is_some_and(|at| !known.iter().any(|(it, seen)| it == name && *seen == at))
            };
            let news = names.iter().filter(|name| is_news(name)).cloned();
            // One that leaves while it is read is no longer there.
            let told = news.filter_map(|name| read(folder, name).ok()).collect();
            Ok((told, names))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_told_is_read_once_and_until_its_replica_leaves() {
        let folder = tempfile::tempdir().unwrap();
        let summaries = SummaryFolder::at(folder.path().join("replicas"));
        assert_eq!(summaries.told(&[]).await.unwrap(), (Vec::new(), Vec::new()));
        let told =
            |replica: &str, at| Told { replica: replica.to_owned(), at, summary: vec![7; 3] };
        summaries.tell(told("b", 1)).await.unwrap();
        summaries.tell(told("a", 5)).await.unwrap();
        let names = vec!["a".to_owned(), "b".to_owned()];
        let both = (vec![told("a", 5), told("b", 1)], names.clone());
        assert_eq!(summaries.told(&[]).await.unwrap(), both);
        let known = [("a".to_owned(), 5), ("b".to_owned(), 1)];
        assert_eq!(summaries.told(&known).await.unwrap(), (Vec::new(), names.clone()));
        summaries.tell(told("b", 2)).await.unwrap();
        assert_eq!(summaries.told(&known).await.unwrap(), (vec![told("b", 2)], names));
        summaries.leave("b").await.unwrap();
        summaries.leave("b").await.unwrap();
        assert_eq!(summaries.told(&known).await.unwrap().1, ["a"]);
        let long = Told { summary: vec![0; SUMMARY_BYTES_MAX + 1], ..told("c", 1) };
        assert!(matches!(summaries.tell(long).await, Err(StoreError::TooLarge(_))));
    }
}
