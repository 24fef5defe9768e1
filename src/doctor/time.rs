//! The machine's clock: records are dated by it, and days are cut by it.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::{Check, Finding, Machine};
use crate::util::clock;

/// Years in which this version can be running.
const YEARS: std::ops::RangeInclusive<i16> = 2025..=2100;

/// How far a file's time may lie ahead of the clock. File systems of other machines differ by seconds.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// Most files whose times are looked at.
const FILES_MAX: usize = 1000;

/// The time of day.
pub struct TimeOfDay;

impl Check for TimeOfDay {
    fn name(&self) -> &'static str {
        "clock"
    }

    fn run(&self, machine: &Machine) -> Finding {
        let folders = [machine.config.paths.home().to_owned(), machine.config.flows_dir()];
        look(machine.clock.now(), newest(&folders))
    }
}

fn look(now: Timestamp, newest: Option<(PathBuf, Timestamp)>) -> Finding {
    let why = "records are dated by this clock, and each day's are in a file of their own";
    let fix = "switch time synchronisation on: `timedatectl set-ntp true` (Linux), `sudo sntp -sS time.apple.com` (macOS)";
    let year = now.to_zoned(TimeZone::UTC).year();
    if !YEARS.contains(&year) {
        return Finding::fail(format!("the clock says {}", clock::seconds(now)), why, fix);
    }
    match newest {
        Some((path, written)) if written.duration_since(now) > AHEAD => Finding::warn(
            format!(
                "the clock says {}, but {} was written at {}",
                clock::seconds(now),
                path.display(),
                clock::seconds(written)
            ),
            why,
            fix,
        ),
        _ => Finding::pass(format!("{}, no file is ahead of it", clock::seconds(now))),
    }
}

/// The file of these folders that was written last.
fn newest(folders: &[PathBuf]) -> Option<(PathBuf, Timestamp)> {
    let entries = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    entries.take(FILES_MAX).filter_map(|entry| written(&entry.path())).max_by_key(|(_, at)| *at)
}

fn written(path: &Path) -> Option<(PathBuf, Timestamp)> {
    let modified: SystemTime = std::fs::symlink_metadata(path).ok()?.modified().ok()?;
    Some((path.to_owned(), Timestamp::try_from(modified).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn a_clock_that_was_never_set_fails_and_one_that_went_back_warns() {
        let now: Timestamp = "2026-07-01T12:00:00Z".parse().unwrap();
        let file = |ahead| Some((PathBuf::from("/f"), now + SignedDuration::from_secs(ahead)));
        assert_eq!(look(now, None).state, State::Pass);
        assert_eq!(look(now, file(60)).state, State::Pass);
        assert_eq!(look(now, file(3_600)).state, State::Warn);
        assert_eq!(look(Timestamp::UNIX_EPOCH, None).state, State::Fail);
    }
}
