//! The bytes that draw a screen on another terminal, whatever that one showed before.
//!
//! Invariant: after them the other terminal stands where this one does, and goes on with the rest of the stream.

use std::borrow::Cow;
use std::fmt::Write;
use std::num::NonZeroU16;

use vt100::{Parser, Screen as Cells};

use super::styles::{END_LINK, of_cell};
use super::{Capture, Screen};

/// Most bytes of a snapshot; the oldest lines are left out of a larger one.
const SNAPSHOT_MAX: usize = 4 * 1024 * 1024;

/// Brings any terminal into its first state: the main screen, no region, no modes, nothing on it and above it.
const FIRST: &str = "\x1b]8;;\x1b\\\x1b[?1049l\x1b[?6l\x1b[?7h\x1b[4l\x1b[?5;9;1000;1002;1003;1004;1005;1006;1015;1016l\
    \x1b(B\x1b)B\x0f\x1b[r\x1b[m\x1b[0 q\x1b[H\x1b[2J\x1b[3J";

/// Largest [`Around`] that stays for the next picture, in bytes.
const AROUND_MAX: usize = 64 * 1024;

/// What a picture has around its lines.
pub(super) struct Around {
    /// The rows that `vt100` keeps above the screen.
    kept: String,
    /// Both screens and the modes.
    drawn: String,
    /// Whether the last line goes on in the first row that follows.
    goes_on: bool,
}

impl Around {
    fn len(&self) -> usize {
        self.kept.len() + self.drawn.len()
    }
}

/// What cannot be read from the cells: it is found out with copies.
struct Place {
    top: u16,
    bottom: u16,
    origin: bool,
    cursor: (u16, u16),
    saved: (u16, u16),
    saved_origin: bool,
    saved_attributes: String,
}

/// A copy to try something on.
fn copy(cells: &Cells) -> Parser {
    let mut copy = Parser::new(NonZeroU16::MIN, NonZeroU16::MIN, 0);
    *copy.screen_mut() = cells.clone();
    copy
}

/// A copy that shows its main screen.
fn main_screen(cells: &Cells) -> Parser {
    let mut main = copy(cells);
    main.process(b"\x1b[?47l");
    main
}

/// Whether positions count from the region's top.
pub(super) fn has_origin(cells: &Cells) -> bool {
    origin_of(&mut copy(cells))
}

/// The same, of a copy that is useless afterwards.
fn origin_of(copy: &mut Parser) -> bool {
    copy.process(b"\x1b[2;3r\x1b[1;1H");
    copy.screen().cursor_position().0 == 1
}

/// First and last row of the region.
pub(super) fn region(cells: &Cells) -> (u16, u16) {
    region_of(&mut copy(cells))
}

/// The same; moves the copy's cursor.
fn region_of(copy: &mut Parser) -> (u16, u16) {
    copy.process(b"\x1b[?6h");
    let top = copy.screen().cursor_position().0;
    copy.process(b"\x1b[9999;1H");
    (top, copy.screen().cursor_position().0)
}

/// Whether the region is the whole screen.
pub(super) fn is_whole(cells: &Cells) -> bool {
    let (top, bottom) = region(cells);
    top == 0 && bottom + 1 == cells.size().0.get()
}

impl Place {
    fn of(cells: &Cells) -> Self {
        // Each copy is of all cells: one is left as it is, and one goes back to the saved cursor.
        let mut back = copy(cells);
        let (top, bottom) = region_of(&mut back);
        back.process(b"\x1b8");
        Self {
            top,
            bottom,
            origin: has_origin(cells),
            cursor: cells.cursor_position(),
            saved: back.screen().cursor_position(),
            saved_attributes: back.screen().attributes_formatted(),
            saved_origin: origin_of(&mut back),
        }
    }

    fn is_whole(&self, cells: &Cells) -> bool {
        self.top == 0 && self.bottom + 1 == cells.size().0.get()
    }

