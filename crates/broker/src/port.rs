//! What the broker shows of the rest of the platform, in its own words; the binary wires it.

use std::collections::BTreeMap;
use std::pin::Pin;

use async_trait::async_trait;
use keys::{Place, SealError, Sealed, Secret, Seed};
use model::{AuditEntry, InstanceId, Millis, Operation, Principal, Spec, StepRecord};
use serde::Serialize;
use store::{Proof, StoreError};
use tokio::io::AsyncRead;
use utoipa::ToSchema;

/// One resource that a service becomes.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RenderedLine {
    /// The protobuf type URL.
    #[serde(rename = "typeUrl")]
    pub type_url: String,
    /// Its name.
    pub name: String,
    /// Its content, as protobuf's JSON.
    #[schema(value_type = Object)]
    pub resource: serde_json::Value,
}

/// A connected proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxyLine {
    /// `node.id`.
    pub id: String,
    /// Its group.
    pub group: String,
    /// Its region; empty when not told.
    pub region: String,
    /// Its Envoy's version; empty when not told.
    pub envoy_version: String,
    /// `live`, `behind`, `rejecting`, `silent`: something has been on its way to it for half a
    /// minute or longer; `unconfirmed`: it polls, and never says what it makes of what it is given;
    /// or `stale`: its replica has told nothing for ten seconds.
    pub state: String,
    /// The replica that it is connected to, where that is another than the one that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica: Option<String>,
    /// When it connected.
    pub connected_at: Millis,
    /// It is given tenants' changes before the others of its group.
    pub canary: bool,
    /// How many changes it is still to acknowledge.
    pub lacks: usize,
    /// What it refuses, alone; ten of it at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refuses: Vec<RefusedLine>,
    /// When it last polled, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Millis>,
    /// The newest version that it was given, if it polls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What a proxy refuses, alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefusedLine {
    /// Whose it is: an instance's id, or `platform/group`.
    pub owner: String,
    /// The protobuf type URL.
    pub type_url: String,
    /// Its name.
    pub name: String,
    /// Its Envoy's words.
    pub message: String,
}

/// A connected proxy in depth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxyDetail {
    /// How it stands.
    #[serde(flatten)]
    pub proxy: ProxyLine,
    /// How many resources of each type it should have.
    pub resources: BTreeMap<String, usize>,
    /// What it does not have as it should, 1,000 at most. A proxy that has not taken its first state
    /// yet may lack anything.
    pub differs: Vec<DifferenceLine>,
    /// How many more there are.
    pub more: usize,
    /// Why neither `resources` nor `differs` are known: the replica that it is connected to did not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// A resource that a proxy does not have as it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DifferenceLine {
    /// Whose it is: an instance's id, or `platform/group`.
    pub owner: String,
    /// The protobuf type URL; empty where all that the owner has is to go.
    pub type_url: String,
    /// Its name; empty where all that the owner has is to go.
    pub name: String,
    /// The version that it should have; absent if it should be gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its Envoy's words against it; absent while it is only on its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

/// The fleet in a few numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FleetSummary {
    /// The latest revision that the control plane has taken in.
    pub revision: u64,
    /// Published instances.
    pub instances: usize,
    /// Instances that are served at an earlier revision than their latest, at any replica.
    pub quarantined: usize,
    /// Instances that the store knows no more, so many at once that they are served until an operator
    /// confirms that they may go.
    pub removals_held: usize,
    /// What proxies have that is ahead of the store, as after a restore.
    pub ahead: Vec<AheadLine>,
    /// Regions that proxies are in or were in the last hour. Those beyond the 64th are one, `other`.
    pub regions: Vec<RegionLine>,
    /// Connected proxies.
    pub proxies: Vec<ProxyLine>,
}

/// A region of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegionLine {
    /// Its name; empty for proxies that tell none.
    pub region: String,
    /// For how long no replica has told of its proxies, in milliseconds.
    pub staleness_ms: i64,
}

/// A source of a document that templates see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceLine {
    /// The name that templates use.
    pub name: String,
    /// `file`, `http`, `inline` or `exec`.
    pub kind: String,
    /// Where it is, without secrets.
    pub place: String,
    /// Whether any of it is secret.
    pub is_secret: bool,
    /// Whether its document comes to groups by stages, as templates do.
    pub is_staged: bool,
    /// How often it is asked, in milliseconds.
    pub interval_ms: u64,
    /// The revision of its document; 0: there is none yet.
    pub revision: u64,
    /// The size of its document as it was fetched.
    pub bytes: u64,
    /// The first bytes of the SHA-256 of that; none of what is secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What the source itself calls this version, if it does; none of what is secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// When the document was last known to be what its source has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetched_at: Option<Millis>,
    /// How long ago that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// Since when it fails; absent while it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Millis>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Something that proxies have that is ahead of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AheadLine {
    /// `instance`, `hostname` or `resource`.
    pub kind: String,
    /// Its id or name.
    pub name: String,
    /// The epoch that a proxy has it of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// The revision that a proxy has it of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The store does not know it, and proxies keep it until an operator confirms that it may go.
    /// Else they are given what the store has.
    pub kept: bool,
    /// How many proxies came back with it.
    pub proxies: usize,
}

