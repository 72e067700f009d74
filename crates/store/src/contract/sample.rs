//! Values to try a store with; for the tests of those who use one, too.

use std::sync::atomic::{AtomicU64, Ordering};

use model::descriptor::{Auth, HeaderRules};
use model::{
    Hostname, Instance, InstanceId, InstanceState, Millis, Operation, OperationKind,
    OperationState, Owner, Parameters, Plan, Requester, Spec,
};

use crate::{Accept, Fence, Save, Write};

/// Operations made by this process.
static DRAWN: AtomicU64 = AtomicU64::new(0);

/// A name that the caller knows to be one.
fn known<T>(text: &str) -> T
where
    T: std::str::FromStr<Err = model::NameError>,
{
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// An instance's id.
pub fn instance_id(text: &str) -> InstanceId {
    known(text)
}

/// A hostname.
pub fn hostname(text: &str) -> Hostname {
    known(text)
}

/// The spec of a service at `hostnames`, without routes.
pub fn spec(service: &str, hostnames: &[&str]) -> Spec {
    let hostnames: Vec<Hostname> = hostnames.iter().map(|name| hostname(name)).collect();
    let parameters = Parameters {
        service: known(service),
        upstream: None,
        hostnames: hostnames.clone(),
        routes: Vec::new(),
        upstreams: std::collections::BTreeMap::new(),
        request_headers: HeaderRules::default(),
        response_headers: HeaderRules::default(),
        auth: Auth::None,
    };
    Spec { plan: Plan::Internal, parameters, hostnames }
}

/// An operation in progress, with an id of its own.
pub fn operation(kind: OperationKind, instance: &str, spec: &Spec, now: Millis) -> Operation {
    let id = known(&format!("{instance}.{}", DRAWN.fetch_add(1, Ordering::Relaxed)));
    let fresh = Operation::new(id, instance_id(instance), kind, requester(), now);
    Operation {
        target: (kind != OperationKind::Deprovision).then(|| spec.clone()),
        previous: (kind != OperationKind::Provision).then(|| spec.clone()),
        ..fresh
    }
}

/// Who asks in tests.
pub fn requester() -> Requester {
    Requester { credential: "tests".to_owned(), originating_identity: None, request_identity: None }
}

/// What a broker hands in: an operation of `kind` that claims the spec's hostnames. The instance is
/// its own service, of organisation `acme` and space `web`.
pub fn accept(kind: OperationKind, instance: &str, spec: &Spec, now: Millis) -> Accept {
    let row = Instance {
        id: instance_id(instance),
        owner: Owner { organization: "acme".to_owned(), space: "web".to_owned() },
        platform_context: serde_json::json!({"platform": "tests"}),
        state: InstanceState::Provisioning,
        spec: spec.clone(),
        revision: None,
        created_at: now,
        updated_at: now,
    };
    let claim = if kind == OperationKind::Deprovision { &[][..] } else { &spec.hostnames };
    Accept::new(operation(kind, instance, spec, now), row, claim.to_vec())
}

/// A worker's write of `writes`, the operation still in progress.
pub fn save(fence: &Fence, operation: &Operation, writes: Vec<Write>, now: Millis) -> Save {
    Save { fence: fence.clone(), operation: operation.clone(), writes, now }
}

/// The same, the operation having succeeded.
pub fn finish(fence: &Fence, operation: &Operation, writes: Vec<Write>, now: Millis) -> Save {
    let mut save = save(fence, operation, writes, now);
    save.operation.state = OperationState::Succeeded;
    save.operation.finished_at = Some(now);
    save
}
