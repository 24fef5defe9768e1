//! Records as server-sent events: unnamed, with the place after the record as id.

use std::io::Write;

use axum::body::Bytes;
use memchr::{memchr, memmem};
use serde::Serialize;

use super::ring::Break;
use crate::model::Place;

/// A sign of life: a comment, which clients ignore.
pub const KEEPALIVE: &[u8] = b":\n\n";

/// What a stream begins with: a sign of life, and an id without an event, so that a client that has seen no
/// record yet resumes where it came.
pub fn begin(at: Place) -> Bytes {
    format!(":\n\nid: {at}\n\n").into()
}

/// Appends an id without an event: the client has seen everything up to there.
pub fn place(out: &mut Vec<u8>, at: Place) {
    let _ = write!(out, "id: {at}\n\n");
}

/// Appends a record's event. The line goes out as it is; a raw CR can only stand between the tokens of a JSON
/// text, where a blank means the same, and would end the line of an event.
pub fn record(out: &mut Vec<u8>, line: &[u8], after: Place) {
    // Writing to memory can't fail.
    let _ = write!(out, "id: {after}\ndata: ");
    let data = out.len();
    out.extend_from_slice(line);
    while let Some(at) = memchr(b'\r', &out[data..]) {
        out[data + at] = b' ';
    }
    out.extend_from_slice(b"\n\n");
}

/// Of the frames of others' records those after a place, as they are for a client there.
pub fn rest(frames: &[u8], at: Place) -> Vec<u8> {
    let mut out = Vec::new();
    let mut left = frames;
    while let Some(end) = memmem::find(left, b"\n\n") {
        let (event, after) = left.split_at(end + 2);
        left = after;
        let Some((id, data)) = event.strip_prefix(b"id: ").and_then(|event| {
            let line = memchr(b'\n', event)?;
            Some((std::str::from_utf8(&event[..line]).ok()?.parse::<Place>().ok()?, &event[line..]))
        }) else {
            continue;
        };
        if id.fleet > at.fleet {
            let _ = write!(out, "id: {}", Place { local: at.local, ..id });
            out.extend_from_slice(data);
        }
    }
    out
}

/// Appends the event that tells that records between two places may be missing or come twice.
pub fn gap(out: &mut Vec<u8>, gap: Break) {
    let Break { from, to, missed } = gap;
    let count = missed.map_or(String::new(), |missed| format!(",\"count\":{missed}"));
    let _ = write!(out, "event: gap\nid: {to}\ndata: {{\"from\":\"{from}\",\"to\":\"{to}\"{count}}}\n\n");
}

/// The record of 1.9 that a stream ends with when the fleet's flow could not be followed. It is written nowhere
/// and has no id, so that a client resumes where it was.
pub fn error(ts: &str, reasoning: &str) -> Vec<u8> {
    /// Sorted, as 1.9 writes it.
    #[derive(Serialize)]
    struct StreamError<'a> {
        action: &'a str,
        category: &'a str,
        handle: &'a str,
        level: &'a str,
        reasoning: &'a str,
        stage: &'a str,
        tier: &'a str,
        ts: &'a str,
    }
    let record = StreamError {
        action: "stream.error",
        category: "audit",
        handle: "redis_tail_lines",
        level: "warn",
        reasoning,
        stage: "scope",
        tier: "local",
        ts,
    };
    let mut out = b"data: ".to_vec();
    out.extend(serde_json::to_vec(&record).unwrap_or_default());
    out.extend_from_slice(b"\n\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_line_ends_the_event_early() {
        let mut out = Vec::new();
        record(&mut out, b"{\r\"a\":\r1}", "2026-11-22:7".parse().unwrap());
        assert_eq!(out, b"id: 2026-11-22:000000000007\ndata: { \"a\": 1}\n\n");
        let text = String::from_utf8(error("now", "a\nb")).unwrap();
        assert_eq!(text.matches('\n').count(), 2, "{text}");
    }

    #[test]
    fn a_gap_says_from_where_to_where() {
        let mut out = Vec::new();
        let (from, to) = ("2026-11-22:7~5-0".parse().unwrap(), "2026-11-22:7~9".parse().unwrap());
        gap(&mut out, Break { from, to, missed: Some(3) });
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.ends_with("\"to\":\"2026-11-22:000000000007~0000000000009\",\"count\":3}\n\n"),
            "{text}"
        );
    }
}
