//! Where a session's output goes: a terminal as it is, anything else without the terminal's doings.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use unicode_width::UnicodeWidthChar;

use super::boxed::{BEGIN_BOX, Boxed};
use super::json_lines::JsonLines;
use super::modes::Modes;
use super::replay::Replay;
use super::shown::Shown;
use super::sized::Sized;
use super::styles::{Part, Styles};
use crate::agent::STYLE_BEGIN;
use crate::cli::Printer;
use crate::util::visible_line;
use crate::wire::WindowSize;

/// Keeps the terminal's title, and brings it back.
const PUSH_TITLE: &[u8] = b"\x1b[22;0t";
const POP_TITLE: &[u8] = b"\x1b[23;0t";

/// Erases the lines above the screen.
const ERASE_ABOVE: &[u8] = b"\x1b[3J";

/// The beginning of a picture, in which it may erase what was there, in bytes.
const PICTURE_HEAD: usize = 256;

/// Ends what is not whole, shows what is held back, keeps the cursor and writes where the window says.
const BANNER_BEGIN: &[u8] = b"\x1b\\\x1b[?2026l\x1b7\x1b[?6l";

/// What becomes of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// They stay as they are.
    Raw,
    /// The terminal's translation of newlines is undone: what the program wrote. Of our own program, the built-in agent,
    /// without colours where they are not wanted.
    Program,
    /// Text: no control characters, and no escape sequences but colours, where they are wanted.
    Text,
}

/// The place for a session's output.
pub struct Screen<'a> {
    out: Out<'a>,
    form: Form,
    held_cr: bool,
    mid_line: bool,
    /// Whether a picture was shown.
    pictured: bool,
    /// How many bytes of the past are still to come.
    past: u64,
    replay: Replay,
    strip: anstream::adapter::StripBytes,
    styles: Styles,
    /// Makes JSON of it instead.
    json: Option<JsonLines>,
    /// The session's screen is of another size than the terminal's.
    boxed: Option<Boxed>,
}

/// Where the bytes go. A terminal gets back what was changed on it, also when this process comes to grief.
struct Out<'a> {
    to: Box<dyn Write + 'a>,
    modes: Modes,
    titled: bool,
    /// The row, from 1, on which something stands that is not the session's.
    banner: Option<u16>,
    /// What was shown lately, where rows are to be brought back.
    shown: Option<Shown>,
}

impl Out<'_> {
    /// What follows changes nothing that is not undone.
    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.modes.follow(bytes);
        if let Some(shown) = &mut self.shown {
            shown.push(bytes);
        }
        self.to.write_all(bytes)
    }

    /// Undoes what was switched.
    fn plain(&mut self) -> io::Result<()> {
        let undo = std::mem::take(&mut self.modes).undo();
        self.to.write_all(&undo)
    }

    /// Gives a terminal back.
    fn restore(&mut self) -> io::Result<()> {
        let titled = std::mem::take(&mut self.titled);
        if let Some(row) = self.banner.take() {
            self.to.write_all(&banner(row, ""))?;
        }
        if io::stdout().is_terminal() {
            self.plain()?;
            self.to.write_all(if titled { POP_TITLE } else { b"" })?;
        }
        self.to.flush()
    }
}

impl Drop for Out<'_> {
    fn drop(&mut self) {
        // A terminal that went away has nothing to be given back.
        let _ = self.restore();
    }
}

impl<'a> Screen<'a> {
    /// For a session that is watched: raw on a terminal, else what the program wrote.
    pub fn live(printer: &Printer) -> Self {
        Self::of(printer, Form::Raw)
    }

    fn of(printer: &Printer, on_terminal: Form) -> Self {
        let form = if io::stdout().is_terminal() { on_terminal } else { Form::Program };
        Self { styles: Styles::new(printer.styles()), ..Self::stdout(form) }
    }

    /// For a job on another machine: as live, without the questions that this terminal would answer to nobody.
    pub fn of_job(printer: &Printer) -> Self {
        Self::live(printer).with_past(u64::MAX).of_another_machine()
    }

    /// The bytes are another machine's: on a terminal, they set neither its title nor its clipboard.
    pub fn of_another_machine(self) -> Self {
        match self.form {
            Form::Raw => Self { replay: Replay::of_another_machine(), ..self },
            Form::Program | Form::Text => Self { past: 0, ..self },
        }
    }

