//! Ranges of numbers and of times.

use prost_reflect::{DynamicMessage, Value};

/// Bounds of a number; a time is its nanoseconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Range {
    /// The bound, and whether it is in.
    pub(crate) from: Option<(Number, bool)>,
    pub(crate) to: Option<(Number, bool)>,
}

/// Whole where the field is.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) enum Number {
    Whole(i128),
    Real(f64),
}

impl Number {
    /// The number of a scalar value.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::F32(real) => Some(Self::Real(f64::from(*real))),
            Value::F64(real) => Some(Self::Real(*real)),
            other => integer(other).map(Self::Whole),
        }
    }

    /// The nanoseconds of a Duration or Timestamp.
    pub(crate) fn of_time(time: &DynamicMessage) -> Self {
        let part = |number| time.get_field_by_number(number).and_then(|part| integer(&part));
        let seconds = part(1).unwrap_or_default();
        Self::Whole(seconds * NANOS_PER_SECOND + part(2).unwrap_or_default())
    }
}

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// The number of an integer or enum value.
pub(crate) fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::I32(number) | Value::EnumNumber(number) => Some((*number).into()),
        Value::I64(number) => Some((*number).into()),
        Value::U32(number) => Some((*number).into()),
        Value::U64(number) => Some((*number).into()),
        _ => None,
    }
}

impl Range {
    /// Checks a scalar.
    pub(crate) fn check(&self, value: &Value) -> Result<(), String> {
        let number = Number::of(value);
        if number.is_none_or(|number| self.holds(number)) { Ok(()) } else { Err(self.says(show)) }
    }

    /// Checks a Duration or Timestamp.
    pub(crate) fn check_time(&self, time: &DynamicMessage) -> Result<(), String> {
        if self.holds(Number::of_time(time)) { Ok(()) } else { Err(self.says(show_time)) }
    }

    fn holds(&self, number: Number) -> bool {
        let above = |(bound, is_in): (Number, bool)| number > bound || is_in && number == bound;
        let below = |(bound, is_in): (Number, bool)| number < bound || is_in && number == bound;
        match (self.from, self.to) {
            // A range whose ends are the wrong way round is what lies outside.
            (Some(from), Some(to)) if to.0 < from.0 => above(from) || below(to),
            (from, to) => from.is_none_or(above) && to.is_none_or(below),
        }
    }

    fn says(&self, show: fn(Number) -> String) -> String {
        let bound = |words: [&str; 2], bound: Option<(Number, bool)>| {
            bound.map(|(number, is_in)| format!("{} {}", words[usize::from(is_in)], show(number)))
        };
        let from = bound(["above", "at least"], self.from);
        let to = bound(["below", "at most"], self.to);
        let both: Vec<_> = from.into_iter().chain(to).collect();
        format!("must be {}", both.join(" and "))
    }
}

fn show(number: Number) -> String {
    match number {
        Number::Whole(whole) => whole.to_string(),
        Number::Real(real) => real.to_string(),
    }
}

fn show_time(number: Number) -> String {
    match number {
        Number::Whole(nanos) if nanos % NANOS_PER_SECOND == 0 => {
            format!("{}s", nanos / NANOS_PER_SECOND)
        }
        Number::Whole(nanos) => format!("{nanos}ns"),
        Number::Real(real) => real.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_may_be_open_closed_or_inside_out() {
        let range = |from: (i128, bool), to: (i128, bool)| Range {
            from: Some((Number::Whole(from.0), from.1)),
            to: Some((Number::Whole(to.0), to.1)),
        };
        let holds = |range: &Range, n| range.check(&Value::I64(n)).is_ok();
        let closed = range((1, true), (3, true));
        assert_eq!([0, 1, 3, 4].map(|n| holds(&closed, n)), [false, true, true, false]);
        let open = range((1, false), (3, false));
        assert_eq!([1, 2, 3].map(|n| holds(&open, n)), [false, true, false]);
        let outside = range((3, false), (1, false));
        assert_eq!([0, 2, 4].map(|n| holds(&outside, n)), [true, false, true]);
        assert_eq!(closed.check(&Value::I64(4)), Err("must be at least 1 and at most 3".into()));
    }
}
