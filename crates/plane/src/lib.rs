//! The control plane: what each group of proxies should have, and what it has.
//!
//! It follows the store's change feed, renders each changed instance alone, and hands what changed
//! to the discovery server of its group. What proxies say about it comes back as events, from which
//! follows who is live and who is in quarantine.
//!
//! *Architecture invariant:* the work for one change does not depend on how many instances there
//! are.

mod ahead;
mod appeals;
mod behind;
mod canary;
mod claims;
mod diff;
mod documents;
mod edition;
mod elsewhere;
mod everywhere;
mod flights;
mod gate;
mod good;
mod group;
mod grouping;
mod house;
mod judged;
mod live;
pub mod metrics;
mod plane;
mod pollers;
mod polling;
mod proxies;
mod queue;
mod renderer;
mod report;
mod rollout;
mod run;
#[cfg(test)]
mod soon_tests;
mod state;
mod statuses;
mod summary;
mod tenant;
mod trial;
mod verdict;
mod view;
mod words;

pub use ahead::{AheadView, LetGo};
pub use documents::Revisions;
pub use edition::{Content, Edition, matches};
pub use gate::{EnvoyValidator, Validator, Word};
pub use live::Convergence;
pub use plane::{Config, Plane};
pub use polling::Polling;
pub use report::{Difference, ProxyReport};
pub use rollout::{
    Ledger, Limits, Opening, OpeningError, Planned, Policy, RolloutError, Rollouts, Sample, Status,
    Wish,
};
pub use summary::Summary;
pub use view::{Description, FleetView, Proxy, ProxyState, Refused};

/// The group of proxies that name none (`node.cluster`). It is there from the start.
pub const DEFAULT_GROUP: &str = "default";
