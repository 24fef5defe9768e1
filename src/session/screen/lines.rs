//! The lines that left the screen at the top, as styled text: the newest ones, bounded in number and bytes.
//!
//! Invariant: each line begins and ends without attributes, so that any of them can be the first.

use std::collections::VecDeque;
use std::fmt::{self, Write};

use memchr::memchr;
use vt100::capture::{BasicFormattedCaptureRange, BasicFormattedCaptureState, RowContents};

use super::styles::Styles;

/// Most lines kept.
pub(super) const LINES_MAX: usize = 10_000;

/// Most bytes kept.
const BYTES_MAX: usize = 1024 * 1024;

const NO_ATTRIBUTES: &str = "\x1b[m";

/// Between two lines, as a terminal takes it: what is kept is copied into a picture as it is.
const BREAK: &[u8] = b"\r\n";

/// The lines. A row that the terminal wrapped is one line with the next.
#[derive(Default)]
pub(super) struct Lines {
    bytes: VecDeque<u8>,
    count: usize,
    /// How the newest row ended; `None` before the first.
    last: Option<BasicFormattedCaptureState>,
    row: String,
}

/// Takes the first thing that is written and refuses the rest.
struct First(bool);

impl Write for First {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = text == "\n";
        Err(fmt::Error)
    }
}

/// Whether whatever follows the row that ended like `last` begins a line of its own.
fn begins_line(
    last: &BasicFormattedCaptureState,
    write: impl FnOnce(&mut First, &mut BasicFormattedCaptureState),
) -> bool {
    let mut first = First(false);
    write(&mut first, &mut last.clone());
    first.0
}

impl Lines {
    /// A row has left the screen.
    pub fn push(&mut self, row: &RowContents<'_>, styles: &Styles) {
        let mut state = BasicFormattedCaptureState::new();
        self.row.clear();
        // Writing into a text does not fail.
        let _ = row.write_formatted_basic(&mut self.row, &mut state);
        if self.row.contains('\x1b') {
            self.row.push_str(NO_ATTRIBUTES);
        }
        if let Some(last) = &self.last
            && (self.row.is_empty()
                || begins_line(last, |first, last| _ = row.write_formatted_basic(first, last)))
        {
            self.bytes.extend(BREAK);
            self.count += 1;
        }
        self.last = Some(state);
        let row = styles.write(&self.row);
        let needed = self.bytes.len() + row.len() + BREAK.len();
        if needed > self.bytes.capacity() {
            let capacity = needed.max(self.bytes.capacity() * 2).min(BYTES_MAX.max(needed));
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend(row.as_bytes());
        while self.count > LINES_MAX || self.bytes.len() > BYTES_MAX {
            self.forget_one();
        }
    }

    fn forget_one(&mut self) {
        let (front, back) = self.bytes.as_slices();
        let end = memchr(b'\n', front).or_else(|| memchr(b'\n', back).map(|at| front.len() + at));
        match end {
            Some(end) => {
                self.bytes.drain(..=end);
                self.count -= 1;
            }
            // One line that is longer than everything.
            None => self.clear(),
        }
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.bytes = VecDeque::new();
        self.count = 0;
        self.last = None;
    }

    /// Bytes kept.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the last line goes on in the row that `screen` keeps or shows first.
    pub fn go_on(&self, screen: &vt100::Screen) -> bool {
        let follows = |last| {
            begins_line(last, |first, last| {
                _ = screen.write_contents_formatted_basic(first, BasicFormattedCaptureRange::Full(last));
            })
        };
        self.last.as_ref().is_some_and(|last| !follows(last))
    }

    /// Writes the newest lines, at most `room` bytes, with the end of the last one unless it `goes_on`.
    pub fn write(&self, out: &mut Vec<u8>, room: usize, goes_on: bool) {
        if self.last.is_none() {
            return;
        }
        let skip = self.bytes.len().saturating_sub(room);
        let (front, back) = self.bytes.as_slices();
        let from = front.len().min(skip);
        let mut pieces = [&front[from..], &back[skip - from..]];
        if skip > 0 {
            // The first whole line.
            let at = |piece: &[u8]| memchr(b'\n', piece).map(|at| at + 1);
            match (at(pieces[0]), at(pieces[1])) {
                (Some(at), _) => pieces[0] = &pieces[0][at..],
                (None, Some(at)) => pieces = [&[], &pieces[1][at..]],
                (None, None) => pieces = [&[], &[]],
            }
        }
        out.extend_from_slice(pieces[0]);
        out.extend_from_slice(pieces[1]);
        if !goes_on {
            out.extend_from_slice(BREAK);
        }
    }

    /// The newest lines as text, at most `count`.
    pub fn plain(&self, count: usize) -> Vec<String> {
        if self.last.is_none() {
            return Vec::new();
        }
        let all: Vec<u8> = self.bytes.iter().copied().collect();
        let mut newest: Vec<String> = all
            .rsplit(|byte| *byte == b'\n')
            .take(count)
            .map(|line| plain(&String::from_utf8_lossy(line)))
            .collect();
        newest.reverse();
        newest
    }
}

/// A styled row as text, its blank end cut.
pub(super) fn plain(styled: &str) -> String {
    anstream::adapter::strip_str(styled).to_string().trim_end().to_owned()
}
