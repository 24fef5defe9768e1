//! The user's terminal while a session is watched: keys, size, and the signals that end the watching.

use std::io::{self, IsTerminal, Read};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::cli::Exit;
use crate::pty::{self, RawMode, Signals};
use crate::wire::WindowSize;

/// Pieces of typed input that wait; the terminal's own buffer holds more.
const KEYS_QUEUE: usize = 16;

/// Keys read at a time, in bytes.
const READ_BUFFER: usize = 4096;

/// The user's terminal; dropping it brings its mode back.
pub struct Terminal {
    _raw: Option<RawMode>,
    keys: Option<mpsc::Receiver<Vec<u8>>>,
    interrupt: Signal,
    end: Signal,
    quit: Signal,
    hangup: Signal,
    resized: Signal,
}

/// Something that happened on the terminal.
pub enum Happening {
    /// Bytes were typed.
    Typed(Vec<u8>),
    /// The window changed.
    Resized(WindowSize),
    /// Ctrl-C.
    Interrupt,
    /// This process is asked to end; the status that says by which signal.
    End(Exit),
}

impl Terminal {
    /// Takes the terminal over. `keys` says what Ctrl-C is; without it nothing is typed into the session.
    pub fn open(keys: Option<Signals>) -> io::Result<Self> {
        let raw = match keys {
            Some(signals) => RawMode::enter(io::stdin(), signals, io::stdout().is_terminal())?,
            None => None,
        };
        let keys = raw.is_some().then(read_keys);
        Ok(Self {
            _raw: raw,
            keys,
            interrupt: signal(SignalKind::interrupt())?,
            end: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            resized: signal(SignalKind::window_change())?,
        })
    }

    /// The size of the window, where there is one.
    pub fn size() -> Option<WindowSize> {
        pty::window_size(io::stdout())
    }

    /// What happens next; keys are left where they are unless `take_keys`. Can be dropped while it waits.
    pub async fn next(&mut self, take_keys: bool) -> Happening {
        loop {
            tokio::select! {
                typed = typed(&mut self.keys), if take_keys => match typed {
                    Some(bytes) => return Happening::Typed(bytes),
                    None => self.keys = None,
                },
                Some(()) = self.resized.recv() => if let Some(size) = Self::size() {
                    return Happening::Resized(size);
                },
                Some(()) = self.interrupt.recv() => return Happening::Interrupt,
                Some(()) = self.end.recv() => return Happening::End(Exit::of_signal(SignalKind::terminate())),
                Some(()) = self.quit.recv() => return Happening::End(Exit::of_signal(SignalKind::quit())),
                Some(()) = self.hangup.recv() => return Happening::End(Exit::of_signal(SignalKind::hangup())),
            }
        }
    }
}

async fn typed(keys: &mut Option<mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match keys {
        Some(keys) => keys.recv().await,
        None => std::future::pending().await,
    }
}

/// Reads the terminal on a thread of its own: a read of a terminal cannot be taken back.
fn read_keys() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(KEYS_QUEUE);
    tokio::task::spawn_blocking(move || {
        let mut stdin = io::stdin().lock();
        let mut buffer = [0; READ_BUFFER];
        while let Ok(count) = stdin.read(&mut buffer) {
            if count == 0 || sender.blocking_send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}
