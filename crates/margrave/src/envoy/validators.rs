//! The Envoys that judge what proxies are sent: programs that are run for a moment, one for each
//! release.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use plane::{EnvoyValidator, Validator};

use super::find;
use crate::config::Validators;

/// The Envoys to ask; none where none is wished or found. Their questions are files in `folder`.
pub fn validators(
    choice: &Validators,
    envoy: &crate::config::Envoy,
    folder: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> anyhow::Result<Vec<Arc<dyn Validator>>> {
    let found = match choice {
        Validators::None => return Ok(Vec::new()),
        Validators::At(paths) => named(paths)?,
        Validators::Find => find::judges(envoy, env),
    };
    if found.is_empty() {
        tracing::warn!("there is no Envoy to judge what proxies are sent: see `validators`");
        return Ok(Vec::new());
    }
    // What Envoy is asked about may hold secrets of templates.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let validator = |(version, path): (String, PathBuf)| {
        tracing::info!(version, path = %path.display(), "Envoy judges what proxies are sent");
        Arc::new(EnvoyValidator::new(path, version, folder)) as Arc<dyn Validator>
    };
    Ok(found.into_iter().map(validator).collect())
}

/// By version; those that are named must be there.
fn named(paths: &[PathBuf]) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for path in paths {
        let version = find::version(path)?;
        if let Some(other) = found.insert(version.clone(), path.clone()) {
            let (one, other) = (path.display(), other.display());
            bail!("`validators` names Envoy {version} twice: {other} and {one}");
        }
    }
    Ok(found)
}
