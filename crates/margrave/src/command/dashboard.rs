//! `margrave dashboard`: the page of a service, in a browser that is logged in.

use std::process::{Command, Stdio};

use model::ServiceName;
use reqwest::Method;
use serde::Deserialize;

use crate::client::{Connect, Place};
use crate::failure::Failure;
use crate::output;

/// Open the page of a service in a browser, logged in as whoever asks
///
/// The link that is printed opens one session, within a minute.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The service [default: the list of all]
    service: Option<ServiceName>,

    /// Only print the link
    #[arg(long)]
    print: bool,

    /// The console's URL [default: that of the local platform]
    #[arg(long, value_name = "URL", env = "MARGRAVE_CONSOLE_URL")]
    console_url: Option<String>,

    #[command(flatten)]
    connect: Connect,
}

#[derive(Deserialize)]
struct Made {
    code: String,
}

impl Args {
    /// The link on stdout.
    pub fn run(self) -> Result<(), Failure> {
        super::runtime()?.block_on(async {
            let local = self.connect.endpoints().map(|endpoints| endpoints.console);
            let console = self.console_url.clone().or(local).ok_or_else(|| {
                Failure::Usage("where is the console? Say it with --console-url".to_owned())
            })?;
            let client = self.connect.client()?;
            let to = match &self.service {
                Some(name) => {
                    let identity = self.connect.identity(&client).await?;
                    format!("/instances/{}", Place::find(&client, &identity, name).await?.id)
                }
                None => "/".to_owned(),
            };
            let made: Made =
                client.ask(client.request(Method::POST, "/v1/dashboard-codes")).await?;
            let console = console.trim_end_matches('/');
            let url = format!("{console}/enter?code={}&to={to}", made.code);
            if !self.print && !open(&url) {
                output::message("no browser could be opened; open this within a minute:");
            }
            Ok(output::line(&format!("{url}\n"))?)
        })
    }
}

/// Hands a link to whatever opens links here.
fn open(url: &str) -> bool {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let quiet = || Stdio::null();
    let mut command = Command::new(opener);
    super::our_variables().for_each(|variable| {
        command.env_remove(variable);
    });
    command.arg(url).stdout(quiet()).stderr(quiet()).spawn().is_ok()
}
