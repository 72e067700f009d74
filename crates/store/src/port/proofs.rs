//! Public hostnames that their teams must prove to have, and what is awaited of each.

use async_trait::async_trait;
use model::{Hostname, InstanceId, Millis, Owner};

use crate::StoreError;

/// Hostnames of one team that may wait for a proof: each costs look-ups, and nobody shall have others
/// asked about by the thousand.
pub const UNPROVEN_MAX: u32 = 100;

/// A public hostname outside the allowed zones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The name.
    pub hostname: Hostname,
    /// The instance that has it.
    pub instance: InstanceId,
    /// Whose that is: who must prove it, or did.
    pub owner: Owner,
    /// What the record must say. Of a team, whatever the hostname; another platform's is another.
    pub value: String,
    /// When it was asked for.
    pub asked_at: Millis,
    /// When it is looked for next; `None`: not any more.
    pub next_at: Option<Millis>,
    /// When it was last looked for.
    pub looked_at: Option<Millis>,
    /// Why it was not found then.
    pub problem: Option<String>,
    /// When it was found; `None`: it is awaited.
    pub proven_at: Option<Millis>,
}

impl Proof {
    /// The name of the record that is looked for first; the same at a domain above counts as well.
    pub fn record(&self) -> String {
        self.hostname.proof_records().next().unwrap_or_default()
    }

    /// What its team is to do while it is awaited, in a sentence.
    pub fn to_do(&self) -> String {
        let then = match (&self.problem, self.next_at) {
            (_, None) => "; then ask for it to be verified, as it is not looked for any more",
            (Some(_), _) => "; it is looked for again by itself",
            (None, _) => "; it is looked for now",
        };
        let (hostname, record, value) = (&self.hostname, self.record(), &self.value);
        format!(
            "`{hostname}` does not answer in public yet: make a TXT record `{record}` with the \
             value `{value}`{then}"
        )
    }
}

/// How a look came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// It is proven: by what, in a few words.
    Proven(String),
    /// It is not.
    Missing {
        /// Why, in the tenant's words.
        problem: String,
        /// When to look again; `None`: not any more.
        next_at: Option<Millis>,
    },
}

/// Proofs of hostnames. They are asked for by [`Store::accept`](crate::Store::accept), and forgotten
/// with the hostname.
#[async_trait]
pub trait Proofs: Send + Sync {
    /// That of a hostname, where one was ever needed.
    async fn proof(&self, hostname: &Hostname) -> Result<Option<Proof>, StoreError>;

    /// Those of an instance, by hostname.
    async fn proofs(&self, instance: &InstanceId) -> Result<Vec<Proof>, StoreError>;

    /// Those that are to be looked for at `now`, longest due first, at most `limit` (and
    /// [`PAGE_ROWS_MAX`](crate::PAGE_ROWS_MAX)).
    async fn due_proofs(&self, now: Millis, limit: usize) -> Result<Vec<Proof>, StoreError>;

    /// How many are awaited.
    async fn awaited_proofs(&self) -> Result<u64, StoreError>;

    /// Writes down how a look at `proof` came out. What is proven is told to the feed and to the audit
    /// log in the same transaction. Nothing happens, and `false` is the answer, where the hostname is
    /// proven already, or is not that team's any more.
    async fn looked(&self, proof: &Proof, look: Look, at: Millis) -> Result<bool, StoreError>;
}
