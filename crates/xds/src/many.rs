//! The long lists of a request, as they lie in its message: a client that comes back names a
//! hundred thousand resources, and nothing is made of each but what is looked for.

use bytes::{BufMut, Bytes};
use prost::DecodeError;
use prost::encoding::{
    DecodeContext, WireType, check_wire_type, decode_key, decode_varint, encode_key, encode_varint,
    skip_field,
};

/// An odd number without pattern.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The repeated field `FIELD` of a message: strings, bytes or messages.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Many<const FIELD: u32> {
    message: Bytes,
    len: usize,
}

/// One entry of a map from names to versions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) version: &'a [u8],
}

impl<const FIELD: u32> Many<FIELD> {
    /// Of a message, which may have other fields.
    pub(crate) fn of(message: &Bytes) -> Result<Self, DecodeError> {
        let mut len = 0;
        let mut rest = &message[..];
        while !rest.is_empty() {
            let (field, wire_type, _) = next(&mut rest)?;
            if field == FIELD {
                check_wire_type(WireType::LengthDelimited, wire_type)?;
                len += 1;
            }
        }
        let message = if len == 0 { Bytes::new() } else { message.clone() };
        Ok(Self { message, len })
    }

    /// Of entries, each a name and a version.
    pub(crate) fn of_entries<N, V>(entries: impl Iterator<Item = (N, V)>) -> Self
    where
        N: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let entry = |(name, version): (N, V)| {
            let mut entry = Vec::new();
            put(1, name.as_ref(), &mut entry);
            put(2, version.as_ref(), &mut entry);
            entry
        };
        entries.map(entry).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.message[..];
        // The message was read to its end before: what is not understood does not occur.
        let fields =
            std::iter::from_fn(move || if rest.is_empty() { None } else { next(&mut rest).ok() });
        fields.filter(|(field, ..)| *field == FIELD).map(|(.., value)| value)
    }

    /// Tells lists apart: the same list has the same.
    pub(crate) fn digest(&self) -> u64 {
        self.iter().fold(ODD, |sum, value| {
            let words = value.chunks(8).map(|chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                u64::from_le_bytes(word)
            });
            words.fold(mixed(sum, value.len() as u64), mixed)
        })
    }

    /// The same list of a map's entries.
    ///
    /// # Errors
    /// When one of them is no entry.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Result<Held<'_>, DecodeError>> {
        self.iter().map(Held::read)
    }
}

impl<'a> Held<'a> {
    fn read(mut entry: &'a [u8]) -> Result<Self, DecodeError> {
        let mut held = Self::default();
        while !entry.is_empty() {
            let (field, wire_type, value) = next(&mut entry)?;
            let part = match field {
                1 => &mut held.name,
                2 => &mut held.version,
                _ => continue,
            };
            check_wire_type(WireType::LengthDelimited, wire_type)?;
            *part = value;
        }
        Ok(held)
    }
}

fn mixed(sum: u64, word: u64) -> u64 {
    let product = u128::from(sum ^ word) * u128::from(ODD);
    product as u64 ^ (product >> 64) as u64
}

/// The next field: its number, its kind and, if it has a length, its bytes.
fn next<'a>(rest: &mut &'a [u8]) -> Result<(u32, WireType, &'a [u8]), DecodeError> {
    let (field, wire_type) = decode_key(rest)?;
    let from = *rest;
    skip_field(wire_type, field, rest, DecodeContext::default())?;
    let mut value = &from[..from.len() - rest.len()];
    if wire_type == WireType::LengthDelimited {
        decode_varint(&mut value)?;
    }
    Ok((field, wire_type, value))
}

fn put(field: u32, value: &[u8], buffer: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, buffer);
    encode_varint(value.len() as u64, buffer);
    buffer.put_slice(value);
}

impl<const FIELD: u32, T: AsRef<[u8]>> FromIterator<T> for Many<FIELD> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let (mut message, mut len) = (Vec::new(), 0);
        for value in values {
            put(FIELD, value.as_ref(), &mut message);
            len += 1;
        }
        Self { message: message.into(), len }
    }
}

impl<const FIELD: u32> std::fmt::Debug for Many<FIELD> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(String::from_utf8_lossy)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(fields: &[(u32, &[u8])]) -> Bytes {
        let mut message = Vec::new();
        for (field, value) in fields {
            put(*field, value, &mut message);
        }
        message.into()
    }

    #[test]
    fn a_list_is_found_among_other_fields_in_its_order() {
        let mut bytes =
            message(&[(3, b"b"), (2, b"type"), (3, b""), (4, b"x"), (3, b"a")]).to_vec();
        encode_key(9, WireType::Varint, &mut bytes);
        encode_varint(300, &mut bytes);
        let bytes = Bytes::from(bytes);
        let many = Many::<3>::of(&bytes).unwrap();
        assert_eq!(many.iter().collect::<Vec<_>>(), [&b"b"[..], b"", b"a"]);
        assert_eq!((many.len(), Many::<5>::of(&bytes).unwrap().is_empty()), (3, true));
        let same: Many<3> = many.iter().collect();
        assert_eq!(same.iter().collect::<Vec<_>>(), many.iter().collect::<Vec<_>>());
    }

    #[test]
    fn lists_that_differ_are_told_apart_whatever_is_beside_them() {
        let digest = |fields: &[(u32, &[u8])]| Many::<3>::of(&message(fields)).unwrap().digest();
        let one = digest(&[(3, b"public/a"), (3, b"b")]);
        assert_eq!(one, digest(&[(5, b"nonce"), (3, b"public/a"), (2, b"x"), (3, b"b")]));
        let others: [&[(u32, &[u8])]; 7] = [
            &[],
            &[(3, b"")],
            &[(3, b"public/a")],
            &[(3, b"b"), (3, b"public/a")],
            &[(3, b"public/ab")],
            &[(3, b"public/a"), (3, b"b\0")],
            &[(3, b"public/"), (3, b"ab")],
        ];
        let all: std::collections::HashSet<u64> = others.into_iter().map(digest).collect();
        assert!(all.len() == others.len() && !all.contains(&one));
    }

    #[test]
    fn entries_are_names_and_versions_whichever_comes_first() {
        let turned = message(&[(2, b"2"), (7, b"?"), (1, b"b")]);
        let straight = Many::<5>::of_entries([("a", "1"), ("c", "")].into_iter());
        let straight: Vec<&[u8]> = straight.iter().collect();
        let all = message(&[(5, straight[0]), (5, &turned), (5, straight[1]), (5, b"")]);
        let many = Many::<5>::of(&all).unwrap();
        let read: Result<Vec<_>, _> = many.entries().collect();
        let held = |(name, version): (&'static [u8], &'static [u8])| Held { name, version };
        assert_eq!(
            read.unwrap(),
            [(&b"a"[..], &b"1"[..]), (b"b", b"2"), (b"c", b""), (b"", b"")].map(held)
        );
    }

    #[test]
    fn what_is_broken_is_an_error() {
        for broken in [&[0x1a, 5, b'x'][..], &[0x1a], &[0x18, 0x01], &[0x1a, 0xff], &[0x1b, 0x01]] {
            assert!(Many::<3>::of(&Bytes::copy_from_slice(broken)).is_err(), "{broken:?}");
        }
        for broken in [&[0x0a, 9, b'x'][..], &[0x08, 0x01], &[0x0a], &[0x12, 0xff, 0xff]] {
            let many = Many::<5>::of(&message(&[(5, broken)])).unwrap();
            assert!(many.entries().any(|it| it.is_err()), "{broken:?}");
        }
    }
}
