//! What happened, and who asked for it.

/// The largest detail of an entry, as JSON: what is told of a change, not the change itself.
pub const AUDIT_DETAIL_BYTES_MAX: usize = 64 << 10;
