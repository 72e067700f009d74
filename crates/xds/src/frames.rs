//! gRPC's framing on HTTP/2 bodies: five bytes before each message, trailers at the end.
//!
//! Written out instead of taken from tonic's codec for two reasons: a received message's buffer is
//! given back when the message was large (a client that comes back sends megabytes, once), and
//! what is sent can be bytes that all streams share.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use prost::Message;
use tokio::sync::mpsc;
use tonic::Status;

/// Flag and length before each message.
const HEAD_BYTES: usize = 5;
/// A buffer that grew beyond this for a large message is given back after it.
const KEPT_BYTES_MAX: usize = 16 << 10;

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
        if self.buffer.len() < HEAD_BYTES + len {
            return Ok(None);
        }
        self.buffer.advance(HEAD_BYTES);
        let message = self.buffer.split_to(len).freeze();
        if self.buffer.is_empty() && len > KEPT_BYTES_MAX {
            self.buffer = BytesMut::new();
        }
        Ok(Some(message))
    }
}

/// A message as it goes on the wire.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let len = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(HEAD_BYTES + len);
    bytes.put_u8(0);
    bytes.put_u32(len as u32);
    // BytesMut grows, so encoding into it cannot fail.
    let _ = message.encode(&mut bytes);
    bytes.freeze()
}

/// What a stream sends: framed messages, then how it ended.
pub(crate) struct Outbound {
    messages: mpsc::Receiver<Result<Bytes, Status>>,
    ended: bool,
}

impl Outbound {
    pub(crate) fn new(messages: mpsc::Receiver<Result<Bytes, Status>>) -> Self {
        Self { messages, ended: false }
    }
}

impl Body for Outbound {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.messages.poll_recv(context).map(|message| {
            let status = match message {
                Some(Ok(bytes)) => return Some(Ok(Frame::data(bytes))),
                Some(Err(status)) => status,
                None => Status::ok(""),
            };
            self.ended = true;
            let mut trailers = HeaderMap::new();
            Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers)))
        })
    }
}