    /// For output that is looked at later: text on a terminal, else what the program wrote.
    pub fn later(printer: &Printer) -> Self {
        Self::of(printer, Form::Text)
    }

    /// stdout, in this form.
    pub fn stdout(form: Form) -> Self {
        Self::new(Box::new(io::stdout()), form)
    }

    /// stdout, as JSON lines that begin at this offset.
    pub fn json_lines(from: u64) -> Self {
        Self { json: Some(JsonLines::new(from)), ..Self::stdout(Form::Program) }
    }

    /// Collects what the program wrote, without our own colours.
    pub fn collect(into: &'a mut Vec<u8>) -> Self {
        Self { styles: Styles::new(false), ..Self::new(Box::new(into), Form::Program) }
    }

    fn new(out: Box<dyn Write + 'a>, form: Form) -> Self {
        let strip = anstream::adapter::StripBytes::new();
        Self {
            out: Out { to: out, modes: Modes::default(), titled: false, banner: None, shown: None },
            form,
            held_cr: false,
            mid_line: false,
            pictured: false,
            past: 0,
            replay: Replay::default(),
            strip,
            styles: Styles::new(true),
            json: None,
            boxed: None,
        }
    }

    /// The first `count` bytes are of the past: what programs asked their terminal then is left out.
    pub fn with_past(self, count: u64) -> Self {
        Self { past: count, ..self }
    }

    /// Gives the terminal a title until the end.
    pub fn title(&mut self, title: &str) -> io::Result<()> {
        if self.form == Form::Raw && io::stdout().is_terminal() {
            self.out.titled = true;
            let title = visible_line(title);
            self.out.to.write_all(&[PUSH_TITLE, b"\x1b]2;", title.as_bytes(), b"\x07"].concat())?;
        }
        Ok(())
    }

    /// Writes a line of ours over the terminal's last row, and leaves everything else as it is. A picture takes it away.
    pub fn banner(&mut self, words: &str, size: WindowSize) -> io::Result<()> {
        let mut room = usize::from(size.cols);
        let fits = |c: &char| {
            let width = c.width().unwrap_or(0);
            let fits = width <= room;
            room = room.saturating_sub(width);
            fits
        };
        let words: String = visible_line(words).chars().take_while(fits).collect();
        if let Some(other) = self.out.banner.filter(|row| *row != size.rows) {
            self.out.to.write_all(&banner(other, ""))?;
        }
        self.out.banner = Some(size.rows);
        self.out.to.write_all(&banner(size.rows, &format!("\x1b[0;7m{words}")))?;
        self.out.to.flush()
    }

    /// From now on a banner can be taken away again.
    pub fn keeping_rows(mut self) -> Self {
        self.out.shown = Some(Shown::default());
        self
    }

    /// The terminal has another size: what it shows is known again with the next picture.
    pub fn resized(&mut self) {
        if let Some(shown) = &mut self.out.shown {
            shown.lose();
        }
    }

    /// The pictures that follow are of a screen of another size than the terminal's, or of its own. The next thing that
    /// comes is a picture, unless it is the terminal alone that has changed.
    pub fn box_in(&mut self, sized: Option<Sized>) -> io::Result<()> {
        match (sized, &mut self.boxed) {
            (Some(sized), Some(boxed)) if boxed.session() == sized.session => {
                if !boxed.on(sized.terminal) {
                    return Ok(());
                }
                self.out.raw(b"\x1b[0m\x1b[2J")?;
                self.draw_box()
            }
            (Some(sized), _) => {
                self.boxed = Some(Boxed::new(sized));
                self.out.plain()?;
                self.out.raw(BEGIN_BOX)
            }
            (None, Some(_)) => {
                self.boxed = None;
                self.out.plain()
            }
            (None, None) => Ok(()),
        }
    }

    fn draw_box(&mut self) -> io::Result<()> {
        let Some(boxed) = &mut self.boxed else { return Ok(()) };
        self.out.raw(boxed.draw().as_bytes())?;
        self.out.to.flush()
    }

    /// What is under the banner on a terminal of this size; `None` where only a picture brings it back.
    pub fn covered(&self, size: WindowSize) -> Option<Vec<u8>> {
        let row = self.out.banner.filter(|row| *row == size.rows)?;
        self.out.shown.as_ref()?.row(row, size)
    }

