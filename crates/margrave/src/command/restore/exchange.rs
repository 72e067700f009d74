//! How what was restored takes the place of what was there: by steps, each done whole or not at all. Whatever
//! ends this between two of them, power or a signal, the folder has either the old state or the new, with
//! keys that open it, and `restore` can be said again.

use std::path::Path;

use anyhow::Context;
use keys::Keyring;
use store::sqlite::backup::{Ready, Restored};

use crate::dev::good;
use crate::state::{Replica, State};
use crate::wrapped::Coming;

type Step<'a> = fn(&mut Exchange<'a>) -> anyhow::Result<()>;

/// One after the other. The store is exchanged by one renaming, and the keyring by another: between them
/// lies a keyring that opens both stores.
const fn steps<'a>() -> [Step<'a>; 6] {
    [
        Exchange::keep_keyring,
        Exchange::open_both,
        Exchange::forget,
        Exchange::keep_store,
        Exchange::take_place,
        Exchange::close_old,
    ]
}

/// What is exchanged.
pub(super) struct Exchange<'a> {
    state: &'a State,
    ready: Ready,
    keys: Option<Coming<'a>>,
    /// What does not run is kept from running until all is done.
    replicas: Vec<Replica>,
    running: Vec<String>,
}

impl<'a> Exchange<'a> {
    /// What is ready, and the keys that came with it, for `state`; what is there goes to `aside`.
    pub(super) fn of(
        state: &'a State,
        ready: Ready,
        ring: Option<Keyring>,
        aside: &'a Path,
    ) -> Self {
        let keys = ring.map(|ring| Coming::to(state.path(), ring, aside));
        Self { state, ready, keys, replicas: Vec::new(), running: Vec::new() }
    }

    /// What was restored, and the replicas that run and were left as they are.
    pub(super) fn make(mut self) -> anyhow::Result<(Restored, Vec<String>)> {
        for step in steps() {
            step(&mut self)?;
        }
        Ok((self.ready.restored, self.running))
    }

    fn keep_keyring(&mut self) -> anyhow::Result<()> {
        self.keys.as_ref().map_or(Ok(()), Coming::keep_old).context(AS_IT_WAS)
    }

    fn open_both(&mut self) -> anyhow::Result<()> {
        self.keys.as_ref().map_or(Ok(()), Coming::open_both).context(AS_IT_WAS)
    }

    /// What proxies have is judged by what they say: what was served before is another store's. Before that
    /// is replaced, as a replica is better off without than with another's.
    fn forget(&mut self) -> anyhow::Result<()> {
        (self.replicas, self.running) = self.state.replicas().context(AS_IT_WAS)?;
        for replica in &self.replicas {
            let forgetting = || {
                let name = replica.name();
                format!("the replica `{name}` cannot forget the store that was here; {AS_IT_WAS}")
            };
            good::forget(replica).with_context(forgetting)?;
        }
        Ok(())
    }

    fn keep_store(&mut self) -> anyhow::Result<()> {
        self.ready.keep_old().context(AS_IT_WAS)
    }

    fn take_place(&mut self) -> anyhow::Result<()> {
        self.ready.take_place().context(AS_IT_WAS)
    }

    fn close_old(&mut self) -> anyhow::Result<()> {
        self.keys.as_ref().map_or(Ok(()), Coming::close_old).context(
            "the store is restored, and the keyring opens it, but also the one before, until the \
             platform has been started",
        )
    }
}

