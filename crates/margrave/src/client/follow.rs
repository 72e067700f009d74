//! Waits for an operation, and tells each of its steps as it happens.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::anyhow;
use model::{OperationState, StepState};
use tokio::time::{Instant, sleep, timeout_at};

use super::api::{Operation, Step};
use super::{Client, api};
use crate::failure::Failure;
use crate::output;

/// Between two attempts while the broker does not answer.
const SILENT_PAUSE: Duration = Duration::from_millis(500);

/// Waits until the operation has ended, however it ends; fails only when it has not by `deadline`.
pub async fn until_ended(
    client: &Client,
    operation: &str,
    deadline: Instant,
) -> Result<Operation, Failure> {
    let mut told = Told::default();
    let mut seen: Option<String> = None;
    let ended = async {
        loop {
            match api::operation(client, operation, seen.as_deref()).await {
                Ok(Some(operation)) => {
                    told.news(&operation.steps).iter().for_each(|line| output::message(line));
                    if operation.state != OperationState::InProgress {
                        return Ok(operation);
                    }
                    seen = Some(operation.tag);
                    continue;
                }
                Ok(None) => return Err(anyhow!("the broker has forgotten the operation").into()),
                // The operation goes on without us; a broker that restarts comes back.
                Err(Failure::Error(_)) => told.silent(),
                Err(refused) => return Err(refused),
            }
            sleep(SILENT_PAUSE).await;
        }
    };
    timeout_at(deadline, ended).await.unwrap_or_else(|_| {
        Err(Failure::TimedOut(
            "not done in time; it goes on, and `margrave status` tells how far it is".to_owned(),
        ))
    })
}

/// What was told of a step: how far it was, what it wanted known, and whether it was slow.
type Said = (StepState, Option<String>, bool);

/// What was told already, so that each thing is told once.
#[derive(Default)]
struct Told {
    steps: BTreeMap<String, Said>,
    silent: bool,
}

impl Told {
    fn news(&mut self, steps: &[Step]) -> Vec<String> {
        self.silent = false;
        steps.iter().filter_map(|step| self.news_of(step)).collect()
    }

    /// A line for a step that is another than when it was last told. That a step has begun is told
    /// only when it has something to say, or takes longer than it should: most have ended before a
    /// reader has read it.
    fn news_of(&mut self, step: &Step) -> Option<String> {
        let late = is_running(step) && is_slow(step);
        let now = (step.state, step.note.clone(), late);
        if self.steps.get(&step.name) == Some(&now) {
            return None;
        }
        match step.state {
            StepState::Pending => return None,
            StepState::Running | StepState::Undoing if step.note.is_none() && !late => return None,
            _ => {}
        }
        self.steps.insert(step.name.clone(), now);
        Some(format!("  {}", line(step)))
    }

    fn silent(&mut self) {
        if !self.silent {
            output::message("  ...     the broker does not answer; still waiting");
        }
        self.silent = true;
    }
}

/// A step on one line: how far it is, what it does, and what it wants known while it matters.
pub fn line(step: &Step) -> String {
    let word = match step.state {
        StepState::Pending => "next",
        StepState::Running => "...",
        StepState::Done => "done",
        StepState::Undoing => "undo",
        StepState::Undone => "undone",
        StepState::Failed => "failed",
    };
    let note = step.note.as_ref().filter(|_| step.state != StepState::Done);
    let note = note.map_or(String::new(), |note| format!(": {note}"));
    format!("{word:<6}  {}{note}{}", step.says, took(step))
}

/// What is slower than this many times its usual is said to be slow.
const SLOW: i64 = 3;
/// Below this nobody cares, in milliseconds.
const NOTICED_MS: i64 = 1_000;

/// Whether it is being done.
fn is_running(step: &Step) -> bool {
    matches!(step.state, StepState::Running | StepState::Undoing)
}

