//! The face of the control plane.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use context::{Resolver, Vault};
use model::{InstanceId, Millis, Node, Spec};
use render::{Complaint, Draft, Platform, Templates};
use store::{Blobs, EditionFeed, Feed, LastGood};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use xds::{Ads, Answers, Cache, ClientStatus, Directory, Event, Limits};

use crate::documents::{Followed, Opened, Seen};
use crate::edition::Edition;
use crate::elsewhere::Elsewhere;
use crate::gate::{self, Gate, Releases};
use crate::group::Group;
use crate::grouping::Grouping;
use crate::live::Answer;
use crate::queue::Queue;
use crate::renderer::{Renderer, Stage};
use crate::rollout::{Herald, Traffic};
use crate::state::State;
use crate::tenant::Terms;
use crate::{Convergence, DEFAULT_GROUP, Description, FleetView, ProxyReport};

/// Groups are made at first sight of a `node.cluster`, each with resources of its own.
pub(crate) const MAX_GROUPS: usize = 32;

/// Events of streams that wait to be taken in; a stream that has more to say waits.
const EVENTS: usize = 4_096;

/// What a plane is made of.
pub struct Config {
    /// What templates see as `platform`; its sources are replaced by the documents of the store.
    pub platform: Platform,
    /// The platform's templates.
    pub templates: Templates,
    /// Now.
    pub clock: Arc<dyn Fn() -> Millis + Send + Sync>,
    /// What opens the secrets of documents.
    pub vault: Arc<dyn Vault>,
    /// For so long a group whose last proxy left is waited for, as proxies that reconnect need a
    /// moment. After it a group without proxies holds nothing up.
    pub grace: Duration,
    /// For so long a change waits for names of upstreams that were never resolved before.
    pub address_wait: Duration,
    /// Epoch and revision of the backup that the store was restored from, if what proxies have that
    /// is ahead of it shall stay with them until [`Plane::confirm_removals`].
    pub restored_from: Option<(u64, u64)>,
    /// How many proxies of a group of three or more are given a tenant's change before the others:
    /// canaries. 0: everybody gets everything at once.
    pub canaries: usize,
    /// Where what is good is kept, to be served at once after a restart.
    pub last_good: Option<Arc<dyn LastGood>>,
}

impl Config {
    /// For how long a group without proxies is waited for, if nothing else is wished.
    pub const GRACE: Duration = Duration::from_secs(5);
    /// How long a change waits for unknown names, if nothing else is wished.
    pub const ADDRESS_WAIT: Duration = Duration::from_secs(1);
}

/// The control plane. Shared; its work is done by [`Plane::run`].
pub struct Plane {
    pub(crate) store: Arc<dyn Feed>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) vault: Arc<dyn Vault>,
    pub(crate) last_good: Option<Arc<dyn LastGood>>,
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) renderer: Renderer,
    pub(crate) queue: Queue,
    pub(crate) gate: Gate,
    pub(crate) appeals: Notify,
    pub(crate) releases: Mutex<Releases>,
    pub(crate) address_wait: Duration,
    pub(crate) loaded: AtomicBool,
    /// What it read at its start was judged, and is served.
    pub(crate) opened: AtomicBool,
    state: Mutex<State>,
    events: (mpsc::Sender<Event>, Mutex<Option<mpsc::Receiver<Event>>>),
    news: watch::Sender<()>,
    pub(crate) traffic: Mutex<Traffic>,
    pub(crate) told: Mutex<Elsewhere>,
    /// Where it is told what groups are given.
    pub(crate) editions: OnceLock<Arc<dyn EditionFeed>>,
    /// Who decides it, in a process that does.
    pub(crate) herald: Mutex<Option<Herald>>,
    clock: Arc<dyn Fn() -> Millis + Send + Sync>,
    grace: Duration,
}

impl Plane {
    /// A plane that has read nothing yet. Complains if the templates cannot make listeners, or
    /// would make a group of each proxy.
    pub fn new(
        config: Config,
        store: Arc<dyn Feed>,
        blobs: Arc<dyn Blobs>,
        resolver: Arc<Resolver>,
    ) -> Result<Arc<Self>, Vec<Complaint>> {
        let grouping = Grouping::new(config.templates.varies_by())?;
        let group = Group::new(DEFAULT_GROUP, config.platform.on_demand);
        let edition = Edition::new(0, config.templates, config.platform, Opened::default())?;
        let mut state = State::new(edition, config.restored_from);
        state.grouping = grouping;
        state.canaries = config.canaries;
        state.given.seen = Seen::unread();
        state.may_lag = store.may_lag();
        state.groups.insert(DEFAULT_GROUP.into(), group);
        let (told, events) = mpsc::channel(EVENTS);
        Ok(Arc::new(Self {
            store,
            blobs,
            vault: config.vault,
            last_good: config.last_good,
            resolver,
            renderer: Renderer::default(),
            queue: Queue::default(),
            gate: Gate::default(),
            appeals: Notify::new(),
            releases: Mutex::default(),
            address_wait: config.address_wait,
            loaded: AtomicBool::new(false),
            opened: AtomicBool::new(false),
            state: Mutex::new(state),
            events: (told, Mutex::new(Some(events))),
            news: watch::Sender::new(()),
            traffic: Mutex::default(),
            told: Mutex::default(),
            editions: OnceLock::new(),
            herald: Mutex::default(),
            clock: config.clock,
            grace: config.grace,
        }))
    }

