//! Implementations of the port `Cloud`.

mod local;

pub use local::LocalCloud;
