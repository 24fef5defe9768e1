//! A day of the whole fleet: our file and the records of others as one sequence, by time, each machine's in its
//! own order. The file is read as it goes; only the records of others are held.

use std::collections::{HashMap, HashSet};
use std::io;

use uuid::Uuid;

use super::day::{Timed, time_of};
use super::entry::record_id;
use super::twins::Way;
use crate::flow::read::DayReader;

/// What a first look at our part of the day found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survey {
    /// Our records.
    pub ours: usize,
}

/// Counts our records and removes those of `others` that are among them: a record has one id wherever it came
/// from, and one without an id that 1.9 sent from our own home is in our file as well.
pub fn survey(mut ours: Option<DayReader>, others: &mut Vec<Timed>) -> io::Result<Survey> {
    let ids: HashSet<Uuid> = others.iter().filter_map(|record| record_id(&record.line)).collect();
    let mut sent: HashMap<&[u8], usize> = HashMap::new();
    for record in others.iter().filter(|record| record.way == Way::Sent && record_id(&record.line).is_none())
    {
        *sent.entry(&record.line).or_default() += 1;
    }
    let mut count = 0;
    let mut known = HashSet::new();
    let mut twins: HashMap<Vec<u8>, usize> = HashMap::new();
    while let Some(record) = ours.as_mut().map(DayReader::read).transpose()?.flatten() {
        count += 1;
        match record_id(record.line) {
            Some(id) => {
                if ids.contains(&id) {
                    known.insert(id);
                }
            }
            None => {
                if let Some(left) = sent.get_mut(record.line).filter(|left| **left > 0) {
                    *left -= 1;
                    *twins.entry(record.line.to_vec()).or_default() += 1;
                }
            }
        }
    }
    others.retain(|record| match record_id(&record.line) {
        Some(id) => !known.contains(&id),
        None => match twins.get_mut(&record.line).filter(|left| **left > 0 && record.way == Way::Sent) {
            Some(left) => {
                *left -= 1;
                false
            }
            None => true,
        },
    });
    Ok(Survey { ours: count })
}

/// The sequence.
#[derive(Debug)]
pub struct Union {
    ours: Option<DayReader>,
    others: std::vec::IntoIter<Timed>,
    /// Our next record's time, not before those of our earlier ones; `None` before it was read.
    next: Option<u64>,
    newest: u64,
    left_out: usize,
}

impl Union {
    /// Both parts, less the oldest `leave_out` of them.
    pub fn new(ours: Option<DayReader>, others: Vec<Timed>, leave_out: usize) -> Self {
        Self { ours, others: others.into_iter(), next: None, newest: 0, left_out: leave_out }
    }

