//! Whether a team may have what it asks for: whose the names are, and how much it has already.
//! Decided in the transaction that takes them, so that nobody races past a limit.

use model::{Hostname, Millis, OperationKind, Owner, Quota, Share};
use rusqlite::Connection;

use super::{names, proofs, teams};
use crate::{Accept, Excess, Refusal, StoreError};

/// The length over which changes are counted.
const MINUTE_MILLIS: Millis = 60_000;

/// What stands against it, in the order of [`Refusal`]. `afresh`: it would be an instance more.
pub(super) fn refusal(
    conn: &Connection,
    accept: &Accept,
    owner: &Owner,
    afresh: bool,
) -> Result<Option<Refusal>, StoreError> {
    let (fresh, taken) = split(conn, accept)?;
    if !taken.is_empty() {
        return Ok(Some(Refusal::Taken(taken)));
    }
    let Some(quota) = accept.quota else { return Ok(None) };
    let policy = teams::policy(conn, owner)?;
    let now = accept.operation.created_at;
    let reserved = names::reserved(conn, &fresh, owner, now)?;
    if !reserved.is_empty() {
        return Ok(Some(Refusal::Reserved(reserved)));
    }
    let wildcards = fresh.iter().filter(|name| name.is_wildcard());
    let denied: Vec<_> =
        wildcards.filter(|name| !policy.wildcards.contains(*name)).cloned().collect();
    if !denied.is_empty() {
        return Ok(Some(Refusal::NotGranted(denied)));
    }
    let covered = names::covered(conn, &fresh, owner)?;
    if !covered.is_empty() {
        return Ok(Some(Refusal::NoConsent(covered)));
    }
    let unproven = proofs::excess(conn, owner, &proofs::wanted(conn, accept, &policy)?)?;
    if let Some(excess) = unproven {
        return Ok(Some(Refusal::TooMany(excess)));
    }
    let asks =
        Asks { accept, owner, afresh, hostnames: fresh.len(), quota: policy.quota.or(quota) };
    Ok(asks.excess(conn)?.map(Refusal::TooMany))
}

/// The names that the instance does not hold yet, and those that are others'.
fn split(
    conn: &Connection,
    accept: &Accept,
) -> Result<(Vec<Hostname>, Vec<crate::HostnameOwner>), StoreError> {
    let (mut fresh, mut taken) = (Vec::new(), Vec::new());
    for hostname in &accept.claim {
        match names::owner(conn, hostname)? {
            None => fresh.push(hostname.clone()),
            Some(owner) if owner.instance == accept.operation.instance => {}
            Some(owner) => taken.push(owner),
        }
    }
    Ok((fresh, taken))
}

/// What is asked for, to be held against a quota.
struct Asks<'a> {
    accept: &'a Accept,
    owner: &'a Owner,
    afresh: bool,
    hostnames: usize,
    quota: Quota,
}

impl Asks<'_> {
    fn excess(&self, conn: &Connection) -> Result<Option<Excess>, StoreError> {
        let (usage, paced_until) = teams::usage(conn, self.owner)?;
        let kind = self.accept.operation.kind;
        if kind == OperationKind::Deprovision {
            return Ok(None);
        }
        let provision = self.afresh && kind == OperationKind::Provision;
        let hostnames = u32::try_from(self.hostnames).unwrap_or(u32::MAX);
        let found = over(Share::Routes, self.quota.routes, 0, self.routes())
            .or_else(|| {
                let more = u32::from(provision);
                over(Share::Instances, self.quota.instances, usage.instances, more)
            })
            .or_else(|| over(Share::Hostnames, self.quota.hostnames, usage.hostnames, hostnames));
        if found.is_some() {
            return Ok(found);
        }
        let pace = self.quota.changes_per_minute.map(Pace::of);
        let Some(pace) = pace else { return Ok(None) };
        match pace.next(paced_until, self.accept.operation.created_at) {
            Ok(until) => teams::paced(conn, self.owner, until).map(|()| None),
            Err(excess) => Ok(Some(excess)),
        }
    }

    /// The routes, where they become more: who has too many already may have fewer.
    fn routes(&self) -> u32 {
        let count = |spec: Option<&model::Spec>| {
            spec.map_or(0, |it| u32::try_from(it.parameters.routes.len()).unwrap_or(u32::MAX))
        };
        let operation = &self.accept.operation;
        let (before, after) =
            (count(operation.previous.as_ref()), count(operation.target.as_ref()));
        if after > before { after } else { 0 }
    }
}

/// Whether `wanted` more are beyond the limit. Nothing more is never too much.
fn over(of: Share, limit: Option<u32>, used: u32, wanted: u32) -> Option<Excess> {
    let limit = limit?;
    let is_over = wanted > 0 && used.saturating_add(wanted) > limit;
    is_over.then_some(Excess { of, limit, used, wanted, free_at: None })
}

/// So many changes in a minute: each moves a mark by its share of a minute, and the mark may be a
/// minute ahead of the time. So a whole minute's worth may come at once, and then as they fall due.
#[derive(Clone, Copy)]
struct Pace {
    limit: u32,
}

impl Pace {
    fn of(limit: u32) -> Self {
        Self { limit }
    }

    /// The mark after one more change, or why there may be none now.
    fn next(self, mark: Millis, now: Millis) -> Result<Millis, Excess> {
        let Some(share) = MINUTE_MILLIS.checked_div(self.limit.into()) else {
            return Err(self.excess(self.limit, None));
        };
        // A mark further ahead was made by a clock that has gone back since.
        let mark = if mark > now + MINUTE_MILLIS { now } else { mark.max(now) };
        let next = mark + share.max(1);
        if next <= now + MINUTE_MILLIS {
            return Ok(next);
        }
        Err(self.excess(self.limit, Some(next - MINUTE_MILLIS)))
    }

    fn excess(self, used: u32, free_at: Option<Millis>) -> Excess {
        Excess { of: Share::Changes, limit: self.limit, used, wanted: 1, free_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changes of the given pace at the given times; which were let through.
    fn paced(limit: u32, times: &[Millis]) -> Vec<bool> {
        let mut mark = 0;
        let mut one = |now: &Millis| match Pace::of(limit).next(mark, *now) {
            Ok(next) => {
                mark = next;
                true
            }
            Err(excess) => {
                assert!(excess.free_at.is_none_or(|at| at > *now), "{excess:?}");
                false
            }
        };
        times.iter().map(&mut one).collect()
    }

    #[test]
    fn a_minutes_worth_comes_at_once_and_then_as_it_falls_due() {
        let start = 1_000_000_000;
        let at = |offsets: &[Millis]| offsets.iter().map(|it| start + it).collect::<Vec<_>>();
        for (limit, offsets, let_through) in [
            (
                2,
                &[0, 0, 0, 29_999, 30_000, 30_000][..],
                &[true, true, false, false, true, false][..],
            ),
            (1, &[0, 1, 60_000], &[true, false, true]),
            (0, &[0, 600_000], &[false, false]),
            // The clock goes back by a day: nobody waits for a day.
            (1, &[0, -86_400_000, -86_399_999], &[true, true, false]),
            (60_000, &[0, 0], &[true, true]),
            (u32::MAX, &[0, 0], &[true, true]),
        ] {
            assert_eq!(paced(limit, &at(offsets)), let_through, "{limit} {offsets:?}");
        }
    }
}