/// What was let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct LetGo {
    /// Instances that were served although the store did not know them any more.
    pub instances: usize,
    /// Proxies that are told to give up what the store does not know.
    pub proxies: usize,
}

/// How an instance stands at the control plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Standing {
    /// The latest published revision.
    pub revision: u64,
    /// The revision that proxies are given.
    pub served: Option<u64>,
    /// Why these differ.
    pub quarantine: Option<String>,
    /// What its team should know, such as an upstream whose name does not resolve.
    pub notices: Vec<String>,
    /// How many proxies have the latest revision; absent when they refuse it.
    pub proxies: Option<Coverage>,
}

/// How much of the fleet has something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Coverage {
    /// Proxies that have it.
    pub have: usize,
    /// Proxies that are connected and heard from.
    pub ready: usize,
}

/// A DNS record of the platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RecordLine {
    /// The name.
    pub hostname: String,
    /// Whose it is.
    pub instance: String,
    /// `internal` or `public`.
    pub exposure: String,
}

/// A view of the control plane and of the cloud. Nothing here changes anything.
#[async_trait]
pub trait View: Send + Sync {
    /// What a spec becomes, or why it becomes nothing, in the tenant's words.
    fn render(&self, id: &InstanceId, spec: &Spec) -> Result<Vec<RenderedLine>, Vec<String>>;
    /// Whether an operation would publish it, or why not, as the operation would say it.
    async fn check(&self, id: &InstanceId, spec: &Spec) -> Result<(), String>;
    /// What would be done for an operation, in order.
    fn steps(&self, operation: &Operation) -> Vec<StepRecord>;
    /// The fleet.
    fn fleet(&self) -> FleetSummary;

    /// A connected proxy in depth, by its `node.id`. Waits for the replica that it is connected to, not
    /// for long.
    async fn proxy(&self, id: &str) -> Option<ProxyDetail>;
    /// How an instance stands; `None` when it is not published. Waits for nothing.
    async fn standing(&self, id: &InstanceId) -> Option<Standing>;
    /// How the sources of documents stand, by name.
    async fn sources(&self) -> Result<Vec<SourceLine>, StoreError>;
    /// The DNS records that exist, or why they cannot be told.
    async fn records(&self) -> Result<Vec<RecordLine>, String>;
}

/// A secret that was sealed, to be kept.
pub struct Sealing {
    /// As it is kept.
    pub sealed: Sealed,
    /// As long as this lives no rotation drops the key: it is on its way to the store.
    pub held: Box<dyn Send + Sync>,
}

/// What the broker needs of secrets: randomness, and the keyring.
#[async_trait]
pub trait Vault: Send + Sync {
    /// Random bytes, for a key pair.
    fn draw(&self) -> Seed;
    /// Seals a secret for one place.
    async fn seal(&self, place: Place<'_>, secret: &Secret) -> Result<Sealing, SealError>;
    /// Opens what was sealed for this place.
    fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret, SealError>;
    /// The ids of the keys and when each was made, the newest last.
    fn keys(&self) -> Vec<(String, Millis)>;
    /// Adds a key, seals everything anew and drops the keys before it; or why it could not finish.
    async fn rotate(&self, now: Millis) -> Result<(), String>;
}

/// What is read of a backup.
pub type Content = Pin<Box<dyn AsyncRead + Send>>;

/// A backup that was made.
pub struct BackupFile {
    /// Its length.
    pub bytes: u64,
    /// Itself. Nothing is left of it once this is dropped.
    pub content: Content,
}

/// What operators do with the platform as a whole.
#[async_trait]
pub trait Keeper: Send + Sync {
    /// Makes a backup; or why it cannot. With a passphrase, the keys of secrets are in it, wrapped.
    async fn backup(&self, passphrase: Option<Secret>) -> Result<BackupFile, String>;
    /// What the store does not know may go from the proxies; `entry` is written first.
    async fn confirm_removals(&self, at: Millis, entry: AuditEntry) -> Result<LetGo, StoreError>;
}

/// Looks for the proofs of hostnames.
#[async_trait]
pub trait Prover: Send + Sync {
    /// Looks for one now, and writes down what was found; `false`: not now, because many ask.
    async fn look(&self, proof: &Proof) -> Result<bool, StoreError>;
}

/// Where people log in, for a client that is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginOffer {
    /// The issuer's URL.
    pub issuer: String,
    /// The public client that the command line is to the issuer.
    pub client_id: String,
    /// What to ask the issuer for, separated by spaces.
    pub scope: String,
}

/// Somebody whom an issuer has let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// Who, and of which teams.
    pub principal: Principal,
    /// When the login ends.
    pub until: Millis,
}

/// Why a login is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginError {
    /// It is not good: why, for the person.
    Refused(String),
    /// It cannot be judged now: why, for the person.
    Unavailable(String),
}

/// Logins that an issuer has signed.
#[async_trait]
pub trait Login: Send + Sync {
    /// Where to log in.
    fn offer(&self) -> LoginOffer;
    /// Who has logged in.
    async fn principal(&self, signed: &str, now: Millis) -> Result<LoggedIn, LoginError>;
}
