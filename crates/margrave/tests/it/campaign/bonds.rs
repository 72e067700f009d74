//! Binds, rotations and unbinds in the campaign: a credential that was handed out is the same for
//! ever, what was unbound stays so, and nothing is bound twice.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Dice;
use crate::platform::{Platform, Reply};

/// Bindings that a client keeps of an instance, far fewer than it may have.
const KEPT: usize = 8;

/// What is known of a binding by what was answered.
#[derive(Debug, Clone, PartialEq)]
enum Belief {
    /// A bind got no answer.
    Asked,
    /// Bound, with this private key.
    Bound(Value),
    /// An unbind got no answer.
    Leaving,
    Gone,
}

#[derive(Debug, Clone)]
struct Bond {
    instance: String,
    predecessor: Option<String>,
    belief: Belief,
}

/// The bindings of a client. No id is used twice.
pub(super) struct Bonds {
    client: usize,
    drawn: usize,
    all: BTreeMap<String, Bond>,
    /// The ids of binds that were answered, those that are gone included.
    answered: BTreeSet<String>,
}

impl Bonds {
    pub(super) fn new(client: usize) -> Self {
        Self { client, drawn: 0, all: BTreeMap::new(), answered: BTreeSet::new() }
    }

    /// How many binds were answered.
    pub(super) fn answered(&self) -> usize {
        self.answered.len()
    }

    /// Asks for one thing of an instance that is there; whether there was an answer.
    pub(super) async fn ask(&mut self, at: &Platform, instance: &str, dice: &mut Dice) -> bool {
        let bound = self.bound(instance);
        let one = bound.get(usize::try_from(dice.roll(KEPT as u64)).expect("few")).cloned();
        match (dice.roll(4), one) {
            (0, Some(id)) => self.unbind(at, &id).await,
            (1, Some(id)) => self.repeat(at, &id).await.is_some(),
            _ if bound.len() >= KEPT => self.unbind(at, &bound[0]).await,
            (2, Some(id)) => self.bind(at, instance, Some(id)).await,
            _ => self.bind(at, instance, None).await,
        }
    }

    fn bound(&self, instance: &str) -> Vec<String> {
        let is = |bond: &Bond| bond.instance == instance && matches!(bond.belief, Belief::Bound(_));
        self.all.iter().filter(|(_, bond)| is(bond)).map(|(id, _)| id.clone()).collect()
    }

    async fn bind(&mut self, at: &Platform, instance: &str, predecessor: Option<String>) -> bool {
        self.drawn += 1;
        let id = format!("b{}-{:06}", self.client, self.drawn);
        let bond = Bond { instance: instance.to_owned(), predecessor, belief: Belief::Asked };
        let reply = put(at, &id, &bond).await;
        match &reply {
            // The provision is in progress: nothing was made.
            Some(reply) if reply.status == 422 => {
                assert_eq!(reply.body["error"], "ConcurrencyError", "{id}: {reply:?}");
                return true;
            }
            Some(reply) => assert_eq!(reply.status, 201, "{id}: {reply:?}"),
            None => {}
        }
        self.all.insert(id.clone(), bond);
        if let Some(reply) = &reply {
            self.becomes_bound(&id, reply);
        }
        reply.is_some()
    }

    fn becomes_bound(&mut self, id: &str, reply: &Reply) {
        self.answered.insert(id.to_owned());
        self.believe(id, Belief::Bound(key(reply)));
    }

    fn believe(&mut self, id: &str, belief: Belief) {
        self.all.get_mut(id).expect("is there").belief = belief;
    }

    /// An identical repeat, which answers the same credential if it is answered.
    async fn repeat(&self, at: &Platform, id: &str) -> Option<()> {
        let bond = &self.all[id];
        let reply = put(at, id, bond).await?;
        assert_eq!(reply.status, 200, "{id} was bound: {reply:?}");
        assert_eq!(Belief::Bound(key(&reply)), bond.belief, "{id} has another key");
        Some(())
    }

    async fn unbind(&mut self, at: &Platform, id: &str) -> bool {
        let reply = delete(at, id, &self.all[id].instance).await;
        let belief = match &reply {
            None => Belief::Leaving,
            Some(reply) => {
                assert_eq!(reply.status, 200, "{id} was bound: {reply:?}");
                Belief::Gone
            }
        };
        self.believe(id, belief);
        reply.is_some()
    }

    /// The instance goes, and its bindings with it.
    pub(super) fn end_with(&mut self, instance: &str) {
        let of = self.all.values_mut().filter(|bond| bond.instance == instance);
        of.for_each(|bond| bond.belief = Belief::Gone);
    }

