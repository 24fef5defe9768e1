//! What a terminal does and `vt100` does not: rows that come in have the colour behind what is drawn, text that inserts or
//! does not wrap, tab stops, a cursor that stays where it is when the screens change.
//!
//! All of it is said to `vt100` in sequences that it knows; text that needs none of it goes there as it is.

use std::borrow::Cow;

use memchr::memmem;
use unicode_width::UnicodeWidthChar;

use super::Screen;
use super::sequence::number;
use super::snapshot::{has_origin, region};

/// Asks for the coloured form of the character before it. Terminals leave that as wide as it is; `vt100` would not.
const COLOURED: &str = "\u{fe0f}";

/// Stands for it in the cells: another mark without a width.
const MARK: &str = "\u{e01ef}";

/// A text of the cells, with what it was drawn from.
pub(super) fn unmarked(text: Cow<'_, str>) -> Cow<'_, str> {
    match memmem::find(text.as_bytes(), MARK.as_bytes()) {
        None => text,
        Some(_) => Cow::Owned(text.replace(MARK, COLOURED)),
    }
}

/// A parameter that says how many.
fn count(parameter: &[u8]) -> Option<u16> {
    parameter.iter().all(u8::is_ascii_digit).then(|| number(parameter).max(1))
}

impl Screen {
    /// Draws text, as the program sent it.
    pub(super) fn draw_text(&mut self, text: &[u8]) {
        let translated = self.modes.translate(text);
        let text = translated.as_deref().unwrap_or(text);
        let marked = memmem::find(text, COLOURED.as_bytes())
            .map(|_| String::from_utf8_lossy(text).replace(COLOURED, MARK));
        let text = marked.as_deref().map_or(text, str::as_bytes);
        if self.modes.wraps() && !self.modes.inserts() && self.tabs.are_first() && !self.has_back() {
            return self.draw_between_tabs(text);
        }
        for chunk in text.utf8_chunks() {
            self.draw_apart(chunk.valid());
            self.draw(chunk.invalid());
        }
    }

    /// Draws text whose tabs are the usual ones. Who stands behind the last column stays there; `vt100` goes back.
    fn draw_between_tabs(&mut self, mut text: &[u8]) {
        while let Some(at) = memchr::memchr(b'\t', text) {
            self.draw(&text[..at]);
            if self.cursor().1 < self.size().cols {
                self.draw(b"\t");
            }
            text = &text[at + 1..];
        }
        self.draw(text);
    }

    /// Draws what fits into the row at once, and the rest a character at a time.
    fn draw_apart(&mut self, mut text: &str) {
        while let Some(c) = text.chars().next() {
            let room =
                if self.modes.inserts() { 0 } else { self.size().cols.saturating_sub(self.cursor().1) };
            let room = usize::from(room);
            let plain = text.bytes().take(room).take_while(|byte| (0x20..0x7f).contains(byte)).count();
            let drawn = if plain > 0 { plain } else { c.len_utf8() };
            if plain > 0 {
                self.draw(&text.as_bytes()[..plain]);
            } else {
                self.character(c);
            }
            text = &text[drawn..];
        }
    }

    fn character(&mut self, c: char) {
        let mut buffer = [0; 4];
        let bytes = c.encode_utf8(&mut buffer).as_bytes();
        let width = u16::try_from(c.width().unwrap_or(0)).unwrap_or(0);
        match c {
            '\t' => return self.tab(1),
            '\n' | '\x0b' | '\x0c' => return self.line_feed(bytes),
            _ if width == 0 => return self.draw(bytes),
            _ => {}
        }
        let cols = self.size().cols;
        let (row, col) = self.cursor();
        let is_beyond = col + width > cols;
        if is_beyond && !self.modes.wraps() {
            self.go_to_column(cols.saturating_sub(width));
        } else if is_beyond && self.modes.inserts() {
            self.draw(b"\r");
            self.line_feed(b"\n");
        }
        if self.modes.inserts() {
            self.draw(format!("\x1b[{width}@").as_bytes());
        }
        self.draw(bytes);
        if is_beyond && self.scrolled(row) {
            self.erase(b"\x1b[K");
        }
    }

    /// The cursor goes to the next row; at the end of the region a row comes in.
    pub(super) fn line_feed(&mut self, bytes: &[u8]) {
        let (row, _) = self.cursor();
        self.draw(bytes);
        if self.scrolled(row) {
            self.erase(b"\x1b[2K");
        }
    }

    /// Whether the cursor, which stood in `row` and should be in the next one, had a row with a colour come in.
    fn scrolled(&mut self, row: u16) -> bool {
        self.has_back() && self.cursor().0 == row && self.region().1 == row
    }

    /// A sequence that `vt100` does not know, or that it takes for less than it is. Whether it was one.
    pub(super) fn beyond(&mut self, sequence: &[u8]) -> bool {
        match sequence {
            b"\x1b[?47h" | b"\x1b[?1047h" => self.change_screens(b"\x1b[?47h"),
            b"\x1b[?47l" | b"\x1b[?1047l" if self.parser.screen().alternate_screen() => {
                self.change_screens(b"\x1b[?47l");
            }
            b"\x1b[?1049h" if !self.parser.screen().alternate_screen() => self.change_screens(sequence),
            [0x1b, b'[', margins @ .., b'r']
                if margins.iter().all(|byte| byte.is_ascii_digit() || *byte == b';') =>
            {
                self.set_region(sequence, margins);
            }
            b"\x1bD" => self.line_feed(b"\n"),
            b"\x1bE" => {
                self.draw(b"\r");
                self.line_feed(b"\n");
            }
            b"\x1bH" => self.tabs.set(self.cursor().1),
            b"\x1b[g" | b"\x1b[0g" => self.tabs.clear(self.cursor().1),
            b"\x1b[3g" => self.tabs.clear_all(),
            b"\x1bM" => {
                let (row, _) = self.cursor();
                self.draw(sequence);
                if self.has_back() && self.region().0 == row {
                    self.fill(row, row);
                }
            }
            [0x1b, b'[', parameter @ .., last @ (b'Z' | b'I' | b'a' | b'e')] => {
                match (count(parameter), last) {
                    (None, _) => return false,
                    (Some(count), b'Z') => self.tab_back(count),
                    (Some(count), b'I') => self.tab(count),
                    (Some(count), b'a') => self.draw(format!("\x1b[{count}C").as_bytes()),
                    (Some(count), _) => self.draw(format!("\x1b[{count}B").as_bytes()),
                }
            }
            [0x1b, b'[', parameter @ .., last @ (b'L' | b'M' | b'S' | b'T' | b'P' | b'@')]
                if self.has_back() =>
            {
                let Some(count) = count(parameter) else { return false };
                self.draw(sequence);
                self.came_in(*last, count);
            }
            _ => return false,
        }
        true
    }

    /// What came in by a sequence that inserts, deletes or scrolls so much takes the colour behind what is drawn.
    fn came_in(&mut self, by: u8, count: u16) {
        let ((row, col), (top, bottom)) = (self.cursor(), self.region());
        let last_ones = (bottom + 1).saturating_sub(count);
        let is_within = (top..=bottom).contains(&row);
        match by {
            b'S' => self.fill(last_ones.max(top), bottom),
            b'T' => self.fill(top, bottom.min(top.saturating_add(count - 1))),
            b'L' if is_within => self.fill(row, bottom.min(row.saturating_add(count - 1))),
            b'M' if is_within => self.fill(last_ones.max(row), bottom),
            b'@' => self.erase(format!("\x1b[{count}X").as_bytes()),
            b'P' => {
                let cols = self.size().cols;
                self.go_to_column(cols.saturating_sub(count).max(col.min(cols - 1)));
                self.erase(b"\x1b[K");
                self.go_to_column(col.min(cols - 1));
            }
            _ => {}
        }
    }

    fn fill(&mut self, first: u16, last: u16) {
        let (row, col) = self.cursor();
        let top = self.told_from();
        for at in first..=last {
            self.draw(format!("\x1b[{};1H", at.saturating_sub(top) + 1).as_bytes());
            self.erase(b"\x1b[2K");
        }
        self.go(row, col, top);
    }

    /// The other screen, blank, or the main one again. The cursor stays where it is.
    fn change_screens(&mut self, sequence: &[u8]) {
        let (row, col) = self.cursor();
        let was_main = !self.parser.screen().alternate_screen();
        self.draw(sequence);
        if was_main {
            self.erase(b"\x1b[2J");
        }
        let top = self.told_from();
        self.go(row, col, top);
    }

    /// Other rows scroll, and the cursor goes home, which is the first row of the region where rows are told from there
    /// alone. Margins between which nothing could scroll change nothing.
    fn set_region(&mut self, sequence: &[u8], margins: &[u8]) {
        let mut margins = margins.split(|byte| *byte == b';').map(number);
        let rows = self.size().rows;
        let top = margins.next().unwrap_or(0).max(1);
        let bottom = margins.next().filter(|bottom| *bottom > 0).map_or(rows, |bottom| bottom.min(rows));
        if top < bottom {
            self.draw(sequence);
            self.draw(b"\x1b[H");
        }
    }

    fn tab(&mut self, count: u16) {
        let cols = self.size().cols;
        let (_, mut col) = self.cursor();
        // Who stands behind the last column stays there.
        if col < cols {
            for _ in 0..count.min(cols) {
                col = self.tabs.after(col).unwrap_or(cols).min(cols - 1);
            }
            self.go_to_column(col);
        }
    }

    fn tab_back(&mut self, count: u16) {
        let cols = self.size().cols;
        let mut col = self.cursor().1.min(cols - 1);
        for _ in 0..count.min(cols) {
            col = self.tabs.before(col).unwrap_or(0);
        }
        self.go_to_column(col);
    }

    fn cursor(&self) -> (u16, u16) {
        self.parser.screen().cursor_position()
    }

    /// Whether what is drawn has a colour behind it.
    fn has_back(&self) -> bool {
        self.parser.screen().bgcolor() != vt100::Color::Default
    }

    fn go_to_column(&mut self, col: u16) {
        self.draw(format!("\x1b[{}G", col + 1).as_bytes());
    }

    /// Moves the cursor, where rows are told from `top` on.
    fn go(&mut self, row: u16, col: u16, top: u16) {
        let col = col.min(self.size().cols - 1);
        self.draw(format!("\x1b[{};{}H", row.saturating_sub(top) + 1, col + 1).as_bytes());
    }

    /// The row that positions are told from.
    fn told_from(&mut self) -> u16 {
        if has_origin(self.parser.screen()) { self.region().0 } else { 0 }
    }

    /// First and last row of the region.
    fn region(&mut self) -> (u16, u16) {
        let known = self.region.unwrap_or_else(|| region(self.parser.screen()));
        self.region = Some(known);
        known
    }
}
