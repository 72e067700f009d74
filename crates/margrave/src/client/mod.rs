//! How the commands speak to the broker: OSB like any platform, and the API beside it.

pub mod api;
pub mod audit;
pub mod bindings;
mod connect;
pub mod follow;
mod http;
mod identity;
mod osb;
pub mod search;

pub use api::Operation;
pub use connect::Connect;
pub use http::Client;
pub use identity::Identity;
pub use osb::{Accepted, Catalog};
