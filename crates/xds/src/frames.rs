//! gRPC's framing on HTTP/2 bodies: five bytes before each message, trailers at the end.
//!
//! Written out instead of taken from tonic's codec for two reasons: a received message's buffer is
//! given back after it (a client that comes back sends megabytes, once, and then little), and what
//! is sent can be bytes that all streams share.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use prost::Message;
use tokio::sync::mpsc;
use tonic::Status;

use crate::service::Place;

/// Flag and length before each message.
const HEAD_BYTES: usize = 5;
/// Room is made for so many times what has come of a message.
const PROMISED: usize = 8;

/// The messages of a client.
pub(crate) struct Inbound {
    body: tonic::body::Body,
    buffer: BytesMut,
    limit: usize,
}

impl Inbound {
    /// Messages of `limit` bytes at most.
    pub(crate) fn new(body: tonic::body::Body, limit: usize) -> Self {
        Self { body, buffer: BytesMut::new(), limit }
    }

    /// The next message's bytes; `None` when the client has said its last.
    ///
    /// Nothing is lost when the future is dropped: what was read stays in the buffer.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = self.whole()? {
                return Ok(Some(message));
            }
            match self.body.frame().await {
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(Status::internal("the stream ended within a message")),
                Some(Err(status)) => return Err(status),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.put(data);
                    }
                }
            }
        }
    }

    fn whole(&mut self) -> Result<Option<Bytes>, Status> {
        let Some(mut head) = self.buffer.get(..HEAD_BYTES) else { return Ok(None) };
        if head.get_u8() != 0 {
            return Err(Status::unimplemented("messages are not to be compressed"));
        }
        let len = head.get_u32() as usize;
        if len > self.limit {
            let text = format!("a message of {len} bytes; the limit is {}", self.limit);
            return Err(Status::resource_exhausted(text));
        }
        let missing = (HEAD_BYTES + len).saturating_sub(self.buffer.len());
        if missing > 0 {
            // Room for all of it at once, once so much has come that it is no idle promise: growing
            // again and again would take twice as much, and copy it each time.
            if missing < PROMISED * self.buffer.len() {
                self.buffer.reserve(missing);
            }
            return Ok(None);
        }
        self.buffer.advance(HEAD_BYTES);
        let message = self.buffer.split_to(len).freeze();
        if self.buffer.is_empty() {
            // A stream that waits holds no memory for what it may hear.
            self.buffer = BytesMut::new();
        }
        Ok(Some(message))
    }
}

/// A message as it goes on the wire, in two parts, of which the second may be shared.
#[derive(Debug)]
pub(crate) struct Framed {
    head: Bytes,
    tail: Bytes,
}

impl Framed {
    /// The message that `fields` and `tail`, the encoding of further fields, are together.
    pub(crate) fn new(fields: &impl Message, tail: Bytes) -> Self {
        let len = fields.encoded_len();
        let mut head = BytesMut::with_capacity(HEAD_BYTES + len);
        head.put_u8(0);
        head.put_u32((len + tail.len()) as u32);
        // BytesMut grows, so encoding into it cannot fail.
        let _ = fields.encode(&mut head);
        Self { head: head.freeze(), tail }
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
                Some(Ok(message)) => {
                    self.tail = message.tail;
                    return Some(Ok(Frame::data(message.head)));
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
