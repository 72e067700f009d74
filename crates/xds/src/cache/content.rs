//! A resource's bytes, encoded once for every stream and both protocols.

use bytes::{BufMut, Bytes, BytesMut};
use model::{Resource, Version};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use crate::wire::WireResource;

/// An odd number without pattern, so that marks of similar resources differ everywhere.
pub(super) const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// An encoded `envoy.service.discovery.v3.Resource`, whose tail is the encoded `Any`, whose tail is
/// the body: one allocation.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) version: Version,
    /// The sequence number at which it came.
    pub(crate) changed: u64,
    /// What it adds to the digest of all that a client has of its type.
    pub(crate) mark: u64,
    wire: Bytes,
    any: u32,
    body: u32,
}

impl Content {
    pub(crate) fn new(resource: &Resource, changed: u64) -> Self {
        let url = resource.type_url.as_str();
        Self::encode(url, &resource.name, resource.version, &resource.body).since(changed)
    }

    /// The same, come at another time.
    pub(crate) fn since(self, changed: u64) -> Self {
        Self { changed, ..self }
    }

    pub(crate) fn encode(type_url: &str, name: &str, version: Version, body: &[u8]) -> Self {
        let head = WireResource { version: version.to_string(), name: name.to_owned() };
        let any_len = field_len(type_url.len()) + field_len(body.len());
        let mut wire = BytesMut::with_capacity(head.encoded_len() + field_len(any_len) + any_len);
        // BytesMut grows without limit, so encoding into it cannot fail.
        let _ = head.encode(&mut wire);
        put_len(2, any_len, &mut wire);
        let any = wire.len() as u32;
        put_len(1, type_url.len(), &mut wire);
        wire.put_slice(type_url.as_bytes());
        put_len(2, body.len(), &mut wire);
        let at = wire.len() as u32;
        wire.put_slice(body);
        let name = Version::hash_of(name.as_bytes());
        let mark = (name ^ version.hash.rotate_left(32)).wrapping_mul(MIX);
        Self { version, changed: 0, mark, wire: wire.freeze(), any, body: at }
    }

    /// The encoded `Resource` (delta).
    pub(crate) fn resource(&self) -> Bytes {
        self.wire.clone()
    }

    /// The encoded `Any` (state of the world).
    pub(crate) fn any(&self) -> Bytes {
        self.wire.slice(self.any as usize..)
    }

    pub(crate) fn body(&self) -> Bytes {
        self.wire.slice(self.body as usize..)
    }
}

fn put_len(tag: u32, len: usize, buf: &mut BytesMut) {
    encode_key(tag, WireType::LengthDelimited, buf);
    encode_varint(len as u64, buf);
}

/// The length of a field head (its tag is below 16) and its content.
fn field_len(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `google.protobuf.Any`.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Any {
        #[prost(string, tag = "1")]
        type_url: String,
        #[prost(bytes = "bytes", tag = "2")]
        value: Bytes,
    }

    /// `Resource` as the protocol writes it.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Whole {
        #[prost(string, tag = "3")]
        name: String,
        #[prost(string, tag = "1")]
        version: String,
        #[prost(message, optional, tag = "2")]
        resource: Option<Any>,
    }

    #[test]
    fn one_allocation_is_the_resource_its_any_and_its_body() {
        let version = Version { epoch: 1, revision: 7, hash: 0xabc };
        for body in [&b""[..], b"x", &[9; 70_000]] {
            let content = Content::encode("type.googleapis.com/a.B", "name", version, body);
            let any =
                Any { type_url: "type.googleapis.com/a.B".into(), value: body.to_vec().into() };
            assert_eq!(Any::decode(content.any()), Ok(any.clone()));
            assert_eq!(content.body(), body);
            let whole =
                Whole { name: "name".into(), version: version.to_string(), resource: Some(any) };
            assert_eq!(Whole::decode(content.resource()), Ok(whole));
        }
    }
}
