//! The queue: order, delays, leases, and who is woken.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::{Millis, OperationKind};

use super::act::{LEASE, accepted, begin, finish};
use super::{Case, PATIENCE, State, Subject, cases, sample, soon};

pub(super) const CASES: &[Case] = cases![
    the_longest_ready_is_leased_first,
    a_team_with_many_jobs_stands_before_nobody,
    what_was_delayed_takes_its_turn_as_well,
    a_team_that_is_full_is_passed_over_and_keeps_its_turn,
    a_lease_that_nothing_came_of_is_counted,
    a_job_is_leased_by_one,
    a_delayed_job_waits_its_time,
    an_expired_lease_is_given_to_the_next,
    depth_counts_what_is_leased_too,
    an_accept_wakes_who_waits,
    a_release_wakes_who_waits,
    what_waits_can_be_woken,
    the_end_of_a_delay_wakes_who_waits,
    the_end_of_a_lease_wakes_who_waits,
    a_ready_job_is_not_waited_for,
    nothing_to_do_ends_with_the_timeout,
    nothing_is_swept_that_is_not_lost,
    a_clock_that_is_set_back_holds_nobody_up,
];

/// A delay short enough to sit out.
const SHORT: Millis = 40;

async fn provision(state: &Arc<dyn State>, id: &str, at: Millis) {
    let spec = sample::spec("shop", &[&format!("{id}.example.com")]);
    accepted(state, sample::accept(OperationKind::Provision, id, &spec, at)).await;
}

/// Whose job is leased now.
async fn leased(state: &Arc<dyn State>, now: Millis) -> Option<String> {
    let lease = state.lease(now, LEASE).await.unwrap()?;
    let operation = state.operation(&lease.job.operation_id).await.unwrap().expect("there");
    Some(operation.instance.into())
}

async fn the_longest_ready_is_leased_first(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["later.example.com"]);
    let (_, later) = begin(&state, OperationKind::Provision, "later", &spec, now).await;
    state.release(&later, now + 50).await.unwrap();
    for (id, at) in [("first", now), ("second", now + 1), ("third", now + 2)] {
        provision(&state, id, at).await;
    }
    for id in [Some("first"), Some("second"), Some("third"), None] {
        assert_eq!(leased(&state, now + 10).await.as_deref(), id);
    }
}

async fn provision_for(state: &Arc<dyn State>, team: &str, id: &str, at: Millis) {
    let spec = sample::spec("shop", &[&format!("{id}.example.com")]);
    let mut wish = sample::accept(OperationKind::Provision, id, &spec, at);
    wish.instance.owner.space = team.to_owned();
    accepted(state, wish).await;
}

async fn a_team_with_many_jobs_stands_before_nobody(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    for index in 0..40 {
        provision_for(&state, "many", &format!("m{index:02}"), now).await;
    }
    for expected in ["m00", "m01", "m02"] {
        assert_eq!(leased(&state, now).await.as_deref(), Some(expected));
    }
    provision_for(&state, "few", "f0", now).await;
    provision_for(&state, "few", "f1", now).await;
    provision_for(&state, "one", "o0", now).await;
    // By turns: nobody waits for more than one job of each other team.
    for expected in ["m03", "f0", "o0", "m04", "f1", "m05", "m06"] {
        assert_eq!(leased(&state, now).await.as_deref(), Some(expected));
    }
    // Who asked for nothing for a while has saved up nothing, and lost nothing.
    provision_for(&state, "one", "o1", now).await;
    let next = [leased(&state, now).await, leased(&state, now).await];
    assert!(next.contains(&Some("o1".to_owned())), "{next:?}");
    drop(state);
    let state = subject.open().await;
    provision_for(&state, "few", "f2", now).await;
    let next = [leased(&state, now).await, leased(&state, now).await];
    assert!(next.contains(&Some("f2".to_owned())), "over a reopening as well: {next:?}");
}

async fn what_was_delayed_takes_its_turn_as_well(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    // More than are found ready at once, of one team, due before anybody else's.
    for index in 0..80 {
        provision_for(&state, "many", &format!("m{index:02}"), now).await;
    }
    for _ in 0..80 {
        let lease = state.lease(now, LEASE).await.unwrap().expect("ready");
        state.release(&lease.fence, now + 10).await.unwrap();
    }
    provision_for(&state, "one", "o0", now + 20).await;
    let next = [leased(&state, now + 20).await, leased(&state, now + 20).await];
    assert!(next.contains(&Some("o0".to_owned())), "{next:?}");
    let mut rest = BTreeSet::new();
    while let Some(id) = leased(&state, now + 20).await {
        rest.insert(id);
    }
    assert_eq!(rest.len(), 79, "nobody is forgotten");
}

