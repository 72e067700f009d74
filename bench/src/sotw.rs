//! As much of a proxy's side of the state-of-the-world protocol as a load needs. Responses may be
//! megabytes to each of thousands: they are read as they come, and never held.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};

use crate::product::GROUP;
use crate::proxy::{Known, Node, TYPES, is_named, node};
use crate::wire::{begun_with, frame, head};

/// Flag and length before each message.
const HEAD_BYTES: usize = 5;
/// The longest key and length of a field.
const FIELD_HEAD_BYTES: usize = 15;
/// As much of a resource as is looked at: its type and its name come first.
const LOOK_BYTES: usize = 512;
/// The numbers of `DiscoveryResponse`'s fields.
const VERSION: u32 = 1;
const RESOURCES: u32 = 2;
const TYPE_URL: u32 = 4;
const NONCE: u32 = 5;

/// `envoy.service.discovery.v3.DiscoveryRequest`, without its names.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(message, optional, tag = "2")]
    node: Option<Node>,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    nonce: String,
}

/// What a stream begins with: these words, and in the first of them who speaks.
pub(crate) fn introduced(id: &str, words: &[Bytes]) -> Vec<Bytes> {
    begun_with(&Request { node: Some(node(id, GROUP)), ..Request::default() }, words)
}

/// What all proxies say alike: of each type the names that they ask for, encoded, and the version that
/// they come back with.
#[derive(Debug, Default, Clone)]
pub(crate) struct Script {
    names: BTreeMap<&'static str, Bytes>,
    versions: BTreeMap<String, String>,
}

impl Script {
    /// Of proxies that shall have all this, and have nothing.
    pub(crate) fn new(known: &Known) -> Self {
        let named = TYPES.iter().filter(|it| is_named(it));
        let names = named.map(|it| (*it, encode(known.asked(it).iter())));
        Self { names: names.collect(), versions: BTreeMap::new() }
    }

    /// The same, of proxies that had these versions.
    pub(crate) fn with(self, versions: BTreeMap<String, String>) -> Self {
        Self { versions, ..self }
    }

    /// What a proxy says when it comes, once it is introduced.
    pub(crate) fn comes(&self) -> Vec<Bytes> {
        let asks = |it: &&&str| self.names.get(**it).is_none_or(|names| !names.is_empty());
        let hello = |type_url: &&str| {
            let version = self.versions.get(*type_url).cloned().unwrap_or_default();
            let type_url = (*type_url).to_owned();
            self.says(Request { version, type_url, ..Request::default() })
        };
        TYPES.iter().filter(asks).flat_map(hello).collect()
    }

    /// That it has a response; with all names of its type, each time, as the protocol wants it.
    fn has(&self, response: &Response) -> Vec<Bytes> {
        let Response { version, type_url, nonce, .. } = response.clone();
        self.says(Request { version, type_url, nonce, node: None })
    }

    fn says(&self, request: Request) -> Vec<Bytes> {
        let Some(names) = self.names.get(request.type_url.as_str()) else {
            return vec![frame(&request)];
        };
        vec![head(&request, names.len()), names.clone()]
    }
}

/// `resource_names`.
fn encode<'a>(names: impl Iterator<Item = &'a String>) -> Bytes {
    let mut bytes = BytesMut::new();
    for name in names {
        encode_key(3, WireType::LengthDelimited, &mut bytes);
        encode_varint(name.len() as u64, &mut bytes);
        bytes.put_slice(name.as_bytes());
    }
    bytes.freeze()
}

/// What is kept of a response.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Response {
    pub(crate) version: String,
    pub(crate) type_url: String,
    pub(crate) nonce: String,
    /// The resource that was looked for is in it.
    pub(crate) found: bool,
}

/// One proxy's side of a stream.
#[derive(Debug)]
pub(crate) struct Proxy {
    script: Arc<Script>,
    buffer: BytesMut,
    /// Bytes of the message that are not read yet; `None` between messages.
    left: Option<usize>,
    /// Bytes of its field that nobody looks at.
    skip: usize,
    response: Response,
}

impl Proxy {
    pub(crate) fn new(script: Arc<Script>) -> Self {
        let (buffer, response) = (BytesMut::new(), Response::default());
        Self { script, buffer, left: None, skip: 0, response }
    }

