//! Durations: `250ms`, `5s`, `1m30s`.

use std::time::Duration;

use crate::descriptor::decode::{Scalar, Wrong};
use crate::descriptor::refusal::quote;

/// A duration of `MIN` to `MAX` milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span<const MIN: u64, const MAX: u64>(pub(crate) Duration);

/// Units with their milliseconds, largest first.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const DIGITS_MAX: usize = 8;

impl<const MIN: u64, const MAX: u64> Scalar for Span<MIN, MAX> {
    const WHAT: &'static str = "a duration such as `5s`";
    const CHARS_MAX: usize = 32;
    const PATTERN: &'static str = "^([0-9]{1,8}h)?([0-9]{1,8}m)?([0-9]{1,8}s)?([0-9]{1,8}ms)?$";

    fn title() -> String {
        let [min, max] = [MIN, MAX].map(|millis| show(Duration::from_millis(millis)));
        format!("a duration from `{min}` to `{max}`")
    }

    fn parse(text: &str) -> Result<Self, Wrong> {
        let millis = millis(text).ok_or_else(|| not_a_duration(text))?;
        if (MIN..=MAX).contains(&millis) {
            return Ok(Self(Duration::from_millis(millis)));
        }
        Err(Wrong::value(format!(
            "{} is out of bounds: {} to {} are allowed",
            quote(text),
            show(Duration::from_millis(MIN)),
            show(Duration::from_millis(MAX)),
        )))
    }

    fn for_number(number: &str) -> String {
        format!("write the unit: `{number}s` for seconds, `{number}ms` for milliseconds")
    }
}

/// Whole numbers with units, each unit at most once and the larger first.
fn millis(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut sum = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if !(1..=DIGITS_MAX).contains(&digits) {
            return None;
        }
        let (number, after) = rest.split_at(digits);
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_alphabetic()).len();
        let (unit, after) = after.split_at(letters);
        let (_, millis) = units.find(|(known, _)| *known == unit)?;
        sum += number.parse::<u64>().ok()? * millis;
        rest = after;
    }
    Some(sum)
}

fn not_a_duration(text: &str) -> Wrong {
    let help = if text.parse::<f64>().is_ok() {
        format!("write the unit: `{text}s`")
    } else if text.contains('.') {
        "use whole numbers: `1500ms` or `1s500ms`, not `1.5s`".to_owned()
    } else {
        "use h, m, s and ms, the larger first: `1m30s`".to_owned()
    };
    Wrong::value(format!("{} is not a duration", quote(text))).help(help)
}

/// The shortest way to write a duration; what is below a millisecond is left out.
pub(crate) fn show(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, millis) in UNITS {
        if rest >= millis {
            text.push_str(&format!("{}{unit}", rest / millis));
            rest %= millis;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_shown() {
        for (given, millis, shown) in [
            ("5s", 5_000, "5s"),
            ("250ms", 250, "250ms"),
            ("1m30s", 90_000, "1m30s"),
            ("90s", 90_000, "1m30s"),
            ("1h", 3_600_000, "1h"),
            ("0s", 0, "0s"),
        ] {
            let read = Span::<0, 3_600_000>::parse(given).unwrap().0;
            assert_eq!(read, Duration::from_millis(millis), "{given}");
            assert_eq!(show(read), shown);
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for bad in ["5", "s", "5 s", "1.5s", "-1s", "1s1m", "1s1s", "999999999s", "5d", "٣s", "2h"]
        {
            assert!(Span::<1, 3_600_000>::parse(bad).is_err(), "{bad}");
        }
    }
}
