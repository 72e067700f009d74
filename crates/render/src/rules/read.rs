//! Reads the rules out of the options of descriptors.

use std::borrow::Cow;

use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, MessageDescriptor, OneofDescriptor, Value,
};
use regex::Regex;

use super::number::{Number, Range};
use super::text::{Form, TextRule};
use super::{MessageRules, Rule};

/// The rules of a message; `None` when it has none, or says that they are not to be applied.
pub(super) fn message(pool: &DescriptorPool, message: &MessageDescriptor) -> Option<MessageRules> {
    let extension = |name| pool.get_extension_by_name(name);
    let (disabled, ignored) = (extension("validate.disabled")?, extension("validate.ignored")?);
    let (required, rules) = (extension("validate.required")?, extension("validate.rules")?);
    let options = message.options();
    if is_true(&options, &disabled) || is_true(&options, &ignored) {
        return None;
    }
    let must = |oneof: &OneofDescriptor| is_true(&oneof.options(), &required);
    let found = MessageRules {
        fields: message
            .fields()
            .filter_map(|of| {
                let options = of.options();
                let rules = options.has_extension(&rules).then(|| options.get_extension(&rules))?;
                let rules = field(rules.as_message()?);
                (!rules.is_empty()).then_some((of, rules))
            })
            .collect(),
        required_oneofs: message.oneofs().filter(must).collect(),
    };
    (!found.fields.is_empty() || !found.required_oneofs.is_empty()).then_some(found)
}

fn is_true(options: &DynamicMessage, extension: &ExtensionDescriptor) -> bool {
    options.has_extension(extension) && options.get_extension(extension).as_bool() == Some(true)
}

/// The rules in a `validate.FieldRules`.
fn field(rules: &DynamicMessage) -> Vec<Rule> {
    let mut found = Vec::new();
    for (kind, of_kind) in rules.fields() {
        let Some(given) = of_kind.as_message().map(Given) else { continue };
        match kind.name() {
            "message" if given.flag("required") => found.push(Rule::Required),
            "message" => {}
            "string" | "bytes" => text(&given, &mut found),
            "enum" => enumeration(&given, &mut found),
            "bool" => found.extend(given.get("const").and_then(|v| v.as_bool()).map(Rule::Bool)),
            "repeated" => items(&given, &mut found),
            "map" => pairs(&given, &mut found),
            "duration" | "timestamp" => time(&given, &mut found),
            "any" => any(&given, &mut found),
            _ => number(&given, &mut found),
        }
        if given.flag("ignore_empty") {
            found.push(Rule::IgnoreEmpty);
        }
    }
    found
}

/// The rules of one kind, as they are given.
struct Given<'a>(&'a DynamicMessage);

impl Given<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, Value>> {
        self.0.has_field_by_name(name).then(|| self.0.get_field_by_name(name))?
    }
    fn flag(&self, name: &str) -> bool {
        self.get(name).and_then(|value| value.as_bool()).unwrap_or_default()
    }
    fn count(&self, name: &str) -> Option<u64> {
        self.get(name)?.as_u64()
    }
    fn list<T>(&self, name: &str, of: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
        let value = self.get(name)?;
        Some(value.as_list()?.iter().filter_map(of).collect())
    }
    fn nested(&self, name: &str) -> Vec<Rule> {
        self.get(name).and_then(|rules| rules.as_message().map(field)).unwrap_or_default()
    }
    /// Bounds, and `const` as both.
    fn range(&self, number: impl Fn(&Value) -> Option<Number>) -> Option<Range> {
        let bound = |name, is_in| self.get(name).and_then(|v| number(&v)).map(|n| (n, is_in));
        let fixed = || bound("const", true);
        let from = bound("gt", false).or_else(|| bound("gte", true)).or_else(fixed);
        let to = bound("lt", false).or_else(|| bound("lte", true)).or_else(fixed);
        (from.is_some() || to.is_some()).then_some(Range { from, to })
    }
}

fn number(given: &Given<'_>, found: &mut Vec<Rule>) {
    found.extend(given.range(Number::of).map(Rule::Range));
    among(given, found);
}

fn among(given: &Given<'_>, found: &mut Vec<Rule>) {
    for (name, wanted) in [("in", true), ("not_in", false)] {
        let numbers = given.list(name, super::number::integer);
        found.extend(numbers.map(|numbers| Rule::Among { numbers, wanted }));
    }
}

fn enumeration(given: &Given<'_>, found: &mut Vec<Rule>) {
    if given.flag("defined_only") {
        found.push(Rule::DefinedOnly);
    }
    number(given, found);
}

fn time(given: &Given<'_>, found: &mut Vec<Rule>) {
    if given.flag("required") {
        found.push(Rule::Required);
    }
    let range = given.range(|value| value.as_message().map(Number::of_time));
    found.extend(range.map(Rule::Time));
}

fn any(given: &Given<'_>, found: &mut Vec<Rule>) {
    if given.flag("required") {
        found.push(Rule::Required);
    }
    for (name, wanted) in [("in", true), ("not_in", false)] {
        let urls = given.list(name, |value| value.as_str().map(str::to_owned));
        found.extend(urls.map(|urls| Rule::Types { urls, wanted }));
    }
}

fn items(given: &Given<'_>, found: &mut Vec<Rule>) {
    found.push(Rule::Items {
        min: given.count("min_items"),
        max: given.count("max_items"),
        unique: given.flag("unique"),
        each: given.nested("items"),
    });
}