    /// Hands the next record to `take`; `false` at the end.
    pub fn next(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<bool> {
        loop {
            let skip = self.left_out > 0;
            self.left_out = self.left_out.saturating_sub(1);
            let mut quiet = |_: &[u8]| {};
            let more = if skip { self.step(&mut quiet)? } else { self.step(&mut take)? };
            if !skip || !more {
                return Ok(more);
            }
        }
    }

    fn step(&mut self, take: &mut impl FnMut(&[u8])) -> io::Result<bool> {
        if self.next.is_none()
            && let Some(ours) = &mut self.ours
        {
            match ours.read()? {
                // Nothing to compare with: the time is of no use.
                Some(_) if self.others.as_slice().is_empty() => self.next = Some(0),
                Some(record) => {
                    self.newest = self.newest.max(time_of(record.line));
                    self.next = Some(self.newest);
                }
                None => self.ours = None,
            }
        }
        match (self.next, self.others.as_slice().first()) {
            (Some(ms), Some(other)) if other.ms < ms => self.take_other(take),
            (Some(_), _) => {
                if let Some(ours) = &self.ours {
                    take(ours.record().line);
                }
                self.next = None;
            }
            (None, Some(_)) => self.take_other(take),
            (None, None) => return Ok(false),
        }
        Ok(true)
    }

    fn take_other(&mut self, take: &mut impl FnMut(&[u8])) {
        if let Some(other) = self.others.next() {
            take(&other.line);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Day;

    fn day() -> Day {
        "2026-11-22".parse().unwrap()
    }

    fn line(machine: usize, at: u32, count: usize) -> String {
        let id = Uuid::from_u128((machine as u128) << 64 | count as u128);
        let (h, m, s) = (at / 3600 % 24, at / 60 % 60, at % 60);
        format!(
            r#"{{"ts":"2026-11-22T{h:02}:{m:02}:{s:02}Z","machine_id":"m{machine}","n":{count},"record_id":"{id}"}}"#
        )
    }

    fn all(dir: &std::path::Path, others: Vec<Timed>, leave_out: usize) -> Vec<String> {
        let reader = DayReader::open(dir, day(), 0).unwrap();
        let mut union = Union::new(reader, others, leave_out);
        let mut seen = Vec::new();
        while union.next(|line| seen.push(String::from_utf8(line.to_vec()).unwrap())).unwrap() {}
        seen
    }

    fn timed(line: &str, ms: u64, way: Way) -> Timed {
        Timed { ms, line: line.as_bytes().to_vec(), way }
    }

    #[test]
    fn what_is_in_both_appears_once() {
        let dir = tempfile::tempdir().unwrap();
        let (both, sent) = (line(0, 5, 0), r#"{"ts":"2026-11-22T00:00:06Z"}"#);
        std::fs::write(dir.path().join("2026-11-22.jsonl"), format!("{both}\n{sent}\n")).unwrap();
        let mut others = vec![
            timed(&both, time_of(both.as_bytes()), Way::File),
            timed(sent, time_of(sent.as_bytes()), Way::Sent),
            timed(sent, time_of(sent.as_bytes()), Way::Sent),
            timed(sent, time_of(sent.as_bytes()), Way::File),
        ];
        let reader = DayReader::open(dir.path(), day(), 0).unwrap();
        assert_eq!(survey(reader, &mut others).unwrap(), Survey { ours: 2 });
        assert_eq!(others.len(), 2, "one of two equal ones that 1.9 sent, and another machine's");
        assert_eq!(all(dir.path(), others, 0), [&both, sent, sent, sent]);
    }

    proptest! {
        #[test]
        fn a_day_has_every_record_once_by_time_and_each_machine_in_its_order(
            clocks in prop::collection::vec((0usize..4, 0u32..200), 0..120),
            leave_out in 0usize..10,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut file = String::new();
            let mut others = Vec::new();
            let mut newest = [0u64; 4];
            for (count, &(machine, at)) in clocks.iter().enumerate() {
                let line = line(machine, at, count);
                newest[machine] = newest[machine].max(time_of(line.as_bytes()));
                if machine == 0 {
                    file.push_str(&line);
                    file.push('\n');
                } else {
                    others.push(timed(&line, newest[machine], Way::File));
                }
            }
            others.sort_by_key(|record| record.ms);
            std::fs::write(dir.path().join("2026-11-22.jsonl"), file).unwrap();
            let seen = all(dir.path(), others.clone(), 0);
            prop_assert_eq!(seen.len(), clocks.len());
            let numbers: Vec<(String, u64)> = seen.iter().map(|line| {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                (value["machine_id"].as_str().unwrap().to_owned(), value["n"].as_u64().unwrap())
            }).collect();
            for machine in 0..4 {
                let own: Vec<u64> = numbers.iter().filter(|(id, _)| *id == format!("m{machine}")).map(|(_, n)| *n).collect();
                prop_assert!(own.is_sorted(), "{own:?}");
            }
            let cut = all(dir.path(), others, leave_out);
            prop_assert_eq!(&cut[..], &seen[leave_out.min(seen.len())..]);
        }
    }
}
