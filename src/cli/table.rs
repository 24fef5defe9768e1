//! Aligned tables, cut to the terminal's width. Cells go through the sanitiser; widths are those of the
//! characters as shown.

use std::borrow::Cow;
use std::fmt::Write;
use std::io;

use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::printer::{BOLD, Printer};
use crate::util::visible_line;

/// Blanks between columns.
const GAP: usize = 2;

/// A column that is narrowed keeps its heading, and this much.
const COLUMN_MIN: usize = 8;

/// The last column says what a row is about, and keeps this much.
const LAST_MIN: usize = 20;

/// A cell: its text and how it is shown.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    /// Columns of the text.
    width: usize,
    style: Style,
}

impl Cell {
    /// A cell with a style.
    pub fn styled(text: impl AsRef<str>, style: Style) -> Self {
        let text = visible_line(text.as_ref()).into_owned();
        Self { width: width(&text), text, style }
    }

    /// The text and its width, shortened with `…` where it is wider than `room` columns.
    fn cut(&self, room: usize) -> (Cow<'_, str>, usize) {
        if self.width <= room {
            return (Cow::Borrowed(&self.text), self.width);
        }
        let text = cut(&self.text, room);
        let wide = width(&text);
        (Cow::Owned(text), wide)
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::new())
    }
}

/// Rows under headings.
#[derive(Debug)]
pub struct Table {
    heads: Vec<&'static str>,
    /// Columns that may be left out, first the one that goes first.
    spare: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table with these headings.
    pub fn new(heads: &[&'static str]) -> Self {
        Self { heads: heads.to_vec(), spare: Vec::new(), rows: Vec::new() }
    }

    /// The same, which leaves out these columns where the terminal is too narrow for all, the first of them first.
    #[must_use]
    pub fn sparing(mut self, heads: &[&'static str]) -> Self {
        self.spare = heads.to_vec();
        self
    }

    /// Adds a row with a cell for each heading.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Prints it; on a terminal it is made to fit the width.
    pub fn print(&self, printer: &Printer) -> io::Result<()> {
        let room = printer.is_tty().then(terminal_width).flatten();
        printer.line(&self.lines(room, printer.styles()).join("\n"))
    }

    fn lines(&self, room: Option<usize>, styles: bool) -> Vec<String> {
        let mut widths: Vec<usize> = vec![0; self.heads.len()];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width);
            }
        }
        for (width, head) in widths.iter_mut().zip(&self.heads) {
            // On a terminal a column that says nothing is left out.
            if *width > 0 || room.is_none() || self.rows.is_empty() {
                *width = (*width).max(head.len());
            }
        }
        if let Some(room) = room {
            fit(&mut widths, &self.heads, &self.spare, room);
        }
        let heads: Vec<Cell> = self.heads.iter().map(|head| Cell::styled(head, BOLD)).collect();
        let of_row = |row: &Vec<Cell>| line(row, &widths, room, styles);
        std::iter::once(&heads).chain(&self.rows).map(of_row).collect()
    }
}

/// Narrows columns until all fit: the widest first, the last one not below [`LAST_MIN`]; where that is not enough,
/// those that may be left out go. What is still too wide is cut at the edge.
fn fit(widths: &mut [usize], heads: &[&'static str], spare: &[&'static str], room: usize) {
    let total = |widths: &[usize]| {
        let shown = widths.iter().filter(|width| **width > 0).count();
        widths.iter().sum::<usize>() + shown.saturating_sub(1) * GAP
    };
    let Some(last) = widths.iter().rposition(|width| *width > 0) else { return };
    let floor =
        |at: usize, heads: &[&str]| if at == last { LAST_MIN } else { heads[at].len().max(COLUMN_MIN) };
    let mut spare = spare.iter();
    while total(widths) > room {
        let can = |at: &usize| widths[*at] > floor(*at, heads);
        if let Some(widest) = (0..widths.len()).filter(can).max_by_key(|at| widths[*at]) {
            widths[widest] -= 1;
        } else if let Some(at) = spare.next().and_then(|name| heads.iter().position(|head| head == name)) {
            widths[at] = 0;
        } else {
            return;
        }
    }
}

