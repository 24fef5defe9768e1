//! The screen as a terminal of another size shows it.

use super::Screen;
use super::styles::END_LINK;
use crate::wire::WindowSize;

/// A part of the screen, from its first column on; in rows, the part that the cursor is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// What draws each row, from its begin, without attributes before it. It may leave some behind.
    pub rows: Vec<String>,
    /// Row and column of the cursor, from 0, where it is seen.
    pub cursor: Option<(u16, u16)>,
}

impl Screen {
    /// As much of the screen as a terminal of this size has room for.
    pub fn view(&self, room: WindowSize) -> View {
        let cells = self.parser.screen();
        let styles = &self.parser.callbacks().styles;
        let (row, col) = cells.cursor_position();
        let top = (row + 1).saturating_sub(room.rows);
        let rows = cells.rows_formatted(0, room.cols.min(self.size().cols));
        let rows = rows.skip(usize::from(top)).take(usize::from(room.rows));
        View {
            rows: rows.map(|row| styles.write(&row).into_owned() + END_LINK).collect(),
            cursor: (!cells.hide_cursor() && col < room.cols).then_some((row - top, col)),
        }
    }
}
