//! `margrave completion`: what a shell needs to complete command lines.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::failure::Failure;
use crate::output;

/// Print the completion script of a shell: `source <(margrave completion bash)`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: Shell,
}

impl Args {
    /// On stdout.
    pub fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        let mut definition = super::Cli::command();
        clap_complete::generate(self.shell, &mut definition, "margrave", &mut script);
        let script = String::from_utf8(script)?;
        Ok(output::line(script.trim_end())?)
    }
}
