//! What the audit log must tell once everything has ended: each operation's beginning and end, and each
//! word of an operator, once, in an unbroken chain.

use std::collections::BTreeMap;

use model::{AuditEntry, OperationState};
use store::chain::Check;
use store::{Audit, AuditFilter, AuditRecord};

use super::super::world::{lock, now};
use super::checks::Wrong;
use super::scene::Scene;

/// Entries read at a time.
const PAGE: usize = 500;

/// How often something was done to something.
type Counts = BTreeMap<(String, String), usize>;

pub(crate) fn check(scene: &Scene) -> Result<(), Wrong> {
    let (mut told, mut chain) = (Counts::new(), Check::default());
    for record in entries(scene) {
        chain.next(&record).map_err(|broken| format!("the audit log is broken: {broken}"))?;
        let entry = record.entry().map_err(|error| format!("an entry cannot be read: {error}"))?;
        *told.entry(short(&entry)).or_default() += 1;
    }
    let done = done(scene);
    let odd = |(of, times): (&(String, String), &usize)| done.get(of) != Some(times);
    if told.iter().any(odd) || told.len() != done.len() {
        return Err(format!("the audit log tells {told:?}, and what was done is {done:?}"));
    }
    Ok(())
}

fn entries(scene: &Scene) -> Vec<AuditRecord> {
    let (mut all, mut beyond) = (Vec::new(), None);
    loop {
        let filter = AuditFilter { limit: PAGE, beyond, ..AuditFilter::default() };
        let page = now(scene.store.sqlite().entries(filter)).expect("the log is read");
        all.extend(page.records);
        match page.next {
            Some(next) => beyond = Some(next),
            None => return all,
        }
    }
}

/// The action, and the operation that it is about.
fn short(entry: &AuditEntry) -> (String, String) {
    let of = entry.detail["operation"].as_str().unwrap_or(&entry.object);
    (entry.action.clone(), of.to_owned())
}

fn done(scene: &Scene) -> Counts {
    let watched = lock(&scene.store.watched);
    let mut done = Counts::new();
    for operation in watched.operations.values() {
        let began = serde_json::to_value(operation.kind).expect("it is a word");
        let began = format!("instance.{}", began.as_str().unwrap_or_default());
        let ended = match operation.state {
            OperationState::InProgress => continue,
            OperationState::Succeeded => "operation.succeeded".to_owned(),
            OperationState::Failed => "operation.failed".to_owned(),
        };
        for action in [began, ended] {
            done.insert((action, operation.id.to_string()), 1);
        }
    }
    for (id, direction) in &watched.directed {
        *done.entry((direction.action().to_owned(), id.to_string())).or_default() += 1;
    }
    done
}
