//! Watching a session from a terminal: what is asked, and what comes of it.

use std::io;

use tokio::time::Instant;

use super::detach::Detach;
use super::screen::Screen;
use super::terminal::Terminal;
use super::watcher::Watcher;
use crate::cli::{Cx, Exit, Failure, FailureContext};
use crate::model::SessionId;
use crate::pty::Signals;
use crate::session::{LogReader, Table};
use crate::wire::SessionStatus;

/// What keys do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// Nothing is typed; Ctrl-C stops watching.
    Ignored,
    /// Keys are typed into the session; Ctrl-C leaves it running, twice ends it.
    Wait {
        /// The first Ctrl-C ends it.
        cancel: bool,
    },
    /// All keys are typed into the session; the detach key leaves it running.
    Attached,
    /// Nothing is typed; Ctrl-C and the detach key leave.
    Looking,
}

/// How to watch.
#[derive(Debug)]
pub struct Watch {
    /// Offset to start from; `None` shows nothing.
    pub from: Option<u64>,
    /// The session's terminal waits when we fall behind.
    pub hold: bool,
    /// What keys do.
    pub keys: Keys,
    /// Stop watching, not the session, at this moment.
    pub until: Option<Instant>,
    /// Begin with the screen as it is, unless `from` says where to go on.
    pub screen: bool,
}

/// How watching ended.
#[derive(Debug)]
pub enum Seen {
    /// The session has ended.
    Ended(Box<SessionStatus>),
    /// The user ended the session by Ctrl-C.
    Cancelled(Box<SessionStatus>),
    /// The session runs on; the status of whoever stopped watching: by Ctrl-C, or by which signal.
    Left(Exit),
    /// The session runs on; the time to watch is over.
    TimeOver,
}

/// Watches the session until it ends or the user leaves it.
pub async fn watch(
    cx: &Cx,
    table: &Table,
    id: &SessionId,
    how: &Watch,
    screen: Screen<'_>,
) -> Result<Seen, Failure> {
    let signals = match how.keys {
        Keys::Ignored => None,
        Keys::Wait { .. } => Some(Signals::Here),
        Keys::Attached | Keys::Looking => Some(Signals::AsBytes),
    };
    let keys = (how.keys != Keys::Ignored).then(|| cx.config()).transpose()?;
    let detach = keys.map(|config| Detach::new(&config.session().detach_key)).transpose();
    let detach = detach.map_err(|words| Failure::new(Exit::Usage, words))?;
    let terminal = Terminal::open(signals).or_exit(Exit::Internal)?;
    let mut watcher = Watcher::new(cx, (table, id), (how, detach), screen, terminal);
    let seen = match watcher.run().await {
        Ok(Seen::Ended(status)) if watcher.ending => Ok(Seen::Cancelled(status)),
        seen => seen,
    };
    watcher.screen.end()?;
    if watcher.screen.is_mid_line() {
        cx.printer.note("\r");
    }
    seen
}

/// Shows what is on disk of an output from `at` on, telling `gap` of what is missing; returns the offset
/// after it.
pub fn show_log(
    log: &mut LogReader,
    mut at: u64,
    screen: &mut Screen<'_>,
    gap: impl Fn(u64, u64),
) -> io::Result<u64> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let (from, count) = log.read_at(at, &mut buffer)?;
        if count == 0 {
            return Ok(at);
        }
        if from > at {
            gap(at, from);
            screen.skip(from)?;
        }
        screen.show(&buffer[..count])?;
        at = from + count as u64;
    }
}

/// Says that a part of the output is missing.
pub fn tell_gap(cx: &Cx, from: u64, to: u64) {
    cx.printer.note(&format!("[{} bytes of output are no longer kept]\r", to.saturating_sub(from)));
}
