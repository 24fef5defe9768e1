//! Where the terminal's tabs stop: every eight columns, until the program says otherwise.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::COLS_MAX;

/// Columns between two stops of a terminal in its first state.
const APART: u16 = 8;

/// The stops; `None` where they are as they were in the beginning.
#[derive(Debug, Default)]
pub(super) struct Tabs(Option<BTreeSet<u16>>);

impl Tabs {
    fn stops(&mut self) -> &mut BTreeSet<u16> {
        self.0.get_or_insert_with(|| (0..COLS_MAX).step_by(usize::from(APART)).collect())
    }

    /// Tabs stop at this column.
    pub fn set(&mut self, col: u16) {
        self.stops().insert(col);
    }

    /// They stop there no more.
    pub fn clear(&mut self, col: u16) {
        self.stops().remove(&col);
    }

    /// They stop nowhere.
    pub fn clear_all(&mut self) {
        self.0 = Some(BTreeSet::new());
    }

    /// Whether `vt100` knows where they stop.
    pub fn are_first(&self) -> bool {
        self.0.is_none()
    }

    /// The next stop after a column.
    pub fn after(&self, col: u16) -> Option<u16> {
        match &self.0 {
            None => Some((col / APART + 1) * APART),
            Some(stops) => stops.range(col + 1..).next().copied(),
        }
    }

    /// The last stop before a column.
    pub fn before(&self, col: u16) -> Option<u16> {
        match &self.0 {
            None => col.checked_sub(1).map(|col| col / APART * APART),
            Some(stops) => stops.range(..col).next_back().copied(),
        }
    }

    /// What brings a terminal of so many columns to these stops; it moves the cursor.
    pub fn write(&self, out: &mut String, cols: u16) {
        let Some(stops) = &self.0 else { return };
        out.push_str("\x1b[3g");
        for stop in stops.range(..cols) {
            let _ = write!(out, "\x1b[{}G\x1bH", stop + 1);
        }
    }
}
