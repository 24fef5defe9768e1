//! Sizes and durations as people write and read them.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo};

/// `512 B`, `1.5 KiB`, `78.0 GiB`.
#[allow(clippy::cast_precision_loss)] // One decimal is shown.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// `0.4 s`, `12.0 s`, `3m 20s`, `2h 5m`, `4d 1h`.
pub fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", span.as_secs_f64()),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// The first line of a text that says something, cut to `most` characters.
pub fn headline(text: &str, most: usize) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().take(most).collect())
}

/// Reads `90` (seconds), `90s`, `10m`, `1h 30m`, `7d`, `500ms`: more than nothing, at most a year.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    const YEAR: Duration = Duration::from_hours(366 * 24);
    let wrong = || format!("`{}` is no duration: write 90s, 10m, 1h 30m or 500ms", super::visible_line(text));
    let span = if let Ok(seconds) = text.trim().parse::<u64>() {
        Duration::from_secs(seconds)
    } else {
        let span: Span = text.trim().parse().map_err(|_| wrong())?;
        let span: SignedDuration =
            span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
        Duration::try_from(span).map_err(|_| wrong())?
    };
    if span.is_zero() || span > YEAR {
        return Err(format!("{}; more than 0 and at most a year", wrong()));
    }
    Ok(span)
}

/// `1 job`, `2 jobs`: a number and what is counted.
pub fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1_536), "1.5 KiB");
        assert_eq!(bytes(78 * 1024 * 1024 * 1024), "78.0 GiB");
    }

    #[test]
    fn a_headline_is_the_first_line_that_says_something() {
        assert_eq!(headline("\n  \n do it now\nthen", 5).as_deref(), Some("do it"));
        assert_eq!(headline(" \n", 5), None);
    }

    #[test]
    fn durations_parse_and_print() {
        for (text, ms) in [
            ("90", 90_000),
            ("1s", 1_000),
            ("10m", 600_000),
            ("1h 30m", 5_400_000),
            ("500ms", 500),
            ("7d", 604_800_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "0", "-1s", "soon", "2y"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert_eq!(duration(Duration::from_millis(400)), "0.4 s");
        assert_eq!(duration(Duration::from_mins(125)), "2h 5m");
    }
}
