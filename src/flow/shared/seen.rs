//! How far each machine's log was seen, so that what is shipped anew after Redis lost it is not shown anew.

use std::collections::HashMap;

use uuid::Uuid;

use super::entry::{Entry, Origin};
use crate::model::Position;

/// Logs that are remembered; a fleet has a handful.
const LOGS_MAX: usize = 1024;

/// The newest of one log.
#[derive(Debug, Clone, Copy)]
struct Newest {
    pos: Position,
    record: Option<Uuid>,
}

/// The newest of each log.
#[derive(Debug, Default)]
pub struct Seen {
    logs: HashMap<String, Newest>,
}

impl Seen {
    /// Everything of these logs up to these places was shipped before we began to look. `now` is an id made now.
    pub fn begin(marks: impl IntoIterator<Item = (String, Position)>, now: Uuid) -> Self {
        let newest = |(log, pos)| (log, Newest { pos, record: Some(now) });
        Self { logs: marks.into_iter().take(LOGS_MAX).map(newest).collect() }
    }

    /// Notes the entry; `false` when it was seen before. A place that was passed already is an old record that
    /// came anew, unless the record itself is newer than all before: then the machine's file was begun anew.
    pub fn is_new(&mut self, entry: &Entry) -> bool {
        let Some(Origin { log, pos }) = &entry.origin else { return true };
        let record = entry.record_id();
        match self.logs.get_mut(log) {
            None => {
                if self.logs.len() < LOGS_MAX {
                    self.logs.insert(log.clone(), Newest { pos: *pos, record });
                }
                true
            }
            Some(newest) if *pos > newest.pos => {
                *newest = Newest { pos: *pos, record: newest.record.max(record) };
                true
            }
            Some(newest) if record.is_some() && record > newest.record => {
                *newest = Newest { pos: *pos, record };
                true
            }
            Some(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EntryId;

    fn id(count: u128) -> Uuid {
        Uuid::from_u128(count)
    }

    fn entry(log: &str, offset: u64, record: u128) -> Entry {
        let pos = Position { day: "2026-11-22".parse().unwrap(), offset };
        let record = format!("{{\"record_id\":\"{}\"}}", id(record)).into_bytes();
        Entry { id: EntryId::ZERO, record, origin: Some(Origin { log: log.into(), pos }) }
    }

    #[test]
    fn what_comes_anew_is_known_and_a_new_file_is_not() {
        let mut seen = Seen::default();
        assert!(seen.is_new(&entry("a", 10, 1)) && seen.is_new(&entry("a", 20, 2)));
        assert!(seen.is_new(&entry("b", 5, 1)), "logs are apart");
        assert!(!seen.is_new(&entry("a", 10, 1)) && !seen.is_new(&entry("a", 20, 2)));
        assert!(seen.is_new(&entry("a", 30, 3)));
        // The file was removed; the next records stand at its beginning again.
        assert!(seen.is_new(&entry("a", 7, 4)) && seen.is_new(&entry("a", 14, 5)));
        assert!(!seen.is_new(&entry("a", 7, 4)));
        let none = Entry { origin: None, ..entry("a", 7, 4) };
        assert!(seen.is_new(&none) && seen.is_new(&none));
    }

    #[test]
    fn what_was_shipped_before_is_known() {
        let mark = entry("a", 50, 0).origin.unwrap();
        let mut seen = Seen::begin([(mark.log, mark.pos)], id(100));
        assert!(!seen.is_new(&entry("a", 50, 99)) && !seen.is_new(&entry("a", 9, 3)));
        assert!(seen.is_new(&entry("a", 60, 101)));
        assert!(seen.is_new(&entry("c", 9, 3)));
    }
}