async fn a_team_that_is_full_is_passed_over_and_keeps_its_turn(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    for id in ["m0", "m1", "m2"] {
        provision_for(&state, "many", id, now).await;
    }
    provision_for(&state, "few", "f0", now).await;
    let many = state.lease(now, LEASE).await.unwrap().expect("ready").team;
    let full = [many];
    let lease = state.lease_beside(now, LEASE, &full).await.unwrap().expect("another's");
    let operation = state.operation(&lease.job.operation_id).await.unwrap().expect("there");
    assert_eq!(operation.instance.as_str(), "f0");
    assert_eq!(state.lease_beside(now, LEASE, &full).await, Ok(None), "all else is of that team");
    provision_for(&state, "few", "f1", now).await;
    for expected in ["m1", "f1", "m2"] {
        assert_eq!(leased(&state, now).await.as_deref(), Some(expected));
    }
}

async fn a_lease_that_nothing_came_of_is_counted(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    provision(&state, "one", now).await;
    let mut at = now;
    let mut lease_again = async |tries: u32| {
        let lease = state.lease(at, Duration::from_millis(10)).await.unwrap().expect("ready");
        assert_eq!(lease.tries, tries);
        at = lease.until;
        lease
    };
    lease_again(1).await;
    lease_again(2).await;
    let lease = lease_again(3).await;
    let operation = state.operation(&lease.job.operation_id).await.unwrap().expect("there");
    let save = sample::save(&lease.fence, &operation, vec![], now);
    state.save(save).await.unwrap();
    lease_again(2).await;
    let lease = lease_again(3).await;
    state.release(&lease.fence, now).await.unwrap();
    lease_again(1).await;
}

async fn a_job_is_leased_by_one(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    for index in 0..20 {
        provision(&state, &format!("i{index}"), now).await;
    }
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let state = Arc::clone(&state);
        workers.spawn(async move { state.lease(now, LEASE).await.unwrap() });
    }
    let leases: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
    let jobs: BTreeSet<_> = leases.iter().map(|lease| &lease.job.operation_id).collect();
    let fences: BTreeSet<_> = leases.iter().map(|lease| lease.fence.number).collect();
    assert_eq!((leases.len(), jobs.len(), fences.len()), (20, 20, 20));
}

async fn a_delayed_job_waits_its_time(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    let (_, fence) = begin(&state, OperationKind::Provision, "one", &spec, now).await;
    assert_eq!(state.release(&fence, now + 500).await, Ok(()));
    assert_eq!(leased(&state, now + 499).await, None);
    assert_eq!(leased(&state, now + 500).await.as_deref(), Some("one"));
}

async fn an_expired_lease_is_given_to_the_next(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    provision(&state, "one", now).await;
    let lease = state.lease(now, Duration::from_millis(100)).await.unwrap().expect("ready");
    assert_eq!(lease.until, now + 100);
    assert_eq!(leased(&state, now + 99).await, None);
    assert_eq!(state.extend(&lease.fence, now + 300).await, Ok(()));
    assert_eq!(leased(&state, now + 299).await, None);
    assert_eq!(leased(&state, now + 300).await.as_deref(), Some("one"));
}

async fn depth_counts_what_is_leased_too(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    assert_eq!(state.depth(now).await, Ok((0, 0)));
    let spec = sample::spec("shop", &["shop.example.com"]);
    let begun = begin(&state, OperationKind::Provision, "one", &spec, now).await;
    provision(&state, "two", now + 10).await;
    assert_eq!(state.depth(now + 30).await, Ok((2, 20)), "what is leased is not late");
    finish(&state, &begun, vec![], now).await;
    assert_eq!(state.depth(now + 30).await, Ok((1, 20)));
    assert_eq!(state.depth(now - 30).await, Ok((1, 0)), "a clock that was set back");
}

/// Somebody who waits for a job, and leases it.
fn waiting(state: &Arc<dyn State>, subject: Arc<dyn Subject>) -> tokio::task::JoinHandle<String> {
    let state = Arc::clone(state);
    tokio::spawn(async move {
        loop {
            state.ready(PATIENCE * 10).await;
            if let Some(id) = leased(&state, subject.now()).await {
                return id;
            }
        }
    })
}

