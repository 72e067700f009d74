//! What whoever has started this can mend: told in one line, before anything is measured.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// It ends with this exit code, as a wrong argument does.
pub(crate) const EXIT: u8 = 2;

/// What is wrong, and what to do.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// A program that has to be there.
pub(crate) fn program(named: Option<PathBuf>, variable: &str, what: &str) -> Result<PathBuf> {
    let path = named.or_else(|| std::env::var_os(variable).map(PathBuf::from));
    let path = path.ok_or_else(|| {
        Usage(format!("{variable} is not set: let it name {what} (`make bench` does)"))
    })?;
    is_there(&path, variable)?;
    Ok(path)
}

fn is_there(path: &Path, variable: &str) -> Result<(), Usage> {
    if path.is_file() {
        return Ok(());
    }
    let path = path.display();
    Err(Usage(format!("{variable} names {path}, where no file is: build it, or name another")))
}

/// For arguments of which nothing can be measured with none.
pub(crate) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("a number is wanted".to_owned()),
    }
}
