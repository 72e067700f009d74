//! A cloud that remembers all that was done to it, takes each token once, and notices what may
//! never be done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use model::{Exposure, Hostname, InstanceId, OperationId, Spec};

use super::super::world::lock;
use crate::{CloudError, Record};

/// What a call asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    Upsert(Record),
    Delete(Hostname, InstanceId),
}

/// A call that was made, and of which the network has kept a copy.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) operation: OperationId,
    pub(crate) token: String,
    pub(crate) change: Change,
}

#[derive(Default)]
pub(crate) struct SimulatedCloud {
    /// Copies of calls that were answered, still under way in the network.
    pub(crate) late: Mutex<Vec<Call>>,
    /// Calls that did not arrive in time, by the token that their repetition has. They arrive after
    /// one of those.
    lost: Mutex<Vec<(String, Call)>>,
    pub(crate) records: Mutex<BTreeMap<Hostname, Record>>,
    /// What each token was used for: an effect may be repeated, a token may not be reused.
    tokens: Mutex<BTreeMap<String, Change>>,
    /// What changed something, by operation.
    effects: Mutex<Vec<(OperationId, Change)>>,
    pub(crate) serving: Arc<Mutex<BTreeMap<InstanceId, Spec>>>,
    /// Instances whose end was forced: what proxies serve of them is told, and not waited for.
    pub(crate) excused: Mutex<BTreeSet<InstanceId>>,
    /// What was done that may never be done. Kept, because a panic here would be a failed step.
    pub(crate) wrongs: Mutex<Vec<String>>,
    /// Instances of which something was changed since this was last emptied.
    pub(crate) touched: Mutex<BTreeSet<InstanceId>>,
}

impl SimulatedCloud {
    /// A cloud whose records should lead to what proxies serve.
    pub(crate) fn of(serving: Arc<Mutex<BTreeMap<InstanceId, Spec>>>) -> Self {
        Self { serving, ..Self::default() }
    }

    pub(crate) fn wrong(&self, what: String) {
        lock(&self.wrongs).push(what);
    }

    /// The records of an instance, and what they lead to.
    pub(crate) fn records_of(&self, id: &InstanceId) -> Vec<(Hostname, Exposure)> {
        let records = lock(&self.records);
        let mine = records.iter().filter(|(_, record)| record.instance == *id);
        mine.map(|(name, record)| (name.clone(), record.exposure)).collect()
    }

    /// Whether it was new and has changed something. A call that was made before is answered and
    /// has no effect.
    pub(crate) fn take(&self, token: &str, change: &Change) -> Result<bool, CloudError> {
        if let Some(before) = lock(&self.tokens).get(token) {
            if before != change {
                self.wrong(format!("the token {token} was used for two effects"));
            }
            return Ok(false);
        }
        let changed = self.change(change)?;
        lock(&self.tokens).insert(token.to_owned(), change.clone());
        self.check();
        Ok(changed)
    }

    pub(crate) fn change(&self, change: &Change) -> Result<bool, CloudError> {
        let mut records = lock(&self.records);
        let (name, instance) = match change {
            Change::Upsert(record) => (&record.hostname, &record.instance),
            Change::Delete(name, instance) => (name, instance),
        };
        let found = records.get(name);
        let foreign = found.is_some_and(|found| found.instance != *instance);
        let before = found.cloned();
        match change {
            Change::Upsert(_) if foreign => {
                return Err(CloudError::Permanent("the record is another's".into()));
            }
            Change::Upsert(record) => records.insert(name.clone(), record.clone()),
            Change::Delete(..) if foreign => None,
            Change::Delete(..) => records.remove(name),
        };
        let changed = records.get(name) != before.as_ref();
        if changed {
            lock(&self.touched).insert(instance.clone());
        }
        Ok(changed)
    }

    /// Notes an effect: an operation has each at most once.
    pub(crate) fn effect(&self, operation: &OperationId, change: &Change) {
        let effect = (operation.clone(), change.clone());
        let mut effects = lock(&self.effects);
        if effects.contains(&effect) {
            self.wrong(format!("{operation} has had the effect {change:?} twice"));
        }
        effects.push(effect);
    }

    /// Keeps a call that its caller has given up.
    pub(crate) fn lose(&self, token: &str, call: Call) {
        lock(&self.lost).push((token.to_owned(), call));
    }

    /// A call with this token has arrived: what was lost of it may, from now on.
    pub(crate) fn find(&self, token: &str) {
        let mut lost = lock(&self.lost);
        let found = lost.extract_if(.., |(of, _)| of == token).map(|(_, call)| call);
        lock(&self.late).extend(found);
    }

    /// Takes a call, and notes what it has changed.
    pub(crate) fn call(&self, call: &Call) -> Result<bool, CloudError> {
        let changed = self.take(&call.token, &call.change)?;
        if changed {
            self.effect(&call.operation, &call.change);
        }
        Ok(changed)
    }

    /// Law 1: what proxies serve has its records, as wide as it is served.
    pub(crate) fn check(&self) {
        let records = lock(&self.records);
        let excused = lock(&self.excused);
        for (id, spec) in lock(&self.serving).iter().filter(|(id, _)| !excused.contains(*id)) {
            for name in &spec.hostnames {
                let record = records.get(name);
                let leads = record.is_some_and(|r| {
                    r.instance == *id && r.exposure >= crate::holdings::exposure(spec.plan)
                });
                if !leads {
                    let plan = spec.plan;
                    self.wrong(format!("{id} is served at {name} as {plan:?}, DNS: {record:?}"));
                }
            }
        }
    }
}
