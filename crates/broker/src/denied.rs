//! What a team may not have, said to it: what stands against it, whom to ask, and what they type.

use model::descriptor::{Code, Refusal as Mistake};
use model::{Hostname, Millis, ORGANIZATION, Owner, Share};
use store::{Excess, HostnameOwner, Refusal, Reservation};

use crate::error::Error;

/// The answer to a request of a team that the store has refused.
pub(crate) fn error(refusal: &Refusal, owner: &Owner, now: Millis) -> Error {
    match refusal {
        Refusal::Changed | Refusal::Busy(_) => Error::busy("another change"),
        Refusal::Taken(owners) => Error::taken(owners),
        Refusal::Reserved(names) => {
            Error::told("HostnameReserved", names.iter().map(reserved).collect())
        }
        Refusal::NotGranted(names) => not_granted(names, owner),
        Refusal::NoConsent(names) => {
            let covered = |name| covered(name, owner);
            Error::told("HostnameCovered", names.iter().map(covered).collect())
        }
        Refusal::TooMany(excess) => too_many(excess, owner, now),
    }
}

fn mistake(code: Code, path: &str, message: String, help: String) -> Mistake {
    Mistake {
        code,
        path: path.to_owned(),
        place: None,
        message,
        label: None,
        why: None,
        help: Some(help),
        also: None,
    }
}

/// A word of a command line, as a shell takes it.
fn word(text: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || "-_.".contains(it);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The end of a command about a team that is not of the platform's own organisation.
fn of(owner: &Owner) -> String {
    match owner.organization.as_str() {
        ORGANIZATION => String::new(),
        other => format!(" --organization {}", word(other)),
    }
}

/// What operators type to lay something down for a team.
fn set(owner: &Owner, what: &str) -> String {
    format!("`margrave team set {} {what}{}`", word(&owner.space), of(owner))
}

fn reserved(name: &Reservation) -> Mistake {
    let Reservation { hostname, owner, service, until } = name;
    let (space, until) = (&owner.space, model::date(*until));
    let message = format!(
        "`{hostname}` was {space}'s, through service `{service}`, and stays reserved for that \
         team until {until}"
    );
    let release = format!("`margrave hostname release {}`", word(hostname.as_str()));
    let help = format!(
        "ask {space} to take it again and transfer the service (`margrave transfer offer`), ask the \
         platform's operators to lift the reservation ({release}), or choose another hostname"
    );
    mistake(Code::Taken, "hostnames", message, help)
}

/// These wildcards are not a team's to take.
pub(crate) fn not_granted(names: &[Hostname], owner: &Owner) -> Error {
    let mistake = |name: &Hostname| {
        let grant = set(owner, &format!("--grant {}", word(name.as_str())));
        let help =
            format!("ask the platform's operators to grant it ({grant}), or list each hostname");
        let message = format!("`{name}` was not granted to team {}", owner.space);
        mistake(Code::Wildcard, "hostnames", message, help)
    };
    Error::told("WildcardNotGranted", names.iter().map(mistake).collect())
}

fn covered(name: &HostnameOwner, owner: &Owner) -> Mistake {
    let HostnameOwner { hostname, service, owner: above, .. } = name;
    let space = &above.space;
    let message = format!(
        "`{hostname}` falls under a wildcard of {space}, through service `{service}`, and {space} \
         has not consented"
    );
    let (name, to) = (word(hostname.as_str()), word(&owner.space));
    let consent = format!("`margrave hostname consent {name} --to {to}{}`", of(owner));
    let help = format!("ask {space} for its consent ({consent}), or choose another hostname");
    mistake(Code::Taken, "hostnames", message, help)
}

/// OSB knows no 429, and takes a 5xx to a provision for a reason to send a deprovision after it: so
/// it is 422, with `Retry-After` where waiting helps.
pub(crate) fn too_many(excess: &Excess, owner: &Owner, now: Millis) -> Error {
    let error = |word| Error::told(word, vec![excessive(excess, owner, now)]);
    match (excess.of, excess.free_at) {
        (Share::Changes, Some(at)) => {
            error("TooManyChanges").retry_after_millis(at.saturating_sub(now))
        }
        (Share::Changes, None) => error("TooManyChanges"),
        _ => error("QuotaExceeded"),
    }
}

fn excessive(excess: &Excess, owner: &Owner, now: Millis) -> Mistake {
    let Excess { of, limit, used, wanted, free_at } = *excess;
    let (what, path, flag) = match of {
        Share::Instances => ("instances", "", "--instances"),
        Share::Hostnames => ("hostnames", "hostnames", "--hostnames"),
        Share::Routes => ("routes in one instance", "routes", "--routes"),
        Share::Changes => ("changes in a minute", "", "--changes-per-minute"),
        Share::Unproven => ("hostnames that wait for a proof", "hostnames", "--allow-zone"),
    };
    let has = match of {
        Share::Routes => format!("and this one would have {wanted}"),
        Share::Changes => "and has made them".to_owned(),
        Share::Instances | Share::Hostnames | Share::Unproven => {
            format!("has {used}, and this would be {wanted} more")
        }
    };
    let message = format!("team {} may have {limit} {what}, {has}", owner.space);
    let needed = used.saturating_add(wanted);
    let raise = set(owner, &format!("{flag} {needed}"));
    let ask = format!("ask the platform's operators to raise the limit ({raise})");
    let help = match (of, free_at) {
        (Share::Unproven, _) => {
            let allow = set(owner, &format!("{flag} ZONE"));
            format!(
                "prove some of them first: `margrave status` tells how; or ask the platform's \
                 operators to allow your team the zone ({allow})"
            )
        }
        (_, Some(at)) => {
            let wait = at.saturating_sub(now).max(0).unsigned_abs().div_ceil(1000).max(1);
            format!("wait {wait} s, or {ask}")
        }
        (Share::Changes, None) => ask,
        _ => format!("give something up, or {ask}"),
    };
    mistake(Code::Quota, path, message, help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_one_word_to_a_shell() {
        for (text, shown) in [
            ("shop", "shop"),
            ("*.shop.example.com", "'*.shop.example.com'"),
            ("the team's", r"'the team'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(word(text), shown);
        }
    }
}
