//! Where the newest records of a day begin, found from the end of the file.

use std::io;

use super::day::{DayReader, ReadStep, open_day};
use crate::model::{Day, Position};
use crate::store::lines::{end_of_lines, last_newline};
use std::path::Path;

/// Bytes looked at in one step backwards.
const BLOCK: u64 = 64 * 1024;

/// The offset at which the newest `count` records of the day begin, and the offset after its last finished
/// line; `None` when the day has no file. Reads only the part of the file that holds them.
pub fn newest(dir: &Path, day: Day, count: usize) -> io::Result<Option<(Position, Position)>> {
    let Some(file) = open_day(dir, day)? else { return Ok(None) };
    let end = end_of_lines(&file)?;
    let at = |offset| Position { day, offset };
    let mut wanted = count;
    let mut upper = end;
    while upper > 0 && wanted > 0 {
        let lower = line_start_before(&file, upper)?;
        let starts = starts_between(dir, day, lower, upper)?;
        if starts.len() >= wanted {
            return Ok(Some((at(starts[starts.len() - wanted]), at(end))));
        }
        wanted -= starts.len();
        upper = lower;
    }
    Ok(Some((at(upper), at(end))))
}

/// A start of a line at least a block before `end`, which is itself one; fewer bytes at the file's start.
fn line_start_before(file: &std::fs::File, end: u64) -> io::Result<u64> {
    // The newline that ends the line before `end` is no start of another one.
    let mut upper = (end - 1).saturating_sub(BLOCK);
    while upper > 0 {
        let lower = upper.saturating_sub(BLOCK);
        if let Some(newline) = last_newline(file, lower, upper)? {
            return Ok(newline + 1);
        }
        upper = lower;
    }
    Ok(0)
}

/// Offsets at which a reader finds exactly the records between two starts of lines, oldest first.
fn starts_between(dir: &Path, day: Day, lower: u64, upper: u64) -> io::Result<Vec<u64>> {
    let mut starts = Vec::new();
    let Some(reader) = DayReader::open(dir, day, lower)? else { return Ok(starts) };
    let mut reader = reader.until(upper);
    let mut before = lower;
    while reader.step()? == ReadStep::Record {
        starts.push(before);
        before = reader.position().offset;
    }
    Ok(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dir: &Path, day: Day, from: Position) -> Vec<String> {
        let mut reader = DayReader::open(dir, day, from.offset).unwrap().unwrap();
        let mut lines = Vec::new();
        while let Some(record) = reader.read().unwrap() {
            lines.push(String::from_utf8(record.line.to_vec()).unwrap());
        }
        lines
    }

    #[test]
    fn the_newest_are_found_between_bad_and_long_lines() {
        let dir = tempfile::tempdir().unwrap();
        let day: Day = "2026-11-22".parse().unwrap();
        assert!(newest(dir.path(), day, 1).unwrap().is_none());
        let mut text = String::from("{\"_type\":\"schema\"}\n");
        let mut all = Vec::new();
        for n in 0..4000 {
            let record = format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(n % 90));
            text.push_str(&record);
            text.push('\n');
            all.push(record);
            if n % 500 == 0 {
                text.push_str("bad\n\n");
            }
            if n == 2000 {
                text.push_str(&"y".repeat(2 * 1024 * 1024));
                text.push('\n');
            }
        }
        text.push_str("{\"torn\":");
        std::fs::write(dir.path().join(day.file_name()), &text).unwrap();
        for count in [0, 1, 2, 499, 500, 501, 1999, 2000, 3999, 4000, 5000] {
            let (from, end) = newest(dir.path(), day, count).unwrap().unwrap();
            assert_eq!(end.offset, text.len() as u64 - 8);
            let got = read(dir.path(), day, from);
            assert_eq!(got, all[all.len().saturating_sub(count)..], "newest {count}");
        }
    }
}
