//! protoc-gen-validate's rules, which Envoy applies to all that it is given, read from the
//! descriptors and applied here first; and enum numbers that Envoy does not know.

mod number;
mod read;
mod text;

use std::collections::HashMap;

use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor,
    ReflectMessage as _, Value,
};

use crate::fault::Fault;
use crate::schema::schema;
use crate::walk::Path;
use number::Range;
use text::TextRule;

/// The rules of every message that has any, by full name.
#[derive(Debug)]
pub(crate) struct Rules(HashMap<String, MessageRules>);

#[derive(Debug, Default)]
struct MessageRules {
    fields: Vec<(FieldDescriptor, Vec<Rule>)>,
    required_oneofs: Vec<OneofDescriptor>,
}

/// One rule of one field, list item, key or value.
#[derive(Debug)]
pub(crate) enum Rule {
    /// The message must be there.
    Required,
    /// No further rule when it is empty.
    IgnoreEmpty,
    Range(Range),
    /// One of these numbers, or none of them.
    Among {
        numbers: Vec<i128>,
        wanted: bool,
    },
    Bool(bool),
    Text(TextRule),
    /// Only numbers that have a name.
    DefinedOnly,
    Items {
        min: Option<u64>,
        max: Option<u64>,
        unique: bool,
        each: Vec<Rule>,
    },
    Pairs {
        min: Option<u64>,
        max: Option<u64>,
        keys: Vec<Rule>,
        values: Vec<Rule>,
    },
    /// Seconds and nanoseconds of a Duration or Timestamp.
    Time(Range),
    /// Type URLs of an `Any`.
    Types {
        urls: Vec<String>,
        wanted: bool,
    },
}

impl Rules {
    /// Reads the rules of a pool.
    pub(crate) fn read(pool: &DescriptorPool) -> Self {
        let rules = pool.all_messages().filter_map(|message| {
            let rules = read::message(pool, &message)?;
            Some((message.full_name().to_owned(), rules))
        });
        Self(rules.collect())
    }

    /// What a message, without those inside it, does wrong.
    pub(crate) fn check(&self, path: &Path, message: &DynamicMessage, faults: &mut Vec<Fault>) {
        unknown_enums(path, message, faults);
        let Some(rules) = self.0.get(message.descriptor().full_name()) else { return };
        for oneof in &rules.required_oneofs {
            if !oneof.fields().any(|field| message.has_field(&field)) {
                let names: Vec<_> = oneof.fields().map(|field| field.name().to_owned()).collect();
                let message = format!("one of {} must be set", names.join(", "));
                faults.push(Fault::at(path, message));
            }
        }
        for (field, rules) in &rules.fields {
            if let Err(why) = check_field(message, field, rules) {
                faults.push(Fault::at(path.to(field.name()), why));
            }
        }
    }
}

fn check_field(
    message: &DynamicMessage,
    field: &FieldDescriptor,
    rules: &[Rule],
) -> Result<(), String> {
    if field.supports_presence() && !message.has_field(field) {
        // Of a oneof another member may be set; what is required of it is said of the oneof.
        let required = rules.iter().any(|rule| matches!(rule, Rule::Required));
        let alone = field.containing_oneof().is_none();
        return if required && alone { Err("must be set".into()) } else { Ok(()) };
    }
    check(&message.get_field(field), rules, &field.kind())
}

/// Checks a value; the error completes a sentence that begins with the field.
fn check(value: &Value, rules: &[Rule], kind: &Kind) -> Result<(), String> {
    let value = unwrapped(value);
    let ignore_empty = rules.iter().any(|rule| matches!(rule, Rule::IgnoreEmpty));
    if ignore_empty && is_empty(&value) {
        return Ok(());
    }
    rules.iter().try_for_each(|rule| obeys(&value, rule, kind))
}

