//! What can go wrong with a store, for its callers.

/// Why the store did not do what was asked. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store cannot commit durably now (disk full, read-only, locked): try again later.
    /// The broker answers 503 with `Retry-After`.
    #[error("the store cannot commit: {0}")]
    Unavailable(String),
    /// A newer lease holds this job, or the job has ended: whoever gets this must stop at once, and
    /// touch nothing more.
    #[error("this lease was superseded")]
    Fenced,
    /// What was to be written is larger than the store takes; the limits are beside
    /// [`BLOB_BYTES_MAX`](crate::BLOB_BYTES_MAX).
    #[error("too large for the store: {0}")]
    TooLarge(String),
    /// The stored data cannot be read by this release, or was damaged.
    #[error("the store holds what this release cannot read: {0}")]
    Corrupt(String),
}
