//! Whether a team may have what it asks for: whose the names are, and how much it has already.
//! Decided in the transaction that takes them, so that nobody races past a limit.

use model::{Hostname, Millis, OperationKind, Owner, Policy, Quota, Share};
use rusqlite::Connection;

use super::{names, proofs, teams};
use crate::{Accept, Excess, Refusal, StoreError, Usage};

/// The length over which changes are counted.
const MINUTE_MILLIS: Millis = 60_000;

/// What comes of looking: the mark up to which the team's changes are paced, where they are.
pub(super) type Verdict = Result<Option<Millis>, Refusal>;

/// What stands against it, in the order of [`Refusal`]. `afresh`: it would be an instance more.
/// Nothing is written: see [`count`].
pub(super) fn verdict(
    conn: &Connection,
    accept: &Accept,
    owner: &Owner,
    afresh: bool,
) -> Result<Verdict, StoreError> {
    let claims = Claims::of(conn, accept)?;
    if !claims.taken.is_empty() {
        return Ok(Err(Refusal::Taken(claims.taken)));
    }
    let Some(quota) = accept.quota else { return Ok(Ok(None)) };
    let policy = teams::policy(conn, owner)?;
    let now = accept.operation.created_at;
    if let Some(refusal) = names_refused(conn, &claims.fresh, owner, &policy, now)? {
        return Ok(Err(refusal));
    }
    let unproven = proofs::excess(conn, owner, &proofs::wanted(conn, accept, &policy)?)?;
    if let Some(excess) = unproven {
        return Ok(Err(Refusal::TooMany(excess)));
    }
    let asks = Asks { accept, owner, afresh, claims: &claims, quota: policy.quota.or(quota) };
    Ok(asks.pace(conn)?.map_err(Refusal::TooMany))
}

/// Counts the change that was let through.
pub(super) fn count(
    conn: &Connection,
    owner: &Owner,
    mark: Option<Millis>,
) -> Result<(), StoreError> {
    mark.map_or(Ok(()), |mark| teams::paced(conn, owner, mark))
}

fn names_refused(
    conn: &Connection,
    fresh: &[Hostname],
    owner: &Owner,
    policy: &Policy,
    now: Millis,
) -> Result<Option<Refusal>, StoreError> {
    let reserved = names::reserved(conn, fresh, owner, now)?;
    if !reserved.is_empty() {
        return Ok(Some(Refusal::Reserved(reserved)));
    }
    let denied = not_granted(fresh.iter(), policy);
    if !denied.is_empty() {
        return Ok(Some(Refusal::NotGranted(denied)));
    }
    let covered = names::covered(conn, fresh, owner)?;
    Ok((!covered.is_empty()).then_some(Refusal::NoConsent(covered)))
}

/// The wildcards among the names that were not granted.
pub(super) fn not_granted<'a>(
    names: impl Iterator<Item = &'a Hostname>,
    policy: &Policy,
) -> Vec<Hostname> {
    names.filter(|it| it.is_wildcard() && !policy.wildcards.contains(*it)).cloned().collect()
}

/// What a request does about names.
struct Claims {
    /// Those that the instance does not hold yet.
    fresh: Vec<Hostname>,
    /// Those that are others'.
    taken: Vec<crate::HostnameOwner>,
    /// How many it holds, and will give up.
    leaving: usize,
}

impl Claims {
    fn of(conn: &Connection, accept: &Accept) -> Result<Self, StoreError> {
        let (mut fresh, mut taken, mut kept) = (Vec::new(), Vec::new(), 0);
        for hostname in &accept.claim {
            match names::owner(conn, hostname)? {
                None => fresh.push(hostname.clone()),
                Some(owner) if owner.instance == accept.operation.instance => kept += 1,
                Some(owner) => taken.push(owner),
            }
        }
        let held = names::held_count(conn, &accept.operation.instance)?;
        Ok(Self { fresh, taken, leaving: held.saturating_sub(kept) })
    }

    /// How many more the team will have when it is done.
    fn more(&self) -> u32 {
        u32::try_from(self.fresh.len().saturating_sub(self.leaving)).unwrap_or(u32::MAX)
    }
}

/// What is asked for, to be held against a quota.
struct Asks<'a> {
    accept: &'a Accept,
    owner: &'a Owner,
    afresh: bool,
    claims: &'a Claims,
    quota: Quota,
}

impl Asks<'_> {
    /// The mark after this change, or what it is too much of.
    fn pace(&self, conn: &Connection) -> Result<Result<Option<Millis>, Excess>, StoreError> {
        if self.accept.operation.kind == OperationKind::Deprovision {
            return Ok(Ok(None));
        }
        let (usage, paced_until) = teams::usage(conn, self.owner)?;
        if let Some(excess) = self.excess(usage) {
            return Ok(Err(excess));
        }
        let now = self.accept.operation.created_at;
        let pace = self.quota.changes_per_minute.map(Pace::of);
        Ok(pace.map(|pace| pace.next(paced_until, now)).transpose())
    }

    fn excess(&self, usage: Usage) -> Option<Excess> {
        let is_provision = self.accept.operation.kind == OperationKind::Provision;
        let instances = u32::from(self.afresh && is_provision);
        let Quota { instances: may_instances, hostnames, routes, .. } = self.quota;
        over(Share::Routes, routes, 0, self.routes())
            .or_else(|| over(Share::Instances, may_instances, usage.instances, instances))
            .or_else(|| over(Share::Hostnames, hostnames, usage.hostnames, self.claims.more()))
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
pub(super) fn over(of: Share, limit: Option<u32>, used: u32, wanted: u32) -> Option<Excess> {
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
