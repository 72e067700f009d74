//! Between renderer and groups: what was rendered goes on when the gate lets it.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use model::{InstanceId, Node, Spec};
use render::{Complaint, Draft, Endpoints};
use tokio::time::{Instant, timeout, timeout_at};

use crate::gate::{Freed, Held, Opinion, Releases, Subject, Validator};
use crate::renderer::{Set, Stage};
use crate::state::{PLATFORM, Rendered};
use crate::{Plane, words};

/// Whoever asks beforehand waits no longer than this for Envoy's answer.
const CHECK_MAX: Duration = Duration::from_secs(5);
/// A group that waits to be opened looks again at least so often.
const OPENING_LOOK: Duration = Duration::from_secs(1);

impl Plane {
    /// Lets real Envoys judge what is rendered, from now on; to be called once, before
    /// [`run`](Self::run).
    pub fn validate_with(&self, validators: Vec<Arc<dyn Validator>>) {
        self.gate.ask(validators);
        self.tell_who_judges();
    }

    /// Groups that are there from the start know whom they can ask.
    pub(crate) fn tell_who_judges(&self) {
        let hears = Arc::new(self.gate.hears());
        self.state().groups.values_mut().for_each(|group| group.hears = hears.clone());
    }

    /// Renders a spec for the groups of all replicas and gates it, without publishing; the reason in
    /// the tenant's words if it is refused. Endpoints are left out, so that no name is waited for.
    pub async fn check(&self, id: &InstanceId, spec: &Spec) -> Result<(), String> {
        self.resolver.check(spec).map_err(|refused| refused.to_string())?;
        let (subject, deadline) =
            (Subject::Planned(id.as_str().into()), Instant::now() + CHECK_MAX);
        loop {
            let stage = self.stage_everywhere();
            let rendered = self.renderer.one(&stage, id, spec, &self.terms(id), &Endpoints::new());
            match self.gated(&stage, &subject, rendered) {
                Some(Ok(_)) => return Ok(()),
                Some(Err(complaints)) => return Err(words::complaints(id, &complaints)),
                // Without an answer in time it is not refused: it will be judged again.
                None if Instant::now() >= deadline => return Ok(()),
                None => drop(timeout_at(deadline, self.gate.moved()).await),
            }
        }
    }

    /// What was rendered, or why it is refused; `None`: Envoy is being asked, and it is rendered
    /// again when there is an answer.
    pub(crate) fn gated(
        &self,
        stage: &Stage,
        subject: &Subject,
        rendered: Rendered,
    ) -> Option<Rendered> {
        if let Subject::Instance(id) = subject {
            self.releases().refuse(id, None);
        }
        match self.opinion_of_all(stage, subject, &rendered) {
            Opinion::Good => Some(rendered),
            Opinion::Wait => None,
            Opinion::Bad(complaint) => Some(Err(vec![complaint])),
        }
    }

    /// What may be given to somebody, once all of it is judged: for whoever wants to know it
    /// beforehand, in as few questions as there can be. Returns how many had no verdict until then.
    pub(crate) async fn judged(
        &self,
        stage: &Stage,
        all: &mut [(Arc<str>, Rendered)],
        until: Instant,
    ) -> usize {
        let mut open: Vec<usize> = (0..all.len()).collect();
        loop {
            open.retain(|&at| {
                let (owner, rendered) = &mut all[at];
                let subject = Subject::Planned(owner.clone());
                match self.opinion_of_all(stage, &subject, rendered) {
                    Opinion::Good => false,
                    Opinion::Wait => true,
                    Opinion::Bad(complaint) => {
                        *rendered = Err(vec![complaint]);
                        false
                    }
                }
            });
            if open.is_empty() || Instant::now() >= until {
                return open.len();
            }
            let _ = timeout_at(until, self.gate.moved()).await;
        }
    }

    /// What was not rendered is not judged.
    fn opinion_of_all(&self, stage: &Stage, subject: &Subject, rendered: &Rendered) -> Opinion {
        let mut opinion = Opinion::Good;
        for (name, drafts) in rendered.iter().flatten() {
            match self.opinion(stage, subject, name, drafts) {
                Opinion::Good => {}
                Opinion::Wait => opinion = Opinion::Wait,
                bad @ Opinion::Bad(_) => return bad,
            }
        }
        opinion
    }

    fn opinion(&self, stage: &Stage, subject: &Subject, group: &str, drafts: &[Draft]) -> Opinion {
        let is_of = |set: &&Set| set.nodes.iter().any(|(name, _)| &**name == group);
        let set = stage.sets.iter().find(is_of);
        let fingerprint = set.map_or(0, |set| set.edition.templates.fingerprint());
        let mut there = self.releases().of(group);
        there.extend(stage.there.get(group).into_iter().flatten().cloned());
        let opinion = self.gate.judge(subject, drafts, fingerprint, &there);
        if let (Subject::Instance(id), Opinion::Bad(_)) = (subject, &opinion) {
            self.releases().refuse(id, Some(group));
        }
        opinion
    }

