//! The only way to stdout and stderr. Data goes to stdout, all else to stderr; colour only where it is wanted.

use std::cell::OnceCell;
use std::io::{self, IsTerminal, Write};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use serde::Serialize;

use super::kept::Kept;

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` says otherwise
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What went well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What needs a look.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// What failed.
pub const BAD: Style = AnsiColor::Red.on_default();
/// Headings.
pub const BOLD: Style = Style::new().bold();
/// What matters less.
pub const DIM: Style = Style::new().dimmed();

/// What a style begins with.
const ESCAPE: char = '\u{1b}';

/// Writes text that was made here, or that went through the sanitiser.
pub struct Printer {
    choice: anstream::ColorChoice,
    /// Whether stdout takes styles, once somebody asked.
    styles: OnceCell<bool>,
    /// Where all of it stays, when nobody reads the process' own stdout and stderr.
    kept: Option<Kept>,
}

impl Printer {
    /// A printer for this wish.
    pub fn new(color: Color) -> Self {
        let choice = match color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        };
        Self { choice, styles: OnceCell::new(), kept: None }
    }

    /// A printer that prints nothing: what is said can be taken, and `tell` hears each note at once.
    pub fn keeping(tell: impl Fn(&str) + 'static) -> Self {
        Self { kept: Some(Kept::new(tell)), ..Self::new(Color::Never) }
    }

    /// The data that a keeping printer has kept since it was taken last.
    pub fn take_data(&self) -> Vec<u8> {
        self.kept.as_ref().map(Kept::take_data).unwrap_or_default()
    }

    /// The notes that a keeping printer has kept since they were taken last.
    pub fn take_notes(&self) -> Vec<String> {
        self.kept.as_ref().map(Kept::take_notes).unwrap_or_default()
    }

    /// Data, exactly as it is.
    pub fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        if let Some(kept) = &self.kept {
            return kept.data(bytes);
        }
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// A line of data; may carry styles.
    pub fn line(&self, text: &str) -> io::Result<()> {
        // Made in memory: a table goes out in one write.
        let mut out = Vec::with_capacity(text.len() + 1);
        if self.styles() || !text.contains(ESCAPE) {
            out.extend_from_slice(text.as_bytes());
        } else {
            out.extend_from_slice(anstream::adapter::strip_str(text).to_string().as_bytes());
        }
        out.push(b'\n');
        self.bytes(&out)
    }

    /// Whether styles stay in what goes to stdout.
    pub fn styles(&self) -> bool {
        *self.styles.get_or_init(|| match self.choice {
            anstream::ColorChoice::Auto => AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never,
            choice => choice != anstream::ColorChoice::Never,
        })
    }

    /// One JSON document, indented, and a newline.
    pub fn json<T: Serialize>(&self, value: &T) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(value)?;
        text.push(b'\n');
        self.bytes(&text)
    }

    /// One JSON document on one line.
    pub fn json_line<T: Serialize>(&self, value: &T) -> io::Result<()> {
        let mut text = serde_json::to_vec(value)?;
        text.push(b'\n');
        self.bytes(&text)
    }

    /// A note beside the data; may carry styles. A closed stderr is nobody's loss.
    pub fn note(&self, text: &str) {
        if let Some(kept) = &self.kept {
            return kept.note(&anstream::adapter::strip_str(text).to_string());
        }
        let mut out = AutoStream::new(io::stderr().lock(), self.choice);
        let _ = writeln!(out, "{text}");
    }

    /// What did not go as it may have been meant.
    pub fn warn(&self, text: &str) {
        self.note(&format!("{WARN}warning{WARN:#}: {text}"));
    }

    /// What went wrong.
    pub fn error(&self, text: &str) {
        self.note(&format!("{BAD}error{BAD:#}: {text}"));
    }

    /// Whether a person reads stdout.
    pub fn is_tty(&self) -> bool {
        self.kept.is_none() && io::stdout().is_terminal()
    }
}
