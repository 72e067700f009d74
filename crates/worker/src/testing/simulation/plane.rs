//! A control plane and its proxies: reads the change feed when the schedule says so, page by page,
//! and follows or rejects what it reads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use model::{InstanceId, Published, Spec};
use store::{Cursor, Store};

use super::super::world::{lock, now};
use super::scene::Scene;
use crate::Convergence;

#[derive(Default)]
pub(crate) struct Plane {
    cursor: Mutex<Option<Cursor>>,
    /// The revision that was read last of each instance, and whether the proxies took it.
    known: Mutex<BTreeMap<InstanceId, (u64, bool)>>,
    /// The highest revision ever seen of each instance, over restarts.
    highest: Mutex<BTreeMap<InstanceId, u64>>,
    /// What the proxies really serve: the last that they followed.
    pub(crate) serving: Arc<Mutex<BTreeMap<InstanceId, Spec>>>,
    pub(crate) wrongs: Mutex<Vec<String>>,
}

impl Plane {
    /// Forgets all that it has read; the proxies go on.
    pub(crate) fn restart(&self) {
        *lock(&self.cursor) = None;
        lock(&self.known).clear();
    }

    /// Reads some of what is new. Whether there was anything.
    pub(crate) fn tick(&self, scene: &Scene, page: usize) -> bool {
        let cursor = lock(&self.cursor).clone();
        let read = now(scene.store.changes(cursor, page)).expect("the feed is read");
        *lock(&self.cursor) = Some(read.cursor);
        let any = !read.changes.is_empty();
        for change in read.changes {
            let rejects = change.spec.is_some() && scene.strikes(scene.weather.plane_rejects);
            self.take(scene, change, rejects);
        }
        scene.cloud.check();
        any
    }

    /// Has the proxies of an instance brought to what was published last.
    pub(crate) fn follow(&self, scene: &Scene, id: &InstanceId) {
        if let Some(published) = scene.store.published(id) {
            self.take(scene, published, false);
        }
    }

    fn take(&self, scene: &Scene, change: Published, rejects: bool) {
        let Published { instance, revision, spec, .. } = change;
        scene.tell(|| {
            let what = if rejects { "rejects" } else { "follow" };
            format!("the proxies {what} {instance} at revision {revision}")
        });
        let before = lock(&self.highest).insert(instance.clone(), revision).unwrap_or(0);
        if before > revision {
            let wrong = format!("{instance} went back from revision {before} to {revision}");
            lock(&self.wrongs).push(wrong);
        }
        lock(&self.known).insert(instance.clone(), (revision, !rejects));
        if rejects {
            return;
        }
        let mut serving = lock(&self.serving);
        match spec {
            Some(spec) => serving.insert(instance, spec),
            None => serving.remove(&instance),
        };
    }

    pub(crate) fn converged(&self, id: &InstanceId, revision: u64) -> Convergence {
        match lock(&self.known).get(id) {
            Some((known, false)) if *known == revision => {
                Convergence::Rejected { reason: "a proxy refused it".into() }
            }
            Some((known, _)) if *known >= revision => {
                Convergence::Live { proxies: 1, notice: None }
            }
            _ => Convergence::Behind { have: 0, ready: 1, why: "proxy a is silent".into() },
        }
    }
}
