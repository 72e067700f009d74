//! Reads a descriptor from a file or stdin, and shows its refusals as its author needs them.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use model::Descriptor;
use model::descriptor::{Refusal, TEXT_BYTES_MAX, show};

use crate::failure::Failure;

/// Which descriptor.
#[derive(Debug, clap::Args)]
pub struct File {
    /// The descriptor, YAML or JSON; `-` is stdin
    #[arg(short, long, value_name = "PATH", default_value = "margrave.yaml")]
    file: PathBuf,
}

impl File {
    /// Reads and checks; what is wrong with it is a refusal that tells everything at once.
    pub fn read(&self) -> Result<Descriptor, Failure> {
        read(&self.file)
    }

    /// As [`File::read`], with the refusals also as data.
    pub fn check(&self) -> Result<Descriptor, (Failure, Vec<Refusal>)> {
        let text = text(&self.file).map_err(|error| (error.into(), Vec::new()))?;
        Descriptor::from_yaml(&text)
            .map_err(|refusals| (refused(&self.file, &text, &refusals), refusals))
    }

    /// As its author calls it.
    pub fn shown(&self) -> String {
        self.file.display().to_string()
    }
}

/// As [`File::read`], of this path.
pub fn read(path: &Path) -> Result<Descriptor, Failure> {
    let text = text(path)?;
    Descriptor::from_yaml(&text).map_err(|refusals| refused(path, &text, &refusals))
}

/// All that is wrong, as the author of the text reads it.
fn refused(path: &Path, text: &str, refusals: &[Refusal]) -> Failure {
    let shown = show(refusals, &path.display().to_string(), text);
    let first = refusals.first().map(|refusal| refusal.code.to_string()).unwrap_or_default();
    let count = match refusals.len() {
        1 => "1 error".to_owned(),
        several => format!("{several} errors"),
    };
    Failure::Refused(format!("{shown}\n{count}; more with `margrave explain {first}`"))
}

fn text(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let limit = TEXT_BYTES_MAX as u64 + 1;
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).context("cannot read stdin")?;
    } else {
        let file = std::fs::File::open(path).with_context(|| match path.exists() {
            true => format!("cannot read {shown}"),
            false => format!("there is no {shown}; name another with -f"),
        })?;
        file.take(limit).read_to_end(&mut bytes).with_context(|| format!("cannot read {shown}"))?;
    }
    String::from_utf8(bytes).with_context(|| format!("{shown} is not UTF-8 text"))
}
