//! `margrave bind`: the right of a caller to use a service.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::service::Service;
use crate::client::{Catalog, Connect};
use crate::failure::Failure;
use crate::output::{self, Format};

/// Let a caller use a service: makes a key pair and writes its private half to a file
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    service: Service,

    /// Where the credential is written, for your eyes only; `-` prints it on stdout
    #[arg(long, value_name = "FILE")]
    credential: PathBuf,

    /// What the caller is called, for people
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// How long it is good for, such as `12h` or `90d` [default: until it is unbound]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,

    /// Take the place of this binding, whose name and life are inherited; both are good until the
    /// older is unbound or expires
    #[arg(long, value_name = "BINDING", conflicts_with_all = ["name", "ttl"])]
    replace: Option<String>,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    connect: Connect,
}

/// What was bound, without the private key.
#[derive(Debug, Serialize, ToSchema)]
pub struct Bound {
    /// The service's name.
    service: String,
    /// The binding: `margrave unbind` takes it away.
    binding: String,
    /// Where the credential was written.
    credential: String,
    /// When it ends by itself.
    expires_at: Option<String>,
}

impl Args {
    /// The credential goes where it was asked to, and nowhere else.
    pub fn run(self) -> Result<(), Failure> {
        super::runtime()?.block_on(self.bind())
    }

    async fn bind(&self) -> Result<(), Failure> {
        let (service, instance) = self.service.find(&self.connect)?;
        let is_printed = self.credential == Path::new("-");
        // Before anything is bound: a key that cannot be kept is a key that nobody has.
        let mut file = if is_printed { None } else { Some(private(&self.credential)?) };
        let client = self.connect.client()?;
        let catalog = Catalog::of(&client).await?;
        let id = Uuid::now_v7().to_string();
        let replaced = self.replace.as_deref();
        let bound = client.bind(&catalog, &instance, &id, self.parameters(), replaced).await;
        if bound.is_err() && !is_printed {
            // Made a moment ago, and empty.
            let _ = std::fs::remove_file(&self.credential);
        }
        let bound = bound?;
        let Some(file) = &mut file else { return Ok(output::json(&bound["credentials"])?) };
        let text = serde_json::to_string_pretty(&bound["credentials"])?;
        let writing = || format!("cannot write {}", self.credential.display());
        file.write_all(text.as_bytes()).with_context(writing)?;
        file.sync_all().with_context(writing)?;
        let expires_at = bound["metadata"]["expires_at"].as_str().map(str::to_owned);
        let credential = self.credential.display().to_string();
        let text = format!("{service}: bound as {id}; its credential is in {credential}");
        let value = Bound { service: service.to_string(), binding: id, credential, expires_at };
        Ok(self.output.print(&value, || text)?)
    }

    fn parameters(&self) -> Value {
        let mut parameters = json!({});
        for (key, value) in [("name", &self.name), ("ttl", &self.ttl)] {
            if let Some(value) = value {
                parameters[key] = value.as_str().into();
            }
        }
        parameters
    }
}

/// A new file for its owner alone; one that is there may be another credential.
fn private(path: &Path) -> anyhow::Result<std::fs::File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.with_context(|| format!("cannot make the file {}", path.display()))
}
