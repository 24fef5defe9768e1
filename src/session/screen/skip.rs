//! Long runs of plain lines: all but the newest of them leave no trace on the screen, so the model need not draw them.
//!
//! Invariant: a skip gives exactly the state that drawing everything gives. After as many line feeds as there are rows
//! the cursor is in the last one; after as many as lines are kept, nothing older is left. Only attributes last longer,
//! and they are collected.

use std::collections::VecDeque;

use super::{ROWS_KEPT, Screen, lines, snapshot};

/// Line feeds between two places where drawing may begin.
const STRIDE: usize = 1024;

/// Longest chain of attributes since the last reset; after a longer one no drawing begins.
const ATTRIBUTES_MAX: usize = 1024;

/// Longest sequence of attributes.
const SEQUENCE_MAX: usize = 128;

/// A place where drawing may begin: the first column of a line, with the attributes that hold there.
#[derive(Debug, Clone)]
struct Place {
    offset: u64,
    feeds: usize,
    attributes: Vec<u8>,
}

/// Looks over a run of plain lines: text, line ends, tabs, and sequences that change attributes.
#[derive(Debug)]
pub(in crate::session) struct Plain {
    at: u64,
    feeds: usize,
    rows: usize,
    after_cr: bool,
    attributes: Vec<u8>,
    too_long: bool,
    /// A sequence of attributes that is not whole yet.
    sequence: Vec<u8>,
    places: VecDeque<Place>,
    ended: bool,
}

/// What may stand in a run, besides sequences.
fn is_text(byte: u8) -> bool {
    byte >= 0x20 && byte != 0x7f || matches!(byte, b'\n' | b'\r' | b'\t')
}

/// Bytes that are looked at together.
const WORD: usize = size_of::<u64>();

/// A word of which every byte is `byte`.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; WORD])
}

/// Whether none of a word's bytes is a control character: none is below 0x20, and none is 0x7f. Of the differences
/// only the lowest that borrows is sure to be right, and one is enough.
fn is_printable(word: u64) -> bool {
    let deletes = word ^ each(0x7f);
    let below = word.wrapping_sub(each(0x20)) & !word;
    let zero = deletes.wrapping_sub(each(1)) & !deletes;
    (below | zero) & each(0x80) == 0
}

/// Whether all of these may.
fn is_all_text(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<WORD>();
    let is_text_word =
        |word: &[u8; WORD]| is_printable(u64::from_ne_bytes(*word)) || word.iter().all(|byte| is_text(*byte));
    words.iter().all(is_text_word) && rest.iter().all(|byte| is_text(*byte))
}

impl Plain {
    /// A run that begins at `offset`, on a screen of this many rows.
    pub fn new(offset: u64, rows: u16) -> Self {
        Self {
            at: offset,
            feeds: 0,
            rows: usize::from(rows),
            after_cr: false,
            attributes: Vec::new(),
            too_long: false,
            sequence: Vec::new(),
            places: VecDeque::new(),
            ended: false,
        }
    }

    /// Looks at more bytes; `false` once the run has ended within them.
    pub fn look(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while !rest.is_empty() && !self.ended {
            let count = if self.sequence.is_empty() { self.text(rest) } else { self.more_of_sequence(rest) };
            self.at += count as u64;
            rest = &rest[count..];
        }
        !self.ended
    }

    /// Lines of text up to the next sequence, the next place, or what ends the run.
    fn text(&mut self, bytes: &[u8]) -> usize {
        let mut begun = 0;
        while let Some(feed) = memchr::memchr(b'\n', &bytes[begun..]) {
            let line = &bytes[begun..begun + feed];
            if !is_all_text(line) {
                break;
            }
            let after_cr = if feed == 0 { self.after_cr } else { line[feed - 1] == b'\r' };
            begun += feed + 1;
            self.after_cr = false;
            self.feeds += 1;
            if self.feeds.is_multiple_of(STRIDE) || !self.places.is_empty() && self.wants_place() {
                self.place(self.at + begun as u64, after_cr);
            }
        }
        let rest = &bytes[begun..];
        let count = rest.iter().position(|byte| !is_text(*byte)).unwrap_or(rest.len());
        if count > 0 {
            self.after_cr = rest[count - 1] == b'\r';
        }
        match rest.get(count) {
            None => bytes.len(),
            Some(0x1b) => {
                self.sequence.push(0x1b);
                begun + count + 1
            }
            Some(_) => {
                self.ended = true;
                begun + count
            }
        }
    }

