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
        printer.line(&self.lines(room, printer.styles()).join("\n"))
    }

    fn lines(&self, room: Option<usize>, styles: bool) -> Vec<String> {
        let mut widths: Vec<usize> = self.heads.iter().map(|head| head.len()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width);
            }
        }
        let heads: Vec<Cell> = self.heads.iter().map(|head| Cell::styled(head, BOLD)).collect();
        let of_row = |row: &Vec<Cell>| line(row, &widths, room, styles);
        std::iter::once(&heads).chain(&self.rows).map(of_row).collect()
    }
}

fn line(row: &[Cell], widths: &[usize], room: Option<usize>, styles: bool) -> String {
    let mut out = String::new();
    let mut used = 0;
    for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
        let last = index + 1 == row.len();
        let left = room.map_or(usize::MAX, |room| room.saturating_sub(used));
        let (text, wide) = cell.cut(left);
        let style = if styles { cell.style } else { Style::new() };
        let pad = if last { 0 } else { (width + GAP).saturating_sub(wide).min(left) };
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