async fn an_accept_wakes_who_waits(subject: Arc<dyn Subject>) {
    let state = subject.open().await;
    let worker = waiting(&state, Arc::clone(&subject));
    tokio::task::yield_now().await;
    provision(&state, "one", subject.now()).await;
    assert_eq!(soon("the wake-up", worker).await.unwrap(), "one");
}

async fn a_release_wakes_who_waits(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    let (_, fence) = begin(&state, OperationKind::Provision, "one", &spec, now).await;
    let worker = waiting(&state, Arc::clone(&subject));
    tokio::task::yield_now().await;
    state.release(&fence, now).await.unwrap();
    assert_eq!(soon("the wake-up", worker).await.unwrap(), "one");
}

async fn what_waits_can_be_woken(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    let (operation, fence) = begin(&state, OperationKind::Provision, "one", &spec, now).await;
    state.wake(&operation.id, now).await.unwrap();
    assert_eq!(leased(&state, now).await, None, "it is held");
    state.release(&fence, now + 500_000).await.unwrap();
    let worker = waiting(&state, Arc::clone(&subject));
    tokio::task::yield_now().await;
    state.wake(&operation.id, subject.now()).await.unwrap();
    assert_eq!(soon("the wake-up", worker).await.unwrap(), "one");
    state.wake(&"nobody".parse().unwrap(), now).await.unwrap();
}

async fn the_end_of_a_delay_wakes_who_waits(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    let (_, fence) = begin(&state, OperationKind::Provision, "one", &spec, now).await;
    let worker = waiting(&state, Arc::clone(&subject));
    tokio::task::yield_now().await;
    state.release(&fence, subject.now() + SHORT).await.unwrap();
    assert_eq!(soon("the wake-up", worker).await.unwrap(), "one");
}

async fn the_end_of_a_lease_wakes_who_waits(subject: Arc<dyn Subject>) {
    let state = subject.open().await;
    provision(&state, "one", subject.now()).await;
    let short = Duration::from_millis(SHORT.unsigned_abs());
    state.lease(subject.now(), short).await.unwrap().expect("ready");
    let worker = waiting(&state, Arc::clone(&subject));
    assert_eq!(soon("the wake-up", worker).await.unwrap(), "one");
}

async fn a_ready_job_is_not_waited_for(subject: Arc<dyn Subject>) {
    let state = subject.open().await;
    provision(&state, "one", subject.now()).await;
    drop(state);
    let state = subject.open().await;
    soon("a job from before the start", state.ready(PATIENCE * 10)).await;
    assert_eq!(leased(&state, subject.now()).await.as_deref(), Some("one"));
}

async fn nothing_to_do_ends_with_the_timeout(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    begin(&state, OperationKind::Provision, "one", &spec, now).await;
    let idle = tokio::time::timeout(Duration::from_millis(50), state.ready(PATIENCE * 10)).await;
    assert!(idle.is_err(), "woken for a job that is leased");
    soon("the timeout", state.ready(Duration::from_millis(1))).await;
}

async fn nothing_is_swept_that_is_not_lost(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    begin(&state, OperationKind::Provision, "one", &spec, now).await;
    provision(&state, "two", now).await;
    assert_eq!(state.sweep(now).await, Ok(0));
    assert_eq!(state.depth(now).await, Ok((2, 0)));
}

async fn a_clock_that_is_set_back_holds_nobody_up(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let hours = 3 * 60 * 60 * 1_000;
    let spec = sample::spec("shop", &["shop.example.com"]);
    let begun = begin(&state, OperationKind::Provision, "held", &spec, now + hours).await;
    let other = sample::spec("other", &["other.example.com"]);
    let (_, free) = begin(&state, OperationKind::Provision, "free", &other, now + hours).await;
    assert_eq!(state.release(&free, now + hours + 1).await, Ok(()));
    assert_eq!(leased(&state, now).await, None, "they are due in hours");
    assert_eq!(state.sweep(now).await, Ok(0), "and are not lost");
    // Who is at work extends its lease by its own clock, before anybody else is given the job.
    assert_eq!(leased(&state, now + 50_000).await, None);
    assert_eq!(state.extend(&begun.1, now + 200_000).await, Ok(()));
    assert_eq!(leased(&state, now + 60_000).await.as_deref(), Some("free"));
    assert_eq!(leased(&state, now + 60_000).await, None);
    assert_eq!(leased(&state, now + 200_000).await.as_deref(), Some("held"));
}
