//! Times as people write and read them, in UTC.

use std::str::FromStr;

use model::Millis;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// A point in time: a date, a date and time, or so long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Milliseconds since the Unix epoch.
    At(Millis),
    /// Milliseconds ago.
    Ago(Millis),
}

impl When {
    /// In milliseconds since the Unix epoch.
    pub fn millis(self, now: Millis) -> Millis {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now.saturating_sub(ago),
        }
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = ago(text).map(Self::Ago).or_else(|| at(text).map(Self::At));
        found.ok_or_else(|| {
            "say how long ago, such as 30m, 24h or 7d, or a UTC date, such as 2026-05-01 or \
             2026-05-01T09:30:00Z"
                .to_owned()
        })
    }
}

fn ago(text: &str) -> Option<Millis> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => DAY_MILLIS,
        _ => return None,
    };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| number.parse::<i64>().ok()?.checked_mul(unit)).flatten()
}

fn at(text: &str) -> Option<Millis> {
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, Some(time.strip_suffix('Z').unwrap_or(time))),
        None => (text, None),
    };
    let [year, month, day] = numbers(date, '-')?;
    let day = (1..=12).contains(&month).then(|| days(year, month, day))?;
    (civil(day) == (year, month, numbers::<3>(date, '-')?[2])).then_some(())?;
    let (time, millis) = match time.map(|time| time.split_once('.').unwrap_or((time, "0"))) {
        Some((time, part)) => (time, format!("{part:0<3}").get(..3)?.parse::<i64>().ok()?),
        None => ("00:00:00", 0),
    };
    let [hours, minutes, seconds] = match time.len() {
        5 => numbers(&format!("{time}:00"), ':')?,
        _ => numbers(time, ':')?,
    };
    let fits = hours < 24 && minutes < 60 && seconds < 60 && millis >= 0;
    fits.then(|| day * DAY_MILLIS + ((hours * 60 + minutes) * 60 + seconds) * 1000 + millis)
}

/// Numbers of digits alone.
fn numbers<const N: usize>(text: &str, between: char) -> Option<[i64; N]> {
    let number = |part: &str| {
        let is_number = part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse().ok()).flatten()
    };
    let found: Vec<i64> = text.split(between).map(number).collect::<Option<_>>()?;
    found.try_into().ok()
}

/// `2026-05-01T09:30:00.000Z`.
pub fn shown(at: Millis) -> String {
    let ((year, month, day), rest) = (civil(at.div_euclid(DAY_MILLIS)), at.rem_euclid(DAY_MILLIS));
    let (seconds, millis) = (rest / 1000, rest % 1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
}

/// `2026-05-01T09:30Z`, where seconds matter to nobody.
pub fn minute(at: Millis) -> String {
    shown(at).get(..16).map(|minute| format!("{minute}Z")).unwrap_or_default()
}

/// The day of a date, counted from the Unix epoch, by Howard Hinnant's `days_from_civil`: eras of
/// 400 years that begin in March, so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// And back.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_shown() {
        for (text, at) in [
            ("1970-01-01T00:00:00.000Z", 0),
            ("2000-02-29T23:59:59.999Z", 951_868_799_999),
            ("2026-05-01T00:00:00.007Z", 1_777_593_600_007),
            ("2100-03-01T00:00:00.000Z", 4_107_542_400_000),
        ] {
            assert_eq!(text.parse(), Ok(When::At(at)));
            assert_eq!(shown(at), text);
        }
    }

    #[test]
    fn what_people_write_is_understood_or_refused() {
        let day = 1_777_593_600_000;
        for (text, when) in [
            ("2026-05-01", Some(When::At(day))),
            ("2026-05-01T09:30", Some(When::At(day + 34_200_000))),
            ("2026-05-01 09:30:01Z", Some(When::At(day + 34_201_000))),
            ("2026-05-01T09:30:01.5Z", Some(When::At(day + 34_201_500))),
            ("24h", Some(When::Ago(DAY_MILLIS))),
            ("7d", Some(When::Ago(7 * DAY_MILLIS))),
            ("90s", Some(When::Ago(90_000))),
            ("0m", Some(When::Ago(0))),
            ("2026-02-30", None),
            ("2026-13-01", None),
            ("2026-05-01T24:00", None),
            ("2026-05-01T09:30:01.é", None),
            ("yesterday", None),
            ("h", None),
            ("-1h", None),
            ("99999999999999999999d", None),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(text.parse().ok(), when, "{text}");
        }
        assert_eq!(When::Ago(5).millis(7), 2);
        assert_eq!(When::At(5).millis(7), 5);
    }
}