fn pairs(given: &Given<'_>, found: &mut Vec<Rule>) {
    found.push(Rule::Pairs {
        min: given.count("min_pairs"),
        max: given.count("max_pairs"),
        keys: given.nested("keys"),
        values: given.nested("values"),
    });
}

fn text(given: &Given<'_>, found: &mut Vec<Rule>) {
    let strict = given.get("strict").and_then(|value| value.as_bool()).unwrap_or(true);
    let rules = given.0.fields().flat_map(|(of, value)| text_rules(of.name(), value, strict));
    found.extend(rules.map(Rule::Text));
}

fn text_rules(name: &str, value: &Value, strict: bool) -> Vec<TextRule> {
    let texts = || {
        let items = value.as_list().unwrap_or_default().iter();
        items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    match (name, value) {
        ("len", Value::U64(count)) => vec![TextRule::MinChars(*count), TextRule::MaxChars(*count)],
        ("min_len", Value::U64(count)) => vec![TextRule::MinChars(*count)],
        ("max_len", Value::U64(count)) => vec![TextRule::MaxChars(*count)],
        ("min_bytes", Value::U64(count)) => vec![TextRule::MinBytes(*count)],
        ("max_bytes", Value::U64(count)) => vec![TextRule::MaxBytes(*count)],
        ("const", Value::String(text)) => vec![TextRule::Const(text.clone())],
        ("prefix", Value::String(text)) => vec![TextRule::Prefix(text.clone())],
        ("suffix", Value::String(text)) => vec![TextRule::Suffix(text.clone())],
        ("contains", Value::String(text)) => vec![TextRule::Contains(text.clone())],
        ("not_contains", Value::String(text)) => vec![TextRule::NotContains(text.clone())],
        ("pattern", Value::String(text)) => {
            Regex::new(text).map(TextRule::Pattern).into_iter().collect()
        }
        ("in", _) => vec![TextRule::Among { texts: texts(), wanted: true }],
        ("not_in", _) => vec![TextRule::Among { texts: texts(), wanted: false }],
        _ => form(name, value, strict).map(TextRule::Form).into_iter().collect(),
    }
}

fn form(name: &str, value: &Value, strict: bool) -> Option<Form> {
    match (name, value) {
        ("hostname", Value::Bool(true)) => Some(Form::Hostname),
        ("ip", Value::Bool(true)) => Some(Form::Ip),
        ("ipv4", Value::Bool(true)) => Some(Form::Ipv4),
        ("ipv6", Value::Bool(true)) => Some(Form::Ipv6),
        ("address", Value::Bool(true)) => Some(Form::Address),
        ("well_known_regex", Value::EnumNumber(1)) => Some(Form::HeaderName(strict)),
        ("well_known_regex", Value::EnumNumber(2)) => Some(Form::HeaderValue(strict)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::schema::schema;

    /// Rules of fields, and of the items, keys and values in them: `string min_len`.
    fn names(rules: &DynamicMessage, into: &mut BTreeSet<String>) {
        for (kind, of_kind) in rules.fields() {
            for (rule, value) in of_kind.as_message().expect("a message").fields() {
                into.insert(format!("{} {}", kind.name(), rule.name()));
                if let Some(nested) = value.as_message().filter(|_| kind.name() != "duration") {
                    names(nested, into);
                }
            }
        }
    }

    /// A rule that nobody reads would be a gate that stands open.
    #[test]
    fn every_rule_that_envoy_uses_is_read() {
        let extension = schema().extension("validate.rules");
        let mut used = BTreeSet::new();
        for message in schema().messages() {
            for of in message.fields() {
                let options = of.options();
                if options.has_extension(&extension) {
                    let rules = options.get_extension(&extension);
                    names(rules.as_message().expect("a message"), &mut used);
                }
            }
        }
        let numeric = ["float", "double", "int32", "int64", "uint32", "uint64"];
        let read = |name: &str| {
            let (kind, rule) = name.split_once(' ').expect("two words");
            let bounds = matches!(rule, "lt" | "lte" | "gt" | "gte" | "const");
            match kind {
                // One field that Envoy does not implement is not to be looked into.
                "message" => matches!(rule, "required" | "skip"),
                "string" | "bytes" => {
                    let lengths = matches!(rule, "min_len" | "max_len" | "min_bytes" | "max_bytes");
                    let words = matches!(
                        rule,
                        "in" | "not_in" | "const" | "prefix" | "suffix" | "contains" | "pattern"
                    );
                    let forms = matches!(
                        rule,
                        "address" | "hostname" | "ip" | "well_known_regex" | "strict"
                    );
                    lengths || words || forms || rule == "ignore_empty"
                }
                "enum" => bounds || matches!(rule, "defined_only" | "in" | "not_in"),
                "bool" => rule == "const",
                "repeated" => {
                    matches!(rule, "min_items" | "max_items" | "unique" | "items" | "ignore_empty")
                }
                "map" => matches!(rule, "min_pairs" | "max_pairs" | "keys" | "values"),
                "duration" => bounds || rule == "required",
                "any" => matches!(rule, "required" | "in" | "not_in"),
                kind => {
                    numeric.contains(&kind)
                        && (bounds || matches!(rule, "in" | "not_in" | "ignore_empty"))
                }
            }
        };
        let unread: Vec<_> = used.iter().filter(|name| !read(name)).collect();
        assert!(unread.is_empty(), "{unread:?}");
        assert!(used.len() > 30, "{used:?}");
    }
}
