//! Where a session's output goes: a terminal as it is, anything else without the terminal's doings.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

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

/// stdout as the place for a session's output.
#[derive(Debug)]
pub struct Screen {
    form: Form,
    held_cr: bool,
    strip: anstream::adapter::StripBytes,
}

impl Screen {
    /// For a session that is watched: raw on a terminal, else what the program wrote.
    pub fn live() -> Self {
        Self::new(if io::stdout().is_terminal() { Form::Raw } else { Form::Program })
    }

    /// For output that is looked at later: text on a terminal, else what the program wrote.
    pub fn later() -> Self {
        Self::new(if io::stdout().is_terminal() { Form::Text } else { Form::Program })
    }

    /// A screen of this form.
    pub fn new(form: Form) -> Self {
        Self { form, held_cr: false, strip: anstream::adapter::StripBytes::new() }
    }

    /// Shows bytes, at once.
    pub fn show(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match self.form {
            Form::Raw => out.write_all(bytes)?,
            Form::Program => out.write_all(&self.undo_newlines(bytes))?,
            Form::Text => {
                let bytes = self.undo_newlines(bytes).into_owned();
                for piece in self.strip.strip_next(&bytes) {
                    out.write_all(piece)?;
                }
            }
        }
        out.flush()
    }

    /// Shows what was held back for the sake of what might have followed.
    pub fn end(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.held_cr) {
            io::stdout().write_all(b"\r")?;
        }
        Ok(())
    }

    /// `\r\n` as `\n`: the exact inverse of what a terminal makes of a program's newlines.
    fn undo_newlines<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if !self.held_cr && !bytes.contains(&b'\r') {
            return Cow::Borrowed(bytes);
        }
        let mut out = Vec::with_capacity(bytes.len() + 1);
        for &byte in bytes {
            if std::mem::take(&mut self.held_cr) && byte != b'\n' {
                out.push(b'\r');
            }
            if byte == b'\r' {
                self.held_cr = true;
            } else {
                out.push(byte);
            }
        }
        Cow::Owned(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn newlines_come_back_as_written(lines in prop::collection::vec("[a\r\n]{0,6}", 0..8), chunk in 1usize..5) {
            let written = lines.concat();
            let terminal = written.replace('\n', "\r\n");
            let mut screen = Screen::new(Form::Program);
            let mut got = Vec::new();
            for piece in terminal.as_bytes().chunks(chunk) {
                got.extend_from_slice(&screen.undo_newlines(piece));
            }
            if screen.held_cr {
                got.push(b'\r');
            }
            prop_assert_eq!(String::from_utf8(got).unwrap(), written);
        }
    }
}
