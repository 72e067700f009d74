//! The discovery server. Resources are opaque: type, name, version, bytes, and whose they are.
//!
//! *Architecture invariant:* this crate cannot read an Envoy resource and knows nothing of the
//! product.

mod absent;
mod age;
mod alarm;
mod answers;
mod beside;
mod bits;
mod cache;
mod corked;
mod delta;
mod event;
mod expect;
mod frames;
mod health;
mod identity;
mod inbound;
mod kind;
mod lane;
mod limits;
mod many;
pub mod metrics;
mod names;
mod rate;
mod rest;
mod secrets;
mod server;
mod service;
mod services;
mod session;
#[cfg(test)]
mod simulation;
mod single;
mod sotw;
mod speaking;
mod status;
mod stream;
mod tls;
mod turns;
mod warming;
mod wire;

pub use answers::Answers;
pub use cache::{Cache, Change, Entry, Guard, Options, Owner};
pub use event::{Ahead, Event, StreamId};
pub use identity::{Identity, Revoked};
pub use limits::Limits;
pub use rate::Rate;
pub use rest::Json;
pub use server::serve;
pub use service::{Ads, Directory};
pub use status::{ClientStatus, Condition, ResourceStatus};
pub use tls::{Identify, Tls, TlsError, TlsSettings, tls_settings};
