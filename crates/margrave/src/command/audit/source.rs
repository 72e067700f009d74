//! Where entries are read from: the platform, the file of a store, or what was exported.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::Context;

use crate::client::Access;
use crate::client::audit::{self, Line};
use crate::failure::Failure;

/// The longest line of an export, in bytes: an entry with the largest detail there is, and the rest.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Where entries are read from.
#[derive(Debug, clap::Args)]
pub struct Source {
    /// Read this store's file and not the platform; it may be in use
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,

    #[command(flatten)]
    access: Access,
}

impl Source {
    /// Shows every entry, from the first, to `look`, until it has seen enough.
    pub fn each(&self, mut look: impl FnMut(Line) -> anyhow::Result<bool>) -> Result<(), Failure> {
        let Some(path) = &self.database else {
            let read = async { audit::each(&self.access.client()?, &[], look).await };
            return super::super::runtime()?.block_on(read);
        };
        let broke =
            store::sqlite::each_entry(path, |record| match Line::of(record).and_then(&mut look) {
                Ok(true) => ControlFlow::Continue(()),
                Ok(false) => ControlFlow::Break(Ok(())),
                Err(error) => ControlFlow::Break(Err(error)),
            })
            .with_context(|| format!("cannot read the audit log of {}", path.display()))?;
        Ok(broke.unwrap_or(Ok(()))?)
    }
}

/// The same of a file that `audit export` wrote.
pub fn each_exported(
    path: &PathBuf,
    mut look: impl FnMut(Line) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let reading = || format!("cannot read {}", path.display());
    let mut file = BufReader::new(File::open(path).with_context(reading)?);
    for number in 1.. {
        let mut text = String::new();
        let mut line = std::io::Read::take(&mut file, LINE_BYTES_MAX);
        if line.read_line(&mut text).with_context(reading)? == 0 {
            break;
        }
        let entry = serde_json::from_str(&text)
            .with_context(|| format!("line {number} of {} is no entry", path.display()))?;
        if !look(entry)? {
            break;
        }
    }
    Ok(())
}