    /// Brings back what is under the banner.
    pub fn uncover(&mut self, row: &[u8]) -> io::Result<()> {
        let Some(at) = self.out.banner.take() else { return Ok(()) };
        let begin = format!("\x1b[{at};1H\x1b[0m\x1b[2K");
        self.out.to.write_all(&[BANNER_BEGIN, begin.as_bytes(), row, b"\x1b8"].concat())?;
        self.out.to.flush()
    }

    /// Whether a row of the session was written over.
    pub fn has_banner(&self) -> bool {
        self.out.banner.is_some()
    }

    /// Shows the picture of a session's whole screen. What stood on the terminal before goes up, and is not erased.
    pub fn picture(&mut self, bytes: &[u8], rows: u16) -> io::Result<()> {
        if let Some(boxed) = &mut self.boxed {
            self.out.banner = None;
            boxed.picture(bytes);
            return self.draw_box();
        }
        if !std::mem::replace(&mut self.pictured, true) {
            let up = format!("\x1b[{rows};1H{}", "\n".repeat(usize::from(rows)));
            self.out.to.write_all(up.as_bytes())?;
        }
        self.out.banner = None;
        if let Some(shown) = &mut self.out.shown {
            shown.begin();
        }
        let mut bytes = Cow::Borrowed(bytes);
        if self.replay.is_foreign() {
            // It begins anew with a picture.
            self.replay = Replay::of_another_machine();
            bytes = Cow::Owned(self.replay.filter(&bytes, false));
        }
        // It begins with what erases the lines above the screen, which are the user's.
        let head = bytes.len().min(PICTURE_HEAD);
        let (before, after) = match memchr::memmem::find(&bytes[..head], ERASE_ABOVE) {
            Some(at) => (&bytes[..at], &bytes[at + ERASE_ABOVE.len()..]),
            None => (&bytes[..0], &*bytes),
        };
        if self.past < u64::MAX / 2 {
            self.past = 0;
        }
        self.out.raw(before)?;
        self.put(after)
    }

    /// What comes next, up to `count` bytes of it, is of the past.
    pub fn begin_past(&mut self, count: u64) {
        self.past = self.past.max(count);
    }

    /// Shows bytes, at once.
    pub fn show(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(boxed) = &mut self.boxed {
            boxed.feed(bytes);
            return self.draw_box();
        }
        if let Some(json) = &mut self.json {
            self.out.to.write_all(&json.output(bytes))?;
            return self.out.to.flush();
        }
        let is_foreign = self.replay.is_foreign();
        if self.past == 0 && !is_foreign {
            return self.put(bytes);
        }
        let of_past = bytes.len().min(usize::try_from(self.past).unwrap_or(usize::MAX));
        let (past, new) = bytes.split_at(of_past);
        self.past -= of_past as u64;
        let mut shown = self.replay.filter(past, true);
        if is_foreign {
            shown.extend(self.replay.filter(new, false));
        } else {
            shown.extend(if self.past == 0 { self.replay.rest() } else { Vec::new() });
            shown.extend_from_slice(new);
        }
        self.put(&shown)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.mid_line = bytes.last().map_or(self.mid_line, |last| *last != b'\n');
        if self.form == Form::Raw {
            self.out.raw(bytes)?;
            return self.out.to.flush();
        }
        let bytes = undo_newlines(&mut self.held_cr, bytes);
        let Self { out, form, strip, styles, .. } = self;
        let wanted = styles.are_wanted();
        styles.split(&bytes, |part| match (part, *form) {
            (Part::Style(style), Form::Program) if !wanted && style.starts_with(STYLE_BEGIN) => Ok(()),
            (Part::Style(_), Form::Text) if !wanted => Ok(()),
            (Part::Style(style), _) => out.to.write_all(style),
            (Part::Rest(rest), Form::Text) => {
                strip.strip_next(rest).try_for_each(|text| out.to.write_all(text))
            }
            (Part::Rest(rest), _) => out.to.write_all(rest),
        })?;
        self.out.to.flush()
    }

