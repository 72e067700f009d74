//! The plane's work: it follows the change feed, renders what changed, and applies it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use model::InstanceId;
use render::{Complaint, Endpoints};
use store::{Cursor, StoreError};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::documents::Followed;
use crate::gate::Subject;
use crate::queue::{Haste, Task};
use crate::renderer::Work;
use crate::rollout::Decided;
use crate::state::State;
use crate::{Plane, metrics};

/// What happened on streams is taken in so many events at a time.
const EVENTS_AT_ONCE: usize = 256;
/// Changes read at a time.
const PAGE: usize = 500;
/// The feed is read at least so often, nudged or not.
const POLL: Duration = Duration::from_secs(5);
/// Between two attempts to read a store that fails; doubles up to [`RETRY_LAST`].
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// A store that fails is asked at least so often.
const RETRY_LAST: Duration = Duration::from_secs(5);
/// At start all names together are waited for so long. Those that led somewhere in the life before
/// are not waited for.
const START_ADDRESS_WAIT: Duration = Duration::from_secs(5);
/// How often documents of sources are read.
const DOCUMENTS: Duration = Duration::from_secs(2);
/// How often canaries are looked after: a fraction of how long one is waited for.
const CANARIES: Duration = Duration::from_millis(250);

impl Plane {
    /// Works until the future is dropped or `shutdown` completes. Proxies are answered once all of
    /// the store has been read and rendered; a store that fails is asked again for ever, and what
    /// was read before is served meanwhile.
    pub async fn run(self: Arc<Self>, shutdown: impl Future<Output = ()> + Send) {
        self.recall_good().await;
        self.tell_who_judges();
        let mut tasks = JoinSet::new();
        tasks.spawn(self.clone().listen());
        tasks.spawn(self.clone().follow());
        tasks.spawn(self.clone().render());
        tasks.spawn(self.clone().follow_addresses());
        tasks.spawn(self.resolver.clone().run());
        tasks.spawn(self.clone().follow_documents());
        tasks.spawn(self.clone().remember_addresses());
        tasks.spawn(self.clone().keep_gauges());
        tasks.spawn(self.clone().keep_house());
        tasks.spawn(self.clone().keep_canaries());
        tasks.spawn(self.clone().keep_good());
        tasks.spawn(self.clone().judge());
        tokio::select! {
            () = shutdown => {}
            Some(ended) = tasks.join_next() => {
                if let Err(panic) = ended {
                    std::panic::resume_unwind(panic.into_panic());
                }
            }
        }
    }

    async fn listen(self: Arc<Self>) {
        let Some(mut events) = self.take_events() else { return std::future::pending().await };
        let mut happened = Vec::new();
        while events.recv_many(&mut happened, EVENTS_AT_ONCE).await > 0 {
            self.observe(happened.drain(..));
        }
    }

    async fn follow(self: Arc<Self>) {
        let (followed, staged) = Followed::of(&*self.vault, &self.documents().await);
        self.state().given.staged = staged;
        self.renew(followed);
        self.asked("addresses", || self.resolver.recall(&*self.blobs)).await;
        self.asked("verdicts", || self.gate.recall(&*self.blobs)).await;
        let mut pending = Vec::new();
        let mut census = None;
        let mut cursor = None;
        loop {
            let (page, given) = self.moment(cursor.as_ref()).await;
            let read_at = Instant::now();
            if page.reset {
                let epoch = self.asked("epoch", || self.store.epoch()).await;
                let restored_from = self.asked("restore", || self.store.restored_from()).await;
                {
                    let mut state = self.state();
                    state.begin(epoch);
                    state.restored_from = state.restored_from.or(restored_from);
                    state.watch_for_loss();
                }
                census = Some(HashSet::new());
            }
            if let Some(census) = &mut census {
                census.extend(page.changes.iter().map(|change| change.instance.clone()));
            }
            pending.extend(self.take_in(page.changes, given));
            let read_to = cursor.insert(page.cursor);
            self.state().read_to_the_end(page.reached);
            if self.waits_for_store(read_to).await {
                continue;
            }
            if let Some(census) = census.take() {
                self.drop_others(&census);
            }
            if !self.loaded.load(Ordering::Acquire) {
                self.start(std::mem::take(&mut pending)).await;
            }
            for (id, wait) in pending.drain(..) {
                self.clone().render_when_known(id, wait);
            }
            metrics::feed_lag(read_at.elapsed());
            self.store.changed(read_to, POLL).await;
        }
    }

