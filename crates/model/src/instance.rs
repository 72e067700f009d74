//! A service instance (OSB): one load balancer that a team owns.

use serde::{Deserialize, Serialize};

use crate::{Caller, Hostname, InstanceId, Millis, Parameters, Plan};

/// Who an instance belongs to: OSB's `organization_guid` and `space_guid`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The organisation; the CLI sends the platform's name.
    pub organization: String,
    /// The space; the CLI sends the team.
    pub space: String,
}

/// What a load balancer shall be. Two equal specs are the same wish.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Internal or public.
    pub plan: Plan,
    /// The descriptor without its visibility, as canonical JSON in the store.
    pub parameters: Parameters,
    /// The hostnames it answers to: those of the parameters, or `<service>.<zone>`. Sorted.
    pub hostnames: Vec<Hostname>,
}

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// Accepted, its first publish not yet done.
    Provisioning,
    /// Published at least once; an update may be in flight.
    Ready,
    /// Its provision failed before publish and was undone: nothing of it is left but this row.
    Failed,
    /// A deprovision is in flight, or failed and may be tried again.
    Deprovisioning,
    /// Gone; kept as a tombstone so that a poll or a repeated DELETE is answered truthfully.
    Deleted,
}

/// A service instance as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// OSB `instance_id`.
    pub id: InstanceId,
    /// OSB organisation and space.
    pub owner: Owner,
    /// OSB `context` as last received: a JSON object, never interpreted here.
    pub platform_context: serde_json::Value,
    /// Where it is in its life.
    pub state: InstanceState,
    /// What it is: the spec last published, or the one being provisioned.
    pub spec: Spec,
    /// The revision of its last publish, if any.
    pub revision: Option<u64>,
    /// When it was first accepted.
    pub created_at: Millis,
    /// When its row last changed.
    pub updated_at: Millis,
}

/// What the control plane reads: a published instance, or the news that it is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Published {
    /// The instance.
    pub instance: InstanceId,
    /// The store's revision at which this was written; rises with every publish of any instance.
    pub revision: u64,
    /// What to serve; `None` when the instance was unpublished.
    pub spec: Option<Spec>,
    /// The last revision that the fleet had in full, and its spec, where that is not this one.
    /// The plane falls back to it when this one is rejected.
    pub good: Option<(u64, Spec)>,
    /// Who may call it, where its routes require a binding. Sorted by binding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<Caller>,
    /// The hostnames that nobody is answered at in public yet, because a proof of them is awaited.
    /// Sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<Hostname>,
}
