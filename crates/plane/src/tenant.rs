//! What is known of one instance: what it shall be, what it is served as, and why they differ.

use std::sync::Arc;

use model::{Caller, Hostname, Spec};

use crate::behind::Since;

/// A spec at its revision.
pub(crate) type Revised = (u64, Arc<Spec>);

/// What holds of an instance whatever spec of it is served, and changes without one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Terms {
    /// Who may call.
    pub(crate) callers: Arc<[Caller]>,
    /// What does not answer in public yet.
    pub(crate) withheld: Arc<[Hostname]>,
}

impl Terms {
    /// Whether these allow anything that the others do not.
    fn allow_more_than(&self, others: &Self) -> bool {
        self.let_in_more_than(others)
            || others.withheld.iter().any(|name| !self.withheld.contains(name))
    }

    /// Whether these let in somebody whom the others do not.
    fn let_in_more_than(&self, others: &Self) -> bool {
        !self.callers.iter().all(|caller| others.callers.contains(caller))
    }

    /// What both allow.
    fn both(&self, others: &Self) -> Self {
        let callers = self.callers.iter().filter(|caller| others.callers.contains(caller));
        let added = self.withheld.iter().filter(|name| !others.withheld.contains(name));
        let withheld = others.withheld.iter().chain(added);
        Self { callers: callers.cloned().collect(), withheld: withheld.cloned().collect() }
    }
}

/// What the groups hold of an instance, or held.
#[derive(Debug, Clone)]
struct Served {
    spec: Revised,
    terms: Terms,
}

/// One published instance.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    /// The latest of the change feed.
    pub(crate) wanted: Revised,
    /// The latest of the change feed, whatever spec is served.
    pub(crate) terms: Terms,
    /// In quarantine, what holds in place of `terms`, which are themselves what is refused.
    narrowed: Option<Terms>,
    /// What the fleet had in full last: it may have them still.
    had: Terms,
    /// The revision whose spec is refused, in quarantine: news of terms alone rise above it.
    refused: u64,
    /// None when it was never rendered well.
    served: Option<Served>,
    /// What the fleet had before, while it does not have `served` in full.
    before: Option<Served>,
    /// What was given last to all, and not to canaries alone.
    passed: Option<Served>,
    /// Narrower terms go to all with the old spec, before a new one goes to canaries.
    narrows_first: bool,
    /// What the store knows as the last good one.
    good: Option<Revised>,
    /// Why `wanted` is not what is served.
    pub(crate) quarantine: Option<String>,
    /// `wanted` is not yet rendered.
    pub(crate) pending: bool,
    pub(crate) since: Since,
    /// What the tenant should know though nothing failed.
    pub(crate) notices: Vec<String>,
}

/// What to render an instance from.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) revision: u64,
    pub(crate) spec: Arc<Spec>,
    pub(crate) terms: Terms,
    /// The latest revision: what is sent never has a lower one.
    pub(crate) wanted: u64,
}

impl Target {
    /// Whether this is the same target: specs of one revision are equal.
    pub(crate) fn is(&self, other: &Self) -> bool {
        (self.revision, self.wanted, &self.terms) == (other.revision, other.wanted, &other.terms)
    }
}

/// What quarantine has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fallback {
    /// What the groups hold stays.
    Stay,
    /// The groups hold what was before, in memory.
    Before,
    /// The target is now an older spec, which must be rendered.
    Render,
    /// Nothing good is known: the instance does not appear.
    Nothing,
}

impl Tenant {
    /// An instance first seen.
    pub(crate) fn new(revision: u64, spec: Arc<Spec>) -> Self {
        Self {
            wanted: (revision, spec),
            terms: Terms::default(),
            narrowed: None,
            had: Terms::default(),
            refused: 0,
            served: None,
            before: None,
            passed: None,
            narrows_first: false,
            good: None,
            quarantine: None,
            pending: true,
            since: Since::default(),
            notices: Vec::new(),
        }
    }

