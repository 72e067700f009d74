//! Which Envoy to start, and whether it is one that the templates were made for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::config::Envoy;

/// The release that templates, descriptors and tests are made for.
pub const VERSION: &str = "1.40.0";
/// Releases that differ only after this have the same configuration.
const SERIES: &str = "1.40.";

/// Where the cache folder has the release before, for judging.
const PREVIOUS: &str = "envoy-1.39/1.39.3/envoy-1.39";

const HOW_TO_GET_IT: &str = "get it with `make envoy` (into the cache folder), or name one with \
     `--envoy PATH` or MARGRAVE_ENVOY, or put `envoy` on PATH; `--envoy none` starts without";

/// An Envoy that can be started.
#[derive(Debug, Clone)]
pub struct Found {
    /// The program.
    pub path: PathBuf,
    /// Its release, as `1.40.0`.
    pub version: String,
}

/// The Envoy to start; `None` when none is wanted.
pub fn find(choice: &Envoy, env: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Option<Found>> {
    let path = match choice {
        Envoy::None => return Ok(None),
        Envoy::At(path) => path.clone(),
        Envoy::Find => search(env)
            .with_context(|| format!("Envoy {VERSION} was not found: {HOW_TO_GET_IT}"))?,
    };
    let version = version(&path)?;
    if !version.starts_with(SERIES) {
        bail!("{} is Envoy {version}, not {SERIES}x: {HOW_TO_GET_IT}", path.display());
    }
    Ok(Some(Found { path, version }))
}

/// By version: the Envoy that is started or would be found, and the release before it where the
/// cache folder has it. What cannot be started is passed over.
pub(super) fn judges(
    choice: &Envoy,
    env: &dyn Fn(&str) -> Option<String>,
) -> BTreeMap<String, PathBuf> {
    let ours = match choice {
        Envoy::At(path) => Some(path.clone()),
        Envoy::Find | Envoy::None => search(env),
    };
    let before = cache(env).map(|cache| cache.join(PREVIOUS)).filter(|path| path.is_file());
    let all = ours.into_iter().chain(before);
    all.filter_map(|path| Some((version(&path).ok()?, path))).collect()
}

/// The cache folder of programs.
fn cache(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let home = || Some(Path::new(&env("HOME")?).join(".cache"));
    let cache = env("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    Some(cache.or_else(home)?.join("margrave"))
}

fn search(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let cached = cache(env).map(|cache| cache.join("envoy").join(VERSION).join("envoy"));
    let path = env("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("envoy"));
    cached.into_iter().chain(on_path).find(|path| path.is_file())
}

/// Asks the program for its release.
pub(super) fn version(path: &Path) -> anyhow::Result<String> {
    let output = Command::new(path).arg("--version").output().with_context(|| {
        format!("{} cannot be started as Envoy: {HOW_TO_GET_IT}", path.display())
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    release(&text).with_context(|| {
        format!("{} does not say that it is an Envoy: {HOW_TO_GET_IT}", path.display())
    })
}

/// `… version: <commit>/1.40.0/Clean/RELEASE/BoringSSL` → `1.40.0`.
fn release(text: &str) -> Option<String> {
    text.split_once("version: ")?.1.split('/').nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn fake(folder: &Path, version: &str) -> PathBuf {
        std::fs::create_dir_all(folder).unwrap();
        let path = folder.join("envoy");
        let script = format!("#!/bin/sh\necho 'envoy  version: abc/{version}/Clean/RELEASE/B'\n");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn the_cache_comes_before_path() {
        let folder = tempfile::tempdir().unwrap();
        let on_path = fake(&folder.path().join("bin"), "1.40.1");
        let env = |name: &str| match name {
            "HOME" => Some(folder.path().to_string_lossy().into_owned()),
            "PATH" => Some(on_path.parent().unwrap().to_string_lossy().into_owned()),
            _ => None,
        };
        let found = find(&Envoy::Find, &env).unwrap().unwrap();
        assert_eq!((found.path, found.version.as_str()), (on_path.clone(), "1.40.1"));
        let cached = fake(&folder.path().join(".cache/margrave/envoy/1.40.0"), "1.40.0");
        assert_eq!(find(&Envoy::Find, &env).unwrap().unwrap().path, cached);
    }

    #[test]
    fn the_release_before_judges_where_it_is_cached() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_string_lossy().into_owned();
        let env = |name: &str| (name == "HOME").then(|| home.clone());
        assert!(judges(&Envoy::None, &env).is_empty());
        let ours = fake(&folder.path().join("ours"), "1.40.2");
        fake(&folder.path().join(".cache/margrave/envoy-1.39/1.39.3"), "1.39.3");
        let before = folder.path().join(".cache/margrave").join(PREVIOUS);
        std::fs::rename(before.with_file_name("envoy"), &before).unwrap();
        let found = judges(&Envoy::At(ours.clone()), &env);
        let wanted = [("1.39.3".to_owned(), before), ("1.40.2".to_owned(), ours)];
        assert_eq!(found, BTreeMap::from(wanted));
    }

    #[test]
    fn what_is_missing_or_too_old_is_said_with_how_to_mend_it() {
        let folder = tempfile::tempdir().unwrap();
        let old = fake(folder.path(), "1.31.0");
        let nothing = |_: &str| None;
        for (choice, begins) in [
            (Envoy::Find, "Envoy 1.40.0 was not found: get it with `make envoy`".to_owned()),
            (Envoy::At("/nowhere/envoy".into()), "/nowhere/envoy cannot be started".to_owned()),
            (Envoy::At("/bin/true".into()), "/bin/true does not say that it is".to_owned()),
            (Envoy::At(old.clone()), format!("{} is Envoy 1.31.0, not 1.40.x", old.display())),
        ] {
            let error = find(&choice, &nothing).expect_err("is refused").to_string();
            assert!(error.starts_with(&begins), "{error}");
            assert!(error.contains("--envoy PATH"), "{error}");
        }
        assert!(find(&Envoy::None, &nothing).unwrap().is_none());
    }
}
