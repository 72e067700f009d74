//! How long something lasts, as whoever asks writes it: `30s`, `90m`, `12h`, `30d`.

/// Units with their seconds.
const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
/// Digits before a unit.
const DIGITS_MAX: usize = 9;

/// Whole seconds, minutes, hours or days, in seconds.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let (unit_at, unit) = text.char_indices().last()?;
    let (_, unit_s) = UNITS.iter().find(|(known, _)| *known == unit)?;
    let digits = &text[..unit_at];
    let is_number = (1..=DIGITS_MAX).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse::<u64>().ok()).flatten().map(|number| number * unit_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_a_unit() {
        for (text, expected) in [
            ("0s", Some(0)),
            ("90m", Some(5_400)),
            ("12h", Some(43_200)),
            ("999999999d", Some(999_999_999 * 86_400)),
            ("9999999999s", None),
            ("1h30m", None),
            ("-1d", None),
            ("+1d", None),
            (" 1d", None),
            ("d", None),
            ("90", None),
            ("1é", None),
            ("", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
