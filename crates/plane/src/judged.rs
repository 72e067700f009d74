//! Between renderer and groups: what was rendered goes on when the gate lets it.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use model::{InstanceId, Node, Spec};
use render::{Draft, Endpoints};
use tokio::time::{Instant, timeout, timeout_at};

use crate::gate::{Held, Opinion, Subject, Validator};
use crate::renderer::{Set, Stage};
use crate::state::Rendered;
use crate::tenant::Tenant;
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
        let mut there = self.releases.lock().unwrap_or_else(PoisonError::into_inner).of(group);
        there.extend(stage.there.get(group).into_iter().flatten().cloned());
        self.gate.judge(subject, drafts, fingerprint, &there)
    }

    /// Whether what a group gets beside its instances may go on.
    pub(crate) fn group_is_good(&self, name: &Arc<str>, drafts: &[Draft]) -> bool {
        match self.opinion(&self.stage(), &Subject::Group(name.clone()), name, drafts) {
            Opinion::Good => true,
            Opinion::Wait => false,
            Opinion::Bad(complaint) => {
                tracing::error!(group = %name, ?complaint, "listeners are refused by the gate");
                false
            }
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
        self.queue.urgent(instances);
        self.tell();
    }

    /// Opens a group once nothing waits at the gate: proxies that come would lose what does.
    pub(crate) fn open_when_judged(self: &Arc<Self>, name: Arc<str>) {
        if self.gate.lets_go(&Held::Opening(name.clone())) {
            return self.open(&name);
        }
        let plane = self.clone();
        tokio::spawn(async move {
            let _ = timeout(OPENING_LOOK, plane.gate.moved()).await;
            plane.queue.open(name);
        });
    }

    /// All of a generation has been rendered, once nothing of it waits at the gate. Nobody waits for
    /// one that is over.
    pub(crate) fn done_when_judged(self: &Arc<Self>, generation: u64) {
        let held = Held::Done(generation);
        let lets_go = self.gate.lets_go(&held);
        let mut state = self.state();
        if generation < state.given.generation {
            return self.gate.forget(&held);
        }
        if lets_go {
            state.given.was_rendered(generation);
            return state.guard_groups();
        }
        drop(state);
        let plane = self.clone();
        tokio::spawn(async move {
            let _ = timeout(OPENING_LOOK, plane.gate.moved()).await;
            plane.queue.done(generation);
        });
    }

    /// A proxy has come. The first of its release in its group has everything judged for it.
    pub(crate) fn arrived(&self, node: &Node) {
        let Ok(name) = self.state().grouping.name(node) else { return };
        let name: Arc<str> = name.into();
        let mut releases = self.releases.lock().unwrap_or_else(PoisonError::into_inner);
        if releases.arrived(&name, &node.envoy_version, Instant::now()) {
            drop(releases);
            tracing::info!(group = %name, version = node.envoy_version, "a release of Envoy");
            self.judge_all_again(&name);
        }
    }

    /// Looks which releases are there still: what only one of them stood against is tried again.
    pub(crate) fn look_for_releases(&self) {
        let there: Vec<(Arc<str>, String)> = {
            let state = self.state();
            let groups = state.groups.iter();
            let nodes = groups.flat_map(|(name, group)| {
                group.streams.values().map(move |stream| (name, &stream.node.envoy_version))
            });
            nodes.map(|(name, version)| (name.clone(), version.clone())).collect()
        };
        let (mut releases, now) =
            (self.releases.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        for (group, version) in there {
            releases.arrived(&group, &version, now);
        }
        let lost = releases.left(now);
        drop(releases);
        if !lost.is_empty() {
            self.state().tenants.values_mut().for_each(Tenant::retry);
            lost.iter().for_each(|name| self.judge_all_again(name));
        }
    }

    fn judge_all_again(&self, group: &str) {
        if self.loaded.load(Ordering::Acquire) {
            self.serve_group(group);
            self.queue.later(self.instances());
        }
    }
}