    /// What a group gets beside its instances, or why it may not go on; none: Envoy is being asked.
    pub(crate) fn group_judged(
        &self,
        name: &str,
        drafts: Vec<Draft>,
    ) -> Option<Result<Vec<Draft>, Vec<Complaint>>> {
        match self.opinion(&self.stage(), &Subject::Group(name.into()), name, &drafts) {
            Opinion::Good => Some(Ok(drafts)),
            Opinion::Wait => None,
            Opinion::Bad(complaint) => Some(Err(vec![complaint])),
        }
    }

    /// Asks Envoy until the future is dropped.
    pub(crate) async fn judge(self: Arc<Self>) {
        let redact = |text: &str| self.shown(text);
        let run = self.gate.run(&*self.blobs, &redact, |subjects| self.look_again(subjects));
        tokio::join!(run, self.hear_appeals());
    }

    fn look_again(&self, subjects: HashSet<Subject>) {
        let mut instances = Vec::new();
        for subject in subjects {
            match subject {
                Subject::Instance(id) => instances.push(id),
                Subject::Group(name) => self.serve_group(&name),
                Subject::Planned(_) => {}
            }
        }
        self.queue.again(instances);
        self.tell();
    }

    /// Opens a group once nothing waits at the gate, and it has its listeners: proxies that come would
    /// lose what does, and all without them.
    pub(crate) fn open_when_judged(self: &Arc<Self>, name: Arc<str>) {
        let held = Held::Opening(name.clone());
        let Some(is_whole) = self.state().groups.get(&name).map(|group| group.has(PLATFORM)) else {
            return self.gate.forget(&held);
        };
        if is_whole && self.gate.lets_go(&held) && !self.queue.is_behind() {
            return self.open(&name);
        }
        self.mark_later(move |plane| plane.queue.open(name));
    }

    /// All of a generation has been rendered, once nothing of it waits at the gate. Nobody waits for
    /// one that is over.
    pub(crate) fn done_when_judged(self: &Arc<Self>, generation: u64) {
        let held = Held::Done(generation);
        let lets_go = self.gate.lets_go(&held) && !self.queue.is_behind();
        let mut state = self.state();
        if generation < state.given.generation {
            return self.gate.forget(&held);
        }
        if lets_go {
            state.given.was_rendered(generation);
            return state.guard_groups();
        }
        drop(state);
        self.mark_later(move |plane| plane.queue.done(generation));
    }

    /// Once there were answers, or in a moment.
    fn mark_later(self: &Arc<Self>, mark: impl FnOnce(&Self) + Send + 'static) {
        let plane = self.clone();
        tokio::spawn(async move {
            let _ = timeout(OPENING_LOOK, plane.gate.moved()).await;
            mark(&plane);
        });
    }

    /// A proxy has come. The first of its release in its group has everything judged for it, if there
    /// is anything to judge.
    pub(crate) fn arrived(&self, node: &Node) {
        let version = &node.envoy_version;
        if !self.gate.minds(version) {
            return;
        }
        let Ok(name) = self.state().grouping.name(node) else { return };
        let name: Arc<str> = name.into();
        let is_first = self.releases().arrived(&name, version, Instant::now());
        if is_first && self.loaded.load(Ordering::Acquire) {
            tracing::info!(group = %name, version, "a release of Envoy");
            self.serve_group(&name);
            self.queue.later(self.instances());
        }
    }

    /// Looks which releases are there still: what was refused because of one that is not is tried
    /// again.
    pub(crate) fn look_for_releases(&self) {
        let there: Vec<(Arc<str>, String)> = {
            let state = self.state();
            let groups = state.groups.iter();
            let nodes = groups.flat_map(|(name, group)| {
                group.streams.values().map(move |stream| (name, &stream.node.envoy_version))
            });
            let minded = nodes.filter(|(_, version)| self.gate.minds(version));
            minded.map(|(name, version)| (name.clone(), version.clone())).collect()
        };
        let now = Instant::now();
        let Freed { groups, instances } = {
            let mut releases = self.releases();
            for (group, version) in there {
                releases.arrived(&group, &version, now);
            }
            releases.left(now)
        };
        groups.iter().for_each(|name| self.serve_group(name));
        if !instances.is_empty() {
            self.state().retry(instances.iter().cloned());
            self.queue.later(instances);
        }
    }

    pub(crate) fn releases(&self) -> MutexGuard<'_, Releases> {
        self.releases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
