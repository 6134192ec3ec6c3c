//! Numbers, times and sizes as people say them.
//!
//! Holds always: what is made here can stand in HTML as it is.

/// `1234567` as `1.2M`, for where room is scarce.
pub(super) fn short(number: u64) -> String {
    let units = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    match units.into_iter().find(|(unit, _)| number >= *unit) {
        None => number.to_string(),
        Some((unit, name)) => match (number / unit, number % unit * 10 / unit) {
            (whole, 0) => format!("{whole}{name}"),
            (whole, tenth) => format!("{whole}.{tenth}{name}"),
        },
    }
}

/// `1234567` as `1,234,567`.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Seconds as people say them.
pub(super) fn took(seconds: Option<f64>) -> String {
    match seconds {
        None => "–".to_owned(),
        Some(seconds) if seconds < 0.001 => "&lt; 1 ms".to_owned(),
        Some(seconds) if seconds < 0.01 => format!("{:.1} ms", seconds * 1000.0),
        Some(seconds) if seconds < 1.0 => format!("{:.0} ms", seconds * 1000.0),
        Some(seconds) => format!("{seconds:.1} s"),
    }
}

/// A stretch of time, to its two largest units.
pub(super) fn stretch(seconds: u64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, name) in units {
        let count = rest / unit;
        rest %= unit;
        if count > 0 || !parts.is_empty() || unit == 1 {
            parts.push(format!("{count} {name}"));
        }
    }
    parts.truncate(2);
    parts.join(" ")
}

/// A moment, by the clock of Greenwich.
pub(super) fn moment(seconds: u64) -> String {
    let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    let text = humantime::format_rfc3339_seconds(at).to_string();
    text.replace('T', " ").replace('Z', " UTC")
}

pub(super) fn bytes(count: u64) -> String {
    bytesize::ByteSize::b(count).display().iec().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_without_room_is_short() {
        let short = [0, 999, 1_000, 2_500, 12_345, 5_000_000, 7_200_000_000].map(short);
        assert_eq!(short, ["0", "999", "1k", "2.5k", "12.3k", "5M", "7.2G"]);
    }

    #[test]
    fn numbers_and_times_are_written_as_people_do() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(number),
            ["0", "999", "1,000", "1,234,567"]
        );
        let said = [None, Some(0.0005), Some(0.0042), Some(0.25), Some(2.0)].map(took);
        assert_eq!(said, ["–", "&lt; 1 ms", "4.2 ms", "250 ms", "2.0 s"]);
        let said = [0, 59, 61, 3_600, 90_061].map(stretch);
        assert_eq!(said, ["0 s", "59 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]);
        assert_eq!(moment(1_700_000_000), "2023-11-14 22:13:20 UTC");
    }
}
