//! The streams of one client.

/// One gRPC stream of a client. A client of the aggregated service has one; a client of the services
/// of single types has one for each of its subscriptions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lane(pub(crate) u32);

impl Lane {
    /// That of a client that has one.
    pub(crate) const ONLY: Self = Self(0);
}
