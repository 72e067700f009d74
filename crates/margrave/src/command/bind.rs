//! `margrave bind`: the right of a caller to use a service.

use std::path::{Path, PathBuf};

use model::BindingId;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::service::Service;
use crate::client::{Catalog, Connect};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::private::Promised;

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

    /// The binding's id, such as `ci-2026`: bound again with it, what was bound is given once more
    /// [default: a new one]
    #[arg(long, value_name = "ID")]
    id: Option<BindingId>,

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
    /// Whether it was not there before.
    #[serde(rename = "new")]
    is_new: bool,
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
        let (client, service, instance) = self.service.find(&self.connect).await?;
        let is_printed = self.credential == Path::new("-");
        let file = (!is_printed).then(|| Promised::at(&self.credential)).transpose()?;
        let catalog = Catalog::of(&client).await?;
        let id = self.id.as_ref().map_or_else(|| Uuid::now_v7().to_string(), ToString::to_string);
        let replaced = self.replace.as_deref();
        let (is_new, bound) =
            client.bind(&catalog, &instance, &id, self.parameters(), replaced).await?;
        let Some(file) = file else { return Ok(output::json(&bound["credentials"])?) };
        let credential = file.keep(&serde_json::to_vec_pretty(&bound["credentials"])?)?;
        let expires_at = bound["metadata"]["expires_at"].as_str().map(str::to_owned);
        let how = if is_new { "bound" } else { "it was bound before" };
        let text = format!("{service}: {how} as {id}; its credential is in {credential}");
        let service = service.to_string();
        let value = Bound { service, binding: id, is_new, credential, expires_at };
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
