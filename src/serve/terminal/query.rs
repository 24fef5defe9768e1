//! What a client asks for.

use serde::Deserialize;

use crate::session::terminal::possible;
use crate::wire::WindowSize;

/// Query of `/ws/{id}`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct TerminalQuery {
    /// The next byte that the client wants.
    pub from: Option<u64>,
    /// Its columns.
    pub cols: Option<u16>,
    /// Its rows.
    pub rows: Option<u16>,
    #[serde(default)]
    read_only: u8,
    #[serde(default)]
    darkmux: u8,
}

impl TerminalQuery {
    /// Whether it only wants to watch.
    pub fn is_read_only(&self) -> bool {
        self.read_only != 0
    }

    /// Whether it knows the frames that gmux does not have.
    pub fn is_ours(&self) -> bool {
        self.darkmux != 0
    }

    /// How large it is, where it said so.
    pub fn size(&self) -> Option<WindowSize> {
        possible(WindowSize { cols: self.cols?, rows: self.rows? })
    }
}
