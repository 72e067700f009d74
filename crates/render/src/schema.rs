//! What Envoy can be configured with: its message descriptors, and the tables beside them.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor};

use crate::forget::Forget;
use crate::mark::Reads;
use crate::rules::Rules;

/// Made by `descriptors/generate.py`.
const DESCRIPTORS: &[u8] = include_bytes!("../../../descriptors/envoy-1.40.binpb");
const FORMATTED: &str = include_str!("../../../descriptors/formatted_fields.txt");
const FORGOTTEN: &str = include_str!("../../../descriptors/forgotten_values.txt");
const INSTANCE_FIELDS: &str = include_str!("../../../descriptors/instance_fields.txt");
const INSTANCE_EXTENSIONS: &str = include_str!("../../../descriptors/instance_extensions.txt");

pub(crate) struct Schema {
    pool: DescriptorPool,
    /// What protoc-gen-validate demands of each message.
    pub(crate) rules: Rules,
    reads: HashMap<&'static str, Reads>,
    laws: HashMap<&'static str, Law>,
    harmless: HashSet<&'static str>,
    forgotten: HashMap<&'static str, Forget>,
    /// Lists whose items are judged one by one, and whether what is around the list counts.
    apart: HashMap<&'static str, bool>,
}

/// What holds of a field in an instance's resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Law {
    /// It names a cluster of the instance's own, or a shared one.
    Cluster,
    /// It names the platform's `trusted_ca`.
    File,
    /// It is not there, for this reason.
    Refused(&'static str),
}

/// The one schema, read at its first use (tens of milliseconds) and shared.
pub(crate) fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        #[expect(clippy::expect_used, reason = "compiled in, and decoded by every test")]
        let pool = DescriptorPool::decode(DESCRIPTORS).expect("the descriptor set is well formed");
        let reads = rows(FORMATTED).filter_map(|(field, reads)| Some((field, named(reads)?)));
        let forgotten = rows(FORGOTTEN);
        let forgotten = forgotten.filter_map(|(field, class)| Some((field, Forget::read(class)?)));
        let apart = rows(FORGOTTEN).filter_map(|(field, class)| Some((field, apart_named(class)?)));
        let laws = rows(INSTANCE_FIELDS).filter_map(|(field, law)| Some((field, law_named(law)?)));
        Schema {
            rules: Rules::read(&pool),
            reads: reads.collect(),
            laws: laws.collect(),
            harmless: lines(INSTANCE_EXTENSIONS).collect(),
            forgotten: forgotten.collect(),
            apart: apart.collect(),
            pool,
        }
    })
}

impl Schema {
    /// The message of a full name, such as `envoy.config.cluster.v3.Cluster`.
    pub(crate) fn message(&self, name: &str) -> Option<MessageDescriptor> {
        self.pool.get_message_by_name(name)
    }

    /// Every message there is.
    #[cfg(test)]
    pub(crate) fn messages(&self) -> impl Iterator<Item = MessageDescriptor> {
        self.pool.all_messages()
    }

    /// Whether there is an enum of this full name.
    #[cfg(test)]
    pub(crate) fn has_enum(&self, name: &str) -> bool {
        self.pool.get_enum_by_name(name).is_some()
    }

    /// An extension that must be there.
    #[cfg(test)]
    pub(crate) fn extension(&self, name: &str) -> prost_reflect::ExtensionDescriptor {
        self.pool.get_extension_by_name(name).expect("there is such an extension")
    }

    /// The message inside an `Any` of this type URL.
    pub(crate) fn any(&self, type_url: &str) -> Option<MessageDescriptor> {
        self.message(type_url.rsplit('/').next()?)
    }

    /// How a field reads text; `None` when the table does not say.
    pub(crate) fn reads(&self, field: &FieldDescriptor) -> Option<Reads> {
        self.reads.get(field.full_name()).copied()
    }

    /// What holds of a field in an instance's resource.
    pub(crate) fn law(&self, field: &FieldDescriptor) -> Option<Law> {
        self.laws.get(field.full_name()).copied()
    }

    /// What a shape forgets of a field's values.
    pub(crate) fn forgets(&self, field: &FieldDescriptor) -> Option<Forget> {
        self.forgotten.get(field.full_name()).copied()
    }

