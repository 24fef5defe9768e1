//! A model of a session's screen: what the terminal shows now, and the lines that left it at the top.
//!
//! Invariants: whatever the bytes are, nothing panics and memory is bounded; the model stands between whole
//! sequences, so that a [snapshot](Screen::snapshot) followed by the rest of the stream shows what the whole stream
//! shows; text from the program (title, notices) is cut and made visible before it leaves.
//!
//! Not here: when it catches up with the output, and who sees it (see `host::model`).
//!
//! The cells are those of the crate `vt100`, which gets text, control characters and short sequences. Strings (titles,
//! notices, pictures) never reach it; what it does not know and is common is translated.

mod beyond;
mod lines;
mod modes;
mod osc;
mod sequence;
mod skip;
mod snapshot;
mod style;
mod styles;
mod tabs;
mod view;

use std::cell::Cell;
use std::num::NonZeroU16;
use std::panic::{AssertUnwindSafe, catch_unwind};

use vt100::capture::RowContents;

use crate::wire::WindowSize;
use lines::Lines;
use modes::Modes;
pub(super) use osc::{Notice, bounded, title};
use sequence::{Pending, Step};
pub(super) use skip::Plain;
use snapshot::Around;
use styles::Styles;
use tabs::Tabs;

pub use view::View;

/// Rows that `vt100` keeps itself, so that a terminal that grows shows again what had left it.
const ROWS_KEPT: usize = 100;

/// Largest width of a terminal.
const COLS_MAX: u16 = 1000;

/// Most cells of a terminal; 32 bytes each.
const CELLS_MAX: u32 = 64 * 1024;

/// Most bytes of answers that wait.
const ANSWERS_MAX: usize = 1024;

/// Most notices that wait; more say nothing new.
const NOTICES_MAX: usize = 16;

/// A size that a terminal may have: every screen has at least two columns and a bounded number of cells.
pub(super) fn possible(size: WindowSize) -> WindowSize {
    let cols = size.cols.clamp(2, COLS_MAX);
    let rows_max = u16::try_from(CELLS_MAX / u32::from(cols)).unwrap_or(u16::MAX);
    WindowSize { cols, rows: size.rows.clamp(1, rows_max) }
}

/// What the bytes said besides drawing.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The title, where it changed; empty where there is none any more.
    pub title: Option<String>,
    /// Notices and bells.
    pub notices: Vec<Notice>,
    /// Whether a command of a shell began (`true`) or its prompt came back, the last of them.
    pub working: Option<bool>,
    /// What a terminal would answer to questions about itself.
    pub answers: Vec<u8>,
}

/// What `vt100` tells while it takes bytes in.
#[derive(Default)]
struct Capture {
    lines: Lines,
    styles: Styles,
    bell: bool,
}

impl vt100::Callbacks for Capture {
    fn audible_bell(&mut self, _: &mut vt100::Screen) {
        self.bell = true;
    }

    fn on_scroll(&mut self, row: RowContents<'_>, alternate_screen: bool) {
        if !alternate_screen {
            self.lines.push(&row, &self.styles);
        }
    }
}

/// The model.
pub struct Screen {
    parser: vt100::Parser<Capture>,
    pending: Pending,
    modes: Modes,
    tabs: Tabs,
    /// First and last row that scroll, where they are known.
    region: Option<(u16, u16)>,
    title: Option<String>,
    said: Said,
    /// What the last picture had around its lines, until anything comes: who looks at a session that rests looks again.
    around: Cell<Option<Around>>,
}

fn parser(size: WindowSize) -> vt100::Parser<Capture> {
    let size = possible(size);
    let one = |number| NonZeroU16::new(number).unwrap_or(NonZeroU16::MIN);
    vt100::Parser::new_with_callbacks(one(size.rows), one(size.cols), ROWS_KEPT, Capture::default())
}