const AS_IT_WAS: &str = "nothing was restored, and the state of the folder is as it was";

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use keys::{Secret, Seed};
    use model::Requester;
    use store::sqlite::backup::{self, Order};
    use store::sqlite::{Options, Sqlite};
    use store::{KeptAuthority, NodeFeed, Nodes, Store};

    use super::*;
    use crate::dev::vault::{AUTHORITY, Documents, Vault};

    fn sqlite(state: &State) -> Arc<Sqlite> {
        Arc::new(Sqlite::open(state.database(), Options::new(Arc::new(|| 1_000))).unwrap())
    }

    /// As the platform opens it when it starts: not without the keys of what is sealed.
    async fn vault(state: &State, store: &Arc<Sqlite>) -> anyhow::Result<Vault> {
        let documents = Documents { blobs: store.clone(), leases: store.clone() };
        Vault::open(state.clone(), store.clone(), store.clone(), documents, 1_000).await
    }

    /// A folder whose store has a secret that its keyring alone opens.
    async fn folder_of(seed: u8) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path());
        let ring = Keyring::new(&Seed::new([seed; 32]), 1);
        state.write_keyring(&ring).unwrap();
        let secret = Secret::from(format!("secret {seed}"));
        let sealed = ring.seal(AUTHORITY, &[seed; 24], &secret).unwrap();
        let authority = KeptAuthority { certificate: vec![seed], sealed };
        sqlite(&state).keep_authority(authority).await.unwrap();
        folder
    }

    fn back_up(state: &State, to: &Path) {
        let scratch = to.with_extension("scratch");
        let manifest = backup::copy(&state.database(), &scratch, 900).unwrap();
        let store = std::fs::read(&scratch).unwrap();
        std::fs::write(to, [manifest.header().as_bytes(), &store].concat()).unwrap();
    }

    fn order<'a>(backup: &'a Path, database: &'a Path, aside: &'a Path) -> Order<'a> {
        let by = Requester {
            credential: "operator".to_owned(),
            originating_identity: None,
            request_identity: None,
        };
        Order { backup, database, aside: Some(aside), at: 1_000, by }
    }

    /// The folder as it would be found if everything ended now.
    fn as_it_lies(folder: &Path) -> tempfile::TempDir {
        fn copy(from: &Path, to: &Path) {
            for entry in std::fs::read_dir(from).unwrap() {
                let (from, to) =
                    (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
                if from.is_dir() {
                    std::fs::create_dir(&to).unwrap();
                    copy(&from, &to);
                } else {
                    std::fs::copy(&from, &to).unwrap();
                }
            }
        }
        let found = tempfile::tempdir().unwrap();
        copy(folder, found.path());
        found
    }

    /// The epoch of the store there, whose secret is what it was: it is asked as by a platform that starts.
    async fn epoch_of_what_starts(folder: &Path) -> u64 {
        let state = State::at(folder);
        let store = sqlite(&state);
        let vault = vault(&state, &store).await.expect("its keys are there");
        let epoch = store.epoch().await.unwrap();
        let sealed = store.authority().await.unwrap().unwrap().sealed;
        let secret = broker::Vault::open(&vault, AUTHORITY, &sealed).unwrap();
        let of = if epoch == 1 { "secret 1" } else { "secret 2" };
        assert_eq!(secret.expose_str(), Some(of));
        epoch
    }

    async fn restore(folder: &Path, backup: &Path, ring: &Keyring, aside: &str) {
        let (state, aside) = (State::at(folder), folder.join(aside));
        let ready = backup::prepare(&order(backup, &state.database(), &aside)).unwrap();
        Exchange::of(&state, ready, Some(ring.clone()), &aside).make().unwrap();
    }

    #[tokio::test]
    async fn whatever_ends_it_the_folder_starts_and_can_be_restored_again() {
        let (today, yesterday) = (folder_of(1).await, folder_of(2).await);
        let backup: PathBuf = yesterday.path().join("backup");
        back_up(&State::at(yesterday.path()), &backup);
        let ring = State::at(yesterday.path()).keyring().unwrap().unwrap();
        let mut epochs = Vec::new();
        for done in 0..=steps().len() {
            let folder = as_it_lies(today.path());
            let (state, aside) = (State::at(folder.path()), folder.path().join("replaced"));
            let ready = backup::prepare(&order(&backup, &state.database(), &aside)).unwrap();
            let mut exchange = Exchange::of(&state, ready, Some(ring.clone()), &aside);
            steps().iter().take(done).for_each(|step| step(&mut exchange).unwrap());
            let found = as_it_lies(folder.path());
            epochs.push(epoch_of_what_starts(found.path()).await);

            restore(found.path(), &backup, &ring, "again").await;
            assert!(epoch_of_what_starts(found.path()).await > 1, "after {done} steps");
            assert!(State::at(found.path()).keyring().unwrap().unwrap() == ring, "{done}");
            // And what is kept of the first is whole, wherever it was kept last.
            let kept = ["replaced", "again"].map(|name| found.path().join(name));
            let kept = kept.iter().find(|kept| kept.join("margrave.db").exists()).unwrap();
            assert_eq!(epoch_of_what_starts(kept).await, 1, "after {done} steps");
        }
        assert_eq!(epochs, [1, 1, 1, 1, 1, 2, 2]);
    }
    #[tokio::test]
    async fn a_replica_that_cannot_forget_leaves_all_as_it_was() {
        let (today, yesterday) = (folder_of(1).await, folder_of(2).await);
        let (state, backup) = (State::at(today.path()), yesterday.path().join("backup"));
        back_up(&State::at(yesterday.path()), &backup);
        let aside = today.path().join("replaced");
        // Of a keyring that cannot be read now.
        let replica = today.path().join("replicas/edge");
        std::fs::create_dir_all(replica.join("keys.json")).unwrap();
        std::fs::write(replica.join("last-good.db"), "").unwrap();
        let ready = backup::prepare(&order(&backup, &state.database(), &aside)).unwrap();
        let refused = Exchange::of(&state, ready, None, &aside).make().unwrap_err();
        assert!(refused.to_string().contains("`edge` cannot forget"), "{refused:#}");
        assert_eq!(epoch_of_what_starts(today.path()).await, 1);
        assert!(!today.path().join("margrave.db.restoring").exists());
    }
}