    /// Takes news of the feed. A newer revision ends a quarantine, unless it brings other terms to the
    /// spec that is refused: then these hold, as other callers do, for the spec that is served.
    /// `has_canaries`: a new spec is not given to all at once; narrower terms are.
    pub(crate) fn publish(
        &mut self,
        wanted: Revised,
        good: Option<Revised>,
        terms: Terms,
        has_canaries: bool,
    ) {
        let is_refused = self.quarantine.is_some() && self.served.is_some();
        let is_about_terms = self.wanted.1 == wanted.1 && self.terms != terms;
        if !(is_refused && is_about_terms) {
            self.quarantine = None;
        }
        self.wanted = wanted;
        self.good = good;
        self.terms = terms;
        self.narrowed = None;
        self.pending = true;
        self.narrows_first = has_canaries;
    }

    /// What to render now.
    pub(crate) fn target(&self) -> Option<Target> {
        let narrowed = self.narrowed.as_ref().filter(|_| self.quarantine.is_some());
        let terms = narrowed.unwrap_or(&self.terms).clone();
        let (revision, spec) = match self.to_narrow(&terms)? {
            (_, Some(passed)) => passed,
            (goal, None) => goal,
        };
        Some(Target { revision: *revision, spec: spec.clone(), terms, wanted: self.wanted.0 })
    }

    /// The spec that shall be, and the one that all have, if they allow more with it than they may by
    /// now: narrower terms wait for no canary, so they go to all with the old spec first.
    fn to_narrow(&self, terms: &Terms) -> Option<(&Revised, Option<&Revised>)> {
        let goal = match &self.quarantine {
            Some(_) => &self.served.as_ref()?.spec,
            None => &self.wanted,
        };
        let passed = self.passed.as_ref().filter(|_| self.narrows_first);
        let passed = passed.filter(|it| it.spec.1 != goal.1 && it.terms.allow_more_than(terms));
        Some((goal, passed.map(|passed| &passed.spec)))
    }

    /// The revision whose spec is served, if any.
    pub(crate) fn served(&self) -> Option<u64> {
        self.served.as_ref().map(|served| served.spec.0)
    }

    /// The groups are given this target now. `is_proven`: the fleet had all of what they held.
    pub(crate) fn serve(&mut self, target: &Target, is_proven: bool) {
        self.pending = false;
        if target.revision == self.wanted.0 {
            self.quarantine = None;
        }
        let spec = (target.revision, target.spec.clone());
        let served = self.served.replace(Served { spec, terms: target.terms.clone() });
        if is_proven {
            self.had = served.as_ref().map(|served| served.terms.clone()).unwrap_or_default();
            self.before = served;
        }
    }

    /// Whether this spec is new to all but the canaries. Other terms of the same are not.
    pub(crate) fn is_new(&self, target: &Target) -> bool {
        self.passed.as_ref().is_none_or(|passed| passed.spec.1 != target.spec)
    }

    /// What is served is given to all.
    pub(crate) fn pass(&mut self) {
        self.passed.clone_from(&self.served);
    }

    /// Whether more is to come than this.
    pub(crate) fn owes(&mut self, served: &Target) {
        self.pending = self.target().is_some_and(|now| !now.is(served));
    }

    /// The fleet has all of what is served.
    pub(crate) fn prove(&mut self) {
        self.before = None;
        self.had = self.served.as_ref().map(|served| served.terms.clone()).unwrap_or_default();
    }

    /// Tries the latest revision again: what the platform gives to templates has changed.
    pub(crate) fn retry(&mut self) {
        self.pending |= self.quarantine.take().is_some();
        self.narrowed = None;
    }

    /// The renderer refused the target: what the groups hold is not touched by that, unless it lets
    /// in who may no longer call, or does not answer where it may by now.
    pub(crate) fn refuse_render(&mut self, reason: String) -> Fallback {
        if self.to_narrow(&self.terms).is_some_and(|(_, passed)| passed.is_some()) {
            // It is not what is wanted that was refused.
            self.narrows_first = false;
            return Fallback::Render;
        }
        self.pending = false;
        if self.quarantine.is_some() {
            return self.shut_out_or(Fallback::Stay);
        }
        self.refuse(reason);
        match &self.served {
            Some(served) if served.terms == self.terms => Fallback::Stay,
            Some(_) => Fallback::Render,
            None => self.fall_back_to_good(),
        }
    }

