//! Who has come to a door, and who is shut out of it.
//!
//! A store that was restored revokes proxies whose certificates it does not know by number. So those that
//! were shown here are remembered, and what is revoked by name becomes numbers, which streams are held to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use ::authority::Presented;
use model::Millis;
use serde::{Deserialize, Serialize};
use store::{Revocation, Revoked};

/// Certificates that are remembered before those that have ended are looked for.
const SEEN_AT_LEAST: usize = 1024;

/// What was revoked and has not ended by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Numbers of certificates, and when each would have ended.
    certificates: BTreeMap<String, Millis>,
    /// Nodes, by name.
    nodes: BTreeMap<String, Cut>,
}

/// All certificates of a node that were issued before a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Cut {
    before: Millis,
    not_after: Millis,
}

impl Known {
    /// With what was revoked since.
    pub fn add(&mut self, news: Vec<Revocation>) {
        for Revocation { what, not_after, .. } in news {
            match what {
                Revoked::Certificate(serial) => {
                    self.certificates.insert(serial, not_after);
                }
                Revoked::Before(node, before) => {
                    self.cut(node.to_string(), Cut { before, not_after });
                }
            }
        }
    }

    /// With what is known elsewhere.
    pub fn join(&mut self, other: Self) {
        self.certificates.extend(other.certificates);
        for (node, cut) in other.nodes {
            self.cut(node, cut);
        }
    }

    fn cut(&mut self, node: String, cut: Cut) {
        let known = self.nodes.entry(node).or_insert(cut);
        *known = if known.before < cut.before { cut } else { *known };
    }

    /// Without what has ended.
    pub fn forget(&mut self, now: Millis) {
        self.certificates.retain(|_, not_after| *not_after > now);
        self.nodes.retain(|_, cut| cut.not_after > now);
    }

    /// How much it is.
    pub fn len(&self) -> usize {
        self.certificates.len() + self.nodes.len()
    }

    fn shuts_out(&self, seen: &Seen) -> bool {
        self.nodes.get(&seen.node).is_some_and(|cut| seen.issued_at < cut.before)
    }
}

/// A certificate that was shown here.
struct Seen {
    node: String,
    issued_at: Millis,
    not_after: Millis,
}

/// The roll of a door.
#[derive(Default)]
pub struct Roll(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    seen: BTreeMap<String, Seen>,
    enough: usize,
    known: Known,
}

impl Roll {
    /// Whether whoever shows this may come in. It is remembered.
    pub fn admit(&self, it: &Presented, now: Millis) -> Result<(), String> {
        let node = it.name.node.to_string();
        let seen = Seen { node, issued_at: it.issued_at(), not_after: it.not_after };
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.known.shuts_out(&seen) {
            return Err(format!(
                "the certificate {} of node `{}` was revoked",
                it.serial, seen.node
            ));
        }
        inner.seen.insert(it.serial.clone(), seen);
        if inner.seen.len() > inner.enough.max(SEEN_AT_LEAST) {
            inner.seen.retain(|_, seen| seen.not_after > now);
            inner.enough = inner.seen.len() * 2;
        }
        Ok(())
    }

    /// Shuts out whoever is revoked by now; `tell` is given the numbers of their certificates, before
    /// anybody else is admitted.
    pub fn revoke(&self, known: &Known, tell: impl FnOnce(BTreeSet<String>)) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cut = inner.seen.iter().filter(|(_, seen)| known.shuts_out(seen));
        let cut = cut.map(|(serial, _)| serial.clone());
        tell(known.certificates.keys().cloned().chain(cut).collect());
        inner.known = known.clone();
    }
}

#[cfg(test)]
mod tests {
    use ::authority::{Applicant, Authority, ProxyName, Request};
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;

    use super::*;

    const NOW: Millis = 1_777_593_600_000;
    const HOUR: Millis = 60 * 60 * 1000;

    struct Signs(Authority);

    impl Signs {
        fn new() -> Self {
            let (certificate, key) =
                Authority::make(&"edge.example".parse().unwrap(), [7; 16], NOW - HOUR).unwrap();
            Self(Authority::load(certificate, &key).unwrap())
        }

        /// A certificate as it is shown.
        fn shown(&self, node: &str, serial: u8, at: Millis) -> Presented {
            let asked = Request::read(Applicant::new().unwrap().request()).unwrap();
            let name = ProxyName { group: "eu".parse().unwrap(), node: node.parse().unwrap() };
            let issued = self.0.issue(&asked, &name, [serial; 16], at, 24 * HOUR).unwrap();
            let der = CertificateDer::from_pem_slice(issued.pem.as_bytes()).unwrap();
            Presented::read(&der, self.0.domain()).unwrap()
        }
    }

    fn all_of(node: &str, before: Millis) -> Vec<Revocation> {
        let what = Revoked::Before(node.parse().unwrap(), before);
        vec![Revocation { seq: 1, what, not_after: before + 24 * HOUR }]
    }

    fn told(roll: &Roll, known: &Known) -> Vec<String> {
        let mut told = Vec::new();
        roll.revoke(known, |serials| told = serials.into_iter().collect());
        told
    }

    #[test]
    fn a_node_is_shut_out_with_what_it_had_and_comes_in_with_what_it_gets() {
        let (signs, roll, mut known) = (Signs::new(), Roll::default(), Known::default());
        let (connected, other) = (signs.shown("a", 1, NOW), signs.shown("b", 2, NOW));
        for it in [&connected, &other] {
            assert_eq!(roll.admit(it, NOW), Ok(()));
        }
        known.add(all_of("a", NOW + HOUR));
        assert_eq!(told(&roll, &known), [connected.serial.as_str()]);
        let away = signs.shown("a", 3, NOW + 1_000);
        let refused = roll.admit(&away, NOW).unwrap_err();
        assert!(refused.contains("of node `a` was revoked"), "{refused}");
        // In the same second as it was revoked, and after.
        for (serial, at) in [(4, NOW + HOUR), (5, NOW + HOUR + 1)] {
            assert_eq!(roll.admit(&signs.shown("a", serial, at), NOW), Ok(()));
        }
        assert_eq!(told(&roll, &known), [connected.serial]);
        // What was revoked earlier opens nothing again.
        known.add(all_of("a", NOW));
        assert!(roll.admit(&away, NOW).is_err());
        known.forget(NOW + 25 * HOUR);
        assert_eq!((known.len(), told(&roll, &known)), (0, Vec::new()));
    }

    #[test]
    fn what_has_ended_is_forgotten() {
        let (signs, roll) = (Signs::new(), Roll::default());
        let shown = signs.shown("a", 1, NOW);
        for number in 0..=SEEN_AT_LEAST {
            let mut it = shown.clone();
            it.serial = number.to_string();
            roll.admit(&it, if number < SEEN_AT_LEAST { NOW } else { NOW + 25 * HOUR }).unwrap();
        }
        assert_eq!(roll.0.lock().unwrap().seen.len(), 0);
    }
}
