//! Whether a stage goes on: a function of what was seen, and of nothing else.

use std::time::Duration;

use model::counted;
use xds::Answers;

/// Of a hundred ready proxies, so many must have a stage's edition.
const HAVE_PERCENT: usize = 99;
/// Connections that end while a stage lasts, for each of its proxies and in any case, are too many
/// beyond this: each may be restarted once.
const ENDED_PER_PROXY: u64 = 2;
const ENDED_MIN: u64 = 3;

/// What the gates let pass.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Within this every ready proxy has acknowledged what it was given.
    pub prove_within: Duration,
    /// Fewer requests say nothing about errors.
    pub requests_min: u64,
    /// By so many of a hundred may answers of 500 and above become more.
    pub failed_percent: u64,
    /// The same of answers from 400 to 499.
    pub refused_percent: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            prove_within: Duration::from_secs(60),
            requests_min: 20,
            failed_percent: 5,
            refused_percent: 20,
        }
    }
}

/// How the proxies of a group stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Coverage {
    pub(crate) group: String,
    /// The most that were ready since the stage began.
    pub(crate) expected: usize,
    /// Those that have everything.
    pub(crate) have: usize,
    /// Of those that do not, some.
    pub(crate) lack: Vec<String>,
    /// How many connections ended since the stage began.
    pub(crate) ended: u64,
}

/// What was seen since a stage began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// Every instance was rendered.
    pub(crate) is_rendered: bool,
    /// The groups of the stage, and of those before it.
    pub(crate) groups: Vec<Coverage>,
    /// What was refused that was not before.
    pub(crate) refusals: Vec<String>,
    /// What their clients were answered before.
    pub(crate) before: Answers,
    /// And since.
    pub(crate) now: Answers,
}

/// What shall be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing yet.
    Wait,
    /// It passes; what is worth knowing.
    Pass(Vec<String>),
    /// Everything goes back.
    Halt(String),
}

/// Whether the proxies of a stage have what they were given, for which they have had so long.
pub(crate) fn prove(limits: &Limits, facts: &Facts, waited: Duration) -> Verdict {
    if let Some(why) = trouble(limits, facts) {
        return Verdict::Halt(why);
    }
    if facts.is_rendered && facts.groups.iter().all(|group| group.have >= group.expected) {
        return Verdict::Pass(empty(facts));
    }
    if waited < limits.prove_within {
        return Verdict::Wait;
    }
    let lacking = facts.lacking();
    match (facts.is_rendered, facts.few()) {
        (false, _) => Verdict::Halt(format!("not every service was rendered within {waited:?}")),
        (true, Some(why)) => Verdict::Halt(format!("too few acknowledgements: {why}; {lacking}")),
        (true, None) => Verdict::Pass(vec![lacking]),
    }
}

/// Whether a stage may be followed by the next, after it was watched for so long of `bake`.
pub(crate) fn bake(limits: &Limits, facts: &Facts, watched: Duration, bake: Duration) -> Verdict {
    if let Some(why) = trouble(limits, facts) {
        return Verdict::Halt(why);
    }
    if watched < bake {
        return Verdict::Wait;
    }
    match facts.few() {
        None => Verdict::Pass(vec![traffic(limits, facts, bake)]),
        // A proxy that is just being restarted is waited for.
        Some(_) if watched < bake + limits.prove_within => Verdict::Wait,
        Some(why) => Verdict::Halt(format!("proxies were lost: {why}; {}", facts.lacking())),
    }
}

/// What speaks against going on at any time.
fn trouble(limits: &Limits, facts: &Facts) -> Option<String> {
    if let Some(first) = facts.refusals.first() {
        let more = facts.refusals.len() - 1;
        let more = if more == 0 { String::new() } else { format!("; and {more} more") };
        return Some(format!("refused: {first}{more}"));
    }
    let flapping = facts.groups.iter().find(|group| {
        group.ended > ENDED_MIN.max(ENDED_PER_PROXY.saturating_mul(group.expected as u64))
    });
    if let Some(Coverage { group, ended, expected, .. }) = flapping {
        return Some(format!(
            "proxies of group {group} come and go: {} of {} ended",
            counted(*ended, "connection"),
            counted(*expected, "proxy")
        ));
    }
    errors(limits, facts)
}

