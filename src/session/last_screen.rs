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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::LogWriter;

    #[test]
    fn another_run_begins_below_the_earlier_ones_with_nothing_switched_on() {
        let root = tempfile::tempdir().unwrap();
        let mut log = LogWriter::new(root.path().join(files::OUTPUT), 1 << 20);
        // It ends within a sequence, in another colour, on the other screen, with all that a program may have left.
        let left: &[u8] = b"one\r\ntwo\x1b[?1049h\x1b[31mdrawn\x1b[2;4r\x1b[?6h\x1b[?1;1000;1006;2004;1004h\x1b=\x1b[?25l\x1b(0\x1b[3";
        log.append(0, left).unwrap();
        let size = WindowSize { cols: 20, rows: 6 };
        let mut screen = screen_after(root.path(), size).unwrap();
        screen.feed(b"q next");
        let one = |number| std::num::NonZeroU16::new(number).unwrap();
        let mut terminal = vt100::Parser::new(one(size.rows), one(size.cols), 0);
        terminal.process(&screen.snapshot());
        let shown = terminal.screen();
        assert_eq!(shown.contents(), "one\ntwo\nq next");
        assert_eq!(shown.cell(2, 0).unwrap().fgcolor(), vt100::Color::Default);
        let modes = [
            shown.alternate_screen(),
            shown.hide_cursor(),
            shown.application_cursor(),
            shown.application_keypad(),
        ];
        assert_eq!((modes, shown.bracketed_paste()), ([false; 4], false));
        assert_eq!(shown.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
        // The whole screen scrolls, and positions count from its top.
        terminal.process(b"\x1b[1;1H!\x1b[6;1H\r\n\r\n");
        assert_eq!(terminal.screen().contents(), "q next");
    }
}
