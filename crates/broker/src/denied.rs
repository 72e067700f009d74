//! What a team may not have, said to it: what stands against it, and whom to ask.

use model::descriptor::{Code, Refusal as Mistake};
use model::{Hostname, Millis, Share};
use store::{Excess, HostnameOwner, Refusal, Reservation};

use crate::error::Error;

/// The answer to a request that the store has refused.
pub(crate) fn error(refusal: &Refusal, now: Millis) -> Error {
    match refusal {
        Refusal::Changed | Refusal::Busy(_) => Error::busy("another change"),
        Refusal::Taken(owners) => Error::taken(owners),
        Refusal::Reserved(names) => {
            Error::told("HostnameReserved", names.iter().map(reserved).collect())
        }
        Refusal::NotGranted(names) => {
            Error::told("WildcardNotGranted", names.iter().map(not_granted).collect())
        }
        Refusal::NoConsent(names) => {
            Error::told("HostnameCovered", names.iter().map(covered).collect())
        }
        Refusal::TooMany(excess) => too_many(excess, now),
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

fn reserved(name: &Reservation) -> Mistake {
    let Reservation { hostname, owner, service, until } = name;
    let (space, until) = (&owner.space, model::date(*until));
    let message = format!(
        "`{hostname}` was {space}'s, through service `{service}`, and stays reserved for that \
         team until {until}"
    );
    let help = format!(
        "ask {space} to take it again and transfer the service, ask the platform's operators to \
         lift the reservation, or choose another hostname"
    );
    mistake(Code::Taken, "hostnames", message, help)
}

fn not_granted(name: &Hostname) -> Mistake {
    let message = format!("`{name}` was not granted to your team");
    let help = "ask the platform's operators to grant it, or list each hostname".to_owned();
    mistake(Code::Wildcard, "hostnames", message, help)
}

fn covered(name: &HostnameOwner) -> Mistake {
    let HostnameOwner { hostname, service, owner, .. } = name;
    let space = &owner.space;
    let message = format!(
        "`{hostname}` falls under a wildcard of {space}, through service `{service}`, and {space} \
         has not consented"
    );
    let help = format!("ask {space} for its consent, or choose another hostname");
    mistake(Code::Taken, "hostnames", message, help)
}

/// OSB knows no 429, and takes a 5xx to a provision for a reason to send a deprovision after it: so
/// it is 422, with `Retry-After` where waiting helps.
pub(crate) fn too_many(excess: &Excess, now: Millis) -> Error {
    let Excess { of, limit, used, wanted, free_at } = *excess;
    let (what, path) = match of {
        Share::Instances => ("instances", ""),
        Share::Hostnames => ("hostnames", "hostnames"),
        Share::Routes => ("routes in one instance", "routes"),
        Share::Changes => ("changes in a minute", ""),
        Share::Unproven => ("hostnames that wait for a proof", "hostnames"),
    };
    let has = match of {
        Share::Routes => format!("and this one would have {wanted}"),
        Share::Changes => "and has made them".to_owned(),
        Share::Instances | Share::Hostnames | Share::Unproven => {
            format!("has {used}, and this would be {wanted} more")
        }
    };
    let message = format!("your team may have {limit} {what}, {has}");
    let help = match free_at {
        _ if of == Share::Unproven => {
            "prove some of them first: `margrave status` tells how; or ask \
                                       the platform's operators to allow your team the zone"
                .to_owned()
        }
        Some(_) => "wait a little, or ask the platform's operators to raise the limit".to_owned(),
        None => "give something up, or ask the platform's operators to raise the limit".to_owned(),
    };
    let word = if of == Share::Changes { "TooManyChanges" } else { "QuotaExceeded" };
    let error = Error::told(word, vec![mistake(Code::Quota, path, message, help)]);
    match free_at {
        Some(at) => error.retry_after_millis(at.saturating_sub(now)),
        None => error,
    }
}
