//! An operation told to its user.

use model::{Millis, Operation, OperationKind, OperationState, StepRecord, StepState, WaitsFor};

use crate::typical::Usual;

/// The longest that a platform is told to wait before it asks again, in seconds.
const POLL_AGAIN_S_MAX: Millis = 60;

/// The sentence for OSB's `description`.
pub(crate) fn description(operation: &Operation) -> String {
    match operation.state {
        OperationState::InProgress => running(operation),
        OperationState::Failed => operation
            .error
            .clone()
            .unwrap_or_else(|| "it failed; the operators can see why".to_owned()),
        OperationState::Succeeded => succeeded(operation),
    }
}

/// What its last note says, such as `live on 3/3 proxies`, and what is still to be said.
fn succeeded(operation: &Operation) -> String {
    let done = match operation.kind {
        OperationKind::Provision | OperationKind::Update => {
            let notes = operation.steps.iter().rev().find_map(|step| step.note.clone());
            notes.unwrap_or_else(|| "live".to_owned())
        }
        OperationKind::Deprovision => "gone".to_owned(),
    };
    let done = match operation.leftovers.len() {
        0 => done,
        _ => format!("{done}; left behind: {}", operation.leftovers.join("; ")),
    };
    match &operation.notice {
        Some(notice) if *notice != done => format!("{done}: {notice}"),
        _ => done,
    }
}

fn running(operation: &Operation) -> String {
    // An operation in progress that has an error is being undone.
    if let Some(error) = &operation.error {
        return format!("Taking back what was done, because: {error}");
    }
    match current(operation) {
        None => "Accepted; waiting for a worker".to_owned(),
        Some(step) if step.waits_now().is_some_and(|waits| waits.on == WaitsFor::User) => {
            let note = step.note.as_deref().unwrap_or_default();
            format!("{}; waiting for somebody to act: {note}", step.says)
        }
        Some(step) => {
            let note = step.note.as_ref().map_or(String::new(), |note| format!(" ({note})"));
            format!("{}{note}", step.says)
        }
    }
}

/// The step that is worked on; between two of them the next.
fn current(operation: &Operation) -> Option<&StepRecord> {
    let first =
        |states: &[StepState]| operation.steps.iter().find(|step| states.contains(&step.state));
    first(&[StepState::Running, StepState::Undoing]).or_else(|| first(&[StepState::Pending]))
}

/// Seconds until the next poll is worth it: one, unless the step is to be tried again, or looked at,
/// later; or half of what is left of its usual time, so that what is quicker is not missed by long. Of
/// the proxies there may be news at any moment.
pub(crate) fn poll_again_s(operation: &Operation, usual: &Usual, now: Millis) -> u64 {
    let Some(step) = current(operation) else { return 1 };
    let fleet = step.waits_now().is_some_and(|waits| waits.on == WaitsFor::Fleet);
    let next_at = step.next_at.filter(|_| !fleet).unwrap_or(now);
    let usually_done = step.started_at.zip(usual.get(&step.name));
    let usually_done = usually_done.map_or(now, |(since, typical)| since.saturating_add(*typical));
    let millis = next_at.saturating_sub(now).max(usually_done.saturating_sub(now) / 2);
    (millis.saturating_add(999) / 1000).clamp(1, POLL_AGAIN_S_MAX).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use model::Waits;

    use super::*;

    fn step(says: &str, state: StepState, note: Option<&str>) -> StepRecord {
        let note = note.map(str::to_owned);
        StepRecord { state, attempts: 1, note, ..StepRecord::new(says.to_lowercase(), says) }
    }

    fn operation(kind: OperationKind, state: OperationState, steps: &[StepRecord]) -> Operation {
        let by = model::Requester {
            credential: "c".to_owned(),
            originating_identity: None,
            request_identity: None,
        };
        let fresh = Operation::new("o".parse().unwrap(), "i".parse().unwrap(), kind, by, 0);
        Operation { state, steps: steps.to_vec(), ..fresh }
    }

    #[test]
    fn the_sentence_is_about_what_happens_now() {
        use OperationKind::{Deprovision, Provision};
        use OperationState::{Failed, InProgress, Succeeded};
        use StepState::{Done, Pending, Running, Undoing};
        let (names, behind) = ("Claiming names", Some("live on 0/1 proxies"));
        for (kind, state, steps, error, notice, said) in [
            (Provision, InProgress, vec![], None, None, "Accepted; waiting for a worker"),
            (
                Provision,
                InProgress,
                vec![step(names, Done, None), step("Waiting", Running, behind)],
                None,
                None,
                "Waiting (live on 0/1 proxies)",
            ),
            (
                Provision,
                InProgress,
                vec![step(names, Done, None), step("Waiting", Pending, None)],
                None,
                None,
                "Waiting",
            ),
            (
                Provision,
                InProgress,
                vec![step(names, Undoing, None), step("Waiting", Pending, None)],
                Some("no zone"),
                None,
                "Taking back what was done, because: no zone",
            ),
            (
                Provision,
                Succeeded,
                vec![step("Waiting", Done, Some("live on 1/1 proxies"))],
                None,
                Some("no proxy in eu"),
                "live on 1/1 proxies: no proxy in eu",
            ),
            (Provision, Succeeded, vec![], None, None, "live"),
            (Deprovision, Succeeded, vec![step("x", Done, behind)], None, None, "gone"),
            (Provision, Failed, vec![], Some("no zone"), None, "no zone"),
        ] {
            let mut operation = operation(kind, state, &steps);
            operation.error = error.map(str::to_owned);
            operation.notice = notice.map(str::to_owned);
            assert_eq!(description(&operation), said);
        }
    }

    #[test]
    fn a_poll_is_worth_it_when_something_can_have_happened() {
        let state = OperationState::InProgress;
        for (next_at, seconds) in [
            (None, 1),
            (Some(500), 1),
            (Some(1_001), 1),
            (Some(2_001), 2),
            (Some(9_000), 8),
            (Some(Millis::MAX), 60),
        ] {
            let mut record = step("Waiting", StepState::Running, None);
            record.next_at = next_at;
            let waiting = operation(OperationKind::Update, state, &[record.clone()]);
            assert_eq!(poll_again_s(&waiting, &Usual::new(), 1_000), seconds, "{next_at:?}");
            record.waits = Some(Waits { on: WaitsFor::Fleet, since: 0 });
            let waiting = operation(OperationKind::Update, state, &[record]);
            assert_eq!(poll_again_s(&waiting, &Usual::new(), 1_000), 1, "{next_at:?}");
        }
    }

    #[test]
    fn a_poll_comes_half_way_through_what_is_usual() {
        let mut record = step("Waiting", StepState::Running, None);
        record.started_at = Some(1_000);
        let waiting = operation(OperationKind::Update, OperationState::InProgress, &[record]);
        let usual = Usual::from([("waiting".to_owned(), 41_000), ("other".to_owned(), 99_000)]);
        for (now, seconds) in [(1_000, 21), (21_000, 11), (41_999, 1), (99_000, 1)] {
            assert_eq!(poll_again_s(&waiting, &usual, now), seconds, "{now}");
        }
    }

    #[test]
    fn who_must_act_is_told_what_to_do() {
        let note = "make a CNAME record of shop.example.com that leads to edge.example";
        let mut record = step("Creating DNS records", StepState::Running, Some(note));
        record.waits = Some(Waits { on: WaitsFor::User, since: 0 });
        let waiting = operation(OperationKind::Update, OperationState::InProgress, &[record]);
        let said = format!("Creating DNS records; waiting for somebody to act: {note}");
        assert_eq!(description(&waiting), said);
    }
}
