//! Pure: templates, an instance's spec, its endpoints and platform facts go in; resources or
//! complaints come out.
//!
//! *Architecture invariant:* `render` never waits, never looks at a clock, and cannot see two
//! instances at once.

mod face;

pub use face::{Complaint, Draft, Endpoints, Input, Platform, Templates};
