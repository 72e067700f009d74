//! An operation told to its user.

use model::{Millis, Operation, OperationKind, OperationState, StepRecord, StepState, WaitsFor};

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
/// later. Of the proxies there may be news at any moment.
pub(crate) fn poll_again_s(operation: &Operation, now: Millis) -> u64 {
    let fleet =
        |step: &&StepRecord| step.waits_now().is_some_and(|waits| waits.on == WaitsFor::Fleet);
    let step = current(operation).filter(|step| !fleet(step));
    let next_at = step.and_then(|step| step.next_at).unwrap_or(now);
    let seconds = next_at.saturating_sub(now).saturating_add(999) / 1000;
    seconds.clamp(1, POLL_AGAIN_S_MAX).unsigned_abs()
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
            assert_eq!(poll_again_s(&waiting, 1_000), seconds, "{next_at:?}");
            record.waits = Some(Waits { on: WaitsFor::Fleet, since: 0 });
            let waiting = operation(OperationKind::Update, state, &[record]);
            assert_eq!(poll_again_s(&waiting, 1_000), 1, "{next_at:?}");
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
