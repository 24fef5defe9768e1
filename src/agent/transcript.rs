//! What the terminal shows of the work: the model's words as they come, calls with what they came to, usage, and the
//! line that a person types.
//!
//! Invariants: nothing of a model's, a tool's or a server's text reaches the terminal raw; every piece is written at
//! once, but for less than a word at the end of a line ([`Wrap`]). A line that is being typed stays below what is shown.

use std::fmt::Write as _;
use std::io::Write;

use super::wrap::{Wrap, columns_of, wrapped};
use crate::util::visible;

/// Longest text that is shown of one thing, in characters; the model gets all of it.
const SHOWN_MAX: usize = 2000;

/// What begins the line that is typed.
const PROMPT: &str = "› ";

/// What asks a terminal to mark what is pasted, and no longer to.
const MARK_PASTES: (&str, &str) = ("\x1b[?2004h", "\x1b[?2004l");

/// What every style of the transcript begins with. No other program writes it so (`0` twice), which is how who reads a
/// transcript without wanting colours leaves just these out.
pub const STYLE_BEGIN: &[u8] = b"\x1b[;0";

/// What ends a style.
const PLAIN: &str = "\x1b[;0m";

/// How a text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The model's words.
    Plain,
    /// Reasoning, and everything beside the work.
    Dim,
    /// What a call is.
    Call,
    /// What went well.
    Good,
    /// What did not.
    Bad,
    /// What waits for a person, and what a person said.
    Person,
}

impl Look {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "\x1b[;0;2m",
            Self::Call => "\x1b[;0;36m",
            Self::Good => "\x1b[;0;32m",
            Self::Bad => "\x1b[;0;31m",
            Self::Person => "\x1b[;0;1;33m",
        }
    }
}

/// Where the transcript is shown.
pub struct Screen {
    /// The terminal.
    pub out: Box<dyn Write>,
    /// How wide it is now; `None` when it is none.
    pub width: Box<dyn Fn() -> Option<usize>>,
    /// Whether it takes styles.
    pub styles: bool,
}

/// The transcript of one run.
pub struct Transcript {
    screen: Screen,
    wrap: Wrap,
    look: Look,
    /// What is being typed, and the rows that it takes at the moment.
    typed: Option<(String, usize)>,
}

impl std::fmt::Debug for Transcript {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transcript").field("wrap", &self.wrap).finish_non_exhaustive()
    }
}

impl Transcript {
    /// Nothing shown yet.
    pub fn new(screen: Screen) -> Self {
        Self { screen, wrap: Wrap::default(), look: Look::Plain, typed: None }
    }

    /// A piece of running text.
    pub fn piece(&mut self, look: Look, text: &str) {
        if text.is_empty() {
            return;
        }
        let mut out = self.lifted();
        if look != self.look {
            self.broken_off(&mut out);
        }
        self.look = look;
        let shown = visible(text);
        // A carriage return would overwrite what is shown, and says nothing beside a newline.
        let shown = shown.replace("\\u{d}", "");
        let mut now = String::with_capacity(shown.len() + 1);
        self.wrap.take(&shown, (self.screen.width)(), &mut now);
        self.styled(&mut out, look, &now);
        self.put(out);
    }

    /// Shows what waits for the end of its word: nothing more may come for a while.
    pub fn settle(&mut self) {
        if !self.wrap.waits() {
            return;
        }
        let mut out = self.lifted();
        self.settled(&mut out);
        self.put(out);
    }

    /// A line of its own, cut to what a person reads.
    pub fn line(&mut self, look: Look, text: &str) {
        let mut shown: String = text.chars().take(SHOWN_MAX).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        let mut out = self.lifted();
        self.broken_off(&mut out);
        self.look = Look::Plain;
        self.styled(&mut out, look, &wrapped(&visible(shown.trim_end()), (self.screen.width)()));
        out.push('\n');
        self.put(out);
    }

    /// Has what is pasted marked, so that its lines stay together. Only for a run that a person goes on with: elsewhere
    /// the output may be a file.
    pub fn mark_pastes(&mut self, mark: bool) {
        let (on, off) = MARK_PASTES;
        self.put(if mark { on } else { off }.to_owned());
    }

    /// An empty line: what follows is something new.
    pub fn gap(&mut self) {
        let mut out = self.lifted();
        self.broken_off(&mut out);
        out.push('\n');
        self.put(out);
        self.look = Look::Plain;
    }

    /// Ends a running text.
    pub fn end(&mut self) {
        let mut out = self.lifted();
        self.broken_off(&mut out);
        self.put(out);
        self.look = Look::Plain;
    }

    fn settled(&mut self, out: &mut String) {
        let mut rest = String::new();
        self.wrap.flush((self.screen.width)(), &mut rest);
        self.styled(out, self.look, &rest);
    }

    /// What follows begins a line.
    fn broken_off(&mut self, out: &mut String) {
        self.settled(out);
        if self.wrap.column() > 0 {
            out.push('\n');
        }
        self.wrap.begin();
    }

    /// What a person is typing now; `None` once it is done.
    pub fn typing(&mut self, line: Option<&str>) {
        let out = self.lifted();
        self.typed = line.map(|line| (line.to_owned(), 0));
        self.put(out);
    }

