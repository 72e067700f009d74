//! What must survive: the ports [`Store`], [`Queue`] and [`Blobs`], and their embedded SQLite.
//!
//! *Architecture invariant:* nothing outside this crate names a database. A second implementation
//! earns its place by passing [`contract`], unchanged.

mod error;
mod port;

pub use error::StoreError;
pub use port::{
    Accept, Accepted, Blobs, Change, Changes, Cursor, Fence, Filter, HostnameOwner, Lease, Page,
    Queue, Refusal, Save, Store, Write,
};
