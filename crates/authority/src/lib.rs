//! The platform's own certificate authority: who a proxy is, by its certificate.
//!
//! A host makes a key and asks with a request (PKCS #10); what it is called is not the host's to say
//! and comes from the token that it was let in with. The private key never leaves the host.
//!
//! *Architecture invariant:* nothing here waits, reads a clock or a file. Random numbers are drawn where
//! a key is made and, inside it, where one signs; serial numbers are arguments.

mod ca;
mod error;
mod host;
mod name;
mod presented;
mod request;

pub use ca::{Authority, Issued, LIFE_MILLIS_MAX, LIFE_MILLIS_MIN, Serial, ServerPair};
pub use error::AuthorityError;
pub use host::Applicant;
pub use name::{ProxyName, TrustDomain};
pub use presented::Presented;
pub use request::{REQUEST_BYTES_MAX, Request};
