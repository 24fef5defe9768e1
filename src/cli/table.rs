//! Aligned tables, cut to the terminal's width. Cells go through the sanitiser; widths are those of the
//! characters as shown.

use std::fmt::Write;
use std::io;

use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::printer::{BOLD, Printer};
use crate::util::visible_line;

/// Blanks between columns.
const GAP: usize = 2;

/// A cell: its text and how it is shown.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell with a style.
    pub fn styled(text: impl AsRef<str>, style: Style) -> Self {
        Self { text: visible_line(text.as_ref()).into_owned(), style }
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
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table with these headings.
    pub fn new(heads: &[&'static str]) -> Self {
        Self { heads: heads.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with a cell for each heading.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Prints it; on a terminal the last column is cut to the width.
    pub fn print(&self, printer: &Printer) -> io::Result<()> {
        let room = printer.is_tty().then(terminal_width).flatten();
        printer.line(&self.lines(room).join("\n"))
    }

    fn lines(&self, room: Option<usize>) -> Vec<String> {
        let mut widths: Vec<usize> = self.heads.iter().map(|head| head.len()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.width());
            }
        }
        let heads: Vec<Cell> = self.heads.iter().map(|head| Cell::styled(head, BOLD)).collect();
        std::iter::once(&heads).chain(&self.rows).map(|row| line(row, &widths, room)).collect()
    }
}

fn line(row: &[Cell], widths: &[usize], room: Option<usize>) -> String {
    let mut out = String::new();
    let mut used = 0;
    for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
        let last = index + 1 == row.len();
        let left = room.map_or(usize::MAX, |room| room.saturating_sub(used));
        let text = cut(&cell.text, left);
        let style = cell.style;
        let pad = if last { 0 } else { (width + GAP).saturating_sub(text.width()).min(left) };
        // Writing to a String cannot fail.
        let _ = write!(out, "{style}{text}{style:#}");
        out.extend(std::iter::repeat_n(' ', pad));
        used += text.width() + pad;
    }
    out.truncate(out.trim_end().len());
    out
}

/// The text, shortened with `…` where it is wider than `room` columns.
fn cut(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
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
        let lines: Vec<String> =
            table.lines(None).iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
        assert_eq!(lines, ["ID    NAME", "漢字  a\\u{1b}[2J", "x     b"]);
    }

    #[test]
    fn a_narrow_terminal_cuts() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 0), "");
    }
}
