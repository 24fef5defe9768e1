//! Records as server-sent events: unnamed, with the position after the record as id.

use std::io::Write;

use memchr::memchr;

use crate::flow::read::{Gap, Record};

/// A sign of life: a comment, which clients ignore.
pub const KEEPALIVE: &[u8] = b":\n\n";

/// Appends a record's event. The line goes out as it is; a raw CR can only stand between the tokens of a JSON
/// text, where a blank means the same, and would end the line of an event.
pub fn record(out: &mut Vec<u8>, record: Record<'_>) {
    // Writing to memory can't fail.
    let _ = write!(out, "id: {}\ndata: ", record.after);
    let data = out.len();
    out.extend_from_slice(record.line);
    while let Some(at) = memchr(b'\r', &out[data..]) {
        out[data + at] = b' ';
    }
    out.extend_from_slice(b"\n\n");
}

/// Appends the event that tells that records between two places may be missing or come twice.
pub fn gap(out: &mut Vec<u8>, gap: Gap) {
    let Gap { asked, resumed } = gap;
    let _ = write!(out, "event: gap\nid: {resumed}\ndata: {{\"from\":\"{asked}\",\"to\":\"{resumed}\"}}\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_line_ends_the_event_early() {
        let mut out = Vec::new();
        let after = "2026-11-22:7".parse().unwrap();
        record(&mut out, Record { line: b"{\r\"a\":\r1}", after });
        assert_eq!(out, b"id: 2026-11-22:000000000007\ndata: { \"a\": 1}\n\n");
    }
}