    /// Moves the cursor, behind the last column where it stood there.
    fn go(&self, out: &mut String, cells: &Cells, to: (u16, u16), origin: bool) {
        let (row, col) = to;
        let row_told = if origin { row.saturating_sub(self.top) } else { row };
        let cols = cells.size().1.get();
        let wide = |col: u16| cells.cell(row, col).is_some_and(vt100::Cell::is_wide_continuation);
        let last = match col {
            _ if col < cols => None,
            _ if wide(cols - 1) && cols > 1 => Some(cols - 2),
            _ => Some(cols - 1),
        };
        let _ = write!(out, "\x1b[{};{}H", row_told + 1, last.unwrap_or(col) + 1);
        if let Some(cell) = last.and_then(|last| cells.cell(row, last)) {
            // Only drawing brings it there; a blank looks like a space.
            let style = of_cell(cell);
            style.write_common(out, style.front);
            out.push_str(if cell.has_contents() { cell.contents() } else { " " });
        }
    }

    /// Everything but the cells: the saved cursor, the region, the cursor, the attributes.
    fn write(&self, out: &mut String, cells: &Cells) {
        self.save(out, cells);
        self.limits(out, cells, self.origin);
        if self.origin && !(self.top..=self.bottom).contains(&self.cursor.0) {
            self.go_outside(out);
        } else {
            self.go(out, cells, self.cursor, self.origin);
        }
        out.push_str(&cells.attributes_formatted());
    }

    /// Moves the cursor out of the region that positions are counted in: only the saved cursor leads there.
    fn go_outside(&self, out: &mut String) {
        out.push_str("\x1b8");
        let (from, to) = (self.saved.0, self.cursor.0);
        if from != to {
            let _ = write!(out, "\x1b[{}{}", from.abs_diff(to), if to > from { 'B' } else { 'A' });
        }
        let _ = write!(out, "\x1b[{}G", self.cursor.1 + 1);
    }

    /// Keeps the saved cursor, while the region is the whole screen: it may lie outside the region of now.
    fn save(&self, out: &mut String, cells: &Cells) {
        if self.saved_origin {
            out.push_str("\x1b[?6h");
        }
        self.go(out, cells, self.saved, false);
        out.push_str(&self.saved_attributes);
        out.push_str("\x1b7\x1b[?6l");
    }

    fn limits(&self, out: &mut String, cells: &Cells, origin: bool) {
        if !self.is_whole(cells) {
            let _ = write!(out, "\x1b[{};{}r", self.top + 1, self.bottom + 1);
        }
        if origin {
            out.push_str("\x1b[?6h");
        }
    }
}

/// The rows that `vt100` keeps above its main screen, the oldest first, each as `read` gives it.
///
/// They are read by looking back, so that the screen is left looking there.
pub(super) fn kept_rows<T>(
    cells: &mut Cells,
    read: impl Fn(&Cells, u16) -> Option<T>,
) -> impl Iterator<Item = T> {
    let cols = cells.size().1.get();
    cells.set_scrollback(usize::MAX);
    let count = cells.scrollback();
    (1..=count).rev().filter_map(move |at| {
        cells.set_scrollback(at);
        read(cells, cols)
    })
}

impl Screen {
    /// Bytes that draw this screen with the lines above it and its modes on any terminal of this size.
    pub fn snapshot(&self) -> Vec<u8> {
        let around = self.around.take().unwrap_or_else(|| self.draw_around());
        let Around { kept, drawn, goes_on } = &around;
        let lines = &self.parser.callbacks().lines;
        let room = SNAPSHOT_MAX.saturating_sub(around.len());
        let mut out = Vec::with_capacity(lines.len() + around.len() + 1024);
        out.extend_from_slice(b"\x1b[?2026h");
        out.extend_from_slice(FIRST.as_bytes());
        lines.write(&mut out, room, *goes_on);
        out.extend_from_slice(kept.as_bytes());
        if !kept.is_empty() || lines.len() > 0 || *goes_on {
            // Up and out of the screen with them.
            let rows = usize::from(self.size().rows);
            let breaks = rows - 1 + usize::from(*goes_on && kept.is_empty());
            out.extend_from_slice("\r\n".repeat(breaks).as_bytes());
        }
        out.extend_from_slice(drawn.as_bytes());
        out.extend_from_slice(b"\x1b[?2026l");
        // What is not whole yet goes on after it.
        out.extend_from_slice(self.pending.bytes());
        self.around.set(Some(around).filter(|around| around.len() <= AROUND_MAX));
        out
    }

