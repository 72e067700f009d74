//! Sizes: `512KiB`, `1MiB`.

use crate::descriptor::decode::{Scalar, Wrong};
use crate::descriptor::refusal::quote;

/// The length of a request body, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BodySize(pub(crate) u64);

/// A proxy may hold a whole body of this length in memory.
const BYTES_MAX: u64 = 64 << 20;
const UNITS: [(&str, u64); 3] = [("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Scalar for BodySize {
    const WHAT: &'static str = "a size such as `1MiB`";
    const CHARS_MAX: usize = 16;
    const PATTERN: &'static str = "^[0-9]{1,8}(B|KiB|MiB)$";

    fn title() -> String {
        format!("a size from `1B` to `{}`", show(BYTES_MAX))
    }

    fn parse(text: &str) -> Result<Self, Wrong> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let bytes = UNITS.iter().find(|(known, _)| *known == unit).map(|(_, bytes)| bytes);
        let (Some(bytes), 1..=8, Ok(number)) = (bytes, digits, number.parse::<u64>()) else {
            return Err(Wrong::value(format!("{} is not a size", quote(text)))
                .help("use a whole number of B, KiB or MiB: `512KiB`"));
        };
        let size = number * bytes;
        if (1..=BYTES_MAX).contains(&size) {
            return Ok(Self(size));
        }
        let message =
            format!("{} is out of bounds: 1B to {} are allowed", quote(text), show(BYTES_MAX));
        Err(Wrong::value(message))
    }

    fn for_number(number: &str) -> String {
        match number.parse() {
            Ok(bytes) => format!("write the unit: `{}` for {number} bytes", show(bytes)),
            Err(_) => "write a whole number with its unit: `1MiB`".to_owned(),
        }
    }
}

/// The shortest exact way to write a size.
pub(crate) fn show(bytes: u64) -> String {
    let (unit, size) = UNITS
        .into_iter()
        .find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size))
        .unwrap_or(("B", 1));
    format!("{}{unit}", bytes / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        for (given, bytes, shown) in
            [("1MiB", 1 << 20, "1MiB"), ("2048KiB", 2 << 20, "2MiB"), ("1500B", 1500, "1500B")]
        {
            let read = BodySize::parse(given).unwrap().0;
            assert_eq!((read, show(read)), (bytes, shown.to_owned()));
        }
    }

    #[test]
    fn what_is_not_a_size_is_refused() {
        for bad in ["1", "1MB", "1mib", "MiB", "0B", "65MiB", "1.5MiB", "-1B", "999999999B"] {
            assert!(BodySize::parse(bad).is_err(), "{bad}");
        }
    }
}
