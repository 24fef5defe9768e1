//! A session's output as JSON, a line a piece, each with the offsets of its bytes.

use serde_json::{Value, json};

/// Makes the lines. A character that is cut between two pieces belongs to the later one; what is no UTF-8 at all
/// shows as U+FFFD.
#[derive(Debug)]
pub struct JsonLines {
    /// Offset after the last byte that was taken.
    at: u64,
    /// The beginning of a character.
    held: Vec<u8>,
}

impl JsonLines {
    /// From this offset on.
    pub fn new(at: u64) -> Self {
        Self { at, held: Vec::new() }
    }

    /// The line for these bytes, which follow the last ones; empty when they end no character.
    pub fn output(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.at += bytes.len() as u64;
        self.held.extend_from_slice(bytes);
        let cut = cut_character(&self.held);
        self.line(cut)
    }

    /// The lines for what is missing up to `to`, with what was held back.
    pub fn gap(&mut self, to: u64) -> Vec<u8> {
        let mut lines = self.end();
        lines.extend(line(&json!({ "schema": 1, "from": self.at, "to": to, "gap": true })));
        self.at = to;
        lines
    }

    /// The line that says whose output follows, with what was held back.
    pub fn begin_attempt(&mut self, attempt: u32, from: u64) -> Vec<u8> {
        let mut lines = self.end();
        lines.extend(line(&json!({ "schema": 1, "attempt": attempt })));
        self.at = from;
        lines
    }

    /// The line for what was held back; empty when nothing was.
    pub fn end(&mut self) -> Vec<u8> {
        self.line(0)
    }

    /// The line for everything but the last `held` bytes.
    fn line(&mut self, held: usize) -> Vec<u8> {
        let bytes: Vec<u8> = self.held.drain(..self.held.len() - held).collect();
        if bytes.is_empty() {
            return Vec::new();
        }
        let to = self.at - held as u64;
        let from = to - bytes.len() as u64;
        line(&json!({ "schema": 1, "from": from, "to": to, "output": String::from_utf8_lossy(&bytes) }))
    }
}

fn line(value: &Value) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}

/// How many bytes at the end begin a character that more bytes could complete.
fn cut_character(bytes: &[u8]) -> usize {
    // One has four bytes at most.
    let last = &bytes[bytes.len().saturating_sub(3)..];
    let begins = last.iter().rposition(|byte| byte & 0xc0 == 0xc0);
    let cut = begins.map_or(&last[..0], |at| &last[at..]);
    match std::str::from_utf8(cut) {
        Err(error) if error.valid_up_to() == 0 && error.error_len().is_none() => cut.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(bytes: &[u8], piece: usize) -> Vec<Value> {
        let mut made = JsonLines::new(7);
        let mut out = Vec::new();
        for piece in bytes.chunks(piece) {
            out.extend(made.output(piece));
        }
        out.extend(made.end());
        out.split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    #[test]
    fn what_is_missing_is_a_line() {
        let mut made = JsonLines::new(0);
        assert!(made.output(b"\xe2\x82").is_empty());
        let text = String::from_utf8(made.gap(9)).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains(r#""from":2,"gap":true,"schema":1,"to":9"#), "{text}");
        assert!(String::from_utf8(made.output(b"x")).unwrap().contains(r#""from":9,"output":"x""#));
    }

    proptest! {
        #[test]
        fn the_pieces_follow_each_other_and_cut_no_character(text in "[aä€🦀]{0,40}", piece in 1usize..6) {
            let lines = lines(text.as_bytes(), piece);
            let whole: String = lines.iter().map(|line| line["output"].as_str().unwrap()).collect();
            prop_assert_eq!(&whole, &text);
            let mut at = 7;
            for line in &lines {
                prop_assert_eq!(line["from"].as_u64().unwrap(), at);
                at = line["to"].as_u64().unwrap();
            }
            prop_assert_eq!(at, 7 + text.len() as u64);
        }

        #[test]
        fn any_bytes_are_counted(bytes in prop::collection::vec(any::<u8>(), 1..60), piece in 1usize..6) {
            let lines = lines(&bytes, piece);
            prop_assert_eq!(lines.last().unwrap()["to"].as_u64().unwrap(), 7 + bytes.len() as u64);
        }
    }
}
