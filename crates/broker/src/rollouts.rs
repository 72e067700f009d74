//! Roll-outs of the platform, in the broker's words; the binary wires them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use model::{AuditEntry, Millis};
use serde::{Deserialize, Serialize};
use store::StoreError;
use utoipa::ToSchema;

/// What to roll out: an edition that there is, other templates, or (neither) what the configuration
/// is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutWish {
    /// The number of an edition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edition: Option<u64>,
    /// Templates by file name, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub templates: Option<BTreeMap<String, String>>,
}

/// Where to go back to.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevertWish {
    /// The number of an edition; none: what groups had before the latest roll-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edition: Option<u64>,
}

/// Groups that are given an edition together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageLine {
    /// What it is called.
    pub name: String,
    /// Which groups: names, where `*` stands for anything.
    pub groups: Vec<String>,
    /// For so many seconds it is watched.
    pub bake_seconds: u64,
}

/// A roll-out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutLine {
    /// Its number.
    pub id: u64,
    /// The edition that groups had.
    pub from: u64,
    /// The edition that they are given.
    pub to: u64,
    /// Who asked for it; `margrave` when the configuration had changed.
    pub by: String,
    /// `proving` (proxies are to acknowledge), `baking` (they are watched), `done`, `reverted` or
    /// `refused`.
    pub state: String,
    /// No further stage begins.
    pub paused: bool,
    /// Its stages, in order.
    pub stages: Vec<StageLine>,
    /// The stage that it is at, from 0.
    pub stage: usize,
    /// Why it was refused or reverted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the gates have said.
    pub notes: Vec<String>,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_at: Millis,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Millis>,
}

/// Groups and the edition that they are given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GivenLine {
    /// Names, where `*` stands for anything; the first line that has a group's name is its.
    pub groups: String,
    /// The edition's number.
    pub edition: u64,
}

/// An edition: templates with what they see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EditionLine {
    /// Its number.
    pub number: u64,
    /// SHA-256 of its content.
    pub digest: String,
    /// When it was first seen.
    pub at: Millis,
}

/// How everything stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RolloutStatus {
    /// Which groups are given which edition.
    pub given: Vec<GivenLine>,
    /// What the configuration is, where groups are given something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered: Option<u64>,
    /// Sources whose latest documents not every group has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// Why the templates of the configuration, or the documents of sources, are not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// The latest roll-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutLine>,
    /// The latest editions, latest first.
    pub editions: Vec<EditionLine>,
}

/// A service that would be refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedService {
    /// Its id, or `platform/group`: the listeners.
    pub owner: String,
    /// Why.
    pub why: String,
}

/// How many resources of a type would become others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TypeLine {
    /// The protobuf type URL.
    pub type_url: String,
    /// Not there before.
    pub added: usize,
    /// There, and another.
    pub changed: usize,
    /// Not there any more.
    pub removed: usize,
}

/// A difference between two resources.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DifferenceOf {
    /// The path into the resource.
    pub path: String,
    /// What was there.
    #[schema(value_type = Option<Object>)]
    pub before: Option<serde_json::Value>,
    /// What would be.
    #[schema(value_type = Option<Object>)]
    pub after: Option<serde_json::Value>,
}

/// A resource that would be another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SampleLine {
    /// Whose it is.
    pub owner: String,
    /// The protobuf type URL.
    pub type_url: String,
    /// Its name.
    pub name: String,
    /// What differs.
    pub differences: Vec<DifferenceOf>,
}

/// What an edition would change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutPlan {
    /// The edition that groups have.
    pub from: u64,
    /// The edition that they would be given; 0: templates that have no number yet.
    pub to: u64,
    /// Groups that services were rendered for: those of all replicas.
    #[serde(default)]
    pub groups: usize,
    /// Releases of Envoy that judged it.
    #[serde(default)]
    pub judges: Vec<String>,
    /// Releases of Envoy that are connected to any replica, and of which the process that planned has
    /// none to ask.
    #[serde(default)]
    pub unheard: Vec<String>,
    /// Services that were rendered with it.
    pub instances: usize,
    /// Services that would be refused, 20 at most: then nothing is rolled out.
    pub refused: Vec<RefusedService>,
    /// How many there are.
    pub refused_count: usize,
    /// Services that are refused as it is.
    pub refused_already: usize,
    /// Services that Envoy did not judge: enough were refused, or it took too long.
    pub unjudged: usize,
    /// Services of which something would change, 50 at most.
    pub changed: Vec<String>,
    /// How many there are.
    pub changed_count: usize,
    /// How many resources would become others.
    pub resources: Vec<TypeLine>,
    /// Some of them.
    pub samples: Vec<SampleLine>,
}

/// Why it is not done.
#[derive(Debug)]
pub enum RolloutRefused {
    /// Templates do not compile, or services would be refused.
    Refused(String),
    /// Something else is under way, or nothing is.
    Conflict(String),
    /// There is no such edition.
    Unknown(String),
    /// The store does not answer.
    Store(StoreError),
}

/// Who asks for something, and what is written of it.
pub struct Asked {
    /// A credential's name.
    pub by: String,
    /// For the audit log.
    pub entry: AuditEntry,
}

/// Roll-outs.
#[async_trait]
pub trait Rollouts: Send + Sync {
    /// What would change. Renders every service, and sends nothing.
    async fn plan(&self, wish: RolloutWish) -> Result<RolloutPlan, RolloutRefused>;
    /// Begins one.
    async fn start(&self, wish: RolloutWish, asked: Asked) -> Result<RolloutLine, RolloutRefused>;
    /// No further stage begins, or again.
    async fn pause(&self, is_paused: bool, asked: Asked) -> Result<RolloutLine, RolloutRefused>;
    /// Goes back, all at once.
    async fn revert(&self, to: Option<u64>, asked: Asked) -> Result<RolloutLine, RolloutRefused>;
    /// How everything stands.
    async fn status(&self) -> Result<RolloutStatus, RolloutRefused>;
    /// The latest, latest first.
    async fn list(&self) -> Result<Vec<RolloutLine>, RolloutRefused>;
}
