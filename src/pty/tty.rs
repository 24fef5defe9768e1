//! The terminal this process was started from: its size, and raw mode with a guard.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::getpgrp;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcgetpgrp, tcgetwinsize,
    tcsetattr,
};

use crate::wire::WindowSize;

/// The size of the terminal on `fd`; `None` when it is no terminal or does not know.
pub fn window_size(fd: impl AsFd) -> Option<WindowSize> {
    let size = tcgetwinsize(fd).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some(WindowSize { cols: size.ws_col, rows: size.ws_row })
}

/// What Ctrl-C does in raw mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signals {
    /// It raises SIGINT here, as outside raw mode. Ctrl-Z and Ctrl-\\ are bytes.
    Here,
    /// It is a byte like any other.
    AsBytes,
}

/// The value that switches a special key off.
const NO_KEY: u8 = if cfg!(target_os = "linux") { 0 } else { 0xff };

/// A terminal in raw mode; dropping it brings the former mode back.
#[derive(Debug)]
pub struct RawMode {
    terminal: OwnedFd,
    before: Termios,
}

impl RawMode {
    /// Puts the terminal on `fd` into raw mode; `None` when it is no terminal, or when this process runs in
    /// its background and would be stopped for touching it. With `shows`, what is written to it is raw too.
    pub fn enter(fd: impl AsFd, signals: Signals, shows: bool) -> io::Result<Option<Self>> {
        if !isatty(&fd) || tcgetpgrp(&fd).is_ok_and(|group| group != getpgrp()) {
            return Ok(None);
        }
        let terminal = fd.as_fd().try_clone_to_owned()?;
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        if !shows {
            raw.output_modes = before.output_modes;
        }
        if signals == Signals::Here {
            raw.local_modes |= LocalModes::ISIG;
            for key in [SpecialCodeIndex::VSUSP, SpecialCodeIndex::VQUIT] {
                raw.special_codes[key] = NO_KEY;
            }
        }
        tcsetattr(&terminal, OptionalActions::Now, &raw)?;
        Ok(Some(Self { terminal, before }))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // Nothing to be done about a terminal that went away. Waiting until it has shown everything could be
        // for ever.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}
