//! The nouns of the line: what a developer asks for, what is done about it, and what a proxy gets.
//!
//! *Architecture invariant:* nothing here waits, fails for a reason outside its arguments, reads a
//! clock or draws a random number.

mod access;
mod audit;
mod binding;
mod calendar;
mod change;
mod counted;
pub mod descriptor;
mod direction;
mod instance;
mod names;
mod operation;
mod plan;
mod principal;
mod resource;
mod rollout;
mod team;

pub use access::{ACCESS_RANDOM_BYTES, AccessError, AccessHash, AccessKind, AccessSecret};
pub use audit::AuditEntry;
pub use binding::{Binding, Caller};
pub use calendar::{date, moment, utc};
pub use change::{Change, ExposureChange, changes, differences};
pub use counted::counted;
pub use descriptor::{Descriptor, Parameters};
pub use direction::Direction;
pub use instance::{Instance, InstanceState, Owner, Published, Spec};
pub use names::{
    BindingId, CredentialId, CredentialName, GroupName, Hostname, InstanceId, LINEAGE_MAX,
    NameError, NodeId, OperationId, ServiceName, Zone,
};
pub use operation::{
    Job, Operation, OperationKind, OperationState, Requester, StepRecord, StepState, Successor,
    Waits, WaitsFor,
};
pub use plan::{Exposure, Plan};
pub use principal::{ORGANIZATION, Principal, Role};
pub use resource::{Node, Resource, TypeUrl, Version, type_urls};
pub use rollout::{Rollout, RolloutStage, RolloutState};
pub use team::{Policy, Quota, Share};

/// Milliseconds since the Unix epoch, UTC. Handed in wherever time matters.
pub type Millis = i64;
