//! What the release of Envoy before ours does not know: it would ignore a field that it was never
//! told of, and do something else than was meant.

use std::collections::HashSet;
use std::sync::OnceLock;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value};

use crate::fault::Fault;
use crate::walk::{self, Path};
use crate::{Complaint, Draft, Specimen, culprit};

/// The series of Envoy that resources are made for.
pub const SUPPORTED: &str = "1.40";
/// The series before it, which a fleet may have beside it while it is being brought up to date.
pub const PREVIOUS: &str = "1.39";

const TABLE: &str = include_str!("../../../descriptors/unknown_to_1.39.txt");

/// Names of messages, fields, enums and their values.
fn table() -> &'static HashSet<&'static str> {
    static UNKNOWN: OnceLock<HashSet<&'static str>> = OnceLock::new();
    UNKNOWN
        .get_or_init(|| rows().filter(|(_, what)| *what != "rules").map(|(row, _)| row).collect())
}

fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
    rows.filter_map(|row| row.split_once(' ')).map(|(name, what)| (name, what.trim()))
}

/// What of an instance's or a group's resources the previous release of Envoy does not know.
pub fn unknown_to_previous(drafts: &[Draft]) -> Vec<Complaint> {
    drafts.iter().flat_map(of_draft).collect()
}

fn of_draft(draft: &Draft) -> Vec<Complaint> {
    let Some(message) = Specimen::from(draft).message() else { return Vec::new() };
    let kind = draft.type_url.message().rsplit('.').next().unwrap_or_default();
    let complaint = |fault: Fault| Complaint {
        resource: Some(format!("{kind} {}", draft.name)),
        culprit: culprit::of(kind, &draft.name, &draft.json, &fault.field),
        ..fault.of_template(&draft.template)
    };
    faults(&message).into_iter().map(complaint).collect()
}

fn faults(message: &DynamicMessage) -> Vec<Fault> {
    let mut faults = Vec::new();
    walk::messages(message, &mut |path, message| {
        let name = message.descriptor().full_name().to_owned();
        if table().contains(name.as_str()) {
            faults.push(Fault::at(path, format!("Envoy {PREVIOUS} does not know `{name}`")));
        }
        for (field, value) in message.fields() {
            faults.extend(of_field(path, &field, value));
        }
    });
    faults
}

fn of_field(path: &Path, field: &FieldDescriptor, value: &Value) -> Option<Fault> {
    if table().contains(field.full_name()) {
        let message = format!("Envoy {PREVIOUS} does not know `{}`", field.full_name());
        return Some(Fault::at(path.to(field.name()), message));
    }
    let Kind::Enum(of) = field.kind() else { return None };
    let single = std::slice::from_ref(value);
    let numbers = value.as_list().unwrap_or(single).iter().filter_map(Value::as_enum_number);
    let mut values = numbers.filter_map(|number| of.get_value(number));
    let unknown = values.find(|value| {
        // A value's own full name leaves its enum out.
        table().contains(format!("{}.{}", of.full_name(), value.name()).as_str())
    })?;
    let message = format!("Envoy {PREVIOUS} does not know `{}` of {}", unknown.name(), of.name());
    Some(Fault::at(path.to(field.name()), message))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::message;
    use crate::schema::schema;

    #[test]
    fn every_row_is_there_in_the_release_that_is_supported() {
        let schema = schema();
        for (name, what) in rows() {
            let (within, last) = name.rsplit_once('.').expect("a package");
            let is_there = match what {
                "message" => schema.message(name).is_some(),
                "field" | "type" | "rules" => schema
                    .message(within)
                    .is_some_and(|message| message.get_field_by_name(last).is_some()),
                "enum" => schema.has_enum(name),
                "value" => schema.has_enum(within),
                other => panic!("{name}: {other}"),
            };
            assert!(is_there, "{name}");
        }
        assert!(table().len() > 100, "{} rows", table().len());
    }

    #[test]
    fn what_is_unknown_is_found_wherever_it_is() {
        for (kind, json, field, says) in [
            (
                "envoy.config.cluster.v3.Cluster",
                json!({"name": "c", "queuing_policies": {}}),
                Some("queuing_policies"),
                "`envoy.config.cluster.v3.Cluster.queuing_policies`",
            ),
            (
                "envoy.config.route.v3.RouteConfiguration",
                json!({"virtual_hosts": [{"routes": [{"typed_per_filter_config": {"f": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
                    "abort": {"http_status": 503, "response_body": "x"},
                }}}]}]}),
                Some(
                    "virtual_hosts[0].routes[0].typed_per_filter_config[\"f\"].abort.response_body",
                ),
                "FaultAbort.response_body`",
            ),
            (
                "envoy.config.listener.v3.Filter",
                json!({"name": "f", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.body_size_limit.v3.BodySizeLimit",
                }}),
                Some("typed_config"),
                "`envoy.extensions.filters.http.body_size_limit.v3.BodySizeLimit`",
            ),
            (
                "envoy.extensions.filters.http.mcp.v3.Mcp",
                json!({"traffic_mode": "NOOP"}),
                Some("traffic_mode"),
                "`NOOP` of TrafficMode",
            ),
            // Known, and held to other rules: Envoy is asked.
            (
                "envoy.extensions.filters.http.buffer.v3.Buffer",
                json!({"max_request_bytes": 7}),
                None,
                "",
            ),
            (
                "envoy.config.cluster.v3.Cluster",
                json!({"name": "c", "connect_timeout": "1s", "lb_policy": "MAGLEV"}),
                None,
                "",
            ),
        ] {
            let message = message::read(&json, schema().message(kind).expect(kind)).expect("fits");
            let found = faults(&message);
            assert_eq!(found.first().map(|fault| fault.field.as_str()), field, "{json}");
            assert!(found.first().is_none_or(|it| it.message.contains(says)), "{found:?}");
        }
    }
}
