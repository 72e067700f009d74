//! Who is in the middle of saying something long.
//!
//! The streams of a client of single types say what they say beside each other, and one that waits for
//! its turn has not even joined its session, which must not believe that the client wants no more. So
//! who begins is told by the beginning of the message: a first one begins with its node.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use prost::bytes::Buf;
use prost::encoding::{WireType, decode_key, decode_varint};

/// So much of a first message has come before its turn is waited for: a client's id is in it.
pub(crate) const BEGINNING_BYTES: usize = 4 << 10;

/// Who a session is with: its group, its id, and whether it has shown who it is.
pub(crate) type Name = (String, String, bool);

/// How many of a session's streams are at it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

/// Somebody is, as long as this is kept.
#[derive(Debug)]
pub(crate) struct Speaking(Count);

/// The counts of all sessions of a server that speak one protocol.
#[derive(Debug, Default)]
pub(crate) struct Speakers(Mutex<HashMap<Name, Weak<AtomicUsize>>>);

/// A stream of somebody.
#[derive(Debug)]
pub(crate) enum Speaker {
    /// Who has not said yet who it is, in this field.
    Stranger {
        speakers: Arc<Speakers>,
        node: u32,
        has_identity: bool,
    },
    Known(Count),
}

impl Count {
    pub(crate) fn any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }

    fn begin(&self) -> Speaking {
        self.0.fetch_add(1, Ordering::AcqRel);
        Speaking(self.clone())
    }
}

impl Drop for Speaking {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Speakers {
    pub(crate) fn of(&self, name: &Name) -> Count {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get(name).and_then(Weak::upgrade) {
            return Count(count);
        }
        counts.retain(|_, count| count.strong_count() > 0);
        let count = Count::default();
        counts.insert(name.clone(), Arc::downgrade(&count.0));
        count
    }
}

impl Speaker {
    /// Whether so much of a message tells who speaks, or nothing more is to be waited for.
    pub(crate) fn has_enough(&self, message: &[u8]) -> bool {
        matches!(self, Self::Known(_)) || message.len() >= BEGINNING_BYTES
    }

    /// A long message begins like this.
    pub(crate) fn begins(&self, message: &[u8]) -> Option<Speaking> {
        match self {
            Self::Known(count) => Some(count.begin()),
            Self::Stranger { speakers, node, has_identity } => {
                let (group, id) = who(message, *node)?;
                Some(speakers.of(&(group, id, *has_identity)).begin())
            }
        }
    }
}

/// The group and the id of a client whose message begins like this.
fn who(message: &[u8], node: u32) -> Option<(String, String)> {
    let node = field(message, node)?.0;
    let text = |number| {
        let (text, is_whole) = field(node, number)?;
        is_whole.then(|| String::from_utf8(text.to_vec()).ok())?
    };
    let id = text(1).filter(|id| !id.is_empty())?;
    Some((text(2).unwrap_or_default(), id))
}

/// What has come of a field that has a length, and whether that is all of it.
fn field(mut rest: &[u8], wanted: u32) -> Option<(&[u8], bool)> {
    loop {
        let (number, wire_type) = decode_key(&mut rest).ok()?;
        if wire_type != WireType::LengthDelimited {
            return None;
        }
        let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
        if number == wanted {
            return Some((&rest[..length.min(rest.len())], length <= rest.len()));
        }
        if length > rest.len() {
            return None;
        }
        rest.advance(length);
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::wire::{DeltaRequest, Request, StateRequest};

    #[derive(Clone, PartialEq, prost::Message)]
    struct Node {
        #[prost(string, tag = "1")]
        id: String,
        #[prost(string, tag = "2")]
        cluster: String,
        #[prost(string, tag = "6")]
        agent: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Delta {
        #[prost(message, optional, tag = "1")]
        node: Option<Node>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct State {
        #[prost(string, tag = "1")]
        version: String,
        #[prost(message, optional, tag = "2")]
        node: Option<Node>,
    }

    #[test]
    fn who_begins_is_told_by_the_beginning() {
        let node = |id: &str, cluster: &str| {
            let agent = "x".repeat(9_000);
            Some(Node { id: id.to_owned(), cluster: cluster.to_owned(), agent })
        };
        let known = Some(("edge".to_owned(), "one".to_owned()));
        let delta = Delta { node: node("one", "edge") }.encode_to_vec();
        let version = "1.7-00ff".to_owned();
        let state = State { version, node: node("one", "edge") }.encode_to_vec();
        for (message, field) in [(&delta, DeltaRequest::NODE), (&state, StateRequest::NODE)] {
            assert_eq!(who(&message[..BEGINNING_BYTES], field), known);
            assert_eq!(who(&message[..5], field), None, "it has not said it yet");
        }
        let nobody = Delta { node: node("", "edge") }.encode_to_vec();
        assert_eq!(who(&nobody, DeltaRequest::NODE), None);
        assert_eq!(who(&[0; 100], DeltaRequest::NODE), None);
        assert_eq!(who(&[0xff; 100], DeltaRequest::NODE), None);
    }

    #[test]
    fn a_session_is_counted_as_long_as_somebody_speaks() {
        let speakers = Arc::new(Speakers::default());
        let name = ("edge".to_owned(), "one".to_owned(), false);
        let count = speakers.of(&name);
        let stranger = |has_identity| {
            let speakers = speakers.clone();
            Speaker::Stranger { speakers, node: DeltaRequest::NODE, has_identity }
        };
        let node = Node { id: "one".to_owned(), cluster: "edge".to_owned(), ..Node::default() };
        let message = Delta { node: Some(node) }.encode_to_vec();
        let other = stranger(true).begins(&message);
        assert!(other.is_some() && !count.any(), "another session's");
        let first = stranger(false).begins(&message);
        let later = Speaker::Known(speakers.of(&name)).begins(&[]);
        drop(first);
        assert!(count.any());
        drop(later);
        assert!(!count.any());
    }
}
