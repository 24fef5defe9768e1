//! `read`: a part of a text file with line numbers, or the names in a folder.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;

use super::args::number;
use super::root::{Root, names, show};
use super::text::{self, Kind};
use super::{Done, Refusal, ToolLimits};
use crate::util::human;

/// Lines of a page when the call does not say.
const LINES: u64 = 2000;

/// Bytes of one line that are shown.
const LINE_MAX: usize = 2000;

/// Bytes that are looked through for a page and for the number of lines.
const SCAN_MAX: u64 = 256 * 1024 * 1024;

/// Largest file in UTF-16 that is shown.
const UTF16_MAX: usize = 1024 * 1024;

/// Names of a folder that are shown.
const NAMES_SHOWN: usize = 200;

/// What `read` takes.
#[derive(Debug, Deserialize)]
pub struct Args {
    #[serde(alias = "file_path", alias = "filename")]
    path: String,
    #[serde(default, deserialize_with = "number")]
    offset: Option<u64>,
    #[serde(default, deserialize_with = "number")]
    limit: Option<u64>,
}

/// Shows a file or a folder. What was cut of a command's output lies in `overflow`, and may be read as well.
pub fn run(root: &Root, overflow: &Root, args: &Args, limits: &ToolLimits) -> Result<Done, Refusal> {
    let is_overflow =
        Path::new(&args.path).is_absolute() && Path::new(&args.path).starts_with(overflow.path());
    let root = if is_overflow { overflow } else { root };
    let place = root.place(&args.path)?;
    let refuse = |error: io::Error| root.refusal(&place, &error);
    let file = root.read(&place).map_err(refuse)?;
    let meta = file.metadata().map_err(refuse)?;
    if meta.is_dir() {
        return folder(root, &place);
    }
    let shown = show(&place);
    if !meta.is_file() {
        return Err(Refusal::new(format!("`{shown}` is a device, a pipe or a socket and can't be read")));
    }
    let wanted = Wanted {
        from: args.offset.unwrap_or(1).max(1),
        lines: args.limit.filter(|limit| *limit > 0).unwrap_or(LINES).min(LINES),
        bytes: limits.answer_bytes,
    };
    let mut reader = BufReader::with_capacity(64 * 1024, file);
    let page = match text::kind(reader.fill_buf().map_err(refuse)?) {
        Kind::Binary => {
            let size = human::bytes(meta.len());
            return Err(Refusal::new(format!(
                "`{shown}` is binary ({size}) and not shown; look at it with `bash`, as by `file` or `xxd | head`"
            )));
        }
        Kind::Utf16 { big } => utf16(reader, big, wanted).map_err(refuse)?.ok_or_else(|| {
            Refusal::new(format!(
                "`{shown}` is UTF-16 and larger than {UTF16_MAX} bytes; convert it with `iconv`"
            ))
        })?,
        Kind::Text => page(reader, wanted).map_err(refuse)?,
    };
    page.done(&shown)
}

fn folder(root: &Root, place: &Path) -> Result<Done, Refusal> {
    let refuse = |error: io::Error| root.refusal(place, &error);
    let names = names(&root.folder(place, false).map_err(refuse)?);
    let shown = show(place);
    let line = |name: &std::ffi::OsString| {
        let is_folder =
            root.read(&place.join(name)).is_ok_and(|file| file.metadata().is_ok_and(|meta| meta.is_dir()));
        format!("{}{}", show(Path::new(name)), if is_folder { "/" } else { "" })
    };
    let mut text = format!("`{shown}` is a folder with {}:\n", text::count(names.len(), "name"));
    text.push_str(&names.iter().take(NAMES_SHOWN).map(line).collect::<Vec<_>>().join("\n"));
    if names.len() > NAMES_SHOWN {
        text.push_str("\n… (`search` with a `glob` finds the others)");
    }
    Ok(Done {
        ok: true,
        text,
        steady: None,
        shown: vec![format!("{shown}/: {}", text::count(names.len(), "name"))],
        changed: Vec::new(),
    })
}

/// The part of a file that is asked for.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    from: u64,
    lines: u64,
    bytes: usize,
}

/// The part that is shown.
#[derive(Debug, Default)]
struct Page {
    text: String,
    /// Numbers of the first line that is shown and of the one after the last.
    from: u64,
    until: u64,
    /// Lines of the file, and whether it was looked through to its end.
    lines: u64,
    whole: bool,
    notes: Vec<&'static str>,
}