    /// The feed began anew: what it does not know is gone, unless that is left to an operator.
    fn drop_others(&self, census: &HashSet<InstanceId>) {
        let mut state = self.state();
        let (gone, is_held) = state.census(census);
        if is_held {
            tracing::error!(gone = gone.len(), "too many instances are gone; all are kept");
            metrics::removals_held(gone.len());
            state.held_removals = gone.into_iter().collect();
            return;
        }
        for id in gone {
            self.resolver.forget(&id);
            state.remove(&id);
        }
        metrics::removals_held(0);
    }

    /// The feed to its end, and what groups are given other than before, as of one moment.
    async fn moment(&self, cursor: Option<&Cursor>) -> (store::Changes, Option<Decided>) {
        let mut read = self.page(cursor).await;
        loop {
            if !read.more {
                let standing = self.asked("standing", || self.standing()).await;
                let Some(standing) = standing else { return (read, None) };
                if standing.given.revision <= read.reached {
                    let given = self.asked("editions", || self.decided(&standing)).await;
                    return (read, given);
                }
            }
            // There is more, or something was decided after that was read.
            let mut next = self.page(Some(&read.cursor)).await;
            if !next.reset {
                next.reset = read.reset;
                read.changes.append(&mut next.changes);
                next.changes = read.changes;
            }
            read = next;
        }
    }

    async fn page(&self, cursor: Option<&Cursor>) -> store::Changes {
        self.asked("changes", || self.store.changes(cursor.cloned(), PAGE)).await
    }