    /// The fleet refused what is served. What it is given back then is not taken away again,
    /// whoever refuses that: nothing better is known. Unless the fleet lets in who was revoked.
    pub(crate) fn refuse_served(&mut self, reason: String) -> Fallback {
        if self.quarantine.is_some() {
            return self.shut_out_or(Fallback::Stay);
        }
        self.refuse(reason);
        self.pending = false;
        let Some(before) = self.before.take() else { return self.fall_back_to_good() };
        // Other terms, of the same spec, are themselves what is refused.
        let is_the_spec = before.spec.1 != self.wanted.1;
        let is_as_it_was = before.terms == self.terms;
        self.served = Some(before);
        self.pass();
        match is_the_spec && !is_as_it_was {
            true => Fallback::Render,
            false => self.shut_out_or(Fallback::Before),
        }
    }

    /// Whoever was revoked is shut out, whatever it takes: at first only those are let in who were
    /// before and still may be, then nobody, and then there is no instance. Each lets in fewer than
    /// what is refused, so that this ends. `otherwise`: nobody was revoked.
    fn shut_out_or(&mut self, otherwise: Fallback) -> Fallback {
        let held = self.served.as_ref().map(|served| &served.terms);
        let lets_in_more = |terms: &Terms| terms.let_in_more_than(&self.terms);
        if !(held.is_some_and(lets_in_more) || lets_in_more(&self.had)) {
            return otherwise;
        }
        let refused = self.narrowed.as_ref().unwrap_or(&self.terms);
        if refused.callers.is_empty() {
            self.served = None;
            self.pass();
            return Fallback::Nothing;
        }
        let mut fewer = self.had.both(&self.terms);
        if fewer.callers.len() >= refused.callers.len() {
            fewer.callers = Arc::default();
        }
        self.narrowed = Some(fewer);
        Fallback::Render
    }

    /// Why this revision is not served, if it never will be.
    pub(crate) fn refusal(&self, revision: u64) -> Option<&str> {
        let has_it = self.served().is_some_and(|served| served >= revision);
        self.quarantine.as_deref().filter(|_| !has_it && revision <= self.refused)
    }

    fn refuse(&mut self, reason: String) {
        self.quarantine = Some(reason);
        self.refused = self.wanted.0;
    }

