//! The kinds of resource, and the order in which a change reaches a client: make before break.

use model::type_urls;

/// `VirtualHost`, only ever asked for by name (VHDS).
const VIRTUAL_HOST: &str = "type.googleapis.com/envoy.config.route.v3.VirtualHost";

/// What this crate must know of a type to order it. In the order of first arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// CDS.
    Cluster,
    /// EDS.
    Endpoint,
    /// A type that is asked for by name only (secrets, virtual hosts).
    Named,
    /// Any other type.
    Other,
    /// LDS.
    Listener,
    /// RDS.
    Route,
    /// SRDS.
    Scope,
}

impl Kind {
    pub(crate) fn of(type_url: &str) -> Self {
        match type_url {
            type_urls::CLUSTER => Self::Cluster,
            type_urls::ENDPOINT => Self::Endpoint,
            type_urls::LISTENER => Self::Listener,
            type_urls::ROUTE => Self::Route,
            type_urls::SCOPED_ROUTE => Self::Scope,
            type_urls::SECRET | VIRTUAL_HOST => Self::Named,
            _ => Self::Other,
        }
    }

    /// Whether a first request that names nothing asks for everything.
    pub(crate) fn silence_is_all(self) -> bool {
        !matches!(self, Self::Endpoint | Self::Named | Self::Route)
    }

    /// Whether a client that has once asked for everything of it goes on doing so: it is asked for
    /// by the bootstrap, and not because of another resource.
    pub(crate) fn never_ends(self) -> bool {
        matches!(self, Self::Cluster | Self::Listener)
    }

    /// Whether a state-of-the-world response must hold all that is subscribed, absence being
    /// deletion.
    pub(crate) fn full_state(self) -> bool {
        matches!(self, Self::Cluster | Self::Listener | Self::Scope)
    }
}

/// The steps of one change, in their order. Each is acknowledged before the next is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Clusters that come or change, and in the same flush endpoints.
    Clusters,
    /// Types unknown here: secrets, extensions, what sidecars read.
    Others,
    Listeners,
    /// Scopes that go, so that nothing is routed to what goes next.
    ScopesGone,
    /// Route configurations that the client already watches.
    Routes,
    /// Scopes that come or change; the client then asks for their route configurations.
    Scopes,
    ListenersGone,
    /// Clusters and all else that nothing names any more.
    Gone,
    /// What the client should have let go of by itself when its parent went.
    Orphans,
}

impl Step {
    pub(crate) const ALL: [Self; 9] = [
        Self::Clusters,
        Self::Others,
        Self::Listeners,
        Self::ScopesGone,
        Self::Routes,
        Self::Scopes,
        Self::ListenersGone,
        Self::Gone,
        Self::Orphans,
    ];
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// Whether it is a step of removals.
    pub(crate) fn is_going(self) -> bool {
        matches!(self, Self::ScopesGone | Self::ListenersGone | Self::Gone | Self::Orphans)
    }

    /// When a resource of this kind is sent that came or changed.
    pub(crate) fn coming(kind: Kind) -> Self {
        match kind {
            Kind::Cluster | Kind::Endpoint => Self::Clusters,
            Kind::Named | Kind::Other => Self::Others,
            Kind::Listener => Self::Listeners,
            Kind::Route => Self::Routes,
            Kind::Scope => Self::Scopes,
        }
    }

    /// When the removal of a resource of this kind is sent.
    pub(crate) fn going(kind: Kind) -> Self {
        match kind {
            Kind::Scope => Self::ScopesGone,
            Kind::Listener => Self::ListenersGone,
            Kind::Cluster | Kind::Named | Kind::Other => Self::Gone,
            Kind::Endpoint | Kind::Route => Self::Orphans,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_comes_before_what_names_it_and_goes_after() {
        for (user, used) in [
            (Kind::Scope, Kind::Route),
            (Kind::Scope, Kind::Cluster),
            (Kind::Route, Kind::Cluster),
            (Kind::Scope, Kind::Listener),
        ] {
            assert!(Step::coming(used) < Step::coming(user), "{used:?} before {user:?}");
        }
        // A route configuration that is still watched when all else is gone names nothing.
        for (user, used) in [(Kind::Scope, Kind::Route), (Kind::Scope, Kind::Cluster)] {
            assert!(Step::going(user) < Step::going(used), "{user:?} goes before {used:?}");
        }
    }
}
