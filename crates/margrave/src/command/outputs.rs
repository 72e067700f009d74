//! What each command prints with `-o json`, as JSON Schema: the promise to programs that read it.
//! A command that takes `-o` has its row here; a test holds that.

use model::descriptor::schema;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use super::audit::Verified;
use super::{
    apply, backup, bind, delete, explain, fleet, join, join_token, login, logout, platform,
    restore, sources, token, unbind, validate, whoami,
};
use crate::client::Planned;
use crate::client::api::{Instance, Operation};
use crate::client::{audit, bindings, credentials, nodes, search, teams};

/// A command, without `margrave`, and the schema of its output.
type Row = (&'static str, fn() -> Value);

/// Every command that prints data.
const OUTPUTS: &[Row] = &[
    ("apply", of::<apply::Applied>),
    ("audit list", of::<Vec<audit::Line>>),
    ("audit verify", of::<Verified>),
    ("backup", of::<backup::BackedUp>),
    ("bind", of::<bind::Bound>),
    ("bindings", of::<Vec<bindings::Binding>>),
    ("delete", of::<delete::Deleted>),
    ("explain", of::<Vec<explain::Explained>>),
    ("fleet confirm-removal", of::<fleet::LetGo>),
    ("fleet proxy", of::<fleet::Detail>),
    ("fleet status", of::<fleet::Fleet>),
    ("history", of::<Vec<search::Done>>),
    ("hostname consent", of::<teams::Hostname>),
    ("hostname release", of::<teams::Hostname>),
    ("hostname show", of::<teams::Hostname>),
    ("hostname verify", of::<teams::Hostname>),
    ("hostname withdraw", of::<teams::Hostname>),
    ("join", of::<join::Joined>),
    ("join-token create", of::<join_token::Invited>),
    ("keys list", of::<bindings::Keyring>),
    ("keys rotate", of::<bindings::Keyring>),
    ("list", of::<Vec<Instance>>),
    ("login", of::<login::LoggedIn>),
    ("logout", of::<logout::Forgotten>),
    ("node list", of::<Vec<nodes::Node>>),
    ("node revoke", of::<nodes::Node>),
    ("operation cancel", of::<Operation>),
    ("operation retry", of::<Operation>),
    ("operation show", of::<Operation>),
    ("operation skip", of::<Operation>),
    ("operations", of::<Vec<search::Listed>>),
    ("platform create", of::<platform::Passed>),
    ("platform delete", of::<credentials::Held>),
    ("platform list", of::<Vec<credentials::Held>>),
    ("platform rotate", of::<platform::Passed>),
    ("plan", of::<Planned>),
    ("restore", of::<restore::Brought>),
    ("rollout list", of::<Vec<broker::RolloutLine>>),
    ("rollout pause", of::<broker::RolloutLine>),
    ("rollout plan", of::<broker::RolloutPlan>),
    ("rollout resume", of::<broker::RolloutLine>),
    ("rollout revert", of::<broker::RolloutLine>),
    ("rollout start", of::<broker::RolloutLine>),
    ("rollout status", of::<broker::RolloutStatus>),
    ("sources", of::<Vec<sources::Source>>),
    ("status", of::<Instance>),
    ("team list", of::<Vec<teams::Team>>),
    ("team set", of::<teams::Team>),
    ("team show", of::<teams::Team>),
    ("token create", of::<token::Created>),
    ("token keep", of::<token::Kept>),
    ("token list", of::<Vec<credentials::Held>>),
    ("token revoke", of::<credentials::Held>),
    ("transfer list", of::<Vec<teams::Offer>>),
    ("transfer offer", of::<teams::Offer>),
    ("transfer take", of::<Instance>),
    ("transfer withdraw", of::<teams::Offer>),
    ("unbind", of::<unbind::Unbound>),
    ("validate", of::<validate::Validated>),
    ("whoami", of::<whoami::Asks>),
];

/// The schema of what a command prints, or of a descriptor.
pub fn find(what: &str) -> Option<Value> {
    if what == DESCRIPTOR {
        return Some(schema::descriptor());
    }
    OUTPUTS.iter().find(|(command, _)| *command == what).map(|(_, schema)| schema())
}

/// What `margrave.yaml` is.
pub const DESCRIPTOR: &str = "descriptor";

/// All that [`find`] finds.
pub fn names() -> impl Iterator<Item = &'static str> {
    std::iter::once(DESCRIPTOR).chain(OUTPUTS.iter().map(|(command, _)| *command))
}

/// As JSON Schema 2020-12: what is named is under `components/schemas`, as in an OpenAPI document.
fn of<T: ToSchema>() -> Value {
    let mut named: Vec<(String, RefOr<Schema>)> = Vec::new();
    T::schemas(&mut named);
    let schemas: Map<_, _> =
        named.into_iter().map(|(name, schema)| (name, plain(&schema))).collect();
    let mut whole = plain(&T::schema());
    if let Value::Object(whole) = &mut whole {
        whole.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
        if !schemas.is_empty() {
            whole.insert("components".to_owned(), json!({"schemas": schemas}));
        }
    }
    whole
}

fn plain(schema: &RefOr<Schema>) -> Value {
    serde_json::to_value(schema).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The commands below this one that take `-o`, by their words.
    fn with_output(command: &clap::Command, words: &str, found: &mut BTreeSet<String>) {
        for below in command.get_subcommands() {
            let words = format!("{words} {}", below.get_name());
            if below.get_arguments().any(|argument| argument.get_id() == "output") {
                found.insert(words.trim().to_owned());
            }
            with_output(below, &words, found);
        }
    }

    #[test]
    fn every_command_that_prints_json_has_a_schema() {
        let mut found = BTreeSet::new();
        with_output(&crate::command::definition(), "", &mut found);
        let known: BTreeSet<_> = OUTPUTS.iter().map(|(command, _)| (*command).to_owned()).collect();
        assert_eq!(found, known, "each `-o` needs a row in OUTPUTS, and each row a command");
    }

    #[test]
    fn the_schemas_are_sound_and_published() {
        for (command, schema) in OUTPUTS {
            jsonschema::meta::validate(&schema()).unwrap_or_else(|why| panic!("{command}: {why}"));
            jsonschema::validator_for(&schema()).unwrap_or_else(|why| panic!("{command}: {why}"));
        }
        let all: Map<_, _> =
            OUTPUTS.iter().map(|(command, schema)| ((*command).to_owned(), schema())).collect();
        let text = format!("{}\n", serde_json::to_string_pretty(&all).unwrap());
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let path = root.join("docs/reference/outputs.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "docs/reference/outputs.json is old; run with UPDATE_GOLDEN=1");
    }
}
