//! The flow from a position on, across days.

use std::fs::TryLockError;
use std::io;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;

use super::current::writing_day;
use super::day::{DayReader, Named, ReadStep, Record, open_day};
use super::days::days_in;
use crate::model::{Day, Position};
use crate::store::lines::end_of_lines;
use crate::util::Clock;

/// How long after midnight the old day is still read: a writer picks its file before it waits for the lock.
const LINGER: SignedDuration = SignedDuration::from_secs(1);

/// Records between two places may be missing or come twice: the file was replaced, cut or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Where the reader wanted to go on.
    pub asked: Position,
    /// Where it goes on.
    pub resumed: Position,
}

/// What one look at the flow brought.
#[derive(Debug)]
pub enum Next<'a> {
    /// A record.
    Record(Record<'a>),
    /// The files are not what they were.
    Gap(Gap),
    /// Nothing new now; ask again later.
    CaughtUp,
}

/// Follows the flow: a day's file, then the next that exists, as long as somebody asks.
#[derive(Debug)]
pub struct FlowTail {
    dir: PathBuf,
    clock: Clock,
    at: Position,
    reader: Option<DayReader>,
    bad: u64,
    /// The file of `at.day` was there and is gone.
    lost: bool,
    /// The day to go on with, once its predecessor was looked at again.
    leaving_for: Option<Day>,
    /// No later day existed when it was this day.
    looked_on: Option<Day>,
}

impl FlowTail {
    /// Follows from a position.
    pub fn new(dir: &Path, clock: Clock, from: Position) -> Self {
        Self {
            dir: dir.to_owned(),
            clock,
            at: from,
            reader: None,
            bad: 0,
            lost: false,
            leaving_for: None,
            looked_on: None,
        }
    }

    /// The place after the newest finished line of the day that is written to.
    pub fn now(dir: &Path, clock: &Clock) -> io::Result<Position> {
        let day = writing_day(dir, clock);
        let offset = open_day(dir, day)?.map_or(Ok(0), |file| end_of_lines(&file))?;
        Ok(Position { day, offset })
    }

