//! gRPC's framing of what is sent: five bytes before each message, trailers at the end.
//!
//! Written out instead of taken from tonic's codec, so that what is sent can be bytes that all
//! streams share.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};
use prost::Message;
use tokio::sync::mpsc;
use tonic::Status;

use crate::service::Place;

/// Flag and length before each message.
pub(crate) const HEAD_BYTES: usize = 5;

/// A shorter second part is put behind the first: it is sooner copied than sent beside it.
const SHORT_BYTES: usize = 2 << 10;

/// A message as it goes on the wire. In a place of its own: the queue of each stream, which has hardly
/// ever one, has room for many.
#[derive(Debug)]
pub(crate) struct Framed(Box<Parts>);

/// Two parts of a message, of which the second may be shared.
#[derive(Debug)]
struct Parts {
    head: Bytes,
    tail: Bytes,
}

impl Framed {
    /// The message that `fields` and `tail`, the encoding of further fields, are together.
    pub(crate) fn new(fields: &impl Message, tail: Bytes) -> Self {
        let len = fields.encoded_len();
        let is_short = tail.len() <= SHORT_BYTES;
        let copied = if is_short { tail.len() } else { 0 };
        let mut head = BytesMut::with_capacity(HEAD_BYTES + len + copied);
        head.put_u8(0);
        head.put_u32((len + tail.len()) as u32);
        // BytesMut grows, so encoding into it cannot fail.
        let _ = fields.encode(&mut head);
        if is_short {
            head.put_slice(&tail);
        }
        let tail = if is_short { Bytes::new() } else { tail };
        Self(Box::new(Parts { head: head.freeze(), tail }))
    }
}

/// What a stream sends: framed messages, then how it ended.
pub(crate) struct Outbound {
    messages: mpsc::Receiver<Result<Framed, Status>>,
    /// The second part of the message whose first was sent.
    tail: Bytes,
    ended: bool,
    _place: Arc<Place>,
}

impl Outbound {
    pub(crate) fn new(messages: mpsc::Receiver<Result<Framed, Status>>, place: Arc<Place>) -> Self {
        Self { messages, tail: Bytes::new(), ended: false, _place: place }
    }
}

impl Body for Outbound {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if !self.tail.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.tail)))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        self.messages.poll_recv(context).map(|message| {
            let status = match message {
                Some(Ok(Framed(parts))) => {
                    self.tail = parts.tail;
                    return Some(Ok(Frame::data(parts.head)));
                }
                Some(Err(status)) => status,
                None => Status::ok(""),
            };
            self.ended = true;
            let mut trailers = HeaderMap::new();
            Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers)))
        })
    }
}
