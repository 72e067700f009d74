//! As much of the delta protocol as the bare server needs, by hand: it shares nothing with what it
//! is measured against.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Any {
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: Bytes,
}

/// `envoy.service.discovery.v3.Resource`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Resource {
    #[prost(string, tag = "1")]
    pub(crate) version: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) resource: Option<Any>,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
}

/// `envoy.service.discovery.v3.DeltaDiscoveryRequest`, without its node.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Request {
    #[prost(string, tag = "2")]
    pub(crate) type_url: String,
    #[prost(string, repeated, tag = "3")]
    pub(crate) subscribe: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    pub(crate) unsubscribe: Vec<String>,
    #[prost(string, tag = "6")]
    pub(crate) nonce: String,
    #[prost(message, optional, tag = "7")]
    pub(crate) error: Option<Status>,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Status {
    #[prost(string, tag = "2")]
    pub(crate) message: String,
}

/// `envoy.service.discovery.v3.DeltaDiscoveryResponse`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Response {
    #[prost(message, repeated, tag = "2")]
    pub(crate) resources: Vec<Resource>,
    #[prost(string, tag = "4")]
    pub(crate) type_url: String,
    #[prost(string, tag = "5")]
    pub(crate) nonce: String,
    #[prost(string, repeated, tag = "6")]
    pub(crate) removed: Vec<String>,
}

/// The number of no field.
const UNKNOWN: u32 = 15;
/// Its key and its length, of what proxies say.
const PADDING_HEAD_BYTES: usize = 4;

/// Flag and length before each message.
const HEAD_BYTES: usize = 5;

/// The messages of a stream, whole, however their bytes come.
#[derive(Debug, Default)]
pub(crate) struct Messages(BytesMut);

impl Messages {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next one, if it is there.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        let head = self.0.first_chunk::<HEAD_BYTES>()?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if self.0.len() < length + HEAD_BYTES {
            return None;
        }
        self.0.advance(HEAD_BYTES);
        let message = self.0.split_to(length).freeze();
        if self.0.is_empty() {
            // A stream holds no memory while nothing happens.
            self.0 = BytesMut::new();
        }
        Some(message)
    }

    /// What was begun is not continued.
    pub(crate) fn clear(&mut self) {
        self.0 = BytesMut::new();
    }
}

/// That a response is taken; or, in these words, why it is not.
pub(crate) fn answer(response: &Response, error: Option<&str>) -> Bytes {
    let (type_url, nonce) = (response.type_url.clone(), response.nonce.clone());
    let error = error.map(|message| Status { message: message.to_owned() });
    frame(&Request { type_url, nonce, error, ..Request::default() })
}

/// Framed messages, the first of them with these fields before its own. (Of its bytes some may come
/// apart.)
pub(crate) fn begun_with(fields: &impl Message, messages: &[Bytes]) -> Vec<Bytes> {
    let Some((first, others)) = messages.split_first() else { return Vec::new() };
    let (mut length, own) = (first.slice(1..HEAD_BYTES), first.slice(HEAD_BYTES..));
    let begin = head(fields, length.get_u32() as usize);
    [begin, own].into_iter().chain(others.iter().cloned()).collect()
}

/// Framed messages, the last of which is a single one; if they are shorter together than `zeros`, it is
/// made longer by these, in a field that nobody knows.
pub(crate) fn padded(mut messages: Vec<Bytes>, zeros: &Bytes) -> Vec<Bytes> {
    let said: usize = messages.iter().map(Bytes::len).sum();
    let Some(missing) = zeros.len().checked_sub(said + PADDING_HEAD_BYTES) else { return messages };
    if let Some(last) = messages.pop() {
        let mut own = last[HEAD_BYTES..].to_vec();
        encode_key(UNKNOWN, WireType::LengthDelimited, &mut own);
        encode_varint(missing as u64, &mut own);
        let mut longer = vec![0];
        longer.put_u32((own.len() + missing) as u32);
        longer.append(&mut own);
        messages.extend([longer.into(), zeros.slice(..missing)]);
    }
    messages
}

/// One gRPC message with its five bytes before it.
pub(crate) fn frame(message: &impl Message) -> Bytes {
    head(message, 0)
}

/// The beginning of a message, of which so many bytes are elsewhere.
pub(crate) fn head(fields: &impl Message, elsewhere: usize) -> Bytes {
    let length = fields.encoded_len();
    let mut head = Vec::with_capacity(HEAD_BYTES + length);
    head.push(0);
    head.extend_from_slice(&u32::try_from(length + elsewhere).unwrap_or(u32::MAX).to_be_bytes());
    fields.encode_raw(&mut head);
    head.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_begins_with_one_message_though_its_bytes_come_apart() {
        let request =
            |type_url: &str| Request { type_url: type_url.to_owned(), ..Request::default() };
        let (fields, own, next) = (request(""), request("own"), request("next"));
        let apart = own.encode_to_vec();
        let first = [head(&Request { nonce: "1".to_owned(), ..fields }, apart.len()), apart.into()];
        let begin = Request { subscribe: vec!["who".to_owned()], ..request("") };
        let all = begun_with(&begin, &[&first[..], &[frame(&next)]].concat());
        let mut messages = Messages::default();
        all.iter().for_each(|bytes| messages.push(bytes));
        let whole = Request { nonce: "1".to_owned(), subscribe: begin.subscribe, ..own };
        for is in [whole, next] {
            assert_eq!(messages.next().map(Request::decode), Some(Ok(is)));
        }
    }
}