    /// The next record, if there is one now. Never waits.
    pub fn poll(&mut self) -> io::Result<Next<'_>> {
        loop {
            match self.look()? {
                Look::Record => {
                    // Always there after a record; the flow of control can't tell the compiler.
                    match &self.reader {
                        Some(reader) => return Ok(Next::Record(reader.record())),
                        None => return Ok(Next::CaughtUp),
                    }
                }
                Look::Gap(gap) => return Ok(Next::Gap(gap)),
                Look::Again => {}
                Look::Nothing => return Ok(Next::CaughtUp),
            }
        }
    }

    /// Where the next poll goes on.
    pub fn position(&self) -> Position {
        self.at
    }

    /// Whether nothing will come any more from here: records are written to an earlier day, because the clock was
    /// set back by more than a few days or a file was removed.
    pub fn is_stranded(&self) -> bool {
        self.at.day > writing_day(&self.dir, &self.clock)
    }

    /// Lines passed over because they are no record.
    pub fn bad(&self) -> u64 {
        self.bad + self.reader.as_ref().map_or(0, DayReader::bad)
    }

    fn look(&mut self) -> io::Result<Look> {
        if self.reader.is_none()
            && let Some(gap) = self.open()?
        {
            return Ok(Look::Gap(gap));
        }
        if let Some(reader) = &mut self.reader {
            match reader.step()? {
                ReadStep::Record => {
                    self.at = reader.position();
                    return Ok(Look::Record);
                }
                ReadStep::Truncated => return Ok(Look::Gap(self.restart())),
                ReadStep::End => self.at = reader.position(),
            }
            match reader.named(&self.dir)? {
                Named::Same => {}
                Named::Gone => {
                    self.lost = true;
                    self.close();
                }
                Named::Other => return Ok(Look::Gap(self.restart())),
            }
        }
        self.roll()
    }

    /// Opens the file of the day, if there is one; a gap when it can't be the one the position is of.
    fn open(&mut self) -> io::Result<Option<Gap>> {
        let Some(reader) = DayReader::open(&self.dir, self.at.day, self.at.offset)? else { return Ok(None) };
        if self.lost || reader.file().metadata()?.len() < self.at.offset {
            return Ok(Some(self.restart()));
        }
        self.reader = Some(reader);
        Ok(None)
    }

    /// Goes on with the next day when this one is over, was looked at again after that, and there is one.
    fn roll(&mut self) -> io::Result<Look> {
        let Some(next) = self.later_day()? else { return Ok(Look::Nothing) };
        if self.leaving_for != Some(next) {
            // Who holds the lock may have chosen this day before there was a later one; who gets it after us won't.
            if let Some(reader) = &self.reader {
                match reader.file().try_lock_shared() {
                    Ok(()) => reader.file().unlock()?,
                    Err(TryLockError::WouldBlock) => return Ok(Look::Nothing),
                    Err(TryLockError::Error(error)) => return Err(error),
                }
            }
            self.leaving_for = Some(next);
            return Ok(Look::Again);
        }
        let asked = self.at;
        let missing = self.reader.is_none() && asked.offset > 0;
        self.at = Position { day: next, offset: 0 };
        self.close();
        self.lost = false;
        Ok(if missing { Look::Gap(Gap { asked, resumed: self.at }) } else { Look::Again })
    }

    fn later_day(&mut self) -> io::Result<Option<Day>> {
        let now = self.clock.now();
        let writing = writing_day(&self.dir, &self.clock);
        // Where the clock was set back, nothing comes to the days before.
        let newest =
            if writing > Day::of(now) { writing } else { Day::of(now.saturating_sub(LINGER).unwrap_or(now)) };
        if self.at.day >= newest {
            return Ok(None);
        }
        // The list is read once a day; after that only the newest day's file can come.
        if self.looked_on == Some(newest) && open_day(&self.dir, newest)?.is_none() {
            return Ok(None);
        }
        let later = days_in(&self.dir)?.into_iter().filter(|day| *day > self.at.day && *day <= newest).min();
        self.looked_on = if later.is_none() { Some(newest) } else { None };
        Ok(later)
    }

    fn restart(&mut self) -> Gap {
        let asked = self.at;
        self.at.offset = 0;
        self.close();
        self.lost = false;
        Gap { asked, resumed: self.at }
    }

    fn close(&mut self) {
        self.bad += self.reader.take().map_or(0, |reader| reader.bad());
        self.leaving_for = None;
        self.looked_on = None;
    }
}

enum Look {
    Record,
    Gap(Gap),
    Again,
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    struct Flows {
        dir: tempfile::TempDir,
        clock: Clock,
    }

    impl Flows {
        fn new(now: &str) -> Self {
            Self { dir: tempfile::tempdir().unwrap(), clock: Clock::manual(now.parse().unwrap()) }
        }

        fn append(&self, day: &str, text: &str) {
            let path = self.dir.path().join(format!("{day}.jsonl"));
            let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        fn tail(&self, from: &str) -> FlowTail {
            FlowTail::new(self.dir.path(), self.clock.clone(), from.parse().unwrap())
        }
    }

