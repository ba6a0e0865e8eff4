//! Durations as people write them (`4h`) and as Slurm does (`1-00:00:00`).

use std::time::Duration;

/// The units of a time, by their words, with their seconds.
const UNITS: [(&str, f64); 5] = [
    ("s", 1.0),
    ("m", 60.0),
    ("min", 60.0),
    ("h", 3600.0),
    ("d", 86400.0),
];

/// The longest time that is taken: a year, as the longest limits of clusters are.
const LONGEST: Duration = Duration::from_secs(366 * 86400);

/// A time of one number and one unit: `90s`, `45m`, `4h`, `2d`.
///
/// # Errors
/// What is wrong and how times are written, as half a sentence.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = |what: &str| format!("\"{text}\" {what}; write one number and one unit: {FORMS}");
    if text.contains(':') {
        return Err(wrong("is a time as Slurm writes it"));
    }
    let number = text.trim_end_matches(char::is_alphabetic);
    let unit = &text[number.len()..];
    if unit.is_empty() {
        return Err(wrong("has no unit"));
    }
    let plain = |c: char| c.is_ascii_digit() || c == '.';
    let seconds = UNITS.iter().find(|(word, _)| *word == unit);
    let (Some((_, seconds)), true) = (seconds, number.chars().all(plain)) else {
        return Err(wrong("is no time"));
    };
    let number: f64 = number.parse().map_err(|_| wrong("is no time"))?;
    match Duration::try_from_secs_f64(number * seconds) {
        Ok(time) if time <= LONGEST => Ok(time),
        _ => Err(format!("\"{text}\" is longer than a year")),
    }
}

/// How times are written.
const FORMS: &str = "\"90s\", \"45m\" or \"4h\"";

/// A time in the longest unit in which it is whole: `90s`, `45m`, `4h`.
pub fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    let whole = |unit: u64| seconds > 0 && seconds.is_multiple_of(unit);
    match seconds {
        _ if time.subsec_nanos() > 0 => format!("{}s", time.as_secs_f64()),
        _ if whole(3600) => format!("{}h", seconds / 3600),
        _ if whole(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

/// Whole units of a time, rounded up.
pub(super) fn rounded_up(time: Duration, unit: Duration) -> u128 {
    time.as_nanos().div_ceil(unit.as_nanos())
}

/// A time as Slurm prints it: `days-hours:minutes:seconds`, without the days where there are none;
/// `None` for anything else.
pub(super) fn of_slurm(text: &str) -> Option<Duration> {
    let (days, clock) = text.split_once('-').unwrap_or(("0", text));
    let parts: Vec<u64> = clock
        .split(':')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    let seconds = match parts[..] {
        [hours, minutes, seconds] => (hours * 60 + minutes) * 60 + seconds,
        [minutes, seconds] => minutes * 60 + seconds,
        _ => return None,
    };
    Some(Duration::from_secs(
        days.parse::<u64>().ok()?.checked_mul(86400)? + seconds,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_one_number_and_one_unit() {
        for (text, seconds) in [
            ("90s", 90.0),
            ("45m", 2700.0),
            ("45min", 2700.0),
            ("4h", 14400.0),
            ("1.5h", 5400.0),
            ("2d", 172800.0),
            ("0s", 0.0),
        ] {
            assert_eq!(
                parse_time(text),
                Ok(Duration::from_secs_f64(seconds)),
                "{text}"
            );
        }
        for (text, what) in [
            ("", "has no unit"),
            ("90", "has no unit"),
            ("4:00:00", "as Slurm writes it"),
            ("1h30m", "is no time"),
            ("-4h", "is no time"),
            ("h", "is no time"),
            ("1.2.3h", "is no time"),
            ("4 h", "is no time"),
            ("4w", "is no time"),
            ("1e3s", "is no time"),
            ("400d", "longer than a year"),
            ("999999999999999999999999d", "longer than a year"),
        ] {
            let error = parse_time(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }

    #[test]
    fn a_time_is_worded_in_the_longest_whole_unit() {
        for text in ["90s", "45m", "4h", "0s", "0.5s"] {
            assert_eq!(in_words(parse_time(text).unwrap()), text);
        }
        assert_eq!(in_words(parse_time("1.5h").unwrap()), "90m");
        assert_eq!(in_words(parse_time("2d").unwrap()), "48h");
    }

    #[test]
    fn slurms_times_are_read() {
        for (text, seconds) in [
            ("01:00:00", Some(3600)),
            ("1-00:00:00", Some(86400)),
            ("30:00", Some(1800)),
            ("UNLIMITED", None),
            ("", None),
            ("1-2", None),
        ] {
            assert_eq!(of_slurm(text), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