/// Whether it takes, or took, much longer than usual.
fn is_slow(step: &Step) -> bool {
    let slow = |(elapsed, typical): (i64, i64)| {
        elapsed >= NOTICED_MS && elapsed > typical.saturating_mul(SLOW)
    };
    step.elapsed.zip(step.typical).is_some_and(slow)
}

/// How long a step took, or has taken so far, beside what is usual where that tells something.
fn took(step: &Step) -> String {
    let Some(elapsed) = step.elapsed.filter(|_| step.state != StepState::Pending) else {
        return String::new();
    };
    match step.typical.filter(|_| is_running(step) || is_slow(step)) {
        Some(typical) if is_slow(step) => {
            format!(" ({}; slow, usually {})", span(elapsed), span(typical))
        }
        Some(typical) => format!(" ({}; usually {})", span(elapsed), span(typical)),
        None => format!(" ({})", span(elapsed)),
    }
}

/// Milliseconds as people say them: `8 ms`, `1.2 s`, `3 min 5 s`, `2 h 4 min`.
pub fn span(ms: i64) -> String {
    let seconds = ms / 1000;
    match seconds {
        ..1 => format!("{} ms", ms.max(0)),
        1..60 => format!("{seconds}.{} s", ms % 1000 / 100),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    fn step(name: &str, state: StepState, note: Option<&str>) -> Step {
        let (name, says) = (name.to_owned(), format!("doing {name}"));
        let note = note.map(str::to_owned);
        Step { name, says, state, note, elapsed: None, typical: None, more: Map::new() }
    }

    #[test]
    fn how_long_it_took_is_said_and_what_is_usual_where_that_tells_something() {
        use StepState::{Done, Pending, Running};
        for (state, elapsed, typical, line) in [
            (Pending, None, Some(5), "next    doing dns"),
            (Done, Some(8), Some(5), "done    doing dns (8 ms)"),
            (Done, Some(1_250), Some(900), "done    doing dns (1.2 s)"),
            (Done, Some(4_000), Some(900), "done    doing dns (4.0 s; slow, usually 900 ms)"),
            (Running, Some(2_000), Some(185_000), "...     doing dns (2.0 s; usually 3 min 5 s)"),
            (Running, Some(7_500_000), None, "...     doing dns (2 h 5 min)"),
        ] {
            let step = Step { elapsed, typical, ..step("dns", state, None) };
            assert_eq!(super::line(&step), line);
        }
    }

    #[test]
    fn that_a_step_takes_longer_than_it_should_is_told_once() {
        let mut told = Told::default();
        let running = |elapsed: i64| {
            let (elapsed, typical) = (Some(elapsed), Some(900));
            Step { elapsed, typical, ..step("dns", StepState::Running, None) }
        };
        for (elapsed, expected) in [
            (800, vec![]),
            (2_700, vec![]),
            (2_800, vec!["  ...     doing dns (2.8 s; slow, usually 900 ms)"]),
            (9_000, vec![]),
        ] {
            assert_eq!(told.news(&[running(elapsed)]), expected, "{elapsed}");
        }
    }

    #[test]
    fn each_thing_is_told_once() {
        let mut told = Told::default();
        let looks = [
            (vec![step("dns", StepState::Running, None)], vec![]),
            (
                vec![step("dns", StepState::Running, Some("0/2 proxies"))],
                vec!["  ...     doing dns: 0/2 proxies"],
            ),
            (vec![step("dns", StepState::Running, Some("0/2 proxies"))], vec![]),
            (
                vec![
                    step("dns", StepState::Done, Some("2/2")),
                    step("live", StepState::Pending, None),
                ],
                vec!["  done    doing dns"],
            ),
            (
                vec![
                    step("dns", StepState::Undone, None),
                    step("live", StepState::Failed, Some("no")),
                ],
                vec!["  undone  doing dns", "  failed  doing live: no"],
            ),
        ];
        for (steps, expected) in looks {
            assert_eq!(told.news(&steps), expected);
        }
    }
}
