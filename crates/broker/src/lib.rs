//! Open Service Broker API v2.17 over HTTP, and the platform API beside it.
//!
//! One file a verb. A request is read, checked in the order of `docs/decisions/0002-osb-choices.md`,
//! and accepted by the store in one transaction, or refused with everything that is wrong with it.
//!
//! *Architecture invariant:* the broker never calls a cloud and never waits for the fleet: it
//! answers from the store.

mod accept;
mod api;
mod auth;
mod binding;
mod body;
mod catalog;
mod context;
mod denied;
mod deprovision;
mod envelope;
mod error;
mod extract;
mod fetch;
mod guard;
mod identity;
mod joining;
mod last_operation;
mod lasting;
pub mod metrics;
mod port;
mod principal;
mod progress;
mod proof;
mod provision;
mod rollouts;
mod router;
mod standing;
mod typical;
mod update;

pub use api::openapi;
pub use auth::Password;
pub use binding::place;
pub use catalog::{PLAN_INTERNAL_ID, PLAN_PUBLIC_ID, SERVICE_ID};
pub use joining::{Joining, Listener, Told};
pub use port::{
    AheadLine, BackupFile, Content, Coverage, DifferenceLine, FleetSummary, Keeper, LetGo,
    LoggedIn, Login, LoginError, LoginOffer, Prover, ProxyDetail, ProxyLine, RecordLine,
    RefusedLine, RegionLine, RenderedLine, Sealing, SourceLine, Standing, Vault, View,
};
pub use rollouts::{
    Asked, DifferenceOf, EditionLine, GivenLine, RefusedService, RevertWish, RolloutLine,
    RolloutPlan, RolloutRefused, RolloutStatus, RolloutWish, Rollouts, SampleLine, StageLine,
    TypeLine,
};
pub use router::{Config, Edge, Maintenance, Parts, router};
