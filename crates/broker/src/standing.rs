//! How an instance stands when a request for it arrives, read so that its parts belong together.

use model::{
    Instance, InstanceId, InstanceState, Operation, OperationId, OperationState, Principal, Role,
};
use store::Store;

use crate::error::Error;

/// Reads of an instance that changes meanwhile. More changes than that in so short a time are not
/// one client's.
const READS_MAX: usize = 16;

/// An instance and its latest operation.
pub(crate) struct Standing {
    pub(crate) instance: Option<Instance>,
    pub(crate) latest: Option<Operation>,
    /// It is another's, and so not there for who asks; but its id is taken.
    pub(crate) is_others: bool,
}

/// Whether an instance is there for who asks. Those who see everything are not made to wait.
pub(crate) async fn sees(
    store: &dyn Store,
    who: &Principal,
    id: &InstanceId,
) -> Result<bool, Error> {
    if !matches!(who.role, Role::Member { .. }) {
        return Ok(true);
    }
    Ok(store.instance(id).await?.is_some_and(|instance| who.owns(&instance.owner)))
}

/// What the verbs distinguish. That an instance is published does not matter here: a provision is
/// in progress until the fleet has it.
pub(crate) enum Phase<'a> {
    /// Never was, was deleted, or failed before anything of it was published.
    Absent,
    /// A change is in progress.
    Changing(&'a Instance, &'a Operation),
    /// It is there, and nothing is in progress.
    Settled(&'a Instance),
    /// A deprovision has failed half way.
    HalfGone(&'a Instance),
}

impl Standing {
    /// As it is to `who`: what is another's is not there. Reads until the instance is the same before and after its operation was read: then both were
    /// so at one moment.
    pub(crate) async fn read(
        store: &dyn Store,
        who: &Principal,
        id: &InstanceId,
    ) -> Result<Self, Error> {
        let row = |instance: &Option<Instance>| instance.as_ref().map(|it| it.updated_at);
        let mut before = store.instance(id).await?;
        for _ in 0..READS_MAX {
            let latest = store.operations(id, 1).await?.pop();
            let after = store.instance(id).await?;
            if row(&before) == row(&after) {
                return Ok(match after {
                    Some(other) if !who.owns(&other.owner) => {
                        Self { instance: None, latest: None, is_others: true }
                    }
                    instance => Self { instance, latest, is_others: false },
                });
            }
            before = after;
        }
        Err(Error::busy("another change"))
    }

    /// Which of them it is.
    pub(crate) fn phase(&self) -> Phase<'_> {
        let Some(instance) = &self.instance else { return Phase::Absent };
        match (&self.latest, instance.state) {
            (Some(latest), _) if latest.state == OperationState::InProgress => {
                Phase::Changing(instance, latest)
            }
            (_, InstanceState::Deleted | InstanceState::Failed) => Phase::Absent,
            (_, InstanceState::Deprovisioning) => Phase::HalfGone(instance),
            _ => Phase::Settled(instance),
        }
    }

    /// Whether it was last changed under this version of the platform.
    pub(crate) fn is_at(&self, version: &str) -> bool {
        let under = self.latest.as_ref().and_then(|operation| operation.maintenance.as_deref());
        under == Some(version)
    }

    /// The operation that is in progress.
    pub(crate) fn in_progress(&self) -> Option<OperationId> {
        let latest = self.latest.as_ref();
        let open = latest.filter(|operation| operation.state == OperationState::InProgress);
        open.map(|operation| operation.id.clone())
    }

    /// The latest operation, if it failed: then the same wish is worth trying again.
    pub(crate) fn failed(&self) -> Option<&Operation> {
        self.latest.as_ref().filter(|operation| operation.state == OperationState::Failed)
    }
}
