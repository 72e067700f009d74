//! Lists, sets and maps, each with its limits.

use std::collections::BTreeMap;

use super::scalar::{self, Scalar};
use super::{At, Decode, Given, Reader, Shape, key_spot};
use crate::descriptor::refusal::{Spot, quote};
use crate::descriptor::tree::{Node, Value};
use crate::descriptor::{Code, Refusal};

/// A list of `MIN` to `MAX` items. Items that were refused are left out.
#[derive(Debug, Clone)]
pub(crate) struct List<T, const MIN: usize, const MAX: usize>(pub(crate) Vec<At<T>>);

/// A list whose items differ.
#[derive(Debug, Clone)]
pub(crate) struct Set<T, const MIN: usize, const MAX: usize>(pub(crate) Vec<At<T>>);

/// A map whose keys the user chooses; at most `MAX` entries, in the order of the text. An entry
/// whose value was refused keeps its key.
#[derive(Debug, Clone)]
pub(crate) struct Map<K, V, const MAX: usize>(pub(crate) Vec<(At<K>, Given<V>)>);

impl<T: Decode, const MIN: usize, const MAX: usize> Decode for List<T, MIN, MAX> {
    fn shape() -> Shape {
        Shape::List { item: Box::new(T::shape()), min: MIN, max: MAX, unique: false }
    }

    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let nodes = match &node.value {
            Value::List(nodes) => nodes,
            Value::Text(text) => {
                let refusal = Refusal::new(
                    Code::WrongType,
                    &reader.spot(node.place),
                    "expected a list, found a text",
                );
                reader
                    .refusals
                    .push(refusal.help(format!("write {}", quote(&format!("[{text}]")))));
                return None;
            }
            _ => {
                reader.wrong_kind(node, "a list");
                return None;
            }
        };
        if !(MIN..=MAX).contains(&nodes.len()) {
            let message = format!("expected {MIN} to {MAX} items, found {}", nodes.len());
            reader.refuse(Code::BadValue, node.place, message);
            return None;
        }
        let read = |(index, node)| match reader.at(index, |reader| reader.read(node)) {
            Given::Good(item) => Some(item),
            Given::Absent | Given::Bad => None,
        };
        Some(Self(nodes.iter().enumerate().filter_map(read).collect()))
    }
}

impl<T: Decode + Ord, const MIN: usize, const MAX: usize> Decode for Set<T, MIN, MAX> {
    fn shape() -> Shape {
        Shape::List { item: Box::new(T::shape()), min: MIN, max: MAX, unique: true }
    }

    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let List(items) = List::<T, MIN, MAX>::decode(node, reader)?;
        let mut seen: BTreeMap<&T, &Spot> = BTreeMap::new();
        for item in &items {
            match seen.get(&item.value) {
                Some(first) => reader.duplicate("the same item is listed twice", &item.spot, first),
                None => {
                    seen.insert(&item.value, &item.spot);
                }
            }
        }
        Some(Self(items))
    }
}

impl<K: Scalar + Ord, V: Decode, const MAX: usize> Decode for Map<K, V, MAX> {
    fn shape() -> Shape {
        Shape::Map { pattern: K::PATTERN, value: Box::new(V::shape()), max: MAX }
    }

    fn decode(node: &Node, reader: &mut Reader) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            reader.wrong_kind(node, "a map");
            return None;
        };
        if entries.len() > MAX {
            let message = format!("expected at most {MAX} entries, found {}", entries.len());
            reader.refuse(Code::BadValue, node.place, message);
            return None;
        }
        let mut read: Vec<(At<K>, Given<V>)> = Vec::new();
        for entry in entries {
            let spot = key_spot(reader, entry);
            let value = reader.under(&entry.key, |reader| reader.read(&entry.value));
            let key: K = match scalar::parse(&entry.key) {
                Ok(key) => key,
                Err(wrong) => {
                    reader.under(&entry.key, |reader| reader.wrong(wrong, entry.key_place));
                    continue;
                }
            };
            if let Some((first, _)) = read.iter().find(|(known, _)| known.value == key) {
                let what = format!("{} is written twice", quote(&entry.key));
                reader.duplicate(what, &spot, &first.spot);
            }
            read.push((At { value: key, spot }, value));
        }
        Some(Self(read))
    }
}
