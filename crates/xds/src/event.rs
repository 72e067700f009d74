//! What happens on streams, told to whoever decides what is live.

use std::sync::Arc;

use model::{Node, TypeUrl, Version};

use crate::Owner;

/// One conversation with one proxy, unique in this process: its ADS stream, or all its streams of
/// single types together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// What a client came back with that is newer than what is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    /// Its type.
    pub type_url: TypeUrl,
    /// Its name.
    pub name: Arc<str>,
    /// Its version; none when it is not one of ours.
    pub version: Option<Version>,
    /// The client keeps it, as nothing is known of it here. Else it is given what is here.
    pub kept: bool,
}

/// Something that happened on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A proxy has opened a stream and told its node; of streams of single types, the first.
    Opened {
        /// The stream.
        stream: StreamId,
        /// Who it is.
        node: Arc<Node>,
        /// It is served from a [fork](crate::Cache::fork), ahead of others.
        early: bool,
    },
    /// The stream has settled everything up to `seq` that it asked for: it is ready. Sent once
    /// its first synchronisation is complete, and again whenever nothing is outstanding.
    Synced {
        /// The stream.
        stream: StreamId,
        /// A sequence number of its cache.
        seq: u64,
    },
    /// The stream has acknowledged all phases of an owner's change.
    Settled {
        /// The stream.
        stream: StreamId,
        /// Whose change.
        owner: Owner,
        /// At least this sequence number of that owner.
        seq: u64,
    },
    /// The stream refused a resource that it was sent alone, and that is still here. (Of what was
    /// replaced meanwhile nothing is told.)
    Rejected {
        /// The stream.
        stream: StreamId,
        /// Whose resource.
        owner: Owner,
        /// The owner's sequence number that it belongs to.
        seq: u64,
        /// Its type.
        type_url: TypeUrl,
        /// Its name.
        name: Arc<str>,
        /// The client's own words (`error_detail.message`).
        message: String,
    },
    /// A client came back with what a [`Guard`](crate::Guard) is about.
    Ahead {
        /// The stream.
        stream: StreamId,
        /// What it came back with, of one type.
        resources: Vec<Ahead>,
    },
    /// A proxy that polls was answered. That is all that is known of it: it never says what it makes
    /// of an answer.
    Polled {
        /// Who it says it is.
        node: Arc<Node>,
        /// What it polled.
        type_url: TypeUrl,
        /// The version of what it has now; empty when that has none.
        version: String,
    },
    /// The stream is gone.
    Closed {
        /// The stream.
        stream: StreamId,
    },
}