impl Page {
    fn note(&mut self, note: &'static str) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn add(&mut self, mut line: &[u8], cut: bool) {
        if self.until == 1
            && let Some(rest) = line.strip_prefix(b"\xef\xbb\xbf")
        {
            line = rest;
            self.note("it begins with a byte order mark");
        }
        if !cut && let Some(rest) = line.strip_suffix(b"\r") {
            line = rest;
            self.note("its lines end with CRLF; `edit` keeps that");
        }
        let text = String::from_utf8_lossy(line);
        // A character that the bound cut in two is no fault of the file.
        if !cut && matches!(text, std::borrow::Cow::Owned(_)) {
            self.note("it holds bytes that are no UTF-8, shown as \u{fffd}");
        }
        let mark = if cut { "… (long line, cut)" } else { "" };
        let _ = writeln!(self.text, "{:>6}\t{text}{mark}", self.until);
        self.until += 1;
    }

    fn done(self, shown: &str) -> Result<Done, Refusal> {
        if self.from == self.until && self.from > 1 {
            let lines = text::count(usize::try_from(self.lines).unwrap_or(usize::MAX), "line");
            if !self.whole {
                return Err(Refusal::new(format!(
                    "only the first {} of `{shown}` are looked through ({lines}), line {} lies behind them; show it \
                     with `bash`, as by `sed -n {from},+99p`",
                    human::bytes(SCAN_MAX),
                    self.from,
                    from = self.from
                )));
            }
            return Err(Refusal::new(format!("`{shown}` has {lines}; there is none from {} on", self.from)));
        }
        let mut text = self.text;
        let (last, more) = (self.until - 1, self.lines >= self.until);
        if self.from == self.until {
            text.push_str("(the file is empty)\n");
        }
        if more {
            let all = format!("{}{}", if self.whole { "" } else { "at least " }, self.lines);
            let _ = writeln!(text, "(lines {} to {last} of {all}; offset={} goes on)", self.from, self.until);
        }
        for note in self.notes {
            let _ = writeln!(text, "(note: {note})");
        }
        let lines = if more || self.from > 1 {
            format!("lines {} to {last}", self.from)
        } else {
            text::count(usize::try_from(self.lines).unwrap_or(usize::MAX), "line")
        };
        let shown = vec![format!("{shown}: {lines}")];
        Ok(Done { ok: true, text, steady: None, shown, changed: Vec::new() })
    }
}

/// Collects the page line by line; no more of the file is in memory than the page and a piece.
fn page(mut reader: impl BufRead, wanted: Wanted) -> io::Result<Page> {
    let mut page = Page { from: wanted.from, until: wanted.from, ..Page::default() };
    let (mut scanned, mut line, mut length) = (0, Vec::new(), 0_usize);
    loop {
        let piece = reader.fill_buf()?;
        let count = piece.len();
        page.whole = count == 0;
        if page.whole || scanned > SCAN_MAX {
            break;
        }
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let ended = part.ends_with(b"\n");
            let part = part.strip_suffix(b"\n").unwrap_or(part);
            let open = page.until - page.from < wanted.lines && page.text.len() < wanted.bytes;
            let wanted_now = open && page.lines + 1 == page.until;
            if wanted_now {
                line.extend_from_slice(&part[..part.len().min(LINE_MAX.saturating_sub(line.len()))]);
            }
            length += part.len();
            if ended {
                if wanted_now {
                    page.add(&line, length > line.len());
                }
                (page.lines, length) = (page.lines + 1, 0);
                line.clear();
            }
        }
        scanned += count as u64;
        reader.consume(count);
    }
    if page.whole && length > 0 {
        let open = page.until - page.from < wanted.lines && page.text.len() < wanted.bytes;
        if open && page.lines + 1 == page.until {
            page.add(&line, length > line.len());
        }
        page.lines += 1;
    }
    Ok(page)
}

fn utf16(reader: BufReader<File>, big: bool, wanted: Wanted) -> io::Result<Option<Page>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    reader.take(UTF16_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > UTF16_MAX {
        return Ok(None);
    }
    let mut page = page(text::from_utf16(&bytes, big).as_bytes(), wanted)?;
    page.note("it is UTF-16, shown as UTF-8; `edit` can't change it");
    Ok(Some(page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_not_looked_through_to_its_end_may_have_the_line() {
        let behind = |whole| Page { from: 900, until: 900, lines: 700, whole, ..Page::default() };
        let Refusal(words) = behind(false).done("big").unwrap_err();
        assert!(words.contains("first 256") && words.contains("sed -n 900,"), "{words}");
        let Refusal(words) = behind(true).done("big").unwrap_err();
        assert_eq!(words, "`big` has 700 lines; there is none from 900 on");
    }
}
