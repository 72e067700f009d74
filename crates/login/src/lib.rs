//! Logging in by OpenID Connect: what an issuer has signed is judged, and a person at a terminal gets it.
//!
//! The broker's half is [`Logins`]: a token in, a principal out. The command line's half is [`device`]:
//! the device authorization flow. Neither reads a clock: `now` is handed in.

mod address;
mod claims;
pub mod device;
#[cfg(test)]
mod device_tests;
mod discovery;
mod http;
mod jwk;
mod jws;
mod logins;
#[cfg(test)]
mod logins_tests;
pub mod metrics;
mod published;
mod refused;
mod settings;
mod teams;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use address::{AddressError, IssuerUrl};
pub use claims::expires_at;
pub use http::IssuerError;
pub use logins::{LoggedIn, LoginError, Logins};
pub use refused::Refused;
pub use settings::Settings;
pub use teams::{RuleError, Teams};
