//! What is known of one instance: what it shall be, what it is served as, and why they differ.

use std::sync::Arc;

use model::Spec;

/// A spec at its revision.
pub(crate) type Revised = (u64, Arc<Spec>);

/// One published instance.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    /// The latest of the change feed.
    pub(crate) wanted: Revised,
    /// What the groups hold; none when it was never rendered well.
    pub(crate) served: Option<Revised>,
    /// What the fleet had before, while it does not have `served` in full.
    before: Option<Revised>,
    /// What the store knows as the last good one.
    good: Option<Revised>,
    /// Why `wanted` is not what is served.
    pub(crate) quarantine: Option<String>,
    /// `wanted` is not yet rendered.
    pub(crate) pending: bool,
    /// What the tenant should know though nothing failed.
    pub(crate) notices: Vec<String>,
}

/// What to render an instance from.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) revision: u64,
    pub(crate) spec: Arc<Spec>,
    /// The latest revision: what is sent never has a lower one.
    pub(crate) wanted: u64,
}

impl Target {
    /// Whether this is the same target: specs of one revision are equal.
    pub(crate) fn is(&self, other: &Self) -> bool {
        (self.revision, self.wanted) == (other.revision, other.wanted)
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
            served: None,
            before: None,
            good: None,
            quarantine: None,
            pending: true,
            notices: Vec::new(),
        }
    }

    /// Takes news of the feed. A newer revision ends a quarantine.
    pub(crate) fn publish(&mut self, wanted: Revised, good: Option<Revised>) {
        self.wanted = wanted;
        self.good = good;
        self.quarantine = None;
        self.pending = true;
    }

    /// What to render now.
    pub(crate) fn target(&self) -> Option<Target> {
        let (revision, spec) = match &self.quarantine {
            Some(_) => self.served.as_ref()?,
            None => &self.wanted,
        };
        Some(Target { revision: *revision, spec: spec.clone(), wanted: self.wanted.0 })
    }

    /// The groups are given this target now. `is_proven`: the fleet had all of what they held.
    pub(crate) fn serve(&mut self, target: &Target, is_proven: bool) {
        self.pending = false;
        if target.revision == self.wanted.0 {
            self.quarantine = None;
        }
        let served = self.served.replace((target.revision, target.spec.clone()));
        if is_proven {
            self.before = served;
        }
    }

    /// The fleet has all of what is served.
    pub(crate) fn prove(&mut self) {
        self.before = None;
    }

    /// Tries the latest revision again: what the platform gives to templates has changed.
    pub(crate) fn retry(&mut self) {
        self.pending |= self.quarantine.take().is_some();
    }

    /// The renderer refused the target: what the groups hold is not touched by that.
    pub(crate) fn refuse_render(&mut self, reason: String) -> Fallback {
        self.pending = false;
        if self.quarantine.is_some() {
            return Fallback::Stay;
        }
        self.quarantine = Some(reason);
        if self.served.is_some() { Fallback::Stay } else { self.fall_back_to_good() }
    }

    /// The fleet refused what is served. What it is given back then is not taken away again,
    /// whoever refuses that: nothing better is known.
    pub(crate) fn refuse_served(&mut self, reason: String) -> Fallback {
        if self.quarantine.is_some() {
            return Fallback::Stay;
        }
        self.quarantine = Some(reason);
        self.pending = false;
        if let Some(before) = self.before.take() {
            self.served = Some(before);
            return Fallback::Before;
        }
        self.fall_back_to_good()
    }

    /// Why this revision is not served, if it never will be.
    pub(crate) fn refusal(&self, revision: u64) -> Option<&str> {
        let has_it = self.served.as_ref().is_some_and(|served| served.0 >= revision);
        self.quarantine.as_deref().filter(|_| !has_it)
    }

    fn fall_back_to_good(&mut self) -> Fallback {
        let refused = self.served.as_ref().map(|served| served.0);
        self.served = self.good.take().filter(|good| Some(good.0) != refused);
        if self.served.is_some() { Fallback::Render } else { Fallback::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use model::Plan;
    use model::descriptor::{HeaderRules, Parameters};

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
        };
        Arc::new(Spec { plan: Plan::Internal, parameters, hostnames: Vec::new() })
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
        tenant.publish((7, spec()), None);
        serve(&mut tenant, true);
        tenant.publish((8, spec()), None);
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
        tenant.publish((7, spec()), Some((5, spec())));
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
        tenant.publish((6, spec()), None);
        assert!(tenant.quarantine.is_none());
        assert_eq!(tenant.refuse_render(refused()), Fallback::Nothing);
        tenant.retry();
        assert_eq!(tenant.target().unwrap().revision, 6);
        serve(&mut tenant, true);
        assert!(tenant.quarantine.is_none());
    }
}
