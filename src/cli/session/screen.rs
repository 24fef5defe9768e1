//! Where a session's output goes: a terminal as it is, anything else without the terminal's doings.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use super::json_lines::JsonLines;
use super::replay::Replay;

/// What becomes of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// They stay as they are.
    Raw,
    /// The terminal's translation of newlines is undone: what the program wrote.
    Program,
    /// Text alone: no escape sequences, no control characters.
    Text,
}

/// What full-screen programs say at their beginning and at their end.
const ESCAPE: u8 = 0x1b;
const ENTER_ALTERNATE: &[u8] = b"\x1b[?1049h";
const LEAVE_ALTERNATE: &[u8] = b"\x1b[?1049l";

/// No mouse, no bracketed paste, normal keys, a visible cursor, no colours.
const PLAIN_MODES: &[u8] =
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1l\x1b>\x1b[?25h\x1b[0m";

/// The place for a session's output.
pub struct Screen<'a> {
    out: Box<dyn Write + 'a>,
    form: Form,
    held_cr: bool,
    mid_line: bool,
    modes: Modes,
    /// How many bytes of the past are still to come.
    past: u64,
    replay: Replay,
    strip: anstream::adapter::StripBytes,
    /// Makes JSON of it instead.
    json: Option<JsonLines>,
}

/// What a session may have left a terminal in.
#[derive(Debug, Default)]
struct Modes {
    changed: bool,
    alternate: bool,
}

impl Modes {
    /// Looks for what changes modes, and who has the alternate screen.
    fn follow(&mut self, bytes: &[u8]) {
        self.changed |= memchr::memchr(ESCAPE, bytes).is_some();
        let last = |sequence| memchr::memmem::rfind(bytes, sequence);
        let (enter, leave) = (last(ENTER_ALTERNATE), last(LEAVE_ALTERNATE));
        if enter != leave {
            self.alternate = enter > leave;
        }
    }

    /// What brings the modes back that a shell expects.
    fn undo(self) -> Vec<u8> {
        let leave: &[u8] = if self.alternate { LEAVE_ALTERNATE } else { b"" };
        let plain: &[u8] = if self.changed { PLAIN_MODES } else { b"" };
        [leave, plain].concat()
    }
}

impl<'a> Screen<'a> {
    /// For a session that is watched: raw on a terminal, else what the program wrote.
    pub fn live() -> Self {
        Self::stdout(if io::stdout().is_terminal() { Form::Raw } else { Form::Program })
    }

    /// For a job on another machine: as live, without the questions that this terminal would answer to nobody.
    pub fn of_job() -> Self {
        let screen = Self::live();
        let past = if screen.form == Form::Raw { u64::MAX } else { 0 };
        Self { replay: Replay::of_another_machine(), ..screen.with_past(past) }
    }

    /// For output that is looked at later: text on a terminal, else what the program wrote.
    pub fn later() -> Self {
        Self::stdout(if io::stdout().is_terminal() { Form::Text } else { Form::Program })
    }

    /// stdout, in this form.
    pub fn stdout(form: Form) -> Self {
        Self::new(Box::new(io::stdout()), form)
    }

    /// stdout, as JSON lines that begin at this offset.
    pub fn json_lines(from: u64) -> Self {
        Self { json: Some(JsonLines::new(from)), ..Self::stdout(Form::Program) }
    }

    /// Collects what the program wrote.
    pub fn collect(into: &'a mut Vec<u8>) -> Self {
        Self::new(Box::new(into), Form::Program)
    }

    fn new(out: Box<dyn Write + 'a>, form: Form) -> Self {
        let strip = anstream::adapter::StripBytes::new();
        Self {
            out,
            form,
            held_cr: false,
            mid_line: false,
            modes: Modes::default(),
            past: 0,
            replay: Replay::default(),
            strip,
            json: None,
        }
    }

    /// The first `count` bytes are of the past: what programs asked their terminal then is left out.
    pub fn with_past(self, count: u64) -> Self {
        Self { past: count, ..self }
    }

    /// Shows bytes, at once.
    pub fn show(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(json) = &mut self.json {
            self.out.write_all(&json.output(bytes))?;
            return self.out.flush();
        }
        if self.past == 0 {
            return self.put(bytes);
        }
        let of_past = bytes.len().min(usize::try_from(self.past).unwrap_or(usize::MAX));
        self.past -= of_past as u64;
        let mut shown = self.replay.filter(&bytes[..of_past]);
        if self.past == 0 {
            shown.extend(self.replay.rest());
        }
        shown.extend_from_slice(&bytes[of_past..]);
        self.put(&shown)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.mid_line = bytes.last().map_or(self.mid_line, |last| *last != b'\n');
        if self.form == Form::Raw {
            self.modes.follow(bytes);
            self.out.write_all(bytes)?;
            return self.out.flush();
        }
        let bytes = undo_newlines(&mut self.held_cr, bytes);
        if self.form == Form::Text {
            for piece in self.strip.strip_next(&bytes) {
                self.out.write_all(piece)?;
            }
        } else {
            self.out.write_all(&bytes)?;
        }
        self.out.flush()
    }

    /// What follows begins at `to`; what lies between is missing.
    pub fn skip(&mut self, to: u64) -> io::Result<()> {
        match &mut self.json {
            Some(json) => self.out.write_all(&json.gap(to)),
            None => Ok(()),
        }
    }

    /// Whether it is JSON that comes out.
    pub fn is_json(&self) -> bool {
        self.json.is_some()
    }

    /// What follows is the output of this attempt, from this byte. JSON alone says so here.
    pub fn begin_attempt(&mut self, attempt: u32, from: u64) -> io::Result<()> {
        let Some(json) = &mut self.json else { return Ok(()) };
        self.out.write_all(&json.begin_attempt(attempt, from))?;
        self.out.flush()
    }

    /// Gives a terminal back as a shell expects it, when what runs in the session goes on without it; shows
    /// what was held back for the sake of what might have followed.
    pub fn end(&mut self) -> io::Result<()> {
        if let Some(json) = &mut self.json {
            self.out.write_all(&json.end())?;
            return self.out.flush();
        }
        if std::mem::take(&mut self.held_cr) {
            self.out.write_all(b"\r")?;
        }
        if io::stdout().is_terminal() {
            self.out.write_all(std::mem::take(&mut self.modes).undo().as_slice())?;
        }
        self.out.flush()
    }

    /// Whether a terminal's cursor was left in the middle of a line.
    pub fn is_mid_line(&self) -> bool {
        self.mid_line && self.form != Form::Program
    }
}

/// `\r\n` as `\n`: the exact inverse of what a terminal makes of a program's newlines.
fn undo_newlines<'b>(held_cr: &mut bool, bytes: &'b [u8]) -> Cow<'b, [u8]> {
    if !*held_cr && !bytes.contains(&b'\r') {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len() + 1);
    for &byte in bytes {
        if std::mem::take(held_cr) && byte != b'\n' {
            out.push(b'\r');
        }
        if byte == b'\r' {
            *held_cr = true;
        } else {
            out.push(byte);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_terminal_comes_back_as_a_shell_expects_it() {
        let undo = |pieces: &[&str]| {
            let mut modes = Modes::default();
            for piece in pieces {
                modes.follow(piece.as_bytes());
            }
            modes.undo()
        };
        assert_eq!(undo(&["plain"]), b"");
        assert_eq!(undo(&["\x1b[1mbold"]), PLAIN_MODES);
        assert!(undo(&["\x1b[?1049h", "text"]).starts_with(LEAVE_ALTERNATE));
        assert!(!undo(&["\x1b[?1049h", "text\x1b[?1049l"]).starts_with(LEAVE_ALTERNATE));
    }

    proptest! {
        #[test]
        fn newlines_come_back_as_written(lines in prop::collection::vec("[a\r\n]{0,6}", 0..8), chunk in 1usize..5) {
            let written = lines.concat();
            let terminal = written.replace('\n', "\r\n");
            let mut got = Vec::new();
            let mut screen = Screen::collect(&mut got);
            for piece in terminal.as_bytes().chunks(chunk) {
                screen.show(piece).unwrap();
            }
            screen.end().unwrap();
            drop(screen);
            prop_assert_eq!(String::from_utf8(got).unwrap(), written);
        }
    }
}
