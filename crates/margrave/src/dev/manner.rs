//! The two manners of running: `margrave serve`, and `margrave dev`, which is the same with a few
//! relaxations.

use anyhow::bail;
use store::{Blobs, Filter, Store};

use super::roles::Roles;

/// The document in which a store tells in which manner it was made.
const MADE_BY: &str = "platform/made-by";

/// What `margrave dev` lets pass and `margrave serve` does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relaxations {
    /// Upstreams may be on this machine.
    pub loopback_upstreams: bool,
    /// A username and a password are made where none are set, and kept in the state folder.
    pub made_credentials: bool,
    /// An Envoy is started here, as a proxy of this platform.
    pub own_envoy: bool,
}

impl Relaxations {
    /// None.
    const NONE: Self =
        Self { loopback_upstreams: false, made_credentials: false, own_envoy: false };
    /// All.
    const ALL: Self = Self { loopback_upstreams: true, made_credentials: true, own_envoy: true };

    /// What is relaxed, in a line.
    fn told(self) -> String {
        let Self { loopback_upstreams, made_credentials, own_envoy } = self;
        let said = [
            (loopback_upstreams, "upstreams may be on this machine"),
            (made_credentials, "a password is made where none is set"),
            (own_envoy, "an Envoy is started here"),
        ];
        let said = said.iter().filter_map(|(is_so, words)| is_so.then_some(*words));
        said.collect::<Vec<_>>().join("; ")
    }
}

/// How a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manner {
    /// The command: `dev` or `serve`.
    pub command: &'static str,
    /// What is relaxed.
    pub relaxed: Relaxations,
    /// Which parts it is.
    pub roles: Roles,
}

impl Manner {
    /// These parts, relaxed.
    pub fn dev(roles: Roles) -> Self {
        Self { command: "dev", relaxed: Relaxations::ALL, roles }
    }

    /// These parts, without relaxations.
    pub fn serve(roles: Roles) -> Self {
        Self { command: "serve", relaxed: Relaxations::NONE, roles }
    }

    /// What is relaxed, as a line; `None` when nothing is.
    pub fn told(&self, with_envoy: bool) -> Option<String> {
        let own_envoy = self.relaxed.own_envoy && with_envoy;
        let relaxed = Relaxations { own_envoy, ..self.relaxed };
        Some(relaxed.told()).filter(|said| !said.is_empty())
    }

    /// Refuses the state of the other manner, and marks as ours what is nobody's yet.
    pub async fn claim<S: Store + Blobs>(&self, store: &S) -> anyhow::Result<()> {
        if let Some(made_by) = made_by(store).await? {
            return self.accepts(&made_by);
        }
        store.put(MADE_BY, self.command.as_bytes()).await?;
        Ok(())
    }

    /// Refuses the state of the other manner, where it can be read.
    pub async fn may_read(&self, blobs: &dyn Blobs) -> anyhow::Result<()> {
        match blobs.get(MADE_BY).await {
            Ok(Some(noted)) => self.accepts(&String::from_utf8_lossy(&noted)),
            // What is served was good, whatever has become of the store.
            Ok(None) | Err(_) => Ok(()),
        }
    }

    fn accepts(&self, made_by: &str) -> anyhow::Result<()> {
        if made_by == self.command {
            return Ok(());
        }
        let why = match made_by {
            "dev" => {
                "it holds what was let in without the checks of `margrave serve`. Start with an empty \
                 folder, and apply the descriptors there"
            }
            _ => "`margrave dev` would relax what its services rely on. Choose another folder",
        };
        bail!(
            "this state was made by `margrave {made_by}`, and `margrave {}` refuses it: {why} (--state)",
            self.command
        )
    }
}

/// In which manner a store was made; before it was noted, only `dev` made any.
async fn made_by<S: Store + Blobs>(store: &S) -> anyhow::Result<Option<String>> {
    if let Some(noted) = store.get(MADE_BY).await? {
        return Ok(Some(String::from_utf8_lossy(&noted).into_owned()));
    }
    let any = Filter { deleted: true, limit: 1, ..Filter::default() };
    let is_empty = store.instances(any).await?.items.is_empty();
    Ok((!is_empty).then(|| "dev".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use store::sqlite::{Options, Sqlite};

    use super::*;

    #[tokio::test]
    async fn each_manner_refuses_the_state_of_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let (dev, serve) = (Manner::dev(Roles::all()), Manner::serve(Roles::all()));
        for (name, mine, other) in [("a", &dev, &serve), ("b", &serve, &dev)] {
            let options = Options::new(Arc::new(|| 1));
            let store = Sqlite::open(folder.path().join(name), options).unwrap();
            mine.claim(&store).await.unwrap();
            mine.claim(&store).await.unwrap();
            let refused = other.claim(&store).await.unwrap_err().to_string();
            assert!(refused.contains(&format!("made by `margrave {}`", mine.command)), "{refused}");
        }
        assert!(dev.told(true).unwrap().contains("on this machine"));
        assert!(dev.told(true).unwrap().contains("an Envoy is started"));
        assert!(!dev.told(false).unwrap().contains("an Envoy is started"), "none is");
        assert_eq!(serve.told(true), None);
    }
}