    /// The discovery service, to be mounted wherever proxies connect.
    pub fn service(self: &Arc<Self>, limits: Limits) -> Ads {
        Ads::new(self.clone(), self.events.0.clone(), limits)
    }

    /// Whether proxies are answered: the store was read, and all of it rendered.
    ///
    /// With what was good last they are answered before that; but from then on, until what the store
    /// says was judged, others may be served better.
    pub fn ready(&self) -> bool {
        let is_over = !self.loaded.load(Ordering::Acquire) || self.opened.load(Ordering::Acquire);
        self.state().is_open() && is_over
    }

    /// Whether roll-outs may go on: it is ready, or will not be with the listeners that it is given.
    pub(crate) fn takes_rollouts(&self) -> bool {
        let is_read = self.loaded.load(Ordering::Acquire);
        self.ready() || (is_read && self.state().groups.values().any(|it| it.unmade.is_some()))
    }

    /// What a spec becomes for the default group, with the addresses known now.
    pub fn preview(&self, id: &InstanceId, spec: &Spec) -> Result<Vec<Draft>, Vec<Complaint>> {
        let endpoints = self.resolver.resolve(spec).endpoints;
        let rendered = self.renderer.one(&self.stage(), id, spec, &self.terms(id), &endpoints);
        rendered.map(|mut groups| groups.remove(DEFAULT_GROUP).unwrap_or_default())
    }

