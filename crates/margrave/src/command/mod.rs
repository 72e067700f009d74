//! The sub-commands: one file each, all with the same face, `Args` and `run`.

mod apply;
mod audit;
mod backup;
mod bind;
mod bindings;
mod call_token;
mod completion;
mod dashboard;
mod delete;
mod descriptor;
mod dev;
mod explain;
mod fleet;
mod held;
mod history;
mod hostname;
mod join;
mod join_token;
mod keys;
mod list;
mod login;
mod logout;
mod node;
mod operation;
mod operations;
mod outputs;
mod plan;
mod platform;
mod render;
mod restore;
mod rollout;
mod sample_backend;
mod schema;
mod secret;
mod serve;
mod service;
mod sources;
mod status;
mod team;
mod token;
mod transfer;
mod unbind;
mod validate;
mod wait;
mod whoami;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::failure::Failure;
use crate::output;

/// Ask for a load balancer in five lines; every Envoy of the fleet routes to it seconds later.
#[derive(Debug, Parser)]
#[command(name = "margrave", version, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Dev(dev::Args),
    Serve(serve::Args),
    Plan(plan::Args),
    Apply(apply::Args),
    Validate(validate::Args),
    Status(status::Args),
    List(list::Args),
    History(history::Args),
    Operations(operations::Args),
    Dashboard(dashboard::Args),
    Render(render::Args),
    Delete(delete::Args),
    Bind(bind::Args),
    Bindings(bindings::Args),
    Unbind(unbind::Args),
    CallToken(call_token::Args),
    Login(login::Args),
    Whoami(whoami::Args),
    Logout(logout::Args),
    Token(token::Args),
    Platform(platform::Args),
    Keys(keys::Args),
    Team(team::Args),
    Hostname(hostname::Args),
    Transfer(transfer::Args),
    Operation(operation::Args),
    Audit(audit::Args),
    Fleet(fleet::Args),
    Rollout(rollout::Args),
    Join(join::Args),
    JoinToken(join_token::Args),
    Node(node::Args),
    Sources(sources::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Schema(schema::Args),
    Explain(explain::Args),
    Completion(completion::Args),
    #[command(hide = true)]
    SampleBackend(sample_backend::Args),
}

/// The clap definition, from which the reference page is made.
#[cfg(test)]
pub fn definition() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Runs a command line.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    match dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            Some(failure.text()).filter(|text| !text.is_empty()).as_deref().map(output::message);
            failure.code()
        }
    }
}

/// `--help` and `--version` are answers; anything else is a usage error.
fn not_understood(error: &clap::Error) -> ExitCode {
    // Nobody is left to tell when the stream is closed.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => Failure::Usage(String::new()).code(),
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Dev(args) => args.run(),
        Command::Serve(args) => args.run(),
        Command::Plan(args) => args.run(),
        Command::Apply(args) => args.run(),
        Command::Validate(args) => args.run(),
        Command::Status(args) => args.run(),
        Command::List(args) => args.run(),
        Command::History(args) => args.run(),
        Command::Operations(args) => args.run(),
        Command::Dashboard(args) => args.run(),
        Command::Render(args) => args.run(),
        Command::Delete(args) => args.run(),
        Command::Bind(args) => args.run(),
        Command::Bindings(args) => args.run(),
        Command::Unbind(args) => args.run(),
        Command::CallToken(args) => args.run(),
        Command::Login(args) => args.run(),
        Command::Whoami(args) => args.run(),
        Command::Logout(args) => args.run(),
        Command::Token(args) => args.run(),
        Command::Platform(args) => args.run(),
        Command::Keys(args) => args.run(),
        Command::Team(args) => args.run(),
        Command::Hostname(args) => args.run(),
        Command::Transfer(args) => args.run(),
        Command::Operation(args) => args.run(),
        Command::Audit(args) => args.run(),
        Command::Fleet(args) => args.run(),
        Command::Rollout(args) => args.run(),
        Command::Join(args) => args.run(),
        Command::JoinToken(args) => args.run(),
        Command::Node(args) => args.run(),
        Command::Sources(args) => args.run(),
        Command::Backup(args) => args.run(),
        Command::Restore(args) => args.run(),
        Command::Schema(args) => args.run(),
        Command::Explain(args) => args.run(),
        Command::Completion(args) => args.run(),
        Command::SampleBackend(args) => args.run(),
    }
}

/// A variable of the environment; what is not UTF-8 counts as unset.
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The variables that are for us alone: programs that we start have no use for the secrets in them.
pub fn our_variables() -> impl Iterator<Item = OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names.filter(|name| name.as_encoded_bytes().starts_with(b"MARGRAVE_"))
}

/// What async commands run on.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
