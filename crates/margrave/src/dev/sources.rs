//! What the configuration declares as sources, made ready to be polled.

use std::sync::Arc;

use anyhow::Context;
use context::{
    Declared, ExecSource, FileSource, HttpSource, InlineSource, Poller, Source, SourcePorts,
};
use store::sqlite::Sqlite;
use uuid::Uuid;

use super::vault::Vault;
use crate::clock;
use crate::command::our_variables;
use crate::config::{Config, SourceConfig, SourceOrigin};

/// What polls all of them into the store.
pub fn poller(config: &Config, store: &Arc<Sqlite>, vault: &Arc<Vault>) -> anyhow::Result<Poller> {
    let ports = SourcePorts {
        blobs: Arc::<Sqlite>::clone(store),
        leases: Arc::<Sqlite>::clone(store),
        vault: Arc::<Vault>::clone(vault),
        clock: Arc::new(clock::now),
        jitter: Arc::new(rand::random),
        holder: Uuid::new_v4().to_string(),
    };
    let declared = config.declared.iter().map(declared).collect::<anyhow::Result<_>>()?;
    Ok(Poller::new(config.sources.iter().cloned().collect(), declared, ports))
}

fn declared(config: &SourceConfig) -> anyhow::Result<Declared> {
    Ok(Declared {
        name: config.name.clone(),
        format: config.format,
        interval: config.interval,
        jitter: config.jitter,
        timeout: config.timeout,
        bytes_max: config.bytes_max,
        secret_paths: config.secret_paths.clone(),
        is_staged: config.is_staged,
        source: source(config)?,
    })
}

fn source(config: &SourceConfig) -> anyhow::Result<Arc<dyn Source>> {
    Ok(match &config.origin {
        SourceOrigin::Url(uri, headers) => {
            let source = HttpSource::new(uri.clone(), headers.clone());
            let why = || format!("the source `{}` cannot be asked by TLS", config.name);
            Arc::new(source.with_context(why)?)
        }
        SourceOrigin::Path(path) => Arc::new(FileSource::new(path.clone())),
        SourceOrigin::Inline(text, place) => {
            Arc::new(InlineSource::new(text.clone(), place.clone()))
        }
        SourceOrigin::Command(words) => {
            let (withheld, may_tell) = (our_variables().collect(), config.secret_paths.is_empty());
            Arc::new(ExecSource::new(words.clone(), withheld, may_tell))
        }
    })
}
