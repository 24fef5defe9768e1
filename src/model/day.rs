//! UTC days, which name the files of the flow, and positions in them.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A UTC calendar day, written `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(Date);

/// Why a text is no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad date format: a day is a real date written YYYY-MM-DD")]
pub struct DayError;

impl Day {
    /// The UTC day of a moment.
    pub fn of(moment: Timestamp) -> Self {
        Self(moment.to_zoned(TimeZone::UTC).date())
    }

    /// The day after this one; the last representable day is its own successor.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.tomorrow().unwrap_or(self.0))
    }

    /// The day before this one; the first representable day is its own predecessor.
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0.yesterday().unwrap_or(self.0))
    }

    /// The name of this day's file in a flows or audit directory.
    pub fn file_name(self) -> String {
        format!("{self}.jsonl")
    }

    /// The day a file is named after, if its name is `<day>.jsonl`.
    pub fn of_file_name(name: &str) -> Option<Self> {
        name.strip_suffix(".jsonl")?.parse().ok()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Day {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let shape = text.len() == 10
            && text
                .bytes()
                .enumerate()
                .all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() });
        if !shape {
            return Err(DayError);
        }
        text.parse().map(Self).map_err(|_| DayError)
    }
}

/// A place in the flow of one machine: a day and a byte offset in that day's file. Files are only appended to,
/// so a position stays true; it is the `id:` of an SSE event and sorts as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The day whose file it is.
    pub day: Day,
    /// Bytes from the start of that file.
    pub offset: u64,
}

/// Why a text is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a position is written <day>:<12-digit byte offset>")]
pub struct PositionError;

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:012}", self.day, self.offset)
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (day, offset) = text.split_once(':').ok_or(PositionError)?;
        if offset.is_empty() || offset.len() > 18 || !offset.bytes().all(|b| b.is_ascii_digit()) {
            return Err(PositionError);
        }
        Ok(Self {
            day: day.parse().map_err(|_| PositionError)?,
            offset: offset.parse().map_err(|_| PositionError)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_real_dates_are_days() {
        assert_eq!("2026-11-22".parse::<Day>().unwrap().to_string(), "2026-11-22");
        for bad in ["2026-02-30", "9999-99-99", "26-11-22", "2026-11-22 ", "../../etc", "+026-11-22", ""] {
            assert!(bad.parse::<Day>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn days_follow_each_other() {
        let day: Day = "2026-12-31".parse().unwrap();
        assert_eq!(day.next().to_string(), "2027-01-01");
        assert_eq!(day.next().previous(), day);
        assert_eq!(Day::of_file_name("2026-12-31.jsonl"), Some(day));
        assert_eq!(Day::of_file_name("2026-12-31.head"), None);
    }

    #[test]
    fn positions_survive_the_round_trip_and_sort_as_text() {
        let at = |offset| Position { day: "2026-11-22".parse().unwrap(), offset };
        assert_eq!(at(9).to_string().parse(), Ok(at(9)));
        assert!(at(9).to_string() < at(10).to_string());
        for bad in ["", "2026-11-22", "2026-11-22:", "2026-11-22:-1", "x:1", "2026-11-22:1\n"] {
            assert!(bad.parse::<Position>().is_err(), "{bad:?}");
        }
    }
}