    /// Asks the store until it answers.
    async fn asked<T, F>(&self, what: &str, ask: impl Fn() -> F) -> T
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut pause = RETRY_FIRST;
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(error) => {
                    metrics::feed_error();
                    tracing::error!(what, %error, "the store cannot be read; serving what was read");
                    sleep(pause).await;
                    pause = (pause * 2).min(RETRY_LAST);
                }
            }
        }
    }

    /// Takes in what the feed says, and what groups are given, at once; returns instances whose
    /// upstreams have names never asked for.
    fn take_in(
        &self,
        changes: Vec<store::Change>,
        given: Option<Decided>,
    ) -> Vec<(InstanceId, context::Pending)> {
        let mut pending = Vec::new();
        let mut known = Vec::new();
        let follow = |change: &store::Change| match &change.spec {
            Some(spec) => self.resolver.follow(&change.instance, spec),
            None => {
                self.resolver.forget(&change.instance);
                None
            }
        };
        let followed: Vec<_> = changes.iter().map(follow).collect();
        let take = |state: &mut State| {
            for (change, wait) in changes.into_iter().zip(followed) {
                let id = change.instance.clone();
                match (state.publish(change), wait) {
                    (true, Some(wait)) => pending.push((id, wait)),
                    (true, None) => known.push(id),
                    (false, _) => {}
                }
            }
        };
        match given {
            Some((revision, editions)) => self.regive(|state| {
                take(state);
                state.given.set(revision, editions);
            }),
            None => {
                let mut state = self.state();
                take(&mut state);
                state.guard_groups();
            }
        }
        if self.loaded.load(Ordering::Acquire) {
            self.queue.urgent(known);
        }
        self.tell();
        pending
    }

    /// All of the store has been read: names that are new are waited for together, then everything
    /// is rendered, then proxies are answered.
    async fn start(&self, pending: Vec<(InstanceId, context::Pending)>) {
        let all = join_all(pending.into_iter().map(|(_, wait)| wait.wait(START_ADDRESS_WAIT)));
        let _ = timeout(START_ADDRESS_WAIT, all).await;
        let groups: Vec<Arc<str>> = {
            let state = self.state();
            // Set under the lock: a group made from now on prepares itself.
            self.loaded.store(true, Ordering::Release);
            tracing::info!(
                instances = state.tenants.len(),
                revision = state.position,
                "store read"
            );
            state.groups.keys().cloned().collect()
        };
        groups.iter().for_each(|name| self.serve_group(name));
        self.queue.later(self.instances());
        groups.into_iter().for_each(|name| self.queue.open(name));
        self.queue.done(self.state().given.generation);
    }

    /// A slow name delays nobody but its own instance, and that not for long: it is published with
    /// what is known, and corrected when the name is answered.
    fn render_when_known(self: Arc<Self>, id: InstanceId, wait: context::Pending) {
        tokio::spawn(async move {
            wait.wait(self.address_wait).await;
            self.queue.urgent([id]);
        });
    }

    async fn follow_addresses(self: Arc<Self>) {
        loop {
            let changed = self.resolver.changed().await;
            let rendered: Vec<InstanceId> = {
                let state = self.state();
                let is_rendered =
                    |id: &InstanceId| state.tenants.get(id).is_some_and(|t| !t.pending);
                changed.into_iter().filter(is_rendered).collect()
            };
            self.queue.urgent(rendered);
        }
    }

    async fn render(self: Arc<Self>) {
        loop {
            match self.queue.next().await {
                Task::Render(batch, haste) => self.render_batch(batch, haste).await,
                Task::Open(name) => self.open_when_judged(name),
                Task::Done(generation) => self.done_when_judged(generation),
            }
        }
    }

    async fn render_batch(&self, batch: Vec<(InstanceId, Instant)>, haste: Haste) {
        let stage = self.stage();
        let work = batch.iter().filter_map(|(id, _)| self.work(id)).collect();
        let generation = stage.generation;
        let rendered = self.renderer.batch(stage.clone(), work).await.into_iter();
        let rendered: Vec<_> = rendered
            .filter_map(|(work, rendered)| {
                // Before it is asked: the answer may come at once.
                self.queue.park((haste == Haste::Bulk).then(|| work.id.clone()));
                let subject = Subject::Instance(work.id.clone());
                let rendered = self.gated(&stage, &subject, rendered)?;
                Some((work, rendered))
            })
            .collect();
        self.queue.unpark(rendered.iter().map(|(work, _)| &work.id));
        let again: Vec<InstanceId> = {
            let mut state = self.state();
            // What was rendered with something else meanwhile must not seem newer than that.
            let is_over = state.given.generation != generation;
            let apply = |(Work { id, target, notices, .. }, rendered)| {
                if is_over {
                    return Some(id);
                }
                state.rendered(&id, &target, rendered, notices).then_some(id)
            };
            let again = rendered.into_iter().filter_map(apply).collect();
            state.guard_groups();
            again
        };
        batch.iter().for_each(|(_, since)| metrics::latency(since.elapsed()));
        self.queue.urgent(again);
        self.tell();
    }

    pub(crate) fn work(&self, id: &InstanceId) -> Option<Work> {
        let target = self.state().target(id)?;
        let refused = self.resolver.check(&target.spec).err().map(|refused| Complaint {
            culprit: Some(format!("upstream `{}`", refused.upstream)),
            message: refused.why,
            ..Complaint::default()
        });
        let resolved = self.resolver.resolve(&target.spec);
        let (endpoints, notices): (Endpoints, _) = (resolved.endpoints, resolved.notices);
        Some(Work { id: id.clone(), target, endpoints, notices, refused })
    }

    pub(crate) fn open(&self, name: &str) {
        {
            let mut state = self.state();
            let Some(group) = state.groups.get_mut(name) else { return };
            group.open = true;
            group.alone_since = Instant::now();
            group.cache.open();
            tracing::info!(group = name, resources = group.len(), "proxies are answered");
        }
        self.opened.store(true, Ordering::Release);
        self.tell();
    }

    /// Documents as they lie in the store, with secrets sealed.
    async fn documents(&self) -> BTreeMap<String, context::Document> {
        self.asked("documents", || context::documents(&*self.blobs)).await
    }

    async fn follow_documents(self: Arc<Self>) {
        let (mut watch, mut seen) = (context::Watch::default(), None);
        loop {
            sleep(DOCUMENTS).await;
            if !self.loaded.load(Ordering::Acquire) {
                continue;
            }
            let documents = match watch.news(&*self.blobs).await {
                Ok(Some(documents)) if seen.as_ref() != Some(&documents) => documents,
                Ok(_) => continue,
                Err(error) => {
                    metrics::feed_error();
                    tracing::error!(%error, "documents cannot be read; those are seen that were read");
                    continue;
                }
            };
            let (followed, staged) = Followed::of(&*self.vault, &documents);
            seen = Some(documents);
            let is_same = {
                let given = &mut self.state().given;
                given.staged = staged;
                given.seen.followed == followed
            };
            if !is_same {
                tracing::info!("sources changed");
                self.renew(followed);
            }
        }
    }

    /// Not before all instances are known: what is written replaces what was remembered.
    async fn remember_addresses(self: Arc<Self>) {
        let mut news = self.listen_to_news();
        while !self.loaded.load(Ordering::Acquire) {
            let _ = news.changed().await;
        }
        self.resolver.remember(&*self.blobs).await;
    }

    async fn keep_canaries(self: Arc<Self>) {
        loop {
            sleep(CANARIES).await;
            let (again, is_news) = self.state().keep_canaries();
            self.queue.urgent(again);
            if is_news {
                self.state().guard_groups();
                self.tell();
            }
        }
    }
}
