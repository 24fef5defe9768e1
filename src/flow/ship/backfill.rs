//! Where to begin when Redis knows nothing of this machine: the newest days, and not more than a bounded number
//! of records. And what a home begins with that came from another machine.

use std::io;
use std::path::Path;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::flow::read::{DayReader, FlowTail, days_in, newest, writing_day};
use crate::model::{Day, Position};
use crate::store::{Durability, read_if_there, write_atomic};
use crate::util::Clock;

/// Days that are sent.
const DAYS: i64 = 7;

/// Records that are sent.
pub const RECORDS: usize = 100_000;

/// Largest origin file.
const ORIGIN_MAX: u64 = 4096;

/// Where a back-fill begins, and what it leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The first record that is sent stands after this.
    pub from: Position,
    /// Records that will be sent.
    pub records: usize,
    /// Bytes of older records that will not.
    pub left_out_bytes: u64,
}

/// Looks at the day files; nothing before `origin` is sent.
pub fn plan(dir: &Path, clock: &Clock, origin: Option<Position>, most: usize) -> io::Result<Plan> {
    let (now, newest_day) = (clock.now(), writing_day(dir, clock));
    let oldest = Day::of(now.saturating_sub(SignedDuration::from_hours(24 * DAYS)).unwrap_or(now));
    let oldest = origin.map_or(oldest, |origin| oldest.max(origin.day));
    let mut plan = Plan { from: Position { day: newest_day, offset: 0 }, records: 0, left_out_bytes: 0 };
    let mut left = most;
    // What a clock wrote that was ahead by days is not reached.
    for day in days_in(dir)?.into_iter().rev().filter(|day| *day <= newest_day) {
        let size = || std::fs::metadata(dir.join(day.file_name())).map_or(0, |meta| meta.len());
        if day < oldest || left == 0 {
            // What came with the home was never ours to send.
            plan.left_out_bytes += if origin.is_some_and(|origin| day < origin.day) { 0 } else { size() };
            continue;
        }
        let Some((mut from, end)) = newest(dir, day, left)? else { continue };
        let begin = origin.filter(|origin| origin.day == day).map_or(0, |origin| origin.offset);
        from.offset = from.offset.max(begin);
        let count = count(dir, from, end)?;
        plan.left_out_bytes += from.offset.saturating_sub(begin);
        plan.records += count;
        plan.from = from;
        left = left.saturating_sub(count);
    }
    Ok(plan)
}

fn count(dir: &Path, from: Position, end: Position) -> io::Result<usize> {
    let Some(reader) = DayReader::open(dir, from.day, from.offset)? else { return Ok(0) };
    let mut reader = reader.until(end.offset);
    let mut count = 0;
    while reader.read()?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// `flow-origin.json`: from where on the files of a home are those of its own machine.
#[derive(Debug, Serialize, Deserialize)]
struct Origin {
    log: String,
    from: String,
}

/// From where on the files are ours, in a home that came from another machine: the end of what lay there when
/// we looked first.
pub fn origin(path: &Path, log: &str, dir: &Path, clock: &Clock) -> io::Result<Position> {
    let kept = read_if_there(path, ORIGIN_MAX)?.and_then(|text| serde_json::from_slice::<Origin>(&text).ok());
    if let Some(from) = kept.filter(|origin| origin.log == log).and_then(|origin| origin.from.parse().ok()) {
        return Ok(from);
    }
    let from = FlowTail::now(dir, clock)?;
    let text = serde_json::to_vec(&Origin { log: log.to_owned(), from: from.to_string() })?;
    write_atomic(path, &text, Durability::Synced)?;
    Ok(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bed() -> (tempfile::TempDir, Clock) {
        let dir = tempfile::tempdir().unwrap();
        for day in ["2026-11-01", "2026-11-20", "2026-11-21", "2026-11-22"] {
            let text = "{\"_type\":\"schema\"}\n{\"n\":1}\nbroken\n{\"n\":2}\n{\"n\":3}\n";
            std::fs::write(dir.path().join(format!("{day}.jsonl")), text).unwrap();
        }
        (dir, Clock::manual("2026-11-22T12:00:00Z".parse().unwrap()))
    }

    fn at(text: &str) -> Position {
        text.parse().unwrap()
    }

    #[test]
    fn the_newest_days_are_sent_and_what_is_left_out_is_counted() {
        let (dir, clock) = bed();
        let size = std::fs::metadata(dir.path().join("2026-11-01.jsonl")).unwrap().len();
        let all = plan(dir.path(), &clock, None, 100).unwrap();
        assert_eq!(all, Plan { from: at("2026-11-20:0"), records: 9, left_out_bytes: size });
        let some = plan(dir.path(), &clock, None, 4).unwrap();
        assert_eq!((some.from.day, some.records), ("2026-11-21".parse().unwrap(), 4));
        assert!(some.from.offset > 0 && some.left_out_bytes == 2 * size + some.from.offset);
        let none = plan(&dir.path().join("absent"), &clock, None, 4).unwrap();
        assert_eq!((none.from, none.records, none.left_out_bytes), (at("2026-11-22:0"), 0, 0));
    }

    #[test]
    fn what_came_with_a_copied_home_is_not_ours_to_send() {
        let (dir, clock) = bed();
        let path = dir.path().join("origin.json");
        let from = origin(&path, "log", dir.path(), &clock).unwrap();
        let day = dir.path().join("2026-11-22.jsonl");
        let mut text = std::fs::read_to_string(&day).unwrap();
        assert_eq!(from.offset, text.len() as u64);
        text.push_str("{\"n\":4}\n");
        std::fs::write(&day, text).unwrap();
        assert_eq!(origin(&path, "log", dir.path(), &clock).unwrap(), from, "it is kept");
        assert_ne!(origin(&path, "other", dir.path(), &clock).unwrap(), from, "that of another home is not");
        let plan = plan(dir.path(), &clock, Some(from), 100).unwrap();
        assert_eq!(plan, Plan { from, records: 1, left_out_bytes: 0 });
    }
}
