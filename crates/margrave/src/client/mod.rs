//! How the commands speak to the broker: OSB like any platform, and the API beside it.

mod access;
pub mod api;
pub mod audit;
pub mod bindings;
mod connect;
mod credential;
pub mod credentials;
pub mod follow;
mod http;
mod identity;
pub mod joining;
pub mod kept;
pub mod nodes;
pub mod offer;
mod osb;
mod path;
mod place;
pub mod plan;
pub mod renew;
pub mod search;
pub mod teams;
mod whoami;

pub use access::{Access, Platform};
pub use api::Operation;
pub use connect::Connect;
pub use http::Client;
pub use identity::Identity;
pub use osb::{Accepted, Catalog};
pub use place::Place;
pub use plan::Planned;
pub use whoami::Whoami;