    fn all(tail: &mut FlowTail) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            match tail.poll().unwrap() {
                Next::Record(record) => seen.push(String::from_utf8(record.line.to_vec()).unwrap()),
                Next::Gap(gap) => seen.push(format!("gap to {}", gap.resumed)),
                Next::CaughtUp => return seen,
            }
        }
    }

    #[test]
    fn midnight_is_crossed_once_the_old_day_is_read_out() {
        let flows = Flows::new("2026-11-22T23:59:59Z");
        let mut tail = flows.tail("2026-11-22:0");
        assert!(all(&mut tail).is_empty());
        flows.append("2026-11-22", "{\"n\":1}\n{\"n\":");
        assert_eq!(all(&mut tail), ["{\"n\":1}"]);
        flows.clock.advance(SignedDuration::from_millis(1_500));
        flows.append("2026-11-23", "{\"n\":3}\n");
        assert!(all(&mut tail).is_empty(), "the old day may still get a line");
        flows.append("2026-11-22", "2}\n");
        assert_eq!(all(&mut tail), ["{\"n\":2}"]);
        flows.clock.advance(SignedDuration::from_secs(1));
        assert_eq!(all(&mut tail), ["{\"n\":3}"]);
        assert_eq!(tail.position().to_string(), "2026-11-23:000000000008");
    }

    #[test]
    fn a_clock_that_was_set_back_strands_nobody_and_a_held_lock_keeps_the_day() {
        let flows = Flows::new("2026-11-22T12:00:00Z");
        flows.append("2026-11-22", "{\"n\":1}\n");
        flows.append("2026-11-23", "{\"n\":2}\n");
        let mut ahead = flows.tail("2026-11-23:8");
        let mut tail = flows.tail("2026-11-22:0");
        let writer = OpenOptions::new().append(true).open(flows.dir.path().join("2026-11-22.jsonl")).unwrap();
        writer.lock().unwrap();
        assert_eq!(all(&mut tail), ["{\"n\":1}"], "a writer is about to write");
        (&writer).write_all(b"{\"n\":0}\n").unwrap();
        writer.unlock().unwrap();
        assert_eq!(all(&mut tail), ["{\"n\":0}", "{\"n\":2}"]);
        flows.append("2026-11-23", "{\"n\":3}\n");
        assert_eq!(all(&mut tail), ["{\"n\":3}"]);
        assert_eq!(all(&mut ahead), ["{\"n\":3}"]);
        assert!(!ahead.is_stranded());
        assert_eq!(FlowTail::now(flows.dir.path(), &flows.clock).unwrap(), ahead.position());
        assert!(flows.tail("2026-12-01:0").is_stranded());
    }

    #[test]
    fn an_old_day_goes_on_through_the_days_that_exist_and_waits_for_today() {
        let flows = Flows::new("2026-11-22T12:00:00Z");
        flows.append("2026-10-01", "{\"n\":1}\n");
        flows.append("2026-11-05", "{\"n\":2}\n");
        let mut tail = flows.tail("2026-10-01:0");
        assert_eq!(all(&mut tail), ["{\"n\":1}", "{\"n\":2}"]);
        assert!(all(&mut tail).is_empty());
        flows.append("2026-11-22", "{\"n\":3}\n");
        assert_eq!(all(&mut tail), ["{\"n\":3}"]);
        assert!(all(&mut flows.tail("2027-01-01:0")).is_empty());
    }

    #[test]
    fn a_file_that_is_not_the_old_one_is_a_gap() {
        let flows = Flows::new("2026-11-22T12:00:00Z");
        flows.append("2026-11-22", "{\"n\":1}\n");
        let path = flows.dir.path().join("2026-11-22.jsonl");
        let again = ["gap to 2026-11-22:000000000000", "{\"n\":1}"];
        assert_eq!(all(&mut flows.tail("2026-11-22:99")), again);

        let mut tail = flows.tail("2026-11-22:0");
        assert_eq!(all(&mut tail), ["{\"n\":1}"]);
        fs::remove_file(&path).unwrap();
        assert!(all(&mut tail).is_empty());
        flows.append("2026-11-22", "{\"n\":1}\n");
        assert_eq!(all(&mut tail), again, "removed and written anew");
        fs::write(&path, "").unwrap();
        assert_eq!(all(&mut tail), ["gap to 2026-11-22:000000000000"], "cut");
        fs::write(flows.dir.path().join("new"), "{\"n\":1}\n").unwrap();
        fs::rename(flows.dir.path().join("new"), &path).unwrap();
        assert_eq!(all(&mut tail), again, "replaced");
    }

    #[test]
    fn now_is_after_the_last_finished_line() {
        let flows = Flows::new("2026-11-22T12:00:00Z");
        let now = || FlowTail::now(flows.dir.path(), &flows.clock).unwrap().offset;
        assert_eq!(now(), 0);
        flows.append("2026-11-22", "{\"n\":1}\n{\"n\"");
        assert_eq!(now(), 8);
    }
}