    /// Takes bytes of the stream; the next whole response that they make, and what it says to it.
    /// `wanted` is looked for among the names of resources.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        wanted: &str,
    ) -> Result<Option<(Response, Vec<Bytes>)>> {
        let unseen = self.pass(bytes.len());
        self.buffer.extend_from_slice(&bytes[unseen..]);
        while self.step(wanted)? {
            if self.left == Some(0) {
                self.left = None;
                let response = std::mem::take(&mut self.response);
                let says = self.script.has(&response);
                return Ok(Some((response, says)));
            }
        }
        if self.buffer.is_empty() {
            // A stream holds no memory while nothing happens.
            self.buffer = BytesMut::new();
        }
        Ok(None)
    }

    /// Of so many bytes, those that nobody looks at.
    fn pass(&mut self, available: usize) -> usize {
        let passed = self.skip.min(available);
        self.skip -= passed;
        self.left = self.left.map(|left| left - passed);
        passed
    }

    /// Reads a head or a field, if it is there.
    fn step(&mut self, wanted: &str) -> Result<bool> {
        let passed = self.pass(self.buffer.len());
        self.buffer.advance(passed);
        if self.skip > 0 {
            return Ok(false);
        }
        let Some(left) = self.left else { return Ok(self.begin()) };
        if left == 0 {
            return Ok(true);
        }
        let mut rest = &self.buffer[..];
        let known = rest.len() >= FIELD_HEAD_BYTES.min(left);
        if !known {
            return Ok(false);
        }
        let (number, kind) = decode_key(&mut rest)?;
        if kind != WireType::LengthDelimited {
            bail!("field {number} of a response is a {kind:?}");
        }
        let length = usize::try_from(decode_varint(&mut rest)?)?;
        let head = self.buffer.len() - rest.len();
        let needed = match number {
            RESOURCES => length.min(LOOK_BYTES),
            VERSION | TYPE_URL | NONCE => length,
            _ => 0,
        };
        let Some(seen) = rest.get(..needed) else { return Ok(false) };
        let text = || String::from_utf8(seen.to_vec()).context("a response's text");
        match number {
            VERSION => self.response.version = text()?,
            TYPE_URL => self.response.type_url = text()?,
            NONCE => self.response.nonce = text()?,
            RESOURCES => self.response.found |= name_of(seen) == Some(wanted.as_bytes()),
            _ => {}
        }
        self.skip = head + length;
        let passed = self.pass(self.buffer.len());
        self.buffer.advance(passed);
        Ok(self.skip == 0)
    }

    fn begin(&mut self) -> bool {
        let Some(head) = self.buffer.first_chunk::<HEAD_BYTES>() else { return false };
        self.left = Some(u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize);
        self.buffer.advance(HEAD_BYTES);
        true
    }
}

/// The name of a resource, in the beginning of its `Any`: whatever has a name has it first.
fn name_of(mut any: &[u8]) -> Option<&[u8]> {
    let url = opened(&mut any, 1)?;
    any = any.get(url..)?;
    opened(&mut any, 2)?;
    let name = opened(&mut any, 1)?;
    any.get(..name)
}

/// Goes into this field; how long it is.
fn opened(bytes: &mut &[u8], number: u32) -> Option<usize> {
    let (found, kind) = decode_key(bytes).ok()?;
    let here = found == number && kind == WireType::LengthDelimited;
    here.then(|| decode_varint(bytes).ok()?.try_into().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use model::type_urls;

    use super::*;
    use crate::wire::Any;

    #[derive(Clone, PartialEq, Message)]
    struct Whole {
        #[prost(string, tag = "1")]
        version: String,
        #[prost(message, repeated, tag = "2")]
        resources: Vec<Any>,
        #[prost(string, tag = "4")]
        type_url: String,
        #[prost(string, tag = "5")]
        nonce: String,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Named {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(bytes = "vec", tag = "2")]
        more: Vec<u8>,
    }

    fn response(nonce: &str, resources: usize, bytes: usize) -> Bytes {
        let one = |n| {
            let named = Named { name: format!("r{n}"), more: vec![7; bytes] };
            let type_url = type_urls::CLUSTER.to_owned();
            Any { type_url, value: named.encode_to_vec().into() }
        };
        frame(&Whole {
            version: format!("v{nonce}"),
            resources: (0..resources).map(one).collect(),
            type_url: type_urls::CLUSTER.to_owned(),
            nonce: nonce.to_owned(),
        })
    }

    #[test]
    fn responses_are_read_however_they_are_cut() {
        let all = [response("1", 3, 2_000), response("2", 0, 0), response("3", 40, 1)].concat();
        for size in [1, 7, 100, 1_000, all.len()] {
            let mut proxy = Proxy::new(Arc::default());
            let mut heard = Vec::new();
            for chunk in all.chunks(size) {
                let mut rest = chunk;
                while let Some((response, says)) =
                    proxy.take(std::mem::take(&mut rest), "r30").unwrap()
                {
                    assert_eq!(says.len(), 1);
                    heard.push((response.nonce, response.version, response.found));
                }
            }
            let expected = [("1", "v1", false), ("2", "v2", false), ("3", "v3", true)];
            let expected = expected.map(|(a, b, found)| (a.to_owned(), b.to_owned(), found));
            assert_eq!(heard, expected, "in pieces of {size}");
            assert_eq!(proxy.buffer.capacity(), 0);
        }
    }
}
