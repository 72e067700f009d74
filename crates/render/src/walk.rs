//! Visits a message and every message inside it, also inside `Any`.

use std::fmt;

use prost_reflect::{DynamicMessage, FieldDescriptor, MapKey, Value};

use crate::wire;

/// Where in a resource a visit is; written only when there is something to complain of.
#[derive(Debug, Default)]
pub(crate) struct Path(Vec<Segment>);

#[derive(Debug)]
enum Segment {
    Field(FieldDescriptor),
    Index(usize),
    Key(MapKey),
}

impl Path {
    /// The path of a field of the message that is being visited.
    pub(crate) fn to(&self, field: &str) -> String {
        let here = self.to_string();
        if here.is_empty() { field.to_owned() } else { format!("{here}.{field}") }
    }

    fn within(&mut self, segment: Segment, visit: impl FnOnce(&mut Self)) {
        self.0.push(segment);
        visit(self);
        self.0.pop();
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(MapKey::String(key)) => write!(f, "[{key:?}]")?,
                Segment::Key(key) => write!(f, "[{key:?}]")?,
                Segment::Field(field) if at == 0 => f.write_str(field.name())?,
                Segment::Field(field) => write!(f, ".{}", field.name())?,
            }
        }
        Ok(())
    }
}

/// Calls `visit` with every message, from the outside in. An `Any` is visited as itself, then what
/// it holds, at the same path.
pub(crate) fn messages(root: &DynamicMessage, visit: &mut dyn FnMut(&Path, &DynamicMessage)) {
    message(root, &mut Path::default(), visit);
}

type Visit<'v> = dyn FnMut(&Path, &DynamicMessage) + 'v;

fn message(here: &DynamicMessage, path: &mut Path, visit: &mut Visit<'_>) {
    visit(path, here);
    if let Some(inner) = wire::open(here) {
        return message(&inner, path, visit);
    }
    for (field, value) in here.fields() {
        if matches!(value, Value::Message(_) | Value::List(_) | Value::Map(_)) {
            path.within(Segment::Field(field), |path| values(value, path, visit));
        }
    }
}

fn values(value: &Value, path: &mut Path, visit: &mut Visit<'_>) {
    match value {
        Value::Message(inner) => message(inner, path, visit),
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                path.within(Segment::Index(index), |path| values(item, path, visit));
            }
        }
        Value::Map(entries) => {
            // In order, so that complaints are in the same order in every process.
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by(|a, b| a.0.cmp(b.0));
            for (key, value) in sorted {
                path.within(Segment::Key(key.clone()), |path| values(value, path, visit));
            }
        }
        _ => {}
    }
}
