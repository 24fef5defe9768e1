//! What a terminal was shown lately, so that a row that was written over can be brought back.

use crate::session::drawn_row;
use crate::wire::WindowSize;

/// Bytes that are kept at least, once there were as many: more than any screen takes that a program draws by lines.
const KEPT: usize = 1024 * 1024;

/// The newest bytes of an output.
#[derive(Debug, Default)]
pub struct Shown {
    bytes: Vec<u8>,
    /// The terminal has made something else of them.
    lost: bool,
}

impl Shown {
    /// The whole screen is drawn anew.
    pub fn begin(&mut self) {
        *self = Self::default();
    }

    /// The terminal has another size, and moved what was shown.
    pub fn lose(&mut self) {
        self.lost = true;
    }

    /// More was shown.
    pub fn push(&mut self, bytes: &[u8]) {
        let Self { bytes: kept, lost } = self;
        if *lost {
            return;
        }
        let newest = bytes.len().saturating_sub(2 * KEPT);
        kept.extend_from_slice(&bytes[newest..]);
        if kept.len() > 2 * KEPT {
            // From the beginning of a line, which no sequence goes over.
            let from = kept.len() - KEPT;
            let line = memchr::memchr(b'\n', &kept[from..]).map_or(0, |at| at + 1);
            kept.drain(..from + line);
        }
    }

    /// What draws a row, from 1, of a terminal of this size; `None` where more than the row would have to be drawn.
    pub fn row(&self, row: u16, size: WindowSize) -> Option<Vec<u8>> {
        if self.lost { None } else { drawn_row(&self.bytes, size, row) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: WindowSize = WindowSize { cols: 20, rows: 3 };

    fn row(bytes: &[u8]) -> Option<String> {
        let mut shown = Shown::default();
        shown.push(bytes);
        shown.row(3, SIZE).map(|row| String::from_utf8(row).unwrap())
    }

    #[test]
    fn a_row_is_known_while_nothing_else_has_to_be_drawn() {
        assert!(row(b"one\r\ntwo\r\n\x1b[1mthree").unwrap().ends_with("three"));
        assert_eq!(row(b"one").as_deref(), Some(""));
        assert_eq!(row(b"one\r\n\x1b[3"), None, "in the middle of a sequence");
        assert_eq!(row(b"one\r\n\x1b[?1049h"), None, "the alternate screen has no lines above it");
        assert!(row(b"\x1b[?1049h\x1b[?1049lback\r\n\r\nhere").unwrap().ends_with("here"));
    }

    #[test]
    fn the_newest_are_kept_whatever_comes() {
        let mut shown = Shown::default();
        for number in 0..400_000 {
            shown.push(format!("line {number}\r\n").as_bytes());
        }
        assert!((KEPT..=2 * KEPT).contains(&shown.bytes.len()), "{}", shown.bytes.len());
        shown.push(b"prompt");
        assert!(shown.row(3, SIZE).unwrap().ends_with(b"prompt"));
        assert!(shown.row(2, SIZE).unwrap().ends_with(b"line 399999"));
        shown.push(&vec![b'x'; 5 * KEPT]);
        assert!(shown.bytes.len() <= 2 * KEPT);
        shown.lose();
        assert_eq!(shown.row(3, SIZE), None);
        shown.begin();
        shown.push(b"anew");
        assert_eq!(shown.row(1, SIZE).unwrap(), b"anew");
    }
}
