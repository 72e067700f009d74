//! Sessions of browsers, and the single-use codes that open them.

use async_trait::async_trait;
use model::{AccessHash, Millis, Principal};

use crate::StoreError;

/// The longest that a code may wait to be taken: it is for a browser that is about to be opened.
pub const CODE_MILLIS_MAX: Millis = 60 * 1000;
/// The longest that a session may last: a working day.
pub const SESSION_MILLIS_MAX: Millis = 8 * 60 * 60 * 1000;
/// Codes and sessions of one principal; the oldest goes when there is another.
pub const SESSIONS_OF_ONE_MAX: usize = 64;
/// Codes and sessions of all; likewise.
pub const SESSIONS_MAX: usize = 100_000;

/// Codes and sessions, known by the hash of their secret. Each is good for the principal that it was
/// made for, as it was then, as long as that principal's credential is: with the credential ends
/// the session. An `until` beyond the limits is taken as these.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Makes a code, which [`Sessions::take_code`] takes once, until `until`.
    async fn create_code(
        &self,
        code: AccessHash,
        principal: Principal,
        now: Millis,
        until: Millis,
    ) -> Result<(), StoreError>;

    /// Takes a code: whoever comes second gets nothing.
    async fn take_code(
        &self,
        code: &AccessHash,
        now: Millis,
    ) -> Result<Option<Principal>, StoreError>;

    /// Opens a session until `until`.
    async fn create_session(
        &self,
        session: AccessHash,
        principal: Principal,
        now: Millis,
        until: Millis,
    ) -> Result<(), StoreError>;

    /// Whose a session is.
    async fn session(
        &self,
        session: &AccessHash,
        now: Millis,
    ) -> Result<Option<Principal>, StoreError>;

    /// Ends a session; nothing happens if there is none.
    async fn end_session(&self, session: &AccessHash) -> Result<(), StoreError>;
}