    fn fall_back_to_good(&mut self) -> Fallback {
        let refused = self.served();
        let good = self.good.take().filter(|good| Some(good.0) != refused);
        self.served = good.map(|spec| Served { spec, terms: self.terms.clone() });
        // What was good once needs no trial.
        self.pass();
        if self.served.is_some() { Fallback::Render } else { Fallback::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use model::Plan;
    use model::descriptor::{Auth, HeaderRules, Parameters};

    use super::*;

    fn spec() -> Arc<Spec> {
        let parameters = Parameters {
            service: "shop".parse().unwrap(),
            upstream: None,
            hostnames: Vec::new(),
            routes: Vec::new(),
            upstreams: std::collections::BTreeMap::new(),
            request_headers: HeaderRules::default(),
            response_headers: HeaderRules::default(),
            auth: Auth::None,
        };
        Arc::new(Spec { plan: Plan::Internal, parameters, hostnames: Vec::new() })
    }

    fn nobody() -> Terms {
        Terms::default()
    }

    fn callers(names: &[&str]) -> Terms {
        let caller = |name: &&str| Caller {
            binding: name.parse().unwrap(),
            public_key: String::new(),
            expires_at: None,
        };
        Terms { callers: names.iter().map(caller).collect(), ..nobody() }
    }

    fn tenant(revision: u64) -> Tenant {
        Tenant::new(revision, spec())
    }

    fn serve(tenant: &mut Tenant, is_proven: bool) {
        let target = tenant.target().unwrap();
        tenant.serve(&target, is_proven);
    }

    fn refused() -> String {
        "no".to_owned()
    }

    #[test]
    fn what_is_refused_goes_back_to_what_was_proven_last() {
        let mut tenant = tenant(5);
        serve(&mut tenant, true);
        tenant.prove();
        tenant.publish((7, spec()), None, nobody(), false);
        serve(&mut tenant, true);
        tenant.publish((8, spec()), None, nobody(), false);
        serve(&mut tenant, false);
        assert_eq!(tenant.refuse_served(refused()), Fallback::Before);
        assert_eq!(tenant.target().unwrap().revision, 5, "7 was never proven");
        assert_eq!(tenant.target().unwrap().wanted, 8, "and 8 was seen by proxies");
        assert_eq!(tenant.refusal(8), Some("no"));
        assert_eq!(tenant.refusal(5), None, "which is what is served");
    }

    #[test]
    fn after_a_restart_the_stores_last_good_spec_is_fallen_back_to_once() {
        let mut tenant = tenant(7);
        tenant.publish((7, spec()), Some((5, spec())), nobody(), false);
        assert_eq!(tenant.refuse_render(refused()), Fallback::Render);
        assert_eq!(tenant.target().unwrap().revision, 5);
        assert_eq!(tenant.refuse_render("also no".to_owned()), Fallback::Stay);
        assert_eq!(tenant.quarantine.as_deref(), Some("no"), "the reason is the newest revision's");
        serve(&mut tenant, true);
        assert_eq!(tenant.refuse_served(refused()), Fallback::Stay, "nothing better is known");
        assert_eq!(tenant.target().unwrap().revision, 5);
    }

    #[test]
    fn a_new_instance_that_the_fleet_refuses_does_not_appear() {
        let mut tenant = tenant(5);
        serve(&mut tenant, true);
        assert_eq!(tenant.refuse_served(refused()), Fallback::Nothing);
        assert!(tenant.target().is_none());
    }

    #[test]
    fn a_quarantine_ends_with_the_next_revision_or_with_what_mends_this_one() {
        let mut tenant = tenant(5);
        assert_eq!(tenant.refuse_render(refused()), Fallback::Nothing);
        tenant.publish((6, spec()), None, nobody(), false);
        assert!(tenant.quarantine.is_none());
        assert_eq!(tenant.refuse_render(refused()), Fallback::Nothing);
        tenant.retry();
        assert_eq!(tenant.target().unwrap().revision, 6);
        serve(&mut tenant, true);
        assert!(tenant.quarantine.is_none());
    }

    /// An instance whose spec of revision 6 is refused, and whose caller `a` came with revision 5.
    fn in_quarantine() -> Tenant {
        let mut tenant = tenant(5);
        tenant.publish((5, spec()), None, callers(&["a"]), false);
        serve(&mut tenant, true);
        tenant.prove();
        tenant.publish((6, public()), None, callers(&["a"]), false);
        assert_eq!(tenant.refuse_render(refused()), Fallback::Stay);
        tenant
    }

    fn public() -> Arc<Spec> {
        Arc::new(Spec { plan: Plan::Public, ..(*spec()).clone() })
    }

    #[test]
    fn a_caller_is_revoked_also_in_quarantine_and_without_another_try_of_the_spec() {
        let mut tenant = in_quarantine();
        tenant.publish((7, public()), None, nobody(), false);
        assert_eq!(tenant.quarantine.as_deref(), Some("no"), "the spec is as bad as it was");
        let target = tenant.target().unwrap();
        assert_eq!((target.revision, target.wanted, &target.terms), (5, 7, &nobody()));
        serve(&mut tenant, true);
        assert_eq!(tenant.refusal(6), Some("no"), "which is what was refused");
        assert_eq!(tenant.refusal(7), None, "which is as it was asked to be");
        tenant.publish((8, public()), None, nobody(), false);
        assert!(tenant.quarantine.is_none(), "the same once more is a wish to try again");
    }

    #[test]
    fn a_proven_name_is_let_through_also_in_quarantine() {
        let withheld = |names: &[&str]| Terms {
            withheld: names.iter().map(|name| name.parse().unwrap()).collect(),
            ..nobody()
        };
        let mut tenant = tenant(5);
        tenant.publish((5, public()), None, withheld(&["a.example.com"]), false);
        serve(&mut tenant, true);
        tenant.publish((6, spec()), None, withheld(&["a.example.com"]), false);
        assert_eq!(tenant.refuse_render(refused()), Fallback::Stay);
        tenant.publish((7, spec()), None, withheld(&[]), false);
        let target = tenant.target().unwrap();
        assert_eq!((target.revision, target.wanted, target.terms), (5, 7, nobody()));
    }

    #[test]
    fn what_is_gone_back_to_never_lets_in_who_was_revoked() {
        let proven = || {
            let mut tenant = tenant(5);
            tenant.publish((5, spec()), None, callers(&["a"]), false);
            serve(&mut tenant, true);
            tenant.prove();
            tenant.publish((6, public()), None, nobody(), false);
            tenant
        };
        let mut by_the_renderer = proven();
        assert_eq!(by_the_renderer.refuse_render(refused()), Fallback::Render);
        let mut by_the_fleet = proven();
        serve(&mut by_the_fleet, true);
        assert_eq!(by_the_fleet.refuse_served(refused()), Fallback::Render);
        for tenant in [by_the_renderer, by_the_fleet] {
            let target = tenant.target().unwrap();
            assert_eq!((target.revision, target.terms), (5, nobody()));
        }
    }

    #[test]
    fn who_was_revoked_is_shut_out_also_if_the_other_callers_are_refused() {
        let mut tenant = tenant(5);
        tenant.publish((5, spec()), None, callers(&["a", "b"]), false);
        serve(&mut tenant, true);
        tenant.prove();
        tenant.publish((6, spec()), None, callers(&["b", "c"]), false);
        serve(&mut tenant, true);
        for fewer in [callers(&["b"]), nobody()] {
            assert_eq!(tenant.refuse_served(refused()), Fallback::Render);
            let target = tenant.target().unwrap();
            assert_eq!((target.revision, target.wanted, &target.terms), (5, 6, &fewer));
            serve(&mut tenant, false);
        }
        assert_eq!(tenant.refuse_served(refused()), Fallback::Nothing, "rather than let `a` in");
        assert!(tenant.target().is_none());
        tenant.publish((7, spec()), None, callers(&["b"]), false);
        assert_eq!(tenant.target().unwrap().terms, callers(&["b"]), "news are tried");
    }

    #[test]
    fn who_was_revoked_is_shut_out_also_if_templates_refuse_the_others() {
        let mut tenant = tenant(5);
        tenant.publish((5, spec()), None, callers(&["a", "b"]), false);
        serve(&mut tenant, true);
        tenant.prove();
        tenant.publish((6, spec()), None, callers(&["b"]), false);
        assert_eq!(tenant.refuse_render(refused()), Fallback::Render, "the spec before");
        assert_eq!(tenant.refuse_render(refused()), Fallback::Render);
        assert_eq!(tenant.target().unwrap().terms, nobody());
        assert_eq!(tenant.refuse_render(refused()), Fallback::Nothing);
    }

    #[test]
    fn once_nobody_revoked_is_let_in_a_refusal_takes_nothing_away() {
        let mut tenant = tenant(5);
        tenant.publish((5, spec()), None, callers(&["a", "b"]), false);
        serve(&mut tenant, true);
        tenant.prove();
        tenant.publish((6, spec()), None, callers(&["b", "c"]), false);
        serve(&mut tenant, true);
        assert_eq!(tenant.refuse_served(refused()), Fallback::Render);
        serve(&mut tenant, false);
        tenant.prove();
        assert_eq!(tenant.refuse_served(refused()), Fallback::Stay);
        assert_eq!(tenant.target().unwrap().terms, callers(&["b"]));
    }

    #[test]
    fn callers_that_are_themselves_refused_stay_as_they_were() {
        let mut tenant = tenant(5);
        serve(&mut tenant, true);
        tenant.prove();
        tenant.publish((6, spec()), None, callers(&["a"]), false);
        serve(&mut tenant, true);
        assert_eq!(tenant.refuse_served(refused()), Fallback::Before);
        assert_eq!(tenant.refusal(6), Some("no"));
    }
}