    /// What takes the typed line away and goes back to where the text above it ends.
    fn lifted(&mut self) -> String {
        let Some((_, rows @ 1..)) = self.typed else { return String::new() };
        let mut out = String::from("\r");
        if rows > 1 {
            let _ = write!(out, "\x1b[{}A", rows - 1);
        }
        out.push_str("\x1b[J");
        match self.wrap.column() {
            0 => {}
            // The line is full, and this is where it goes on.
            column if column >= self.width() => self.wrap.broken(),
            column => {
                let _ = write!(out, "\x1b[1A\x1b[{}G", column + 1);
            }
        }
        if let Some((_, rows)) = &mut self.typed {
            *rows = 0;
        }
        out
    }

    /// Writes, with the typed line below.
    fn put(&mut self, mut out: String) {
        let width = self.width();
        let below = if self.wrap.column() > 0 { "\n" } else { "" };
        if let Some((line, rows)) = &mut self.typed {
            let shown = format!("{PROMPT}{}", visible(line).replace('\n', "⏎"));
            *rows = columns_of(&shown) / width + 1;
            out.push_str(below);
            out.push_str(&shown);
        }
        // A terminal that is gone is followed by a signal that ends the run.
        let _ = self.screen.out.write_all(out.as_bytes()).and_then(|()| self.screen.out.flush());
    }

    fn styled(&self, out: &mut String, look: Look, text: &str) {
        if self.screen.styles && look != Look::Plain && !text.is_empty() {
            out.push_str(look.code());
            out.push_str(text);
            out.push_str(PLAIN);
        } else {
            out.push_str(text);
        }
    }

    fn width(&self) -> usize {
        (self.screen.width)().unwrap_or(80).max(10)
    }
}

#[cfg(test)]
pub mod tests {
    use std::cell::RefCell;
    use std::io;
    use std::rc::Rc;

    use super::*;

    /// A terminal whose bytes can be looked at.
    #[derive(Clone, Default)]
    pub struct Paper(pub Rc<RefCell<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        pub fn text(&self) -> String {
            String::from_utf8(self.0.borrow().clone()).unwrap()
        }
    }

    pub fn transcript() -> (Transcript, Paper) {
        let paper = Paper::default();
        let screen = Screen { out: Box::new(paper.clone()), width: Box::new(|| Some(20)), styles: false };
        (Transcript::new(screen), paper)
    }

    #[test]
    fn nothing_hostile_reaches_the_terminal() {
        let (mut transcript, paper) = transcript();
        transcript.piece(Look::Plain, "a\x1b[2Jb\r\nc\u{9b}");
        transcript.line(Look::Bad, "\x1b]52;c;x\x07\u{202e}");
        let shown = paper.text();
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        assert!(shown.starts_with("a\\u{1b}[2Jb\nc"), "{shown:?}");
    }

    #[test]
    fn a_word_that_waits_is_shown_before_anything_else() {
        let (mut transcript, paper) = transcript();
        transcript.piece(Look::Dim, "I think of wor");
        assert_eq!(paper.text(), "I think of", "twenty columns have no room for it");
        transcript.settle();
        assert_eq!(paper.text(), "I think of wor");
        transcript.piece(Look::Plain, "So: this is wor");
        transcript.line(Look::Call, "● read a.txt");
        transcript.piece(Look::Plain, "It is a longer wo");
        transcript.end();
        let shown = "I think of wor\nSo: this is wor\n● read a.txt\nIt is a longer wo\n";
        assert_eq!(paper.text(), shown);
    }

    #[test]
    fn what_is_shown_goes_on_where_a_full_line_ended() {
        let (mut transcript, paper) = transcript();
        transcript.piece(Look::Plain, "0123456789abcdefghij");
        transcript.typing(Some("stop"));
        transcript.piece(Look::Plain, "klm");
        transcript.typing(None);
        let size = |size| std::num::NonZeroU16::new(size).unwrap();
        let mut screen = vt100::Parser::new(size(10), size(20), 0);
        screen.process(paper.text().replace('\n', "\r\n").as_bytes());
        assert_eq!(screen.screen().contents().trim_end(), "0123456789abcdefghij\nklm");
    }

    #[test]
    fn what_is_typed_stays_below_what_is_shown() {
        let (mut transcript, paper) = transcript();
        transcript.piece(Look::Plain, "hello");
        transcript.typing(Some("stop"));
        transcript.piece(Look::Plain, " world\n");
        transcript.typing(None);
        let mut screen = vt100::Parser::new(
            std::num::NonZeroU16::new(10).unwrap(),
            std::num::NonZeroU16::new(20).unwrap(),
            0,
        );
        screen.process(paper.text().replace('\n', "\r\n").as_bytes());
        assert_eq!(screen.screen().contents().trim_end(), "hello world");
        transcript.typing(Some("again and again and again"));
        transcript.line(Look::Plain, "done");
        screen.process(paper.text()[..].replace('\n', "\r\n").as_bytes());
        let contents = screen.screen().contents();
        assert!(contents.contains("done\n› again and again"), "{contents}");
    }
}