fn line(row: &[Cell], widths: &[usize], room: Option<usize>, styles: bool) -> String {
    let mut out = String::new();
    let mut used = 0;
    let last = widths.iter().rposition(|width| *width > 0);
    for (index, (cell, width)) in row.iter().zip(widths).enumerate().filter(|(_, (_, width))| **width > 0) {
        let last = Some(index) == last;
        let left = room.map_or(usize::MAX, |room| room.saturating_sub(used));
        let (text, wide) = cell.cut(left.min(*width));
        let style = if styles { cell.style } else { Style::new() };
        let pad = if last { 0 } else { (width + GAP).saturating_sub(wide).min(left.saturating_sub(wide)) };
        // Writing to a String cannot fail.
        let _ = if style.is_plain() { out.write_str(&text) } else { write!(out, "{style}{text}{style:#}") };
        out.extend(std::iter::repeat_n(' ', pad));
        used += wide + pad;
    }
    out.truncate(out.trim_end().len());
    out
}

/// Columns of a text that went through the sanitiser. Those of plain text are its bytes, which is quickly seen.
fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.width() }
}

/// The beginning of a text that is wider than `room` columns, and `…`.
fn cut(text: &str, room: usize) -> String {
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > room {
            break;
        }
        out.push(c);
    }
    if room > 0 {
        out.push('…');
    }
    out
}

fn terminal_width() -> Option<usize> {
    crate::pty::window_size(io::stdout()).map(|size| usize::from(size.cols))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_foreign_text_is_shown() {
        let mut table = Table::new(&["ID", "NAME"]);
        table.row(vec!["漢字".into(), "a\u{1b}[2J".into()]);
        table.row(vec!["x".into(), "b".into()]);
        let lines: Vec<String> = table
            .lines(None, true)
            .iter()
            .map(|line| anstream::adapter::strip_str(line).to_string())
            .collect();
        assert_eq!(lines, ["ID    NAME", "漢字  a\\u{1b}[2J", "x     b"]);
    }

    #[test]
    fn on_a_narrow_terminal_the_last_column_stays() {
        let mut table = Table::new(&["ID", "STATE", "EXIT", "RAN", "WHAT"]).sparing(&["RAN"]);
        table.row(
            ["shell-0123456789", "running", "", "1m 2s", "make the tests pass, please"]
                .map(Cell::from)
                .to_vec(),
        );
        let lines = |room| table.lines(Some(room), false);
        assert_eq!(lines(80)[1], "shell-0123456789  running  1m 2s  make the tests pass, please");
        assert_eq!(lines(80)[0], "ID                STATE    RAN    WHAT");
        assert_eq!(lines(56)[1], "shell-0123456789  running  1m 2s  make the tests pass, …");
        assert_eq!(lines(48)[1], "shell-012…  running  1m 2s  make the tests pass…");
        assert_eq!(lines(40)[1], "shell-0…  running  make the tests pass…");
        for room in 0..90 {
            assert!(lines(room).iter().all(|line| width(line) <= room), "{room}: {:?}", lines(room));
        }
        assert!(table.lines(None, false)[0].contains("EXIT"), "a pipe gets all");
    }

    #[test]
    fn a_narrow_terminal_cuts() {
        let cell = Cell::from("abcdef");
        assert_eq!(cell.cut(4), ("abc…".into(), 4));
        assert_eq!(cell.cut(6), ("abcdef".into(), 6));
        assert_eq!(cell.cut(0), ("".into(), 0));
    }

    #[test]
    fn styles_go_where_they_are_wanted() {
        let mut table = Table::new(&["ID"]);
        table.row(vec![Cell::styled("x", BOLD)]);
        assert_eq!(table.lines(None, false), ["ID", "x"]);
        assert!(table.lines(None, true)[1].starts_with('\u{1b}'));
    }
}
