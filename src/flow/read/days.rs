//! The list of days, with what each holds. A file is counted once; after that only what was appended to it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::check;
use super::day::{DayReader, ReadStep};
use crate::model::Day;
use crate::wire::DayEntry;

/// Missions listed for one day at most.
const MISSIONS_MAX: usize = 1_000;

/// The days that have a file in `dir`, oldest first; none when there is no such folder. Links and folders are
/// passed over.
pub fn days_in(dir: &Path) -> io::Result<Vec<Day>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut days = Vec::new();
    for entry in entries {
        let entry = entry?;
        let day = entry.file_name().to_str().and_then(Day::of_file_name);
        if let Some(day) = day.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_file())) {
            days.push(day);
        }
    }
    days.sort_unstable();
    Ok(days)
}

/// What is known of every day in a folder.
#[derive(Debug)]
pub struct DayIndex {
    dir: PathBuf,
    known: BTreeMap<Day, Known>,
}

#[derive(Debug, Default)]
struct Known {
    file: (u64, u64),
    offset: u64,
    records: u64,
    dispatches: u64,
    bad: u64,
    missions: BTreeSet<String>,
}

impl DayIndex {
    /// Knows nothing yet.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), known: BTreeMap::new() }
    }

    /// Every day, newest first. Reads what was not counted before.
    pub fn list(&mut self) -> io::Result<Vec<DayEntry>> {
        let days = days_in(&self.dir)?;
        self.known.retain(|day, _| days.binary_search(day).is_ok());
        let mut entries = Vec::with_capacity(days.len());
        for day in days.into_iter().rev() {
            // Removed since the folder was read: not a day any more.
            entries.extend(self.count(day)?);
        }
        Ok(entries)
    }

    fn count(&mut self, day: Day) -> io::Result<Option<DayEntry>> {
        let known = self.known.entry(day).or_default();
        let Some(mut reader) = DayReader::open(&self.dir, day, known.offset)? else { return Ok(None) };
        let meta = reader.file().metadata()?;
        let file = (meta.dev(), meta.ino());
        if file != known.file || meta.len() < known.offset {
            *known = Known { file, ..Known::default() };
            match DayReader::open(&self.dir, day, 0)? {
                Some(anew) => reader = anew,
                None => return Ok(None),
            }
        }
        while reader.step()? == ReadStep::Record {
            known.records += 1;
            let counts = check::counts(reader.record().line);
            known.dispatches += u64::from(counts.dispatch);
            if let Some(mission) = counts.mission.filter(|_| known.missions.len() < MISSIONS_MAX) {
                known.missions.insert(mission);
            }
        }
        known.bad += reader.bad();
        known.offset = reader.position().offset;
        Ok(Some(DayEntry {
            // A last line without an end is torn, or about to be finished and counted as what it is.
            bad: known.bad + u64::from(reader.pending() > 0),
            bytes: meta.len(),
            date: day.to_string(),
            dispatches: known.dispatches,
            fleet: false,
            missions: known.missions.iter().cloned().collect(),
            records: known.records,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn days_are_counted_once_and_then_only_what_came() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = DayIndex::new(&dir.path().join("none"));
        assert!(index.list().unwrap().is_empty());

        let path = dir.path().join("2026-11-22.jsonl");
        std::fs::write(dir.path().join("2026-11-20.jsonl"), "").unwrap();
        std::fs::write(dir.path().join("2026-02-30.jsonl"), "{}\n").unwrap();
        std::fs::create_dir(dir.path().join("2026-11-21.jsonl")).unwrap();
        std::fs::write(&path, "{\"_type\":\"schema\"}\n{\"action\":\"dispatch start\"}\nbad\n{\"torn\"")
            .unwrap();
        let mut index = DayIndex::new(dir.path());
        let days = index.list().unwrap();
        assert_eq!(
            days.iter().map(|day| day.date.as_str()).collect::<Vec<_>>(),
            ["2026-11-22", "2026-11-20"]
        );
        assert_eq!((days[0].records, days[0].dispatches, days[0].bad), (1, 1, 2));

        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"\n{\"mission_id\":\"m2\"}\n{\"mission_id\":\"m1\"}\n").unwrap();
        let day = index.list().unwrap().remove(0);
        assert_eq!((day.records, day.dispatches, day.bad), (3, 1, 2));
        assert_eq!(day.missions, ["m1", "m2"]);

        std::fs::write(&path, "{}\n").unwrap();
        let day = index.list().unwrap().remove(0);
        assert_eq!((day.records, day.dispatches, day.bad, day.bytes), (1, 0, 0, 3));
    }
}
