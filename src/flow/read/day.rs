//! One day's file.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::check::{self, Kind};
use crate::model::{Day, Position};
use crate::store::lines::{Lines, Step, end_of_lines, end_of_lines_at_hand};
use crate::store::{open_in, open_in_at_hand};

/// A record as it stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The line without its end: a JSON object in UTF-8.
    pub line: &'a [u8],
    /// The place after it, where a reader goes on.
    pub after: Position,
}

/// What one look at the file brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadStep {
    /// A record, which [`DayReader::record`] returns until the next step.
    Record,
    /// No further record now.
    End,
    /// The file has become shorter than what was read of it.
    Truncated,
}

/// Reads the records of one day from an offset on.
#[derive(Debug)]
pub struct DayReader {
    day: Day,
    lines: Lines,
    bad: u64,
}

impl DayReader {
    /// Opens the day's file in `dir`; `None` when there is none. A link or anything that is no regular file
    /// is an error.
    pub fn open(dir: &Path, day: Day, offset: u64) -> io::Result<Option<Self>> {
        match open_day(dir, day)? {
            Some(file) => Ok(Some(Self { day, lines: Lines::new(file, offset)?, bad: 0 })),
            None => Ok(None),
        }
    }

    /// The whole of the day as it is now and its end, where it may not block; `None` when [`DayReader::open`] has
    /// to do it.
    pub fn open_at_hand(dir: &Path, day: Day) -> Option<(Self, u64)> {
        let file = open_in_at_hand(dir, &day.file_name())?;
        let end = end_of_lines_at_hand(&file)?;
        let lines = Lines::new(file, 0).ok()?.until(end);
        Some((Self { day, lines, bad: 0 }, end))
    }

    /// Reads nothing at or after this offset.
    #[must_use]
    pub fn until(mut self, offset: u64) -> Self {
        self.lines = self.lines.until(offset);
        self
    }

    /// From now on reads only what is in memory, if `only`; what is not is an error of the kind `WouldBlock`.
    pub fn at_hand(&mut self, only: bool) {
        self.lines.at_hand(only);
    }

    /// Looks for the next record, counting the bad lines on the way.
    pub fn step(&mut self) -> io::Result<ReadStep> {
        loop {
            match self.lines.step()? {
                Step::Line => match check::kind(self.lines.line()) {
                    Kind::Record => return Ok(ReadStep::Record),
                    Kind::Header | Kind::Blank => {}
                    Kind::Bad => self.bad += 1,
                },
                Step::TooLong => self.bad += 1,
                Step::End => return Ok(ReadStep::End),
                Step::Truncated => return Ok(ReadStep::Truncated),
            }
        }
    }

    /// The record of the last [`ReadStep::Record`].
    pub fn record(&self) -> Record<'_> {
        Record { line: self.lines.line(), after: self.position() }
    }

    /// The next record; `None` when there is no further one now.
    pub fn read(&mut self) -> io::Result<Option<Record<'_>>> {
        Ok((self.step()? == ReadStep::Record).then(|| self.record()))
    }

    /// The place after the last finished line, be it a record or not.
    pub fn position(&self) -> Position {
        Position { day: self.day, offset: self.lines.after() }
    }

    /// Lines passed over because they are no record.
    pub fn bad(&self) -> u64 {
        self.bad
    }

    /// At the end: bytes of a last line that is not finished yet, or torn.
    pub fn pending(&self) -> u64 {
        self.lines.pending()
    }

    /// The file that is read.
    pub fn file(&self) -> &File {
        self.lines.file()
    }

    /// Offset after the last finished line of the file as it is now.
    pub fn end(&self) -> io::Result<u64> {
        end_of_lines(self.lines.file())
    }

    /// What the day's name in `dir` stands for now, compared with the file that is read.
    pub(super) fn named(&self, dir: &Path) -> io::Result<Named> {
        let held = self.lines.file().metadata()?;
        match std::fs::symlink_metadata(dir.join(self.day.file_name())) {
            Ok(found) if (found.dev(), found.ino()) == (held.dev(), held.ino()) => Ok(Named::Same),
            Ok(_) => Ok(Named::Other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Named::Gone),
            Err(error) => Err(error),
        }
    }
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// The file that is read.
    Same,
    /// Another file.
    Other,
    /// Nothing.
    Gone,
}

/// The day's file, if there is one.
pub(super) fn open_day(dir: &Path, day: Day) -> io::Result<Option<File>> {
    match open_in(dir, &day.file_name()) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_lines_are_yielded_and_bad_ones_counted() {
        let dir = tempfile::tempdir().unwrap();
        let day: Day = "2026-11-22".parse().unwrap();
        assert!(DayReader::open(dir.path(), day, 0).unwrap().is_none());
        let text = b"{\"_type\":\"schema\"}\n{\"n\":1}\r\ngarbage\n\n{\"n\":\"\xff\"}\n{\"n\":2}\n{\"n\":3";
        std::fs::write(dir.path().join(day.file_name()), text).unwrap();
        let mut reader = DayReader::open(dir.path(), day, 0).unwrap().unwrap();
        assert_eq!(reader.read().unwrap().unwrap().line, b"{\"n\":1}");
        let second = reader.read().unwrap().unwrap();
        assert_eq!((second.line, second.after.offset), (&b"{\"n\":2}"[..], text.len() as u64 - 6));
        assert!(reader.read().unwrap().is_none());
        assert_eq!((reader.bad(), reader.pending()), (2, 6));
    }

    #[test]
    fn a_link_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let day: Day = "2026-11-22".parse().unwrap();
        std::os::unix::fs::symlink("/etc/hostname", dir.path().join(day.file_name())).unwrap();
        assert!(DayReader::open(dir.path(), day, 0).is_err());
    }
}