fn errors(limits: &Limits, facts: &Facts) -> Option<String> {
    let Facts { before, now, .. } = facts;
    if now.requests < limits.requests_min {
        return None;
    }
    let base = if before.requests < limits.requests_min { Answers::default() } else { *before };
    let kinds = [
        ("500 or above", limits.failed_percent, base.failed, now.failed),
        ("400 to 499", limits.refused_percent, base.refused, now.refused),
    ];
    kinds.into_iter().find_map(|(kind, most, then, count)| {
        let (then, share) = (percent(then, base.requests), percent(count, now.requests));
        (share > then + most as f64).then(|| {
            format!(
                "{share:.0} % of {} were answered with {kind}, {then:.0} % before; {most} more \
                 are let pass",
                counted(now.requests, "request")
            )
        })
    })
}

fn percent(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 * 100.0 / of as f64 }
}

fn traffic(limits: &Limits, facts: &Facts, bake: Duration) -> String {
    let Answers { requests, refused, failed } = facts.now;
    match requests {
        _ if bake.is_zero() => "not watched: the error gate could not judge".to_owned(),
        0 => "no requests seen: the error gate could not judge".to_owned(),
        few if few < limits.requests_min => format!(
            "{} seen, fewer than {}: the error gate could not judge",
            counted(few, "request"),
            limits.requests_min
        ),
        _ => format!(
            "{}: {failed} answered with 500 or above, {refused} with 400 to 499",
            counted(requests, "request")
        ),
    }
}

/// Groups that can prove nothing.
fn empty(facts: &Facts) -> Vec<String> {
    let none: Vec<&str> = facts
        .groups
        .iter()
        .filter(|group| group.expected == 0)
        .map(|group| group.group.as_str())
        .collect();
    match (facts.groups.len(), none.len()) {
        (0, _) => vec!["it has no groups: nothing was proven".to_owned()],
        (_, 0) => Vec::new(),
        _ => {
            vec![format!("no proxy is connected in {}: nothing was proven there", none.join(", "))]
        }
    }
}

impl Facts {
    fn sum(&self, of: impl Fn(&Coverage) -> usize) -> usize {
        self.groups.iter().map(of).sum()
    }

    /// Why too few have everything.
    fn few(&self) -> Option<String> {
        let (have, expected) =
            (self.sum(|it| it.have.min(it.expected)), self.sum(|it| it.expected));
        let none = self.groups.iter().find(|group| group.expected > 0 && group.have == 0);
        if let Some(Coverage { group, expected, .. }) = none {
            return Some(format!("group {group}: {}", up_to_date(0, *expected)));
        }
        (have * 100 < expected * HAVE_PERCENT).then(|| up_to_date(have, expected))
    }

    fn lacking(&self) -> String {
        const TOLD_MAX: usize = 5;
        let names: Vec<&str> =
            self.groups.iter().flat_map(|group| &group.lack).map(String::as_str).collect();
        if names.is_empty() {
            return "some are not connected".to_owned();
        }
        let more = names.len().saturating_sub(TOLD_MAX);
        let told = names[..names.len() - more].join(", ");
        if more == 0 {
            format!("{told} lack something")
        } else {
            format!("{told} and {more} more lack something")
        }
    }
}

