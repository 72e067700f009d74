//! `margrave audit verify`: whether the log is what was written.

use std::path::PathBuf;

use model::counted;
use serde::Serialize;
use store::AuditHead;
use store::chain::{Broken, Check};
use utoipa::ToSchema;

use super::source::{Source, each_exported};
use crate::failure::Failure;
use crate::output::{self, Format};

/// Prove that the audit log is what was written: exit code 3 when it is not, 1 when it cannot be read
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A head that the log stream told, which the log must contain; may be repeated
    #[arg(long = "head", value_name = "SEQ:HASH")]
    heads: Vec<AuditHead>,

    /// Verify a file that `audit export` wrote
    #[arg(long, value_name = "FILE", conflicts_with = "database")]
    export: Option<PathBuf>,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    source: Source,
}

/// What was verified.
#[derive(Debug, Serialize, ToSchema)]
pub struct Verified {
    /// How many entries there are.
    entries: u64,
    /// The last one, as `SEQ:HASH`.
    head: String,
    /// Whether heads that were told elsewhere were looked for, and found.
    against_heads: bool,
}

impl Args {
    /// Its head on stdout, or the first entry that is not what was written.
    pub fn run(self) -> Result<(), Failure> {
        let against_heads = !self.heads.is_empty();
        let mut check = Check::new(self.heads.clone());
        let mut broken: Option<Broken> = None;
        let look = |line: crate::client::audit::Line| {
            broken = check.next(&line.record()).err();
            Ok(broken.is_none())
        };
        match &self.export {
            Some(path) => each_exported(path, look)?,
            None => self.source.each(look)?,
        }
        let head = match broken {
            None => check.end(),
            Some(broken) => Err(broken),
        };
        let head =
            head.map_err(|why| Failure::Refused(format!("the audit log is broken: {why}")))?;
        let verified = Verified { entries: head.seq, head: head.to_string(), against_heads };
        self.output.print(&verified, || text(&verified))?;
        if !against_heads {
            output::message(
                "note: whoever owns the store could have written all of it anew. Only a head that \
                 was kept elsewhere proves more: give the lines `audit head` of the log stream \
                 with --head",
            );
        }
        Ok(())
    }
}

fn text(Verified { entries, head, against_heads }: &Verified) -> String {
    let contains = if *against_heads { ", and contains every head that was given" } else { "" };
    let entries = counted(*entries, "entry");
    format!("the audit log is whole: {entries}, head {head}{contains}")
}
