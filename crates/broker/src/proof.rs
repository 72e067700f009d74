//! A hostname whose proof is awaited, told to its team: what to write, where, and what was found.

use model::{Millis, OperationKind, OperationState, Plan};
use serde::Serialize;
use store::Proof;
use utoipa::ToSchema;

use crate::error::Error;
use crate::router::Broker;

/// Names that one sentence tells of; the others are counted.
const NAMED_MAX: usize = 3;

/// A DNS record that somebody is to make.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordToMake {
    /// Its name. The same at a domain above counts for all below it.
    name: String,
    /// `TXT`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Its value: the team's, whatever the hostname.
    value: String,
}

/// What is not yet as it was asked to be, and what that waits for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    /// `HostnameProof`: a hostname does not answer in public before its team has shown that it has it.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The hostname.
    hostname: String,
    /// What to do, in a sentence.
    message: String,
    /// The record that is looked for.
    record: RecordToMake,
    /// Since when: milliseconds since the Unix epoch.
    since: Millis,
    /// When it was last looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    looked_at: Option<Millis>,
    /// What was found then.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// When it is looked for next; absent: not before somebody asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_at: Option<Millis>,
}

impl RecordToMake {
    pub(crate) fn of(proof: &Proof) -> Self {
        Self { name: proof.record(), kind: "TXT", value: proof.value.clone() }
    }

    fn told(&self) -> String {
        format!("a TXT record `{}` with the value `{}`", self.name, self.value)
    }
}

impl Condition {
    fn of(proof: &Proof) -> Self {
        Self {
            kind: "HostnameProof",
            message: proof.to_do(),
            hostname: proof.hostname.to_string(),
            record: RecordToMake::of(proof),
            since: proof.asked_at,
            looked_at: proof.looked_at,
            problem: proof.problem.clone(),
            next_at: proof.next_at,
        }
    }
}

/// A hostname that would not answer in public yet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Withheld {
    /// The hostname.
    hostname: String,
    /// The record that would be looked for; it may be made beforehand.
    record: RecordToMake,
}

impl Withheld {
    pub(crate) fn of(proof: &Proof) -> Self {
        Self { hostname: proof.hostname.to_string(), record: RecordToMake::of(proof) }
    }
}

/// How the proof of a hostname stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Proven {
    /// The hostname.
    hostname: String,
    /// When it was proven: milliseconds since the Unix epoch; absent: it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    proven_at: Option<Millis>,
    /// What is still to be done; absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Condition>,
}

impl Proven {
    pub(crate) fn of(proof: &Proof) -> Self {
        let condition = proof.proven_at.is_none().then(|| Condition::of(proof));
        Self { hostname: proof.hostname.to_string(), proven_at: proof.proven_at, condition }
    }
}

/// What waits for a proof of an instance that is, or is to be, as `spec` says.
pub(crate) async fn awaited(
    broker: &Broker,
    instance: &model::InstanceId,
    spec: &model::Spec,
) -> Result<Vec<Proof>, Error> {
    if spec.plan != Plan::Public {
        return Ok(Vec::new());
    }
    let mut proofs = broker.parts.proofs.proofs(instance).await?;
    proofs.retain(|it| it.proven_at.is_none() && spec.hostnames.contains(&it.hostname));
    Ok(proofs)
}

/// The same as conditions.
pub(crate) fn conditions(proofs: &[Proof]) -> Vec<Condition> {
    proofs.iter().map(Condition::of).collect()
}

/// What a success still wants done, to be said after its description.
pub(crate) async fn aside(
    broker: &Broker,
    operation: &model::Operation,
) -> Result<Option<String>, Error> {
    let is_there = operation.state == OperationState::Succeeded
        && operation.kind != OperationKind::Deprovision;
    let Some(target) = operation.target.as_ref().filter(|_| is_there) else { return Ok(None) };
    let proofs = awaited(broker, &operation.instance, target).await?;
    Ok(sentence(&proofs))
}

fn sentence(proofs: &[Proof]) -> Option<String> {
    let first = proofs.first()?;
    let names = proofs.iter().take(NAMED_MAX).map(|it| format!("`{}`", it.hostname));
    let names = names.collect::<Vec<_>>().join(", ");
    let names = match proofs.len().saturating_sub(NAMED_MAX) {
        0 => names,
        more => format!("{names} and {more} more"),
    };
    let record = RecordToMake::of(first).told();
    let like = if proofs.len() == 1 { "make" } else { "for each make a record such as" };
    Some(format!("not in public yet: {names}; {like} {record}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(hostname: &str, problem: Option<&str>, next_at: Option<Millis>) -> Proof {
        Proof {
            hostname: hostname.parse().unwrap(),
            instance: "i".parse().unwrap(),
            owner: model::Owner { organization: "o".to_owned(), space: "web".to_owned() },
            value: "margrave-proof=abc".to_owned(),
            asked_at: 1,
            next_at,
            looked_at: problem.map(|_| 2),
            problem: problem.map(str::to_owned),
            proven_at: None,
        }
    }

    #[test]
    fn who_reads_it_knows_what_to_do() {
        for (problem, next_at, end) in [
            (None, Some(1), "; it is looked for now"),
            (Some("there is none"), Some(9), "; it is looked for again by itself"),
            (
                Some("there is none"),
                None,
                "; then ask for it to be verified, as it is not looked for any more",
            ),
        ] {
            let condition = Condition::of(&proof("*.shop.acme.org", problem, next_at));
            let expected = format!(
                "`*.shop.acme.org` does not answer in public yet: make a TXT record \
                 `_margrave.shop.acme.org` with the value `margrave-proof=abc`{end}"
            );
            assert_eq!(condition.message, expected);
        }
    }

    #[test]
    fn a_success_names_a_few_and_counts_the_rest() {
        let names = ["a.acme.org", "b.acme.org", "c.acme.org", "d.acme.org", "e.acme.org"];
        let all: Vec<_> = names.iter().map(|name| proof(name, None, Some(1))).collect();
        assert_eq!(sentence(&[]), None);
        let one = sentence(&all[..1]).unwrap();
        assert!(one.starts_with(
            "not in public yet: `a.acme.org`; make a TXT record `_margrave.a.acme.org`"
        ));
        let many = sentence(&all).unwrap();
        assert!(
            many.contains("`a.acme.org`, `b.acme.org`, `c.acme.org` and 2 more; for each"),
            "{many}"
        );
    }
}