fn up_to_date(have: usize, expected: usize) -> String {
    format!("{have} of {} up to date", counted(expected, "proxy"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;
    const LATE: Duration = Duration::from_secs(60);
    const BAKE: Duration = Duration::from_secs(30);

    fn group(expected: usize, have: usize) -> Coverage {
        let lack = (have..expected).map(|at| format!("p{at}")).collect();
        Coverage { group: "eu".to_owned(), expected, have, lack, ended: 0 }
    }

    fn facts(groups: &[(usize, usize)]) -> Facts {
        let groups = groups.iter().map(|&(expected, have)| group(expected, have)).collect();
        Facts { is_rendered: true, groups, ..Facts::default() }
    }

    fn answers(requests: u64, refused: u64, failed: u64) -> Answers {
        Answers { requests, refused, failed }
    }

    fn word(verdict: &Verdict) -> String {
        match verdict {
            Verdict::Wait => "wait".to_owned(),
            Verdict::Pass(notes) => format!("pass {}", notes.join("; ")).trim_end().to_owned(),
            Verdict::Halt(why) => format!("halt {why}"),
        }
    }

    #[test]
    fn all_must_acknowledge_or_nearly_all_in_the_end() {
        let limits = Limits::default();
        for (groups, waited, expected) in [
            (&[(2, 2)][..], NOW, "pass"),
            (&[(2, 1)], NOW, "wait"),
            (
                &[(2, 1)],
                LATE,
                "halt too few acknowledgements: 1 of 2 proxies up to date; p1 lack something",
            ),
            (&[(200, 199)], NOW, "wait"),
            (&[(200, 199)], LATE, "pass p199 lack something"),
            (
                &[(200, 197)],
                LATE,
                "halt too few acknowledgements: 197 of 200 proxies up to date; p197, p198, p199 lack something",
            ),
            (
                &[(200, 200), (1, 0)],
                LATE,
                "halt too few acknowledgements: group eu: 0 of 1 proxy up to date; p0 lack something",
            ),
            (&[(0, 0)], NOW, "pass no proxy is connected in eu: nothing was proven there"),
            (&[], NOW, "pass it has no groups: nothing was proven"),
        ] {
            assert_eq!(word(&prove(&limits, &facts(groups), waited)), expected);
        }
        let unrendered = Facts { is_rendered: false, ..facts(&[(1, 1)]) };
        assert_eq!(prove(&limits, &unrendered, NOW), Verdict::Wait);
        assert!(word(&prove(&limits, &unrendered, LATE)).starts_with("halt not every service"));
    }

    #[test]
    fn a_refusal_halts_at_once() {
        let refusals = vec!["shop: no such filter".to_owned(), "pay: the same".to_owned()];
        let refused = Facts { refusals, ..facts(&[(1, 1)]) };
        let expected = "halt refused: shop: no such filter; and 1 more";
        assert_eq!(word(&prove(&Limits::default(), &refused, NOW)), expected);
        assert_eq!(word(&bake(&Limits::default(), &refused, NOW, BAKE)), expected);
    }

    #[test]
    fn more_errors_than_before_halt() {
        let nothing = answers(0, 0, 0);
        for (before, now, is_halted) in [
            (nothing, answers(100, 0, 100), true),
            (nothing, answers(19, 0, 19), false),
            (nothing, answers(20, 0, 20), true),
            (answers(1_000, 0, 10), answers(100, 0, 6), false),
            (answers(1_000, 0, 10), answers(100, 0, 7), true),
            (answers(1_000, 0, 500), answers(100, 0, 50), false),
            (answers(10, 0, 10), answers(100, 0, 10), true),
            (answers(1_000, 100, 0), answers(100, 30, 0), false),
            (answers(1_000, 100, 0), answers(100, 31, 0), true),
        ] {
            let seen = Facts { before, now, ..facts(&[(1, 1)]) };
            let verdict = bake(&Limits::default(), &seen, NOW, BAKE);
            assert_eq!(verdict != Verdict::Wait, is_halted, "{before:?} {now:?} {verdict:?}");
        }
    }

    #[test]
    fn proxies_that_come_and_go_halt() {
        let with = |expected: usize, ended: u64| {
            let flapping = Coverage { ended, ..group(expected, expected) };
            let seen = Facts { groups: vec![flapping], ..facts(&[]) };
            word(&bake(&Limits::default(), &seen, NOW, BAKE))
        };
        assert_eq!(with(1, 3), "wait");
        assert!(with(1, 4).starts_with("halt proxies of group eu come and go"));
        assert_eq!(with(100, 200), "wait", "each was restarted, and some twice");
        assert!(with(100, 201).starts_with("halt"));
    }

    #[test]
    fn what_was_watched_passes_and_tells_what_it_saw() {
        let limits = Limits::default();
        let after = |seen: &Facts, watched| word(&bake(&limits, seen, watched, BAKE));
        let quiet = facts(&[(2, 2)]);
        assert_eq!(after(&quiet, NOW), "wait");
        assert_eq!(after(&quiet, BAKE), "pass no requests seen: the error gate could not judge");
        let busy = Facts { now: answers(50, 2, 1), ..quiet.clone() };
        let expected = "pass 50 requests: 1 answered with 500 or above, 2 with 400 to 499";
        assert_eq!(after(&busy, BAKE), expected);
        let lost = facts(&[(2, 1)]);
        assert_eq!(after(&lost, BAKE), "wait", "it may come back");
        assert!(after(&lost, BAKE + LATE).starts_with("halt proxies were lost: 1 of 2"));
        let unwatched = word(&bake(&limits, &quiet, NOW, Duration::ZERO));
        assert_eq!(unwatched, "pass not watched: the error gate could not judge");
    }
}