    /// Waits until the fleet has this revision of the instance (which may be its removal), it is
    /// refused, or `within` has passed; and says how far it is.
    pub async fn converged(&self, id: &InstanceId, revision: u64, within: Duration) -> Convergence {
        let deadline = Instant::now() + within;
        let mut news = self.listen_to_news();
        loop {
            let answer = self.state().converged(id, revision, self.grace);
            let (until, convergence) = match answer {
                Answer::Final(convergence) => return convergence,
                Answer::Wait(convergence) => (deadline, convergence),
                Answer::WaitUntil(until, convergence) => (until.min(deadline), convergence),
            };
            if Instant::now() >= deadline {
                return convergence;
            }
            tokio::select! {
                _ = news.changed() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    /// A text as people may see it, without what is secret in documents of sources.
    pub fn shown(&self, text: &str) -> String {
        let redactor = self.state().given.seen.redactor.clone();
        redactor.text(text).into_owned()
    }

    /// The fleet as it is.
    pub fn fleet(&self) -> FleetView {
        self.state().fleet()
    }

    /// Instances that are not served here at their latest revision.
    pub fn quarantined(&self) -> std::collections::BTreeSet<InstanceId> {
        self.state().quarantined()
    }

    /// The regions of connected proxies.
    pub fn regions(&self) -> std::collections::BTreeSet<String> {
        self.state().regions()
    }

    /// A connected proxy in depth, by its `node.id`.
    pub fn proxy(&self, id: &str) -> Option<ProxyReport> {
        self.state().report(id)
    }

    /// What is known of a published instance.
    pub fn describe(&self, id: &InstanceId) -> Option<Description> {
        self.state().describe(id)
    }

    /// How often instances were rendered since the start: once for all groups, unless the templates
    /// vary by group.
    pub fn renders(&self) -> u64 {
        self.renderer.count()
    }

    /// Events of streams, for the one who takes them in.
    pub(crate) fn take_events(&self) -> Option<mpsc::Receiver<Event>> {
        self.events.1.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes in what happened on a stream of the discovery server.
    pub(crate) fn observe(&self, events: impl Iterator<Item = Event>) {
        let (mut again, mut is_refusal, mut is_news) = (Vec::new(), false, false);
        {
            let mut state = self.state();
            let now = (self.clock)();
            for event in events {
                is_refusal |= matches!(event, Event::Rejected { .. });
                let (more, has_news) = state.happened(event, now);
                again.extend(more);
                is_news |= has_news;
            }
            if is_news {
                state.guard_groups();
            }
        }
        if is_refusal {
            self.appeals.notify_one();
        }
        self.queue.urgent(again);
        if is_news {
            self.tell();
        }
    }

    /// What a discovery server would tell.
    #[cfg(test)]
    pub(crate) async fn tell_event(&self, event: Event) {
        self.events.0.send(event).await.expect("the plane runs");
    }

    pub(crate) fn listen_to_news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Lets those who wait look again.
    pub(crate) fn tell(&self) {
        self.news.send_replace(());
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What holds of an instance now.
    pub(crate) fn terms(&self, id: &InstanceId) -> Terms {
        self.state().tenants.get(id).map(|tenant| tenant.terms.clone()).unwrap_or_default()
    }

    pub(crate) fn stage(&self) -> Stage {
        self.state().stage()
    }
}

impl Directory for Plane {
    fn answered(&self, node: &Node, answers: Answers) {
        self.took_answers(node, answers);
    }

    fn assign(&self, node: &Node) -> Result<Arc<Cache>, String> {
        gate::admit(node)?;
        let cache = self.cache_of(node)?;
        self.arrived(node);
        Ok(cache)
    }

    fn is_ready(&self) -> bool {
        self.state().is_open()
    }

    fn status(&self, wanted: &dyn Fn(&Node) -> bool, most: usize) -> Option<Vec<ClientStatus>> {
        self.state().statuses(wanted, most)
    }
}

impl Plane {
    /// The cache of the group of a node, which may be new.
    fn cache_of(&self, node: &Node) -> Result<Arc<Cache>, String> {
        let (name, edition, groups, grouping) = {
            let mut state = self.state();
            let name = state.grouping.name(node)?;
            if let Some(group) = state.groups.get_mut(&*name) {
                // So that it is not forgotten before the stream is heard of.
                group.alone_since = Instant::now();
                return Ok(group.assign(&node.id));
            }
            let edition = state.given.to(&name).clone();
            (name, edition, state.groups.len(), state.grouping.clone())
        };
        if groups >= MAX_GROUPS {
            let why = grouping.reason();
            return Err(format!(
                "there are {MAX_GROUPS} groups already, and `{name}` is none of them{why}"
            ));
        }
        let mut group = Group::new(&name, edition.platform.on_demand);
        group.node = grouping.node(&name, node);
        group.hears = Arc::new(self.gate.hears());
        edition.group(&group.node).map_err(|complaints| {
            let why = complaints.first().map_or("", |complaint| complaint.message.as_str());
            format!("the templates make no listeners for group `{name}`: {why}")
        })?;
        tracing::info!(group = name, "a new group");
        let name: Arc<str> = name.into();
        let cache = {
            let mut state = self.state();
            let cache = state.groups.entry(name.clone()).or_insert(group).cache.clone();
            state.guard_groups();
            cache
        };
        if self.loaded.load(Ordering::Acquire) {
            self.prepare(name);
        }
        Ok(cache)
    }

    /// Gives a group its listeners and, after all instances, opens it.
    pub(crate) fn prepare(&self, name: Arc<str>) {
        self.serve_group(&name);
        self.queue.later(self.instances());
        self.queue.open(name);
    }

    pub(crate) fn instances(&self) -> Vec<InstanceId> {
        self.state().tenants.keys().cloned().collect()
    }

    /// Renders what a group gets beside its instances. When that fails it keeps what it has, and is not
    /// opened without any.
    pub(crate) fn serve_group(&self, name: &str) {
        let (edition, node) = {
            let state = self.state();
            let Some(group) = state.groups.get(name) else { return };
            (state.given.to(name).clone(), group.node.clone())
        };
        let made = match edition.group(&node) {
            Ok(drafts) => match self.group_judged(name, drafts) {
                Some(made) => made,
                None => return,
            },
            Err(complaints) => Err(complaints),
        };
        let mut state = self.state();
        // Who has given it another edition meanwhile serves that.
        if Arc::ptr_eq(state.given.to(name), &edition) {
            state.serve_group(name, made);
        }
    }

    /// Replaces the documents that templates see, and renders everything again.
    pub(crate) fn renew(&self, followed: Followed) {
        self.regive(|state| state.given.renew(followed));
    }

    /// Gives groups other editions, and renders everything again.
    pub(crate) fn give(&self, revision: u64, editions: Vec<(String, Arc<Edition>)>) {
        self.regive(|state| state.given.set(revision, editions));
    }

    pub(crate) fn regive(&self, change: impl FnOnce(&mut State)) {
        let (groups, generation): (Vec<Arc<str>>, u64) = {
            let mut state = self.state();
            change(&mut state);
            state.retry_all();
            state.guard_groups();
            (state.groups.keys().cloned().collect(), state.given.generation)
        };
        if self.loaded.load(Ordering::Acquire) {
            groups.iter().for_each(|name| self.serve_group(name));
            self.queue.later(self.instances());
            self.queue.done(generation);
        }
    }
}
