//! Watching a session from a terminal: its output comes, keys go, and the connection heals.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::screen::Screen;
use super::terminal::{Happening, Terminal};
use crate::cli::{Cx, Exit, Failure, FailureContext};
use crate::model::SessionId;
use crate::pty::Signals;
use crate::session::{Attachment, Event, HostClient, LogReader, Table, files};
use crate::wire::SessionStatus;

/// How long a host that should be there may not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pause between two tries to reach a host.
const RETRY: Duration = Duration::from_millis(50);

/// How long after Ctrl-C another one ends the session.
const SECOND_INTERRUPT: Duration = Duration::from_secs(2);

/// The key that leaves an attached session: Ctrl-\.
const DETACH_KEY: u8 = 0x1c;

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
    /// All keys are typed into the session; Ctrl-\ leaves it running.
    Attached,
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
}

/// How watching ended.
#[derive(Debug)]
pub enum Seen {
    /// The session has ended.
    Ended(Box<SessionStatus>),
    /// The session runs on.
    Left,
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
        Keys::Attached => Some(Signals::AsBytes),
    };
    let terminal = Terminal::open(signals).or_exit(Exit::Internal)?;
    let mut watcher =
        Watcher { cx, table, id, how, screen, terminal, at: how.from, interrupted: None, ending: false };
    let seen = watcher.run().await;
    watcher.screen.end()?;
    if watcher.screen.is_mid_line() {
        cx.printer.note("\r");
    }
    seen
}

struct Watcher<'a> {
    cx: &'a Cx,
    table: &'a Table,
    id: &'a SessionId,
    how: &'a Watch,
    screen: Screen<'a>,
    terminal: Terminal,
    at: Option<u64>,
    interrupted: Option<Instant>,
    ending: bool,
}

impl Watcher<'_> {
    async fn run(&mut self) -> Result<Seen, Failure> {
        let mut reached = Instant::now();
        loop {
            match HostClient::connect(&self.table.folder(self.id)).await {
                Ok(client) => {
                    if let Some(seen) = self.follow(client).await? {
                        return Ok(seen);
                    }
                    reached = Instant::now();
                }
                Err(error) => self.check(&error, reached)?,
            }
            if let Some(status) = self.ended()? {
                return Ok(Seen::Ended(Box::new(status)));
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Whether an unreachable host may still come.
    fn check(&self, error: &io::Error, reached: Instant) -> Result<(), Failure> {
        if reached.elapsed() < PATIENCE {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Internal,
            format!(
                "the host of session {} does not answer ({error}); its log is {}",
                self.id,
                self.table.folder(self.id).join(files::HOST_LOG).display()
            ),
        ))
    }

    /// The final state of a session without a host, after its output on disk was shown.
    fn ended(&mut self) -> Result<Option<SessionStatus>, Failure> {
        let status = self.table.get(self.id)?.filter(|status| status.state.is_final());
        if let (Some(status), Some(at)) = (&status, self.at) {
            let mut log = LogReader::new(self.table.folder(&status.id).join(files::OUTPUT));
            self.at = Some(show_log(&mut log, at, &mut self.screen)?);
        }
        Ok(status)
    }

    /// Follows one connection; `None` when it broke.
    async fn follow(&mut self, client: HostClient) -> Result<Option<Seen>, Failure> {
        let Ok(Attachment { mut events, mut input }) = client.attach(self.at, self.how.hold).await else {
            return Ok(None);
        };
        if let (true, Some(size)) = (self.how.keys != Keys::Ignored, Terminal::size()) {
            let _ = input.resize(size).await;
        }
        loop {
            let leave = self.interrupted.map(|at| at + SECOND_INTERRUPT);
            tokio::select! {
                event = events.next() => match event {
                    Ok(Some(Event::Output(bytes))) => self.show(&bytes)?,
                    Ok(Some(Event::Gap(from, to))) => self.gap(from, to),
                    Ok(Some(Event::End(status))) => return Ok(Some(Seen::Ended(status))),
                    Ok(None) | Err(_) => return Ok(None),
                },
                happening = self.terminal.next() => match happening {
                    Happening::Typed(bytes) => {
                        let (bytes, leave) = self.typed(&bytes);
                        // A broken connection shows at the events.
                        let _ = input.send(bytes).await;
                        if leave {
                            return Ok(Some(Seen::Left));
                        }
                    }
                    Happening::Resized(size) => drop(input.resize(size).await),
                    Happening::Interrupt => if self.interrupt().await {
                        return Ok(Some(Seen::Left));
                    },
                    Happening::End => return Ok(Some(Seen::Left)),
                },
                () = reached(leave) => return Ok(Some(Seen::Left)),
                () = reached(self.how.until) => return Ok(Some(Seen::TimeOver)),
            }
        }
    }

    fn show(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(at) = &mut self.at {
            *at += bytes.len() as u64;
            self.screen.show(bytes)?;
        }
        Ok(())
    }

    fn gap(&mut self, from: u64, to: u64) {
        if let Some(at) = &mut self.at {
            *at = to;
            self.cx.printer.note(&format!("[{} bytes of output are no longer kept]", to - from));
        }
    }

    /// What of the typed bytes goes to the session, and whether the user leaves it.
    fn typed<'b>(&self, bytes: &'b [u8]) -> (&'b [u8], bool) {
        let key = bytes.iter().position(|byte| *byte == DETACH_KEY);
        match key.filter(|_| self.how.keys == Keys::Attached) {
            Some(at) => (&bytes[..at], true),
            None => (bytes, false),
        }
    }

    /// Ctrl-C: `true` leaves the session. The first one says how to come back and waits for a second one,
    /// which ends the session; a third one does so at once.
    async fn interrupt(&mut self) -> bool {
        let Keys::Wait { cancel } = self.how.keys else { return true };
        let id = self.id;
        if self.interrupted.is_none() && !self.ending && !cancel {
            self.interrupted = Some(Instant::now());
            self.cx.printer.note(&format!(
                "\r\nleaving session {id}, which runs on; Ctrl-C again within 2 s ends it\r\n  \
                 darkmux session attach {id}    to come back\r"
            ));
            return false;
        }
        let grace = self.ending.then_some(Duration::ZERO);
        self.interrupted = None;
        self.ending = true;
        self.cx.printer.note(&format!("\r\nending session {id} …\r"));
        if let Ok(mut client) = HostClient::connect(&self.table.folder(id)).await {
            // A host that is gone has ended the session already; the events tell.
            let _ = client.stop(grace).await;
        }
        false
    }
}

/// Shows what is on disk of an output from `at` on; returns the offset after it.
pub fn show_log(log: &mut LogReader, mut at: u64, screen: &mut Screen<'_>) -> io::Result<u64> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let (from, count) = log.read_at(at, &mut buffer)?;
        if count == 0 {
            return Ok(at);
        }
        screen.show(&buffer[..count])?;
        at = from + count as u64;
    }
}

async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
