//! Maps with known keys: unknown, misplaced, duplicate, missing and contradicting ones are refused.

use std::collections::HashMap;

use super::{Decode, Given, Reader, key_spot};
use crate::descriptor::refusal::{Spot, quote};
use crate::descriptor::tree::{Entry, Node, Value};
use crate::descriptor::{Code, Refusal};

/// Declares a record: its keys, their words and their types, once for parser, schema and reference.
macro_rules! record {
    (
        $(#[doc = $about:literal])*
        $name:ident, $what:literal, at_most_one: [$([$($group:literal),+]),*] {
            $($(#[doc = $doc:literal])* $need:ident $field:ident: $key:literal => $type:ty,)*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone)]
        pub(crate) struct $name {
            $($(#[doc = $doc])* pub(crate) $field: $crate::descriptor::decode::Given<$type>,)*
        }

        impl $name {
            const EXCLUSIVE: &'static [&'static [&'static str]] = &[$(&[$($group),+]),*];
        }

        impl $crate::descriptor::decode::Decode for $name {
            fn shape() -> $crate::descriptor::decode::Shape {
                $crate::descriptor::decode::Shape::Record($crate::descriptor::decode::RecordShape {
                    doc: concat!($($about),*),
                    keys: vec![$($crate::descriptor::decode::Key {
                        name: $key,
                        doc: concat!($($doc),*),
                        required: $crate::descriptor::decode::record!(@$need),
                        shape: <$type as $crate::descriptor::decode::Decode>::shape(),
                    }),*],
                    exclusive: Self::EXCLUSIVE,
                })
            }

            fn decode(
                node: &$crate::descriptor::tree::Node,
                reader: &mut $crate::descriptor::decode::Reader,
            ) -> Option<Self> {
                let keys = $crate::descriptor::decode::Keys {
                    what: $what,
                    known: &[$($key),*],
                    exclusive: Self::EXCLUSIVE,
                };
                let fields = keys.read(node, reader)?;
                Some(Self {
                    $($field: fields.take(
                        $key,
                        $crate::descriptor::decode::record!(@$need),
                        reader,
                    ),)*
                })
            }
        }
    };
    (@required) => { true };
    (@optional) => { false };
}
pub(crate) use record;

/// What a record's declaration says of its keys.
pub(crate) struct Keys {
    pub(crate) what: &'static str,
    pub(crate) known: &'static [&'static str],
    pub(crate) exclusive: &'static [&'static [&'static str]],
}

/// The entries of a record that are known, one each.
pub(crate) struct Fields<'n> {
    what: &'static str,
    node: &'n Node,
    entries: HashMap<&'n str, &'n Entry>,
}

impl Keys {
    /// Sorts a map's entries under the known keys and refuses the others.
    pub(crate) fn read<'n>(&self, node: &'n Node, reader: &mut Reader) -> Option<Fields<'n>> {
        let Value::Map(nodes) = &node.value else {
            reader.wrong_kind(node, self.what);
            return None;
        };
        let mut entries: HashMap<&str, &Entry> = HashMap::new();
        for entry in nodes {
            if let Some(first) = entries.get(entry.key.as_str()) {
                let (first, second) = (key_spot(reader, first), key_spot(reader, entry));
                let what = format!("{} is written twice", quote(&entry.key));
                reader.duplicate(what, &second, &first);
                continue;
            }
            entries.insert(&entry.key, entry);
            if !reader.knows(&entry.key, self) {
                reader.unknown_key(entry, self);
            }
        }
        let fields = Fields { what: self.what, node, entries };
        for group in self.exclusive {
            fields.at_most_one(group, reader);
        }
        Some(fields)
    }
}

impl Fields<'_> {
    /// Reads the value of a known key.
    pub(crate) fn take<T: Decode>(
        &self,
        key: &'static str,
        required: bool,
        reader: &mut Reader,
    ) -> Given<T> {
        if let Some(entry) = self.entries.get(key) {
            return reader.under(key, |reader| {
                if entry.value.value == Value::Null {
                    let message = format!("`{key}` has no value");
                    let refusal =
                        Refusal::new(Code::WrongType, &reader.spot(entry.key_place), message)
                            .help("give it one, or leave out the key");
                    reader.refusals.push(refusal);
                    return Given::Bad;
                }
                reader.read(&entry.value)
            });
        }
        if !required {
            return Given::Absent;
        }
        let message = format!("{} needs `{key}`", self.what);
        reader.refuse(Code::MissingKey, self.node.place, message);
        Given::Bad
    }

    fn at_most_one(&self, group: &[&str], reader: &mut Reader) {
        let mut given: Vec<&Entry> =
            group.iter().filter_map(|key| self.entries.get(key).copied()).collect();
        given.sort_by_key(|entry| entry.key_place);
        let [first, second, ..] = given.as_slice() else { return };
        let first_spot: Spot = key_spot(reader, first);
        let second_spot = key_spot(reader, second);
        let message = format!("`{}` and `{}` exclude each other", first.key, second.key);
        let refusal = Refusal::new(Code::Contradiction, &second_spot, message)
            .also(&first_spot, format!("`{}` is here", first.key))
            .help("keep one of the two");
        reader.refusals.push(refusal);
    }
}
