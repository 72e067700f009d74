//! What a stream asked for of one type, and what it has of it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use crate::bits::Bits;
use crate::cache::{Content, Key, OwnerId};
use crate::kind::Kind;
use crate::lane::Lane;
use crate::many::Trace;

/// A response is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// If it says something new.
    IfNew,
    /// Because it was asked for.
    Anyway,
}

/// A resource that was sent: where it is, and the change that its content came with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parcel {
    pub(super) key: Key,
    pub(super) changed: u64,
    /// Whose it was.
    pub(super) owner: OwnerId,
}

/// The response that the client has not answered. There is one at most of a type: what happens
/// meanwhile waits for the answer, and is then sent as it is by then.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) since: Instant,
    /// Full state: as of when.
    pub(super) seq: u64,
    pub(super) digest: u64,
    /// Not full state: what is in it.
    pub(super) parcels: Vec<Parcel>,
    /// Not full state: it holds nothing, and has the version of what was told before.
    pub(super) is_restated: bool,
}

/// What the client has instead of what its cache has.
#[derive(Debug)]
pub(super) struct Substitute {
    pub(super) name: Arc<str>,
    /// The change that is kept from it.
    pub(super) changed: u64,
    /// What it keeps, if it had anything.
    pub(super) content: Option<Content>,
    /// The client's words, if it is this that it refused.
    pub(super) message: Option<String>,
}

/// A substitute, and the sequence number with which it ceased to stand.
#[derive(Debug)]
pub(super) struct Former {
    pub(super) substitute: Substitute,
    pub(super) until: u64,
}

/// The search for what made the client refuse a response of full state: what is suspected is sent
/// in groups, halved when refused, on top of what the client has.
#[derive(Debug, Default)]
pub(super) struct Trial {
    /// What is tried is the state as of this sequence number.
    pub(super) seq: u64,
    pub(super) cleared: HashSet<u32>,
    /// The first is being tried.
    pub(super) groups: VecDeque<Vec<u32>>,
}

/// A subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) lane: Lane,
    pub(super) table: u16,
    pub(super) kind: Kind,
    pub(super) wildcard: bool,
    /// A name was given, once: no name means nothing from then on.
    pub(super) explicit: bool,
    /// What was named. Held in the cache.
    pub(super) names: Bits,
    /// What was named last, if all of it is in `names`.
    pub(super) said: Option<Trace>,
    pub(super) due: Option<Due>,
    /// The step that the pass is at has something to say of it, and waits until it is quiet.
    pub(super) laid: bool,
    /// Not full state: named, and to be answered.
    pub(super) asked: Bits,
    /// Not full state: changed, and to be told.
    pub(super) moved: Bits,
    /// Not full state: told since the pass began.
    pub(super) told: Bits,
    /// Not full state: kept from the client, because something of the owner was refused.
    pub(super) withheld: Bits,
    /// Not full state: the version that the client was told last does not say what it has.
    pub(super) owes_version: bool,
    /// Not full state: something was sent though the client had not answered what went before, and
    /// what it made of that is never known.
    pub(super) doubtful: bool,
    /// It names more than is remembered.
    pub(super) forgot: bool,
    /// Not full state: to be sent again alone.
    pub(super) alone: VecDeque<Parcel>,
    /// Full state: the client has all of this sequence number, but for substitutes.
    pub(super) base: Option<u64>,
    /// Full state: the digest of what the client has.
    pub(super) digest: Option<u64>,
    pub(super) substitutes: HashMap<u32, Substitute>,
    /// Full state: substitutes that stand no more, since their owners changed. Until the client has
    /// all of what came then, they are what it has of those places at `base`.
    pub(super) former: HashMap<u32, Former>,
    pub(super) trial: Option<Trial>,
    pub(super) unanswered: Option<Unanswered>,
    /// The last nonce; an answer to an earlier one says nothing.
    pub(super) nonce: u64,
}

impl Subscription {
    pub(super) fn new(lane: Lane, table: u16, kind: Kind) -> Self {
        Self {
            lane,
            table,
            kind,
            wildcard: false,
            explicit: false,
            names: Bits::default(),
            said: None,
            due: None,
            laid: false,
            asked: Bits::default(),
            moved: Bits::default(),
            told: Bits::default(),
            withheld: Bits::default(),
            owes_version: false,
            doubtful: false,
            forgot: false,
            alone: VecDeque::new(),
            base: None,
            digest: None,
            substitutes: HashMap::new(),
            former: HashMap::new(),
            trial: None,
            unanswered: None,
            nonce: 0,
        }
    }

    pub(super) fn wants(&self, slot: u32) -> bool {
        self.wildcard || self.names.contains(slot)
    }

    /// Whether nothing is to be said and nothing to be heard.
    pub(super) fn is_quiet(&self) -> bool {
        !self.awaits_answer() && !self.is_loaded()
    }

    /// Whether something that matters was said and is not answered.
    pub(super) fn awaits_answer(&self) -> bool {
        self.unanswered.as_ref().is_some_and(|it| !it.is_aside())
    }

    /// Whether something is to be said.
    pub(super) fn is_loaded(&self) -> bool {
        self.due.is_some()
            || self.trial.is_some()
            || !self.alone.is_empty()
            || !self.asked.is_empty()
            || !self.moved.is_empty()
    }
}
