//! One entry of the stream, read from a reply that may hold anything.

use redis::Value;
use uuid::Uuid;

use super::super::read::is_record;
use crate::model::{EntryId, Position};

/// Longest record that is taken.
const RECORD_MAX: usize = 1024 * 1024;

/// Longest id of a log that is taken.
const LOG_MAX: usize = 128;

/// Whose record it is and where it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The machine's log.
    pub log: String,
    /// The place after the record in that log.
    pub pos: Position,
}

/// A record of the fleet's flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id in the stream.
    pub id: EntryId,
    /// The record: a JSON object on one line.
    pub record: Vec<u8>,
    /// Absent in what darkmux 1.9 sends.
    pub origin: Option<Origin>,
}

impl Entry {
    /// The record's own id, where it has one.
    pub fn record_id(&self) -> Option<Uuid> {
        record_id(&self.record)
    }

    /// Whether this machine wrote it.
    pub fn is_of(&self, log: &str) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.log == log)
    }
}

/// The `record_id` of a record's line. It is the last key where we wrote the line, so it is looked for from the
/// end; a key of that name inside a payload is at most a wrong hint.
pub fn record_id(line: &[u8]) -> Option<Uuid> {
    const KEY: &[u8] = b"\"record_id\":\"";
    let at = memchr::memmem::rfind(line, KEY)? + KEY.len();
    Uuid::try_parse_ascii(line.get(at..at + 36)?).ok()
}

/// The entries of one stream in a reply to XREAD or XRANGE, and the id of the last one, be it a record or not.
#[derive(Debug, Default)]
pub struct Entries {
    /// Those that hold a record.
    pub records: Vec<Entry>,
    /// The id after which to go on.
    pub last: Option<EntryId>,
    /// How many there were, records or not.
    pub count: u64,
}

/// Reads the array of entries that XRANGE answers, and XREAD for each stream.
pub fn entries(reply: Value) -> Entries {
    let mut found = Entries::default();
    for item in array(reply) {
        let mut parts = array(item).into_iter();
        let Some(id) = parts.next().and_then(|id| text(&id)?.parse().ok()) else { continue };
        found.last = Some(id);
        found.count += 1;
        found.records.extend(parts.next().and_then(|fields| entry(id, fields)));
    }
    found
}

/// The array of entries in a reply to XREAD of one stream: none when it waited in vain.
pub fn of_read(reply: Value) -> Value {
    match reply {
        Value::Map(mut streams) if !streams.is_empty() => streams.swap_remove(0).1,
        Value::Array(mut streams) if !streams.is_empty() => {
            array(streams.swap_remove(0)).into_iter().nth(1).unwrap_or(Value::Nil)
        }
        _ => Value::Nil,
    }
}

fn entry(id: EntryId, fields: Value) -> Option<Entry> {
    let (mut record, mut log, mut pos) = (None, None, None);
    let fields = match fields {
        Value::Map(pairs) => pairs.into_iter().flat_map(|(key, value)| [key, value]).collect(),
        other => array(other),
    };
    let mut fields = fields.into_iter();
    while let (Some(key), Some(value)) = (fields.next(), fields.next()) {
        let Value::BulkString(value) = value else { continue };
        match &key {
            Value::BulkString(key) if key == b"record" => record = Some(value),
            Value::BulkString(key) if key == b"log" => log = String::from_utf8(value).ok(),
            Value::BulkString(key) if key == b"pos" => {
                pos = std::str::from_utf8(&value).ok().and_then(|pos| pos.parse().ok());
            }
            _ => {}
        }
    }
    let mut record = record.filter(|record: &Vec<u8>| record.len() <= RECORD_MAX)?;
    if !is_record(&record) {
        return None;
    }
    // A raw line end can only stand between the tokens of a JSON text, where a blank means the same.
    record.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    let origin = match (log, pos) {
        (Some(log), Some(pos)) if log.len() <= LOG_MAX => Some(Origin { log, pos }),
        _ => None,
    };
    Some(Entry { id, record, origin })
}

pub(super) fn array(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn made(id: &str, fields: &[&str]) -> Value {
        Value::Array(vec![bulk(id), Value::Array(fields.iter().map(|field| bulk(field)).collect())])
    }

    #[test]
    fn entries_of_both_kinds_are_read_and_nonsense_is_passed_over() {
        let reply = Value::Array(vec![
            made(
                "5-1",
                &["schema", "1.14.0", "record", "{\"a\":\n1}", "log", "l1", "pos", "2026-11-22:000000000007"],
            ),
            made("5-2", &["schema", "1.14.0", "record", "{}"]),
            made("5-3", &["record", "no json"]),
            made("5-4", &["record", "{\"_type\":\"schema\"}"]),
            made("5-5", &["record"]),
            Value::Int(3),
            made("x", &["record", "{}"]),
            made("6-0", &["record", "{}", "log", "l1", "pos", "never"]),
        ]);
        let found = entries(reply);
        let ids: Vec<String> = found.records.iter().map(|entry| entry.id.to_string()).collect();
        assert_eq!(ids, ["5-1", "5-2", "6-0"]);
        assert_eq!((found.last.unwrap().to_string().as_str(), found.count), ("6-0", 6));
        assert_eq!(found.records[0].record, b"{\"a\": 1}");
        assert!(found.records[0].is_of("l1") && found.records[1].origin.is_none());
        assert!(found.records[2].origin.is_none());
        assert!(entries(Value::Nil).last.is_none());
    }

    #[test]
    fn both_shapes_of_a_read_are_known() {
        let inner = Value::Array(vec![made("5-1", &["record", "{}"])]);
        let map = Value::Map(vec![(bulk("darkmux:flow"), inner.clone())]);
        let list = Value::Array(vec![Value::Array(vec![bulk("darkmux:flow"), inner])]);
        for reply in [map, list] {
            assert_eq!(entries(of_read(reply)).records.len(), 1);
        }
        assert_eq!(entries(of_read(Value::Nil)).count, 0);
    }

    #[test]
    fn the_id_of_a_record_is_found() {
        let id = Uuid::now_v7();
        let line = format!("{{\"payload\":{{\"record_id\":\"x\"}},\"record_id\":\"{id}\"}}");
        assert_eq!(record_id(line.as_bytes()), Some(id));
        assert_eq!(record_id(b"{\"record_id\":\"short\"}"), None);
        assert_eq!(record_id(b"{}"), None);
    }
}
