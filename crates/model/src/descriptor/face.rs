//! The ways in and out: text to descriptor, parameters to canonical JSON.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::decode::{Reader, Scope};
use super::refusal::Refusals;
use super::tree::Node;
use super::{Descriptor, Parameters, Refusal, canonical, check, syntax, tree};

impl Descriptor {
    /// Reads a descriptor from YAML or JSON.
    ///
    /// Takes at most [`TEXT_BYTES_MAX`](tree::TEXT_BYTES_MAX) bytes. What it refuses, it tells in
    /// the order of the text, everything at once.
    pub fn from_yaml(text: &str) -> Result<Self, Vec<Refusal>> {
        build(tree::read(text), Scope::Descriptor)
    }

    /// The shortest JSON that reads back as this descriptor.
    pub fn to_json(&self) -> Value {
        canonical::descriptor(self)
    }
}

impl Parameters {
    /// Reads OSB `parameters` from their JSON text, where duplicate keys are still to be seen.
    ///
    /// Refusals name paths in the document and no lines. `visibility` is refused: the plan says it.
    pub fn from_json(text: &str) -> Result<Self, Vec<Refusal>> {
        build(tree::read_json(text), Scope::Parameters).map(|descriptor| descriptor.parameters)
    }

    /// The canonical JSON: the same syntax, defaults left out, routes in their order of precedence.
    /// Two parameters are equal exactly when it is the same.
    pub fn to_json(&self) -> Value {
        canonical::parameters(self)
    }
}

fn build(tree: Result<Node, Box<Refusal>>, scope: Scope) -> Result<Descriptor, Vec<Refusal>> {
    let node = tree.map_err(|refusal| vec![*refusal])?;
    let mut reader = Reader::new(scope);
    let written = reader.read::<syntax::Descriptor>(&node);
    let mut refusals = reader.refusals;
    let built = written.at().and_then(|written| check::descriptor(written, &mut refusals));
    built.filter(|_| refusals.is_empty()).ok_or_else(|| refusals.into_vec())
}

/// Reads what was accepted once. It must be well formed, but the rules between its values are not
/// applied again: a later release may have others, and must still read its rows.
fn accepted(json: &Value, scope: Scope) -> Result<Descriptor, Vec<Refusal>> {
    let node = tree::read_json(&json.to_string()).map_err(|refusal| vec![*refusal])?;
    let mut reader = Reader::new(scope);
    let written = reader.read::<syntax::Descriptor>(&node);
    if !reader.refusals.is_empty() {
        return Err(reader.refusals.into_vec());
    }
    let mut judged = Refusals::default();
    let built = written.at().and_then(|written| check::descriptor(written, &mut judged));
    built.ok_or_else(|| judged.into_vec())
}

fn one_line(refusals: &[Refusal]) -> String {
    let told: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    told.join("; ")
}

impl Serialize for Descriptor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Descriptor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Value::deserialize(deserializer)?;
        accepted(&json, Scope::Descriptor).map_err(|told| D::Error::custom(one_line(&told)))
    }
}

impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Value::deserialize(deserializer)?;
        accepted(&json, Scope::Parameters)
            .map(|descriptor| descriptor.parameters)
            .map_err(|told| D::Error::custom(one_line(&told)))
    }
}
