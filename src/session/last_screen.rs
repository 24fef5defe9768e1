//! What the terminal of an ended session showed last, from what is held of its output.

use std::io;
use std::path::Path;

use super::screen::Screen;
use super::{LogReader, files};
use crate::wire::{SessionStatus, WindowSize};

/// Newest output that is looked at, in bytes; more than any screen and its history take.
const LOOKED_AT: u64 = 8 * 1024 * 1024;

/// The same, where a program waits to be shown.
const HISTORY: u64 = 2 * 1024 * 1024;

/// Bytes read at a time.
const PIECE: usize = 256 * 1024;

/// A snapshot of the screen of an ended session, and the offset after its last byte. Blocks.
pub fn last_screen(folder: &Path, status: &SessionStatus) -> io::Result<(u64, Vec<u8>)> {
    let (end, screen) = replay(folder, status.size, LOOKED_AT)?;
    Ok((end, screen.snapshot()))
}

/// The screen for another run of a session's program, below what the earlier ones showed. Blocks.
pub(super) fn screen_after(folder: &Path, size: WindowSize) -> io::Result<Screen> {
    let (_, mut screen) = replay(folder, size, HISTORY)?;
    screen.begin_anew();
    Ok(screen)
}

/// What an ended session put out from this offset on. `None` where that is not held, or is more than a picture is drawn
/// from. Blocks.
pub fn last_output(folder: &Path, from: u64) -> io::Result<Option<Vec<u8>>> {
    let mut reader = LogReader::new(folder.join(files::OUTPUT));
    let (start, end) = reader.range()?;
    if !(start..=end).contains(&from) || end - from > LOOKED_AT {
        return Ok(None);
    }
    let mut rest = Vec::new();
    let mut buffer = vec![0; PIECE];
    loop {
        let wanted = from + rest.len() as u64;
        let (at, count) = reader.read_at(wanted, &mut buffer)?;
        match count {
            0 => return Ok(Some(rest)),
            _ if at != wanted => return Ok(None),
            _ => rest.extend_from_slice(&buffer[..count]),
        }
    }
}

/// The rows of the screen of an ended session as text. Blocks.
pub fn last_rows(folder: &Path, status: &SessionStatus) -> io::Result<Vec<String>> {
    Ok(replay(folder, status.size, LOOKED_AT)?.1.text_rows())
}

/// The rows of the screen that these bytes draw, as text.
pub fn drawn_rows(bytes: &[u8], size: WindowSize) -> Vec<String> {
    let mut screen = Screen::new(size);
    screen.feed(bytes);
    screen.text_rows()
}

/// What draws one row, from 1, of the screen that these bytes draw. `None` where they end within a sequence, or on the
/// alternate screen.
pub fn drawn_row(bytes: &[u8], size: WindowSize, row: u16) -> Option<Vec<u8>> {
    let mut screen = Screen::new(size);
    screen.feed(bytes);
    screen.row(row)
}

fn replay(folder: &Path, size: WindowSize, most: u64) -> io::Result<(u64, Screen)> {
    let mut reader = LogReader::new(folder.join(files::OUTPUT));
    let (start, end) = reader.range()?;
    let mut at = start.max(end.saturating_sub(most));
    let mut screen = Screen::new(size);
    let mut buffer = vec![0; PIECE];
    while at < end {
        let (from, count) = reader.read_at(at, &mut buffer)?;
        if count == 0 {
            break;
        }
        screen.feed(&buffer[..count]);
        at = from + count as u64;
    }
    Ok((end, screen))
}