    /// Whether a list's items are pieces of a shape, and if so, whether what is around it counts.
    pub(crate) fn apart(&self, field: &FieldDescriptor) -> Option<bool> {
        self.apart.get(field.full_name()).copied()
    }

    /// Whether any instance may hold this message in an `Any`.
    pub(crate) fn is_harmless(&self, message: &str) -> bool {
        self.harmless.contains(message)
    }
}

/// What is neither blank nor a comment.
fn lines(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The rows of a table of two columns.
fn rows(table: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    lines(table).filter_map(|line| line.split_once(char::is_whitespace)).map(|(a, b)| (a, b.trim()))
}

fn law_named(law: &'static str) -> Option<Law> {
    match law {
        "cluster" => Some(Law::Cluster),
        "file" => Some(Law::File),
        _ => law.strip_prefix("refused: ").map(Law::Refused),
    }
}

fn apart_named(class: &str) -> Option<bool> {
    match class {
        "apart" => Some(false),
        "inside" => Some(true),
        _ => None,
    }
}

fn named(reads: &str) -> Option<Reads> {
    match reads {
        "format" => Some(Reads::Format),
        "substitution" => Some(Reads::Substitution),
        "plain" => Some(Reads::Plain),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A misspelt field would never be found.
    #[test]
    fn the_tables_name_what_is_there() {
        let exists = |field: &str| {
            let (message, name) = field.rsplit_once('.').expect("message.field");
            let message = schema().message(message);
            message.is_some_and(|message| message.get_field_by_name(name).is_some())
        };
        let fields = || rows(FORMATTED).chain(rows(INSTANCE_FIELDS)).chain(rows(FORGOTTEN));
        for (field, _) in fields() {
            assert!(exists(field), "there is no field {field}");
        }
        let known = [schema().reads.len(), schema().laws.len()];
        let forgotten = [schema().forgotten.len(), schema().apart.len()];
        assert_eq!(known.iter().chain(&forgotten).sum::<usize>(), fields().count());
        for message in lines(INSTANCE_EXTENSIONS) {
            assert!(schema().message(message).is_some(), "there is no message {message}");
        }
    }

    /// Messages that an instance's resource can hold: from its types and the harmless extensions,
    /// and not through what is refused.
    fn reachable() -> Vec<MessageDescriptor> {
        let resources = ["route.v3.RouteConfiguration", "route.v3.ScopedRouteConfiguration"]
            .into_iter()
            .chain(["cluster.v3.Cluster", "endpoint.v3.ClusterLoadAssignment"])
            .map(|name| format!("envoy.config.{name}"));
        let mut open: Vec<String> =
            resources.chain(schema().harmless.iter().map(|&name| name.to_owned())).collect();
        let (mut seen, mut found) = (HashSet::new(), Vec::new());
        while let Some(name) = open.pop() {
            let message = schema().message(&name).expect("it is there");
            if !seen.insert(name) {
                continue;
            }
            let allowed =
                |field: &FieldDescriptor| !matches!(schema().law(field), Some(Law::Refused(_)));
            for field in message.fields().filter(allowed) {
                if let prost_reflect::Kind::Message(inner) = field.kind() {
                    open.push(inner.full_name().to_owned());
                }
            }
            found.push(message);
        }
        found
    }

    /// A new version of Envoy brings new fields; those that sound like a reference are looked at.
    #[test]
    fn every_field_that_sounds_like_a_reference_has_a_law() {
        const SOUNDS: [&str; 8] =
            ["cluster", "secret", "file", "uri", "instance", "provider", "listener", "watched"];
        // Names of the resource itself, and a condition.
        const NAMES: [&str; 2] = [
            "envoy.config.endpoint.v3.ClusterLoadAssignment.cluster_name",
            "envoy.extensions.filters.http.fault.v3.HTTPFault.upstream_cluster",
        ];
        let mut lawless = Vec::new();
        for message in reachable() {
            for field in message.fields() {
                let text = matches!(field.kind(), prost_reflect::Kind::String);
                let sounds = SOUNDS.iter().any(|sound| field.name().contains(sound));
                let known = schema().law(&field).is_some() || NAMES.contains(&field.full_name());
                if text && sounds && !known {
                    lawless.push(field.full_name().to_owned());
                }
            }
        }
        lawless.sort();
        assert!(lawless.is_empty(), "{lawless:#?}");
    }
}
