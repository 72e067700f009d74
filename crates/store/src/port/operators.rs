//! What operators do about operations that do not come to their end.

use async_trait::async_trait;
use model::{Direction, Millis, Operation, OperationId, Requester};

use crate::StoreError;

/// What became of an operator's word.
#[derive(Debug, Clone, PartialEq)]
pub enum Directed {
    /// The operation is as it now is, and due at once, or when whoever is at it has ended its step.
    Yes(Box<Operation>),
    /// It makes no sense, in words; nothing was changed.
    No(String),
    /// There is no such operation.
    Unknown,
}

/// Operators at operations in progress.
#[async_trait]
pub trait Operators: Send + Sync {
    /// Does as is said, with its entry in the audit log, in one transaction. A lease of the operation
    /// is revoked, as if another operation came in its place.
    async fn direct(
        &self,
        id: &OperationId,
        direction: Direction,
        by: Requester,
        now: Millis,
    ) -> Result<Directed, StoreError>;
}
