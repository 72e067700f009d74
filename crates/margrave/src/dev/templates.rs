//! The templates that are configured: those of a folder, looked at each second, or the built-in
//! ones. What they become is offered to whoever rolls editions out.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use plane::{Content, Plane, Rollouts};
use render::{Platform, Templates};
use tokio_util::sync::CancellationToken;

/// The largest template, in bytes.
const TEMPLATE_BYTES_MAX: u64 = 1 << 20;
/// Files that a folder may have.
const FILES_MAX: usize = 200;
/// Between two looks at the folder.
const LOOK: Duration = Duration::from_secs(1);

/// A template's name and text.
type File = (String, String);

/// What is rendered with, as this process was told.
#[derive(Debug, Clone)]
pub struct Configured {
    /// The folder of templates; none: the built-in ones.
    pub folder: Option<PathBuf>,
    /// What templates see as `platform`.
    pub facts: Platform,
}

/// What tells cheaply that a folder is as it was.
type Stamp = Vec<(PathBuf, u64, Option<SystemTime>)>;

impl Configured {
    /// As it is now.
    pub fn content(&self) -> anyhow::Result<Content> {
        let builtin = || {
            let files = Templates::builtin_files().iter();
            files.map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
        };
        let mut templates: Vec<File> = match &self.folder {
            Some(folder) => read(folder)?,
            None => builtin(),
        };
        templates.sort();
        Ok(Content::new(templates, self.facts.clone()))
    }

    /// Offers what is configured, and again whenever it has changed, until told to stop.
    pub async fn watch(
        self,
        plane: Arc<Plane>,
        rollouts: Arc<Rollouts>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let watched = async {
            while !plane.ready() {
                tokio::time::sleep(LOOK / 10).await;
            }
            let mut seen = None;
            loop {
                let stamp = self.stamp();
                if seen.as_ref() != Some(&stamp) && self.offer(&rollouts).await {
                    seen = Some(stamp);
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        stop.run_until_cancelled(watched).await;
        Ok(())
    }

    /// Whether it has arrived.
    async fn offer(&self, rollouts: &Rollouts) -> bool {
        let content = self.content();
        let told = match &content {
            Ok(content) => Ok(content),
            Err(error) => Err(format!("{error:#}")),
        };
        let offered = rollouts.offer(told).await;
        if let Err(error) = &offered {
            tracing::warn!(%error, "the templates are not offered; trying again");
        }
        offered.is_ok()
    }

    fn stamp(&self) -> Stamp {
        let Some(entries) = self.folder.as_deref().and_then(|folder| fs::read_dir(folder).ok())
        else {
            return Vec::new();
        };
        let stamp = |entry: fs::DirEntry| {
            let metadata = fs::metadata(entry.path()).ok();
            let length = metadata.as_ref().map_or(0, fs::Metadata::len);
            (entry.path(), length, metadata.and_then(|it| it.modified().ok()))
        };
        let mut stamps: Stamp = entries.flatten().take(FILES_MAX).map(stamp).collect();
        stamps.sort();
        stamps
    }
}

/// The templates of a folder, sorted.
pub fn read(folder: &Path) -> anyhow::Result<Vec<File>> {
    let reading = || format!("cannot read the templates in {}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        let metadata = fs::metadata(entry.path()).with_context(reading)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !metadata.is_file() || name.starts_with('.') {
            continue;
        }
        if metadata.len() > TEMPLATE_BYTES_MAX {
            bail!("the template {name} is larger than 1 MiB");
        }
        if files.len() == FILES_MAX {
            bail!("{} has more than {FILES_MAX} files", folder.display());
        }
        files.push((name, fs::read_to_string(entry.path()).with_context(reading)?));
    }
    files.sort();
    Ok(files)
}
