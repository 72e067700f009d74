//! Dates as people read them, in UTC.

use crate::Millis;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// Year, month and day, by Howard Hinnant's `civil_from_days`: eras of 400 years that begin in
/// March, so that the leap day comes last.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// `2026-05-01`.
pub fn date(at: Millis) -> String {
    let (year, month, day) = civil(at.div_euclid(DAY_MILLIS));
    format!("{year:04}-{month:02}-{day:02}")
}

/// `2026-05-01 09:30:05 UTC`.
pub fn utc(at: Millis) -> String {
    let seconds = at.rem_euclid(DAY_MILLIS) / 1000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{} {hour:02}:{minute:02}:{second:02} UTC", date(at))
}

/// `2026-05-01T00:00:00.0Z` (OSB 2.17: `yyyy-mm-ddTHH:mm:ss.SZ`); never later than it is.
pub fn moment(at: Millis) -> String {
    let of_day = at.rem_euclid(DAY_MILLIS);
    let (hours, minutes) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (seconds, tenths) = (of_day / 1_000 % 60, of_day / 100 % 10);
    format!("{}T{hours:02}:{minutes:02}:{seconds:02}.{tenths}Z", date(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_clock() {
        for (at, shown) in [
            (0, "1970-01-01T00:00:00.0Z"),
            (951_868_799_999, "2000-02-29T23:59:59.9Z"),
            (1_777_593_661_250, "2026-05-01T00:01:01.2Z"),
        ] {
            assert_eq!(moment(at), shown);
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (at, shown) in [
            (0, "1970-01-01"),
            (951_782_400_000, "2000-02-29"),
            (951_868_799_999, "2000-02-29"),
            (1_777_593_600_000, "2026-05-01"),
            (4_107_542_400_000, "2100-03-01"),
            (-1, "1969-12-31"),
        ] {
            assert_eq!(date(at), shown);
        }
        assert_eq!(utc(951_868_799_999), "2000-02-29 23:59:59 UTC");
        assert_eq!(utc(-1), "1969-12-31 23:59:59 UTC");
    }
}