    /// What follows begins at `to`; what lies between is missing.
    pub fn skip(&mut self, to: u64) -> io::Result<()> {
        match &mut self.json {
            Some(json) => self.out.to.write_all(&json.gap(to)),
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
        self.out.to.write_all(&json.begin_attempt(attempt, from))?;
        self.out.to.flush()
    }

    /// Gives a terminal back as a shell expects it, when what runs in the session goes on without it; shows
    /// what was held back for the sake of what might have followed.
    pub fn end(&mut self) -> io::Result<()> {
        if let Some(json) = &mut self.json {
            self.out.to.write_all(&json.end())?;
            return self.out.to.flush();
        }
        if self.form == Form::Program {
            self.out.to.write_all(&self.styles.rest())?;
        }
        if std::mem::take(&mut self.held_cr) {
            self.out.to.write_all(b"\r")?;
        }
        if self.form == Form::Text {
            self.out.to.write_all(self.styles.end())?;
        }
        self.out.restore()
    }

    /// Whether a terminal's cursor was left in the middle of a line.
    pub fn is_mid_line(&self) -> bool {
        self.mid_line && self.form != Form::Program
    }
}

/// What writes this over a row, from 1; the rest of the row looks like its end.
fn banner(row: u16, words: &str) -> Vec<u8> {
    let text = format!("\x1b[{row};1H\x1b[0m{words}\x1b[K\x1b8");
    [BANNER_BEGIN, text.as_bytes()].concat()
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
    fn a_banner_takes_one_row_and_goes_again() {
        let one = |number| std::num::NonZeroU16::new(number).unwrap();
        let mut shown = Vec::new();
        let mut screen = Screen { form: Form::Raw, ..Screen::collect(&mut shown) };
        let size = WindowSize { cols: 12, rows: 4 };
        screen.show(b"one\r\ntwo\r\nthree\r\n\x1b[1mfo").unwrap();
        screen.banner("away, and no key is taken", size).unwrap();
        let mut terminal = vt100::Parser::new(one(4), one(12), 0);
        drop(screen);
        let away = memchr::memmem::find(&shown, b"taken").is_none();
        assert!(away, "it is cut");
        // Without what undid it at the end.
        let undone = memchr::memmem::rfind(&shown, BANNER_BEGIN).unwrap();
        terminal.process(&shown[..undone]);
        let screen = terminal.screen();
        assert_eq!(screen.contents(), "one\ntwo\nthree\naway, and no");
        assert_eq!(screen.cursor_position(), (3, 2), "the cursor stays");
        assert!(screen.cell(3, 0).unwrap().inverse());
        terminal.process(&shown[undone..]);
        assert_eq!(terminal.screen().contents(), "one\ntwo\nthree");
        assert!(terminal.screen().bold(), "what comes next looks as before");
    }

    #[test]
    fn a_picture_of_another_machine_reaches_no_further_than_its_output() {
        let mut shown = Vec::new();
        let mut screen = Screen { form: Form::Raw, ..Screen::collect(&mut shown) }.of_another_machine();
        // What came before the picture was not whole.
        screen.show(b"\x1b]52;c;").unwrap();
        screen.picture(b"\x1b]52;c;aGk=\x07\x1b[3J\x1b]0;t\x07text", 2).unwrap();
        screen.end().unwrap();
        drop(screen);
        let has = |what: &[u8]| memchr::memmem::find(&shown, what).is_some();
        assert!(has(b"text") && !has(b"]52;") && !has(b"]0;"), "{}", shown.escape_ascii());
    }

    #[test]
    fn colours_stay_where_they_are_wanted() {
        let shown = |form, styled| {
            let mut shown = Vec::new();
            let styles = Styles::new(styled);
            let mut screen = Screen { form, styles, ..Screen::collect(&mut shown) };
            for piece in ["one \x1b[;0;3", "2mtwo\x1b[;0", "m\r\nth\x1b[Kree \x1b[1mfour"] {
                screen.show(piece.as_bytes()).unwrap();
            }
            screen.end().unwrap();
            drop(screen);
            String::from_utf8(shown).unwrap()
        };
        assert_eq!(shown(Form::Program, true), "one \x1b[;0;32mtwo\x1b[;0m\nth\x1b[Kree \x1b[1mfour");
        let others = "one two\nth\x1b[Kree \x1b[1mfour";
        assert_eq!(shown(Form::Program, false), others, "what other programs write stays");
        assert_eq!(shown(Form::Text, true), "one \x1b[;0;32mtwo\x1b[;0m\nthree \x1b[1mfour\x1b[0m");
        assert_eq!(shown(Form::Text, false), "one two\nthree four");
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
