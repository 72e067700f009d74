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
    /// From the first to the last.
    fields: Bytes,
    len: usize,
    /// There is nothing else between them.
    is_pure: bool,
    trace: Option<Trace>,
}

/// One entry of a map from names to versions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) version: &'a [u8],
}

/// Takes a message apart: the fields `LISTS`, which may be long, and the others, as a message. `known`
/// tells of the bytes from some field on whether they begin with a list that was read before: it is not
/// gone through again.
pub(crate) fn part<const N: usize>(
    message: &Bytes,
    lists: [u32; N],
    known: impl Fn(&[u8]) -> Option<Trace>,
) -> Result<([Span; N], Vec<u8>), DecodeError> {
    let (mut spans, mut others) = ([Span::default(); N], Vec::new());
    let mut rest = &message[..];
    while !rest.is_empty() {
        let (before, from) = (rest, message.len() - rest.len());
        let (field, wire_type, _) = next(&mut rest)?;
        let upto = message.len() - rest.len();
        let Some(at) = lists.iter().position(|list| *list == field) else {
            others.extend_from_slice(&message[from..upto]);
            continue;
        };
        check_wire_type(WireType::LengthDelimited, wire_type)?;
        let is_first = spans[at].len == 0;
        match is_first.then(|| known(before)).flatten() {
            Some(trace) => {
                rest = &before[trace.bytes..];
                spans[at].begin(from, trace);
            }
            None => spans[at].grow(from, upto),
        }
    }
    Ok((spans, others))
}

/// What a list leaves behind that was read, so that it is known where it comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Trace {
    bytes: usize,
    len: usize,
    /// Of its first bytes, so that no other need be gone through to its end.
    beginning: u64,
    digest: u64,
}

/// As much of a list tells most others from it.
const BEGINNING_BYTES: usize = 32;

impl Trace {
    /// Whether these bytes begin with it, and it is of something.
    pub(crate) fn begins(&self, bytes: &[u8]) -> bool {
        let Some(same) = bytes.get(..self.bytes).filter(|same| !same.is_empty()) else {
            return false;
        };
        digest(beginning(same)) == self.beginning && digest(same) == self.digest
    }
}

fn beginning(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(BEGINNING_BYTES)]
}

/// Where in a message the fields of a list are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Span {
    from: usize,
    upto: usize,
    /// Of the fields alone.
    bytes: usize,
    len: usize,
    /// If it is a list that is known, and nothing more.
    trace: Option<Trace>,
}

impl Span {
    fn begin(&mut self, from: usize, trace: Trace) {
        let Trace { bytes, len, .. } = trace;
        *self = Self { from, upto: from + bytes, bytes, len, trace: Some(trace) };
    }

    fn grow(&mut self, from: usize, upto: usize) {
        if self.len == 0 {
            self.from = from;
        }
        self.upto = upto;
        self.bytes += upto - from;
        self.len += 1;
        self.trace = None;
    }
}

impl<const FIELD: u32> Many<FIELD> {
    /// Of the message that was parted so.
    pub(crate) fn of(message: &Bytes, span: Span) -> Self {
        let is_pure = span.bytes == span.upto - span.from;
        let fields = if span.len == 0 { Bytes::new() } else { message.slice(span.from..span.upto) };
        Self { fields, len: span.len, is_pure, trace: span.trace }
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
        let mut rest = &self.fields[..];
        // The message was read to its end before: what is not understood does not occur.
        let fields =
            std::iter::from_fn(move || if rest.is_empty() { None } else { next(&mut rest).ok() });
        fields.filter(|(field, ..)| *field == FIELD).map(|(.., value)| value)
    }

    /// Tells lists apart: the same list has the same, as long as it is written the same way.
    pub(crate) fn trace(&self) -> Trace {
        self.trace.unwrap_or_else(|| match self.is_pure {
            true => self.traced(),
            false => self.iter().collect::<Self>().traced(),
        })
    }

