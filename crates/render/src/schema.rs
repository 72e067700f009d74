//! What Envoy can be configured with: its message descriptors, and the tables beside them.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor};

use crate::mark::Reads;

/// Made by `descriptors/generate.py`.
const DESCRIPTORS: &[u8] = include_bytes!("../../../descriptors/envoy-1.40.binpb");
const FORMATTED: &str = include_str!("../../../descriptors/formatted_fields.txt");

pub(crate) struct Schema {
    pool: DescriptorPool,
    reads: BTreeMap<&'static str, Reads>,
}

/// The one schema, read at its first use (tens of milliseconds) and shared.
pub(crate) fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| Schema {
        #[expect(clippy::expect_used, reason = "compiled in, and decoded by every test")]
        pool: DescriptorPool::decode(DESCRIPTORS).expect("the descriptor set is well formed"),
        reads: rows(FORMATTED).filter_map(|(field, reads)| Some((field, named(reads)?))).collect(),
    })
}

impl Schema {
    /// The message of a full name, such as `envoy.config.cluster.v3.Cluster`.
    pub(crate) fn message(&self, name: &str) -> Option<MessageDescriptor> {
        self.pool.get_message_by_name(name)
    }

    /// The message inside an `Any` of this type URL.
    pub(crate) fn any(&self, type_url: &str) -> Option<MessageDescriptor> {
        self.message(type_url.rsplit('/').next()?)
    }

    /// How a field reads text; `None` when the table does not say.
    pub(crate) fn reads(&self, field: &FieldDescriptor) -> Option<Reads> {
        self.reads.get(field.full_name()).copied()
    }
}

/// The rows of a table of two columns: what is not blank or a comment.
pub(crate) fn rows(table: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = table.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(char::is_whitespace)).map(|(a, b)| (a, b.trim()))
}

fn named(reads: &str) -> Option<Reads> {
    match reads {
        "format" => Some(Reads::Format),
        "substitution" => Some(Reads::Substitution),
        "plain" => Some(Reads::Plain),
        _ => None,
    }
}