    fn draw_around(&self) -> Around {
        let cells = self.parser.screen();
        let mut main = main_screen(cells);
        let main = main.screen_mut();
        let Capture { lines, styles, .. } = self.parser.callbacks();
        let goes_on = lines.go_on(main);
        let kept = styles.write(&kept(main)).into_owned();
        let drawn = styles.write(&self.drawn(cells, main)).into_owned();
        Around { kept, drawn, goes_on }
    }

    /// All that `vt100` has to say about its cells.
    pub(super) fn written(&self) -> String {
        let cells = self.parser.screen();
        let mut main = main_screen(cells);
        let main = main.screen_mut();
        kept(main) + &self.drawn(cells, main)
    }

    /// Bytes that draw one row, from 1, from its begin. `None` on the alternate screen, and within a sequence.
    pub fn row(&self, row: u16) -> Option<Vec<u8>> {
        let cells = self.parser.screen();
        let is_between = self.pending.bytes().is_empty() && !cells.alternate_screen();
        let drawn = || cells.rows_formatted(0, cells.size().1.get()).nth(usize::from(row).checked_sub(1)?);
        let row = is_between.then(drawn).flatten()?;
        Some(match self.parser.callbacks().styles.write(&row) {
            Cow::Borrowed(row) => row.as_bytes().to_vec(),
            Cow::Owned(row) => (row + END_LINK).into_bytes(),
        })
    }

    /// Both screens and the modes; `main` without rows above it.
    fn drawn(&self, cells: &Cells, main: &Cells) -> String {
        let mut out = String::new();
        self.tabs.write(&mut out, self.size().cols);
        out.push_str(&main.contents_formatted());
        out.push_str("\x1b[m");
        let place = Place::of(main);
        if cells.alternate_screen() {
            let same = place.cursor == place.saved && place.origin == place.saved_origin;
            if same {
                place.limits(&mut out, main, place.saved_origin);
                place.go(&mut out, main, place.saved, place.saved_origin);
                out.push_str(&place.saved_attributes);
                out.push_str("\x1b[?1049h");
            } else {
                place.write(&mut out, main);
                out.push_str("\x1b[?47h");
            }
            out.push_str("\x1b[?6l\x1b[r\x1b[m");
            let mut bare = cells.clone();
            bare.clear_scrollback();
            out.push_str(&bare.contents_formatted());
            out.push_str("\x1b[m");
            Place::of(&bare).write(&mut out, &bare);
        } else {
            place.write(&mut out, main);
        }
        out.push_str(&cells.input_mode_formatted());
        out.push_str(if cells.hide_cursor() { "\x1b[?25l" } else { "\x1b[?25h" });
        self.modes.write(&mut out);
        if let Some(title) = &self.title {
            let _ = write!(out, "\x1b]2;{title}\x07");
        }
        out
    }
}

/// The rows that `vt100` keeps above the main screen, styled; they are taken from it.
fn kept(main: &mut Cells) -> String {
    let rows = kept_rows(main, |cells, cols| {
        let begins = cells.cell(0, 0).is_some_and(vt100::Cell::has_contents);
        Some((cells.rows_formatted(0, cols).next()?, cells.row_wrapped(0), begins))
    });
    let mut out = String::new();
    let mut goes_on = false;
    for (row, wrapped, begins) in rows {
        // Only a character wraps.
        if goes_on && !begins {
            out.push_str("\r\n");
        }
        out.push_str(&row);
        if row.contains('\x1b') {
            out.push_str("\x1b[m");
        }
        goes_on = wrapped;
        if !wrapped {
            out.push_str("\r\n");
        }
    }
    if goes_on {
        out.push_str("\r\n");
    }
    main.clear_scrollback();
    out
}