    fn traced(&self) -> Trace {
        let (bytes, len) = (self.fields.len(), self.len);
        let (beginning, digest) = (digest(beginning(&self.fields)), digest(&self.fields));
        Trace { bytes, len, beginning, digest }
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

/// Of a digest: each step of one waits for the one before.
const STRANDS: usize = 8;

fn digest(bytes: &[u8]) -> u64 {
    let word = |word: &[u8; 8]| u64::from_le_bytes(*word);
    let (words, last) = bytes.as_chunks::<8>();
    let (rows, words) = words.as_chunks::<STRANDS>();
    let mut strands = [ODD; STRANDS];
    for row in rows {
        for (strand, bytes) in strands.iter_mut().zip(row) {
            *strand = mixed(*strand, word(bytes));
        }
    }
    let mut rest = [0; 8];
    rest[..last.len()].copy_from_slice(last);
    let words = words.iter().map(word).chain([word(&rest), bytes.len() as u64]);
    words.chain(strands).fold(ODD, mixed)
}

fn mixed(sum: u64, word: u64) -> u64 {
    let product = u128::from(sum ^ word) * u128::from(ODD);
    product as u64 ^ (product >> 64) as u64
}

/// The next field: its number, its kind and, if it has a length, its bytes.
fn next<'a>(rest: &mut &'a [u8]) -> Result<(u32, WireType, &'a [u8]), DecodeError> {
    let (field, wire_type) = decode_key(rest)?;
    let from = *rest;
    if wire_type == WireType::LengthDelimited {
        let len = usize::try_from(decode_varint(rest)?).unwrap_or(usize::MAX);
        if let Some((value, after)) = rest.split_at_checked(len) {
            *rest = after;
            return Ok((field, wire_type, value));
        }
        // Its error is told below.
        *rest = from;
    }
    skip_field(wire_type, field, rest, DecodeContext::default())?;
    Ok((field, wire_type, &from[..from.len() - rest.len()]))
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
        Self { fields: message.into(), len, is_pure: true, trace: None }
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

    fn list<const FIELD: u32>(message: &Bytes) -> Result<Many<FIELD>, DecodeError> {
        let ([span], _) = part(message, [FIELD], |_| None)?;
        Ok(Many::of(message, span))
    }

    #[test]
    fn a_list_is_found_among_other_fields_in_its_order() {
        let mut bytes =
            message(&[(3, b"b"), (2, b"type"), (3, b""), (4, b"x"), (3, b"a")]).to_vec();
        encode_key(9, WireType::Varint, &mut bytes);
        encode_varint(300, &mut bytes);
        let bytes = Bytes::from(bytes);
        let ([threes, fives], others) = part(&bytes, [3, 5], |_| None).unwrap();
        let many = Many::<3>::of(&bytes, threes);
        assert_eq!(many.iter().collect::<Vec<_>>(), [&b"b"[..], b"", b"a"]);
        assert_eq!((many.len(), Many::<5>::of(&bytes, fives).is_empty()), (3, true));
        let mut beside = message(&[(2, b"type"), (4, b"x")]).to_vec();
        encode_key(9, WireType::Varint, &mut beside);
        encode_varint(300, &mut beside);
        assert_eq!(others, beside);
        let same: Many<3> = many.iter().collect();
        assert_eq!(same.iter().collect::<Vec<_>>(), many.iter().collect::<Vec<_>>());
    }

    #[test]
    fn lists_that_differ_are_told_apart_whatever_is_beside_them() {
        let trace = |fields: &[(u32, &[u8])]| list::<3>(&message(fields)).unwrap().trace();
        let one = trace(&[(3, b"public/a"), (3, b"b")]);
        assert_eq!(one, trace(&[(5, b"nonce"), (3, b"public/a"), (2, b"x"), (3, b"b")]));
        let others: [&[(u32, &[u8])]; 7] = [
            &[],
            &[(3, b"")],
            &[(3, b"public/a")],
            &[(3, b"b"), (3, b"public/a")],
            &[(3, b"public/ab")],
            &[(3, b"public/a"), (3, b"b\0")],
            &[(3, b"public/"), (3, b"ab")],
        ];
        let all: std::collections::HashSet<_> = others.into_iter().map(trace).collect();
        assert!(all.len() == others.len() && !all.contains(&one));
        // Each byte of a long one counts, and that its parts come in this order.
        let long: Vec<String> = (0..20).map(|n| format!("public/name-{n}")).collect();
        let trace = |names: &[String]| names.iter().collect::<Many<3>>().trace();
        let mut seen = std::collections::HashSet::from([trace(&long)]);
        for at in 0..long.len() {
            for byte in 0..long[at].len() {
                let mut other = long.clone();
                other[at].replace_range(byte..=byte, "~");
                assert!(seen.insert(trace(&other)), "{other:?}");
            }
            let mut turned = long.clone();
            turned.swap(at, (at + 1) % 20);
            assert!(seen.insert(trace(&turned)), "{turned:?}");
        }
    }

    #[test]
    fn a_list_that_is_known_is_known_again_and_no_other() {
        let names: Vec<String> = (0..100).map(|n| format!("public/name-{n}")).collect();
        let fields = |names: &[String], nonce: &[u8]| {
            let names = names.iter().map(|name| (3, name.as_bytes()));
            let all: Vec<_> = [(1, nonce)].into_iter().chain(names).chain([(5, nonce)]).collect();
            message(&all)
        };
        let list = |names: &[String]| list::<3>(&fields(names, b"1")).unwrap();
        let (known, nothing) = (list(&names).trace(), Many::<3>::default().trace());
        let mut last = names.clone();
        last[99].push('~');
        let twice = [names.clone(), names.clone()].concat();
        let others = [&names[..], &names[..99], &names[1..], &last, &[], &twice];
        for (at, other) in others.into_iter().enumerate() {
            let begins = |rest: &[u8]| [nothing, known].into_iter().find(|it| it.begins(rest));
            let bytes = fields(other, b"22");
            let ([span], others) = part(&bytes, [3], begins).unwrap();
            assert_eq!(span.trace.is_some(), at == 0, "only what is known is not gone through");
            let read = Many::<3>::of(&bytes, span);
            assert_eq!(read.iter().collect::<Vec<_>>(), list(other).iter().collect::<Vec<_>>());
            assert_eq!((read.len(), read.trace()), (other.len(), list(other).trace()));
            assert_eq!(read.trace() == known, at == 0);
            assert_eq!(others, message(&[(1, b"22"), (5, b"22")]));
        }
    }

    #[test]
    fn entries_are_names_and_versions_whichever_comes_first() {
        let turned = message(&[(2, b"2"), (7, b"?"), (1, b"b")]);
        let straight = Many::<5>::of_entries([("a", "1"), ("c", "")].into_iter());
        let straight: Vec<&[u8]> = straight.iter().collect();
        let all = message(&[(5, straight[0]), (5, &turned), (5, straight[1]), (5, b"")]);
        let many = list::<5>(&all).unwrap();
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
            assert!(list::<3>(&Bytes::copy_from_slice(broken)).is_err(), "{broken:?}");
        }
        for broken in [&[0x0a, 9, b'x'][..], &[0x08, 0x01], &[0x0a], &[0x12, 0xff, 0xff]] {
            let many = list::<5>(&message(&[(5, broken)])).unwrap();
            assert!(many.entries().any(|it| it.is_err()), "{broken:?}");
        }
    }
}
