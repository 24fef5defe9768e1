//! A session's screen on a terminal of another size: as much as there is room for, row by row, and a line of ours below
//! that says whose size it is.
//!
//! Not here: whose size counts, which the session's host decides.

use std::fmt::Write;

use super::sized::Sized;
use crate::session::Screen as Model;
use crate::wire::WindowSize;

/// Begins drawing, which is shown at once at its end.
const BEGIN: &str = "\x1b[?2026h\x1b[?25l";
const END: &str = "\x1b[?2026l";

/// What is on the terminal besides the screen: nothing; and no line goes on in the next row.
pub(super) const BEGIN_BOX: &[u8] = b"\x1b[?1049h\x1b[?7l\x1b[0m\x1b[2J";

/// The screen, and what is shown of it.
pub(super) struct Boxed {
    model: Model,
    sized: Sized,
    /// Rows that are on the terminal, as they were drawn.
    drawn: Vec<String>,
}

impl Boxed {
    /// A screen of which nothing is known.
    pub fn new(sized: Sized) -> Self {
        Self { model: Model::new(sized.session), sized, drawn: Vec::new() }
    }

    /// The session's size.
    pub fn session(&self) -> WindowSize {
        self.sized.session
    }

    /// Takes in what draws the whole screen.
    pub fn picture(&mut self, bytes: &[u8]) {
        self.model = Model::new(self.sized.session);
        self.drawn.clear();
        self.feed(bytes);
    }

    /// Takes in output.
    pub fn feed(&mut self, bytes: &[u8]) {
        // What it asks is answered by who has its size; of that the model keeps little.
        self.model.feed(bytes);
    }

    /// The terminal has this size; `false` where it had it before.
    pub fn on(&mut self, terminal: WindowSize) -> bool {
        let before = std::mem::replace(&mut self.sized.terminal, terminal);
        if before != terminal {
            self.drawn.clear();
        }
        before != terminal
    }

    /// What brings the terminal up to date.
    pub fn draw(&mut self) -> String {
        let Sized { session, terminal } = self.sized;
        let room = WindowSize { cols: terminal.cols, rows: terminal.rows.saturating_sub(1).max(1) };
        let view = self.model.view(room);
        let edge = || format!("\x1b[{}G\x1b[0;2m│\x1b[0m", u32::from(session.cols) + 1);
        let edge = if session.cols < terminal.cols { edge() } else { String::new() };
        let mut rows: Vec<String> = view.rows.into_iter().map(|row| row + &edge).collect();
        rows.resize(usize::from(room.rows), String::new());
        if terminal.rows > room.rows {
            rows.push(self.words());
        }
        let mut out = BEGIN.to_owned();
        for (at, row) in rows.iter().enumerate() {
            if self.drawn.get(at) != Some(row) {
                let _ = write!(out, "\x1b[{};1H\x1b[0m\x1b[2K{row}\x1b[0m", at + 1);
            }
        }
        if let Some((row, col)) = view.cursor {
            let _ = write!(out, "\x1b[{};{}H\x1b[?25h", row + 1, col + 1);
        }
        out.push_str(END);
        self.drawn = rows;
        out
    }

    /// Whose size it is, cut to the terminal's width.
    fn words(&self) -> String {
        let Sized { session, terminal } = self.sized;
        let words = format!(
            "{}×{} is this session's size · whoever types next makes it as large as their own terminal",
            session.cols, session.rows
        );
        let room = usize::from(terminal.cols);
        format!("\x1b[0;7m{}", words.chars().take(room).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;

    fn size(cols: u16, rows: u16) -> WindowSize {
        WindowSize { cols, rows }
    }

    /// What a terminal shows.
    fn shown(terminal: &vt100::Parser) -> Vec<String> {
        let cols = terminal.screen().size().1.get();
        terminal.screen().rows(0, cols).map(|row| row.trim_end().to_owned()).collect()
    }

    fn terminal(of: WindowSize) -> vt100::Parser {
        let one = |number| NonZeroU16::new(number).unwrap();
        let mut terminal = vt100::Parser::new(one(of.rows), one(of.cols), 0);
        terminal.process(BEGIN_BOX);
        terminal
    }

    #[test]
    fn a_larger_terminal_shows_the_screen_with_its_edges() {
        let sized = Sized { session: size(10, 3), terminal: size(30, 6) };
        let (mut boxed, mut terminal) = (Boxed::new(sized), terminal(sized.terminal));
        boxed.picture(b"\x1b[31mone two three\x1b[m\r\nfour");
        terminal.process(boxed.draw().as_bytes());
        let at = |col: usize| " ".repeat(10 - col) + "│";
        assert_eq!(
            shown(&terminal),
            [
                "one two th│".to_owned(),
                format!("ree{}", at(3)),
                format!("four{}", at(4)),
                String::new(),
                String::new(),
                "10×3 is this session's size ·".to_owned()
            ]
        );
        assert_eq!(terminal.screen().cursor_position(), (2, 4));
        assert_eq!(terminal.screen().cell(0, 0).unwrap().fgcolor(), vt100::Color::Idx(1));
        // What is the same is not drawn again.
        boxed.feed(b"\r\nfive");
        let more = boxed.draw();
        terminal.process(more.as_bytes());
        assert_eq!(shown(&terminal)[2], format!("five{}", at(4)));
        boxed.feed(b"!");
        assert!(!boxed.draw().contains("ree"));
    }

    #[test]
    fn a_smaller_terminal_shows_the_rows_around_the_cursor() {
        let sized = Sized { session: size(20, 6), terminal: size(8, 4) };
        let (mut boxed, mut terminal) = (Boxed::new(sized), terminal(sized.terminal));
        boxed.picture("one\r\ntwo\r\nthree\r\nfour\r\nfive 一二三四\x1b[H".as_bytes());
        terminal.process(boxed.draw().as_bytes());
        assert_eq!(shown(&terminal), ["one", "two", "three", "20×6 is"]);
        boxed.feed(b"\x1b[5;1H");
        terminal.process(boxed.draw().as_bytes());
        assert_eq!(shown(&terminal)[..2], ["three", "four"]);
        assert!(shown(&terminal)[2].starts_with("five 一"));
        assert!(boxed.on(size(24, 7)));
        let mut larger = self::terminal(size(24, 7));
        larger.process(boxed.draw().as_bytes());
        assert_eq!(shown(&larger)[0], format!("one{}│", " ".repeat(17)));
    }
}
