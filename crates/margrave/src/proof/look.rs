//! What was found, judged: whether it proves a hostname, and when to look again if it does not.

use model::{Hostname, Millis, Zone};
use store::{Look, Proof};

const MINUTE_MILLIS: Millis = 60_000;
/// The longest between two looks.
const PAUSE_MILLIS_MAX: Millis = 6 * 60 * MINUTE_MILLIS;
/// For how long it is looked for by itself: 14 days.
const AWAITED_MILLIS_MAX: Millis = 14 * 24 * 60 * MINUTE_MILLIS;
/// An eighth of the time that was waited: whoever works on it is told within minutes, whoever has
/// forgotten it costs four look-ups a day.
const PATIENCE: Millis = 8;

/// How our values begin.
const OURS: &str = "margrave-proof=";

/// A name at which was looked, and what was there.
pub type Found = (String, Result<Vec<String>, String>);

/// The zone that a hostname needs no proof in.
pub fn covered<'a>(hostname: &Hostname, mut zones: impl Iterator<Item = &'a Zone>) -> Option<Look> {
    let zone = zones.find(|zone| zone.covers(hostname))?;
    Some(Look::Proven(format!("the zone {zone} is allowed")))
}

/// Whether any of the names proves it. Nearest first: of what is missing the nearest is told.
pub fn judge(proof: &Proof, found: &[Found], now: Millis) -> Look {
    let holds = |(_, texts): &&Found| {
        texts.as_ref().is_ok_and(|texts| texts.iter().any(|text| text.trim() == proof.value))
    };
    match found.iter().find(holds) {
        Some((name, _)) => Look::Proven(format!("the TXT record {name}")),
        None => Look::Missing { problem: problem(found), next_at: next_at(proof.asked_at, now) },
    }
}

/// In the tenant's words; nothing of what strangers write into their records.
fn problem(found: &[Found]) -> String {
    let ours = |texts: &[String]| texts.iter().any(|text| text.trim().starts_with(OURS));
    let another = found.iter().find(|(_, texts)| texts.as_ref().is_ok_and(|it| ours(it)));
    if let Some((name, _)) = another {
        return format!("`{name}` has the value of another team, or of another platform");
    }
    match found.first() {
        Some((name, Err(why))) => format!("`{name}` cannot be looked up: {why}"),
        Some((name, Ok(texts))) if texts.is_empty() => {
            format!("there is no TXT record `{name}` yet, nor one above it")
        }
        Some((name, Ok(texts))) => {
            let values = if texts.len() == 1 { "another value" } else { "other values" };
            format!("the TXT record `{name}` has {values}")
        }
        None => "its name is too long for a record below it".to_owned(),
    }
}

/// Each minute at first, then more and more seldom, and not for ever.
fn next_at(asked_at: Millis, now: Millis) -> Option<Millis> {
    let waited = now.saturating_sub(asked_at).max(0);
    let pause = (waited / PATIENCE).clamp(MINUTE_MILLIS, PAUSE_MILLIS_MAX);
    (waited < AWAITED_MILLIS_MAX).then(|| now + pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof() -> Proof {
        Proof {
            hostname: "a.shop.acme.org".parse().unwrap(),
            instance: "i".parse().unwrap(),
            owner: model::Owner { organization: "o".to_owned(), space: "web".to_owned() },
            value: format!("{OURS}abc"),
            asked_at: 1000,
            next_at: Some(1000),
            looked_at: None,
            problem: None,
            proven_at: None,
        }
    }

    #[test]
    fn the_value_proves_and_nothing_else() {
        let texts = |list: &[&str]| Ok(list.iter().map(|it| (*it).to_owned()).collect());
        let found = |near: Result<Vec<String>, String>, far| -> Vec<Found> {
            vec![("near".to_owned(), near), ("far".to_owned(), far)]
        };
        let mine = "margrave-proof=abc";
        let failed = || Err("SERVFAIL".to_owned());
        for (found, expected) in [
            (found(texts(&["v=spf1", mine]), texts(&[])), Ok("the TXT record near")),
            (found(failed(), texts(&[mine])), Ok("the TXT record far")),
            (
                found(texts(&[]), texts(&["margrave-proof=abd"])),
                Err("`far` has the value of another team, or of another platform"),
            ),
            (
                found(texts(&["margrave-proof=abcd"]), texts(&[])),
                Err("`near` has the value of another team, or of another platform"),
            ),
            (
                found(texts(&[]), texts(&["x"])),
                Err("there is no TXT record `near` yet, nor one above it"),
            ),
            (found(texts(&["x"]), texts(&[])), Err("the TXT record `near` has another value")),
            (found(failed(), texts(&[])), Err("`near` cannot be looked up: SERVFAIL")),
            (Vec::new(), Err("its name is too long for a record below it")),
        ] {
            match (judge(&proof(), &found, 1000), expected) {
                (Look::Proven(by), Ok(expected)) => assert_eq!(by, expected),
                (Look::Missing { problem, next_at }, Err(expected)) => {
                    assert_eq!((problem.as_str(), next_at), (expected, Some(61_000)));
                }
                (look, expected) => panic!("{found:?}: {look:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn it_is_looked_for_more_and_more_seldom_and_not_for_ever() {
        let hour = 60 * MINUTE_MILLIS;
        for (waited, pause) in [
            (0, Some(MINUTE_MILLIS)),
            (-hour, Some(MINUTE_MILLIS)),
            (4 * hour, Some(hour / 2)),
            (10 * 24 * hour, Some(6 * hour)),
            (14 * 24 * hour, None),
        ] {
            assert_eq!(next_at(0, waited), pause.map(|pause| waited + pause), "{waited}");
        }
    }

    #[test]
    fn a_zone_is_proof_enough() {
        let zones: Vec<Zone> = vec!["example.com".parse().unwrap(), "acme.org".parse().unwrap()];
        let expected = Look::Proven("the zone acme.org is allowed".to_owned());
        assert_eq!(covered(&proof().hostname, zones.iter()), Some(expected));
        assert_eq!(covered(&proof().hostname, zones[..1].iter()), None);
    }
}
