//! What a client asks for.

use std::ops::RangeInclusive;

use crate::serve::ApiError;
use crate::serve::params::Params;
use crate::session::terminal::possible;
use crate::wire::WindowSize;

/// What columns and rows a client may have. A terminal has fewer: one that is larger is not asked.
const CELLS: RangeInclusive<u64> = 0..=u16::MAX as u64;

/// Query of `/ws/{id}`.
#[derive(Debug, Clone, Copy)]
pub struct TerminalQuery {
    /// The next byte that the client wants.
    pub from: Option<u64>,
    /// Its columns.
    pub cols: Option<u16>,
    /// Its rows.
    pub rows: Option<u16>,
    read_only: bool,
    darkmux: bool,
}

impl TerminalQuery {
    /// What the parameters say.
    pub fn of(params: &Params) -> Result<Self, ApiError> {
        let cells = |name| {
            let number = params.number(name, CELLS)?;
            Ok::<_, ApiError>(number.and_then(|number| u16::try_from(number).ok()))
        };
        Ok(Self {
            from: params.number("from", 0..=u64::MAX)?,
            cols: cells("cols")?,
            rows: cells("rows")?,
            read_only: params.flag("read_only")?,
            darkmux: params.flag("darkmux")?,
        })
    }

    /// Whether it only wants to watch.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Whether it knows the frames that gmux does not have.
    pub fn is_ours(&self) -> bool {
        self.darkmux
    }

    /// How large it is, where it said so.
    pub fn size(&self) -> Option<WindowSize> {
        possible(WindowSize { cols: self.cols?, rows: self.rows? })
    }
}
