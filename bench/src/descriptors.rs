//! How many file descriptors the processes of the bench may have: each connection is one.

use anyhow::Result;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::usage::Usage;

/// What a process has open beside the connections that are measured.
const BESIDE: u64 = 200;

/// Lets this process, and all that it starts, have as many as the machine allows. What it does not
/// allow is told by `suffice`, once it is known how many are needed.
pub(crate) fn raise() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Whether each process may have so many connections.
pub(crate) fn suffice(connections: usize) -> Result<()> {
    let there = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    Ok(enough(connections as u64, there)?)
}

fn enough(connections: u64, there: u64) -> Result<(), Usage> {
    let needed = connections + BESIDE;
    if needed <= there {
        return Ok(());
    }
    let fit = there.saturating_sub(BESIDE);
    Err(Usage(format!(
        "{connections} streams need {needed} file descriptors in one process, and {there} are \
         allowed: raise the hard limit (as root: `ulimit -Hn {needed}`), or ask for {fit} streams"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_what_is_needed_what_is_there_and_what_to_do() {
        assert!(enough(10_000, 20_000).is_ok());
        assert!(enough(19_800, 20_000).is_ok());
        let said = enough(19_801, 20_000).unwrap_err().to_string();
        for word in ["need 20001 ", "20000 are", "`ulimit -Hn 20001`", "for 19800 streams"] {
            assert!(said.contains(word), "{said}");
        }
    }
}