fn obeys(value: &Value, rule: &Rule, kind: &Kind) -> Result<(), String> {
    match (rule, value) {
        (Rule::Range(range), value) => range.check(value),
        (Rule::Among { numbers, wanted }, value) => {
            let is_one = number::integer(value).is_some_and(|n| numbers.contains(&n));
            let not = if *wanted { "" } else { "not " };
            if is_one == *wanted { Ok(()) } else { Err(format!("must {not}be one of {numbers:?}")) }
        }
        (Rule::Bool(wanted), Value::Bool(is)) if is != wanted => Err(format!("must be {wanted}")),
        (Rule::Text(rule), Value::String(text)) => rule.check(text),
        (Rule::Text(rule), Value::Bytes(bytes)) => rule.check_bytes(bytes),
        (Rule::DefinedOnly, Value::EnumNumber(number)) => match kind {
            Kind::Enum(of) if of.get_value(*number).is_none() => Err(unknown_enum(*number, of)),
            _ => Ok(()),
        },
        (Rule::Items { min, max, unique, each }, Value::List(items)) => {
            counts(items.len(), *min, *max, "items")?;
            if *unique && (1..items.len()).any(|at| items[..at].contains(&items[at])) {
                return Err("must not hold an item twice".into());
            }
            let mut items = items.iter().enumerate();
            items.try_for_each(|(at, item)| within(check(item, each, kind), at))
        }
        (Rule::Pairs { min, max, keys, values }, Value::Map(pairs)) => {
            counts(pairs.len(), *min, *max, "entries")?;
            let Kind::Message(entry) = kind else { return Ok(()) };
            let (key_kind, kind) =
                (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
            pairs.iter().try_for_each(|(key, value)| {
                check(&Value::from(key.clone()), keys, &key_kind)?;
                within(check(value, values, &kind), key)
            })
        }
        (Rule::Time(range), Value::Message(time)) => range.check_time(time),
        (Rule::Types { urls, wanted }, Value::Message(any)) => {
            let url = any.get_field_by_number(1);
            let is_one = url.is_some_and(|url| urls.iter().any(|u| url.as_str() == Some(u)));
            let not = if *wanted { "" } else { "not " };
            if is_one == *wanted { Ok(()) } else { Err(format!("must {not}be of {urls:?}")) }
        }
        _ => Ok(()),
    }
}

fn within<T: std::fmt::Debug>(checked: Result<(), String>, at: T) -> Result<(), String> {
    checked.map_err(|why| format!("its item {at:?} {why}"))
}

fn counts(len: usize, min: Option<u64>, max: Option<u64>, what: &str) -> Result<(), String> {
    match (min, max) {
        (Some(min), _) if (len as u64) < min => Err(format!("needs at least {min} {what}")),
        (_, Some(max)) if len as u64 > max => Err(format!("has more than {max} {what}")),
        _ => Ok(()),
    }
}

/// The value in a wrapper such as `UInt32Value`, to which its rules refer.
fn unwrapped(value: &Value) -> Value {
    if let Value::Message(message) = value {
        let descriptor = message.descriptor();
        let inner = is_wrapper(&descriptor).then(|| message.get_field_by_number(1));
        if let Some(inner) = inner.flatten() {
            return inner.into_owned();
        }
    }
    value.clone()
}

fn is_wrapper(message: &MessageDescriptor) -> bool {
    message.full_name().starts_with("google.protobuf.")
        && message.name().ends_with("Value")
        && message.fields().len() == 1
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
        other => {
            number::integer(other) == Some(0) || matches!(other, Value::F32(0.0) | Value::F64(0.0))
        }
    }
}

/// Envoy reads a number that it does not know as some default, or not at all.
fn unknown_enums(path: &Path, message: &DynamicMessage, faults: &mut Vec<Fault>) {
    for (field, value) in message.fields() {
        let Kind::Enum(of) = field.kind() else { continue };
        let single = std::slice::from_ref(value);
        for value in value.as_list().unwrap_or(single) {
            let number = value.as_enum_number().unwrap_or_default();
            if of.get_value(number).is_none() {
                faults.push(Fault::at(path.to(field.name()), unknown_enum(number, &of)));
            }
        }
    }
}

fn unknown_enum(number: i32, of: &prost_reflect::EnumDescriptor) -> String {
    format!("{} has no number {number}", of.name())
}

/// Checks a message and all inside it.
pub(crate) fn check_all(message: &DynamicMessage) -> Vec<Fault> {
    let mut faults = Vec::new();
    crate::walk::messages(message, &mut |path, message| {
        schema().rules.check(path, message, &mut faults);
    });
    faults
}
