//! Looking for a text in what a terminal shows, as a person would read it: line by line, without escape sequences.
//!
//! Invariant: memory is bounded whatever is shown, and time by the length of pattern and output.

use anstream::adapter::StripBytes;
use regex::RegexBuilder;
use regex::bytes;

use crate::util::visible_line;

/// Longest pattern, in bytes.
const PATTERN_MAX: usize = 1024;

/// Largest pattern once it is compiled, in bytes: looking takes at worst this times the output.
const COMPILED_MAX: usize = 32 * 1024;

/// Bytes of one line that are looked at; of a longer one the newest.
const LINE_MAX: usize = 16 * 1024;

/// Looks for a pattern.
#[derive(Debug)]
pub struct TextFinder {
    pattern: bytes::Regex,
    strip: StripBytes,
    line: Vec<u8>,
}

impl TextFinder {
    /// For a regular expression; what is wrong with it, otherwise.
    pub fn new(pattern: &str) -> Result<Self, String> {
        if pattern.is_empty() || pattern.len() > PATTERN_MAX {
            return Err(format!("a pattern has 1 to {PATTERN_MAX} bytes"));
        }
        // The error of a pattern that is text says more than that of one for bytes.
        RegexBuilder::new(pattern).size_limit(COMPILED_MAX).build().map_err(|error| error.to_string())?;
        let compiled = bytes::RegexBuilder::new(pattern).size_limit(COMPILED_MAX).build();
        let pattern = compiled.map_err(|error| error.to_string())?;
        Ok(Self { pattern, strip: StripBytes::new(), line: Vec::new() })
    }

    /// Takes more output; the first line that fits, which may be the unfinished last one.
    pub fn push(&mut self, output: &[u8]) -> Option<String> {
        let mut plain = Vec::with_capacity(output.len());
        for piece in self.strip.strip_next(output) {
            plain.extend_from_slice(piece);
        }
        let mut pieces = plain.split(|byte| matches!(byte, b'\n' | b'\r')).peekable();
        while let Some(piece) = pieces.next() {
            self.line.extend_from_slice(piece);
            let extra = self.line.len().saturating_sub(LINE_MAX);
            self.line.drain(..extra);
            if self.pattern.is_match(&self.line) {
                return Some(visible_line(&String::from_utf8_lossy(&self.line)).into_owned());
            }
            if pieces.peek().is_some() {
                self.line.clear();
            }
        }
        None
    }

    /// Output is missing here: what follows is no part of the line before.
    pub fn gap(&mut self) {
        self.strip = StripBytes::new();
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, pieces: &[&[u8]]) -> Option<String> {
        let mut finder = TextFinder::new(pattern).unwrap();
        pieces.iter().find_map(|piece| finder.push(piece))
    }

    #[test]
    fn it_reads_as_a_person_does() {
        let pieces: &[&[u8]] = &[b"one\r\n\x1b[3", b"1mtests: 5 pas", b"sed\x1b[0m\r\n$ "];
        assert_eq!(found("^tests: .* passed$", pieces).as_deref(), Some("tests: 5 passed"));
        assert_eq!(found(r"^\$ $", pieces).as_deref(), Some("$ "));
        assert_eq!(found("one tests", pieces), None);
        assert_eq!(found("^done$", &[b"10%\r20%\rdone"]).as_deref(), Some("done"));
        assert_eq!(found("x", &[b"\x1b]0;x\x07", b"y"]), None, "a title is not on the screen");
    }

    #[test]
    fn patterns_and_lines_have_a_bound() {
        assert!(TextFinder::new("(").is_err() && TextFinder::new("").is_err());
        assert!(TextFinder::new(&"x".repeat(2000)).is_err());
        assert!(TextFinder::new("(((a{1000}){1000}){1000})").is_err());
        let mut finder = TextFinder::new("end$").unwrap();
        for _ in 0..100 {
            assert_eq!(finder.push(&[b'a'; 4096]), None);
        }
        assert!(finder.line.len() <= LINE_MAX);
        assert!(finder.push(b"end").is_some());
    }
}
