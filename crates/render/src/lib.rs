//! Pure: templates, an instance's spec, its endpoints and platform facts go in; resources or
//! complaints come out.
//!
//! The order of things: a view of the instance in which the tenant's text is marked (`view`,
//! `mark`) → templates (`library`) → JSON (`json`) → marks settled by field (`settle`) → protobuf
//! (`message`) → checks → canonical bytes (`wire`).
//!
//! *Architecture invariant:* `render` never waits, never looks at a clock, and cannot see two
//! instances at once.

mod builtin;
mod callers;
mod culprit;
mod face;
mod fault;
mod forget;
mod graph;
mod header;
mod json;
mod laws;
mod library;
mod mark;
mod message;
mod node;
mod pipeline;
mod poll;
mod rules;
mod schema;
mod settle;
mod shape;
mod shown;
mod sources;
mod specimen;
mod trial;
mod unknown;
mod view;
mod walk;
mod wire;

pub use face::{Complaint, Draft, Endpoints, Input, Platform, TRUSTED_CA, Templates};
pub use node::NodeField;
pub use poll::polled;
pub use shape::Shape;
pub use sources::Sources;
pub use specimen::Specimen;
pub use trial::bootstrap as trial;
pub use unknown::{PREVIOUS, SUPPORTED, unknown_to_previous};

/// Whether Envoy's message of this full name can be rendered.
pub fn knows_message(name: &str) -> bool {
    schema::schema().message(name).is_some()
}