/// No attributes, no link, the usual keys, no mouse, no brackets around what is pasted, a cursor that is seen, and a
/// screen that scrolls whole.
const BEGIN_ANEW: &[u8] =
    b"\x1b[m\x1b]8;;\x1b\\\x1b[?6l\x1b[r\x1b[?1;9;1000;1002;1003;1005;1006;2004l\x1b>\x1b[?25h";

impl Screen {
    /// A blank screen.
    pub fn new(size: WindowSize) -> Self {
        Self {
            parser: parser(size),
            pending: Pending::default(),
            modes: Modes::default(),
            tabs: Tabs::default(),
            region: None,
            title: None,
            said: Said::default(),
            around: Cell::default(),
        }
    }

    /// Takes bytes of the terminal in, cut anywhere.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        self.around.set(None);
        while !bytes.is_empty() {
            let (count, step) = self.pending.step(bytes);
            let (now, later) = bytes.split_at(count);
            bytes = later;
            match step {
                Step::Text => self.text(now),
                Step::More => {}
                Step::Control(byte) => self.draw_text(&[byte]),
                Step::Sequence => {
                    let sequence = self.pending.take();
                    self.sequence(&sequence);
                }
                Step::Osc => {
                    let string = self.pending.take();
                    self.osc(&string);
                }
            }
        }
        self.bell();
    }

    /// Text that stands between sequences, with a character kept back that is not whole yet.
    fn text(&mut self, text: &[u8]) {
        let mut held = self.pending.take();
        if text.is_empty() {
            // A sequence cuts the character, which is never whole.
            return self.draw_text(&held);
        }
        let text = if held.is_empty() {
            text
        } else {
            held.extend_from_slice(text);
            &held
        };
        let whole = text.len() - sequence::unfinished(text);
        self.draw_text(&text[..whole]);
        self.pending.hold(&text[whole..]);
    }

    /// Hands bytes to the cells. Should they make it panic, the screen is blank afterwards, and the rest goes on.
    fn draw(&mut self, bytes: &[u8]) {
        let parser = &mut self.parser;
        if catch_unwind(AssertUnwindSafe(|| parser.process(bytes))).is_err() {
            tracing::error!("the model of the screen failed; it begins anew");
            let size = self.size();
            self.parser = self::parser(size);
            self.region = None;
        }
    }

    fn sequence(&mut self, sequence: &[u8]) {
        self.modes.note(sequence);
        if matches!(sequence.last(), Some(b'r' | b'h' | b'l' | b'p' | b'c')) {
            self.region = None;
        }
        if self.beyond(sequence) {
            return;
        }
        match sequence {
            b"\x1bc" => {
                self.draw(sequence);
                self.parser.callbacks_mut().lines.clear();
                self.modes = Modes::default();
                self.tabs = Tabs::default();
            }
            b"\x1b[3J" | b"\x1b[?3J" => {
                self.draw(sequence);
                self.parser.callbacks_mut().lines.clear();
            }
            // The cursor's place, kept and brought back as another program says it.
            b"\x1b[s" | b"\x1b[?1048h" => self.draw(b"\x1b7"),
            b"\x1b[u" | b"\x1b[?1048l" => self.draw(b"\x1b8"),
            b"\x1b[!p" => self.draw(b"\x1b[m\x1b[?1l\x1b>\x1b[?25h"),
            [0x1b, b'[', parameters @ .., b'm'] if style::is_attributes(parameters) => {
                self.attributes(parameters);
            }
            [0x1b, b'[', .., b'J' | b'K' | b'X'] => self.erase(sequence),
            b"\x1b[5n" => self.answer(b"\x1b[0n"),
            b"\x1b[6n" => {
                let (row, col) = self.parser.screen().cursor_position();
                let col = col.min(self.size().cols - 1);
                self.answer(format!("\x1b[{};{}R", u32::from(row) + 1, u32::from(col) + 1).as_bytes());
            }
            b"\x1b[c" | b"\x1b[0c" => self.answer(b"\x1b[?1;2c"),
            _ => self.draw(sequence),
        }
    }

    fn osc(&mut self, string: &[u8]) {
        if let Some(link) = string.strip_prefix(b"\x1b]8;") {
            return self.link(link);
        }
        let (title, notice, working) = osc::read(string);
        if let Some(title) = title.filter(|title| title != self.title.as_deref().unwrap_or_default()) {
            self.title = Some(title.clone()).filter(|title| !title.is_empty());
            self.said.title = Some(title);
        }
        if let Some(notice) = notice {
            self.notice(notice);
        }
        self.said.working = working.or(self.said.working);
    }

    fn answer(&mut self, answer: &[u8]) {
        if self.said.answers.len() + answer.len() <= ANSWERS_MAX {
            self.said.answers.extend_from_slice(answer);
        }
    }

    fn bell(&mut self) {
        if std::mem::take(&mut self.parser.callbacks_mut().bell) {
            let rings = self.said.notices.iter().any(|notice| *notice == Notice::default());
            if !rings {
                self.notice(Notice::default());
            }
        }
    }

    fn notice(&mut self, notice: Notice) {
        if self.said.notices.len() < NOTICES_MAX {
            self.said.notices.push(notice);
        }
    }

    /// What was said since the last call.
    pub(in crate::session) fn take_said(&mut self) -> Said {
        std::mem::take(&mut self.said)
    }

    /// Another program begins on it: what was shown stays, in the main screen, and all else is as on a new terminal.
    pub(in crate::session) fn begin_anew(&mut self) {
        drop(self.pending.take());
        if self.parser.screen().alternate_screen() {
            self.feed(b"\x1b[?1049l");
        }
        let (row, col) = self.parser.screen().cursor_position();
        self.feed(BEGIN_ANEW);
        let end = if col > 0 { "\r\n" } else { "" };
        self.feed(format!("\x1b[{};1H{end}", row + 1).as_bytes());
        let (modes, tabs) = (Modes::default(), Tabs::default());
        (self.modes, self.tabs, self.title, self.said) = (modes, tabs, None, Said::default());
    }

    /// The terminal has another size now.
    pub fn resize(&mut self, size: WindowSize) {
        self.around.set(None);
        self.region = None;
        let to = possible(size);
        let one = |number| NonZeroU16::new(number).unwrap_or(NonZeroU16::MIN);
        let parser = &mut self.parser;
        let done = catch_unwind(AssertUnwindSafe(|| parser.set_size(one(to.rows), one(to.cols))));
        if done.is_err() {
            self.parser = self::parser(to);
        }
    }

    /// Its size.
    pub fn size(&self) -> WindowSize {
        let (rows, cols) = self.parser.screen().size();
        WindowSize { cols: cols.get(), rows: rows.get() }
    }

    /// The rows of the screen as text, their blank ends cut.
    pub fn text_rows(&self) -> Vec<String> {
        let screen = self.parser.screen();
        let cols = self.size().cols;
        screen.rows(0, cols).map(|row| beyond::unmarked(row.into()).trim_end().to_owned()).collect()
    }

    /// The newest `count` lines as text, those that left the screen among them; blank rows at the end are none.
    pub fn tail(&self, count: usize) -> Vec<String> {
        let screen = self.parser.screen();
        let mut all = self.parser.callbacks().lines.plain(count);
        if !screen.alternate_screen() {
            let mut screen = screen.clone();
            all.extend(snapshot::kept_rows(&mut screen, |screen, cols| {
                screen.rows(0, cols).next().map(|row| beyond::unmarked(row.into()).into_owned())
            }));
        }
        all.extend(self.text_rows());
        while all.last().is_some_and(String::is_empty) {
            all.pop();
        }
        all.split_off(all.len().saturating_sub(count))
    }
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").field("size", &self.size()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