    /// Compares with what was promised, once nothing is in progress; `instances` are there.
    pub(super) async fn compare(&mut self, at: &Platform, instances: &[String]) {
        let all: Vec<_> = self.all.iter().map(|(id, bond)| (id.clone(), bond.clone())).collect();
        for (id, bond) in all {
            match bond.belief {
                Belief::Asked => self.ask_again(at, &id, &bond).await,
                Belief::Bound(_) => self.repeat(at, &id).await.expect("answered"),
                Belief::Leaving | Belief::Gone => {
                    let reply = delete(at, &id, &bond.instance).await.expect("answered");
                    let may_be_there = bond.belief == Belief::Leaving;
                    let is_right = reply.status == 410 || (may_be_there && reply.status == 200);
                    assert!(is_right, "{id}, of {bond:?}: {reply:?}");
                    self.believe(&id, Belief::Gone);
                }
            }
        }
        for instance in instances {
            assert_eq!(listed(at, instance).await, self.known(instance), "bindings of {instance}");
        }
        self.all.retain(|_, bond| bond.belief != Belief::Gone);
    }

    /// As a platform does that got no answer: whether it was made or not, it is now.
    async fn ask_again(&mut self, at: &Platform, id: &str, bond: &Bond) {
        let reply = put(at, id, bond).await.expect("answered");
        // What it was to replace may have gone since.
        let is_orphan = bond.predecessor.as_ref().is_some_and(|it| !self.is_bound(it));
        match reply.status {
            200 | 201 => self.becomes_bound(id, &reply),
            400 if is_orphan => self.believe(id, Belief::Gone),
            _ => panic!("{id}, of {bond:?}: {reply:?}"),
        }
    }

    fn is_bound(&self, id: &str) -> bool {
        self.all.get(id).is_some_and(|bond| matches!(bond.belief, Belief::Bound(_)))
    }

    /// Each binding of an instance with its public key.
    fn known(&self, instance: &str) -> Vec<(String, Value)> {
        let key = |id: String| match &self.all[&id].belief {
            Belief::Bound(key) => (id, key["x"].clone()),
            other => unreachable!("{other:?}"),
        };
        self.bound(instance).into_iter().map(key).collect()
    }
}

fn path(instance: &str, id: &str) -> String {
    format!("/v2/service_instances/{instance}/service_bindings/{id}")
}

async fn put(at: &Platform, id: &str, bond: &Bond) -> Option<Reply> {
    let mut body = at.envelope(&json!({"name": id}));
    if let Some(predecessor) = &bond.predecessor {
        body["predecessor_binding_id"] = predecessor.as_str().into();
        // A rotation inherits them.
        body.as_object_mut().expect("an object").remove("parameters");
    }
    at.try_call("PUT", &path(&bond.instance, id), Some(&body)).await.ok()
}

async fn delete(at: &Platform, id: &str, instance: &str) -> Option<Reply> {
    let known = at.envelope(&json!({}));
    let text = |key: &str| known[key].as_str().unwrap_or_default().to_owned();
    let ids = format!("service_id={}&plan_id={}", text("service_id"), text("plan_id"));
    let path = format!("{}?{ids}", path(instance, id));
    at.try_call("DELETE", &path, None).await.ok()
}

fn key(reply: &Reply) -> Value {
    let key = &reply.body["credentials"]["private_key"];
    assert!(key["d"].is_string(), "there is no credential");
    key.clone()
}

async fn listed(at: &Platform, instance: &str) -> Vec<(String, Value)> {
    let reply = at.call("GET", &format!("/v1/instances/{instance}/bindings"), None).await;
    let listed = reply.body["bindings"].as_array().unwrap_or_else(|| panic!("{reply:?}"));
    let id = |binding: &Value| binding["id"].as_str().expect("an id").to_owned();
    listed.iter().map(|binding| (id(binding), binding["publicKey"].clone())).collect()
}

/// Each binding was made once and ended once at most, and those that have not ended are those that
/// are there.
pub(super) fn the_audit_log_tells<'a>(entries: &[Value], bonds: impl Iterator<Item = &'a Bonds>) {
    let of = |action: &str| {
        let of = entries.iter().filter(|entry| entry["action"] == action);
        let ids: Vec<_> = of.filter_map(|entry| entry["object"].as_str()).collect();
        let once: BTreeSet<_> = ids.iter().copied().collect();
        assert_eq!(ids.len(), once.len(), "{action} is told twice of one");
        once
    };
    let (made, ended) = (of("binding.create"), of("binding.delete"));
    let (mut answered, mut there) = (BTreeSet::new(), BTreeSet::new());
    for bonds in bonds {
        answered.extend(bonds.answered.iter().map(String::as_str));
        there.extend(bonds.all.keys().map(String::as_str));
    }
    assert!(made.is_superset(&answered), "not told: {:?}", answered.difference(&made));
    assert!(made.is_superset(&ended), "ended, and never made: {:?}", ended.difference(&made));
    assert_eq!(made.difference(&ended).copied().collect::<BTreeSet<_>>(), there);
}