    /// Whether the newest place lies a stride back: the line at the stride had no carriage return.
    fn wants_place(&self) -> bool {
        self.places.back().is_some_and(|place| self.feeds - place.feeds > STRIDE)
    }

    fn place(&mut self, offset: u64, after_cr: bool) {
        if !after_cr || self.too_long || self.feeds < self.rows {
            return;
        }
        self.places.push_back(Place { offset, feeds: self.feeds, attributes: self.attributes.clone() });
        // The oldest one that is still needed comes first.
        while self.places.get(1).is_some_and(|place| self.enough(place)) {
            self.places.pop_front();
        }
    }

    /// Whether enough lines follow a place for nothing before it to be left.
    fn enough(&self, place: &Place) -> bool {
        self.feeds - place.feeds > lines::LINES_MAX + ROWS_KEPT + self.rows
    }

    /// More bytes of a sequence that may change attributes.
    fn more_of_sequence(&mut self, bytes: &[u8]) -> usize {
        for (index, byte) in bytes.iter().enumerate() {
            let good = match self.sequence.len() {
                1 => *byte == b'[',
                SEQUENCE_MAX.. => false,
                _ => matches!(byte, b'0'..=b'9' | b';' | b':' | b'm'),
            };
            if !good {
                self.ended = true;
                return index;
            }
            self.sequence.push(*byte);
            if *byte == b'm' {
                self.attribute();
                return index + 1;
            }
        }
        bytes.len()
    }

    fn attribute(&mut self) {
        if matches!(&self.sequence[..], b"\x1b[m" | b"\x1b[0m") {
            self.attributes.clear();
            self.too_long = false;
        }
        // The same one twice is the same as once.
        let known = self.attributes.ends_with(&self.sequence);
        if self.attributes.len() + self.sequence.len() > ATTRIBUTES_MAX {
            self.too_long |= !known;
        } else if !known {
            self.attributes.extend_from_slice(&self.sequence);
        }
        self.sequence.clear();
        // The column is the same as before.
    }

    /// Offset up to which was looked.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Where drawing may begin, and the attributes that hold there; `None` when everything has to be drawn.
    pub fn begin(&self) -> Option<(u64, &[u8])> {
        let place = self.places.iter().rev().find(|place| self.enough(place))?;
        Some((place.offset, &place.attributes))
    }
}

impl Screen {
    /// Whether a run of plain lines scrolls this whole screen.
    pub fn scrolls_whole(&self) -> bool {
        self.pending.is_text() && self.modes.is_plain() && snapshot::is_whole(self.parser.screen())
    }

    /// Leaves lines out whose place is taken by the ones that follow.
    pub fn skip(&mut self, attributes: &[u8]) {
        let bottom = format!("\x1b[2J\x1b[{};1H", self.size().rows);
        self.feed(attributes);
        self.draw(bottom.as_bytes());
        if !self.parser.screen().alternate_screen() {
            self.parser.callbacks_mut().lines.clear();
            self.parser.screen_mut().clear_scrollback();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_looked_at_alike_in_words_and_alone() {
        for around in [b' ', b'~', 0x80, 0xff] {
            for byte in 0..=u8::MAX {
                for at in 0..2 * WORD {
                    let mut bytes = [around; 2 * WORD + 1];
                    bytes[at] = byte;
                    assert_eq!(is_all_text(&bytes), is_text(byte), "{byte:#x} at {at} between {around:#x}");
                    assert_eq!(is_all_text(&bytes[..=at]), is_text(byte), "{byte:#x} at the end");
                }
            }
        }
    }
}
