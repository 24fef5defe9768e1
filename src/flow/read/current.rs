//! The day whose file is written to.
//!
//! Invariant: while a clock steps back by at most [`AHEAD_MAX`] days, the day does not go back, so that positions
//! only grow. Writers and readers both ask here.

use std::path::Path;

use jiff::Timestamp;

use super::days::days_in;
use crate::model::Day;
use crate::util::Clock;

/// How far a day's file may be ahead of the clock and still be written to. One that a clock made which was wrong
/// by more is left alone, or it would take every record until its day comes.
const AHEAD_MAX: usize = 2;

/// 2026-01-01. A clock before this program was made was never set; a machine without a battery begins in 1970.
const EVER_SET: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// The day of the clock, or of the newest file a little ahead of it: the clock was ahead and was set back.
pub fn writing_day(dir: &Path, clock: &Clock) -> Day {
    of(dir, clock.now())
}

fn of(dir: &Path, now: Timestamp) -> Day {
    let today = Day::of(now);
    if now < EVER_SET {
        // Nothing can be said of how far ahead a file is.
        let newest = days_in(dir).unwrap_or_default().last().copied();
        return newest.map_or(today, |newest| newest.max(today));
    }
    let ahead = std::iter::successors(Some(today.next()), |day| Some(day.next())).take(AHEAD_MAX);
    ahead.filter(|day| is_file(dir, *day)).max().unwrap_or(today)
}

fn is_file(dir: &Path, day: Day) -> bool {
    std::fs::symlink_metadata(dir.join(day.file_name())).is_ok_and(|meta| meta.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_a_little_ahead_is_gone_on_with_and_one_of_the_far_future_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let day = |now: &str| writing_day(dir.path(), &Clock::manual(now.parse().unwrap())).to_string();
        let make = |day: &str| std::fs::write(dir.path().join(format!("{day}.jsonl")), "").unwrap();
        assert_eq!(day("2026-11-22T12:00:00Z"), "2026-11-22");
        make("2026-11-22");
        make("2026-11-25");
        std::fs::create_dir(dir.path().join("2026-11-24.jsonl")).unwrap();
        assert_eq!(day("2026-11-22T12:00:00Z"), "2026-11-22", "three days ahead, and no file");
        make("2026-11-23");
        assert_eq!(day("2026-11-22T12:00:00Z"), "2026-11-23");
        assert_eq!(day("2026-11-23T00:00:00Z"), "2026-11-25");
        assert_eq!(day("2026-11-26T00:00:00Z"), "2026-11-26", "the clock is past them all");
        assert_eq!(day("1970-01-01T00:01:00Z"), "2026-11-25", "a clock that was never set");
    }
}
