//! Watching one session: its output comes, keys go, and the connection heals.
//!
//! Invariant: whatever it waits for, the user can leave.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::detach::Detach;
use super::host;
use super::screen::Screen;
use super::sized::Sizes;
use super::terminal::{Happening, Terminal};
use super::watch::{Keys, Seen, Watch, show_log, tell_gap};
use crate::cli::{Cx, Exit, Failure};
use crate::model::SessionId;
use crate::session::{Attachment, Event, HostClient, LogReader, OldHost, ScreenAttach, Table, files};
use crate::util::reached;
use crate::wire::frames::Owner;
use crate::wire::{SessionStatus, WindowSize};

/// How long a host that should be there may not answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// Pause between two tries to reach a host.
const RETRY: Duration = Duration::from_millis(50);

/// How long after Ctrl-C another one ends the session.
const SECOND_INTERRUPT: Duration = Duration::from_secs(2);

/// How long the host may take the last keys of a user who leaves.
const LAST_KEYS: Duration = Duration::from_secs(1);

/// Typed bytes that the session has not read and that still let more be typed, in bytes.
const TYPED_MAX: usize = 4 * 1024 * 1024;

/// Ctrl-C.
const INTERRUPT: u8 = 0x03;

/// Output of the past that stands for a screen that nobody has any more, in bytes.
const PAST: u64 = 64 * 1024;

/// How a connection ended.
enum Followed {
    Seen(Seen),
    Broke(io::Error),
    /// The screen has our size now, and is wanted anew.
    Anew,
}

/// Watches one session.
pub(super) struct Watcher<'a> {
    cx: &'a Cx,
    table: &'a Table,
    id: &'a SessionId,
    how: &'a Watch,
    /// Where the output goes.
    pub screen: Screen<'a>,
    terminal: Terminal,
    at: Option<u64>,
    /// Typed while there was no connection.
    typed: Vec<u8>,
    heard: Instant,
    interrupted: Option<Instant>,
    /// The user asked for the session's end.
    pub ending: bool,
    detach: Option<Detach>,
    screens: Screens,
}

/// What is known of the session's screens.
#[derive(Debug, Default)]
struct Screens {
    /// The host is of an older version and has none.
    none: bool,
    /// The size was taken over.
    claimed: bool,
    sizes: Sizes,
    /// A picture whose size is not told yet.
    picture: Option<Bytes>,
}

impl<'a> Watcher<'a> {
    /// Nothing seen yet.
    pub fn new(
        cx: &'a Cx,
        (table, id): (&'a Table, &'a SessionId),
        (how, detach): (&'a Watch, Option<Detach>),
        screen: Screen<'a>,
        terminal: Terminal,
    ) -> Self {
        let (typed, heard) = (Vec::new(), Instant::now());
        let (at, interrupted, ending) = (how.from, None, false);
        let screens = Screens::default();
        Self { cx, table, id, how, screen, terminal, at, typed, heard, interrupted, ending, detach, screens }
    }

    /// To the session's end, or until the user leaves it.
    pub async fn run(&mut self) -> Result<Seen, Failure> {
        self.heard = Instant::now();
        loop {
            let attach = self.attach();
            let error = match self.unless_left(attach).await {
                Err(seen) => return Ok(seen),
                Ok(Err(error)) => error,
                Ok(Ok(attachment)) => match self.follow(attachment).await? {
                    Followed::Seen(seen) => return Ok(seen),
                    Followed::Anew => {
                        self.at = None;
                        continue;
                    }
                    Followed::Broke(error) => error,
                },
            };
            if OldHost::is(&error) && !self.screens.none {
                self.screens.none = true;
                self.at_past(self.table.get(self.id)?);
                continue;
            }
            if let Some(status) = self.ended()? {
                return Ok(Seen::Ended(Box::new(status)));
            }
            let is_final =
                matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::PermissionDenied);
            if is_final || self.heard.elapsed() >= PATIENCE {
                return Err(host::silent(self.table, self.id, &error));
            }
            if let Err(seen) = self.unless_left(tokio::time::sleep(RETRY)).await {
                return Ok(seen);
            }
        }
    }

    /// A connection, as this watching wants it.
    fn attach(&mut self) -> impl Future<Output = io::Result<Attachment>> + use<> {
        let folder = self.table.folder(self.id);
        let (at, hold) = (self.at, self.how.hold);
        let screen = self.how.screen && !self.screens.none;
        let read_only = self.how.keys == Keys::Looking;
        let size = Terminal::size().filter(|_| screen && !read_only);
        // Once: a connection that broke takes nothing over from who came meanwhile.
        let claim = size.filter(|_| !std::mem::replace(&mut self.screens.claimed, true));
        self.screens.sizes.begin();
        self.screens.picture = None;
        async move {
            let mut client = HostClient::connect(&folder).await?;
            if let Some(size) = claim {
                // Before the picture is made.
                client.resize(size).await?;
            }
            if screen {
                client.attach_screen(ScreenAttach { from: at, size, read_only }).await
            } else {
                client.attach(at, hold).await
            }
        }
    }

    /// Goes on with the end of what was put out, where there is no screen to begin with.
    fn at_past(&mut self, status: Option<SessionStatus>) {
        if let (None, true, Some(status)) = (self.at, self.how.screen, status) {
            let end = status.output.end;
            self.at = Some(end.saturating_sub(PAST));
            self.screen.begin_past(end.min(PAST));
        }
    }

    /// Does something without a connection, unless the user leaves or the time is over meanwhile.
    async fn unless_left<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Seen> {
        tokio::pin!(work);
        loop {
            let take_keys = self.typed.len() < TYPED_MAX;
            let happening = tokio::select! {
                done = &mut work => return Ok(done),
                happening = self.terminal.next(take_keys) => happening,
                () = reached(self.how.until) => return Err(Seen::TimeOver),
            };
            match happening {
                Happening::Typed(bytes) => {
                    let (bytes, leave) = self.split(&bytes);
                    self.typed.extend_from_slice(&bytes);
                    if leave {
                        return Err(Seen::Left(Exit::Interrupted));
                    }
                }
                // The size is told at the next connection.
                Happening::Resized(_) => {}
                Happening::Interrupt => return Err(Seen::Left(Exit::Interrupted)),
                Happening::End(exit) => return Err(Seen::Left(exit)),
            }
        }
    }

    /// The final state of a session without a host, after its output on disk was shown.
    fn ended(&mut self) -> Result<Option<SessionStatus>, Failure> {
        let Some(status) = self.table.get(self.id)?.filter(|status| status.state.is_final()) else {
            return Ok(None);
        };
        self.at_past(Some(status.clone()));
        if let Some(at) = self.at {
            let mut log = LogReader::new(self.table.folder(&status.id).join(files::OUTPUT));
            let cx = self.cx;
            let end = show_log(&mut log, at, &mut self.screen, |from, to| tell_gap(cx, from, to))?;
            if end < status.output.end {
                tell_gap(cx, end, status.output.end);
                self.screen.skip(status.output.end)?;
            }
            self.at = Some(end.max(status.output.end));
        }
        Ok(Some(status))
    }

    /// Follows one connection.
    async fn follow(&mut self, attachment: Attachment) -> Result<Followed, Failure> {
        let Attachment { mut events, mut input, .. } = attachment;
        self.heard = Instant::now();
        let screen = self.how.screen && !self.screens.none;
        let sizes = matches!(self.how.keys, Keys::Attached | Keys::Wait { .. });
        if let (true, false, Some(size)) = (sizes, screen, Terminal::size()) {
            input.resize(size);
        }
        input.send(&std::mem::take(&mut self.typed));
        let mut takes_input = true;
        loop {
            let leave = self.interrupted.map(|at| at + SECOND_INTERRUPT);
            let take_keys = input.waiting() < TYPED_MAX;
            let happening = tokio::select! {
                event = events.next() => {
                    self.heard = Instant::now();
                    match event {
                        Ok(Some(Event::Output(bytes))) => self.show(&bytes)?,
                        Ok(Some(Event::Gap(from, to))) => self.gap(from, to)?,
                        Ok(Some(Event::Snapshot { at, bytes })) => self.picture(at, bytes)?,
                        Ok(Some(Event::Size { size, owner })) => if self.sized(size, owner)? {
                            return Ok(Followed::Anew);
                        },
                        Ok(Some(Event::End(status))) => {
                            self.draw_held()?;
                            return Ok(Followed::Seen(Seen::Ended(status)));
                        }
                        Ok(None) => return Ok(Followed::Broke(io::ErrorKind::UnexpectedEof.into())),
                        Err(error) => return Ok(Followed::Broke(error)),
                    }
                    continue;
                }
                // A broken connection shows at the events.
                sent = input.flush(), if takes_input && input.waiting() > 0 => {
                    takes_input = sent.is_ok();
                    continue;
                }
                happening = self.terminal.next(take_keys) => happening,
                () = reached(leave) => return Ok(Followed::Seen(Seen::Left(Exit::Interrupted))),
                () = reached(self.how.until) => return Ok(Followed::Seen(Seen::TimeOver)),
            };
            let mut left = Exit::Interrupted;
            let leaves = match happening {
                Happening::Typed(bytes) => {
                    let (bytes, leave) = self.split(&bytes);
                    input.send(&bytes);
                    leave
                }
                Happening::Resized(size) => {
                    if self.screens.sizes.resized(size) {
                        return Ok(Followed::Anew);
                    }
                    if let boxed @ Some(_) = self.screens.sizes.boxed() {
                        self.screen.box_in(boxed)?;
                    }
                    match (sizes, screen) {
                        (true, true) => input.state_size(size),
                        (true, false) => input.resize(size),
                        (false, _) => {}
                    }
                    false
                }
                Happening::Interrupt => {
                    let leaves = self.interrupt().await?;
                    input.send(&std::mem::take(&mut self.typed));
                    leaves
                }
                Happening::End(exit) => {
                    left = exit;
                    true
                }
            };
            if leaves {
                let _ = tokio::time::timeout(LAST_KEYS, input.flush()).await;
                return Ok(Followed::Seen(Seen::Left(left)));
            }
        }
    }

    fn show(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.draw_held()?;
        if let Some(at) = &mut self.at {
            *at += bytes.len() as u64;
            self.screen.show(bytes)?;
        }
        Ok(())
    }

    fn gap(&mut self, from: u64, to: u64) -> io::Result<()> {
        if let Some(at) = &mut self.at {
            *at = to;
            tell_gap(self.cx, from, to);
            self.screen.skip(to)?;
        }
        Ok(())
    }

    /// Shows the screen as it was at an offset.
    fn picture(&mut self, at: u64, bytes: Bytes) -> io::Result<()> {
        self.at = Some(at);
        if self.screens.sizes.is_known() {
            return self.draw(&bytes);
        }
        self.screens.picture = Some(bytes);
        Ok(())
    }

    /// The session's terminal has this size; `true` where the screen is wanted anew because of that.
    fn sized(&mut self, size: WindowSize, owner: Owner) -> io::Result<bool> {
        let sizes = &mut self.screens.sizes;
        let anew = sizes.told((size, owner), Terminal::size(), self.screens.picture.is_some());
        if !anew {
            self.draw_held()?;
        }
        Ok(anew)
    }

    fn draw(&mut self, picture: &[u8]) -> io::Result<()> {
        self.screen.box_in(self.screens.sizes.boxed())?;
        self.screen.picture(picture, Terminal::size().unwrap_or_default().rows)
    }

    /// Draws the picture of a session whose host says no size after it.
    fn draw_held(&mut self) -> io::Result<()> {
        self.screens.picture.take().map_or(Ok(()), |bytes| self.draw(&bytes))
    }

    /// What of the typed bytes goes to the session, and whether the user leaves it.
    fn split(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let Some(detach) = &mut self.detach else { return (Vec::new(), false) };
        let (typed, leaves) = detach.split(bytes);
        match self.how.keys {
            Keys::Looking | Keys::Ignored => (Vec::new(), leaves || bytes.contains(&INTERRUPT)),
            Keys::Attached | Keys::Wait { .. } => (typed, leaves),
        }
    }

    /// Ctrl-C: `true` leaves the session. The first one waits for a second one,
    /// which ends the session; a third one does so at once.
    async fn interrupt(&mut self) -> Result<bool, Failure> {
        let Keys::Wait { cancel } = self.how.keys else { return Ok(true) };
        let id = self.id;
        if self.interrupted.is_none() && !self.ending && !cancel {
            self.interrupted = Some(Instant::now());
            self.cx.printer.note(&format!("\r\nleaving session {id}; Ctrl-C again within 2 s ends it\r"));
            return Ok(false);
        }
        let grace = self.ending.then_some(Duration::ZERO);
        self.interrupted = None;
        self.ending = true;
        self.cx.printer.note(&format!("\r\nending session {id} …\r"));
        let folder = self.table.folder(id);
        let stop = async move { HostClient::connect(&folder).await?.stop(grace).await };
        match self.unless_left(stop).await {
            Err(_) => Ok(true),
            Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                Err(host::silent(self.table, id, &error))
            }
            // A host that is gone has ended the session already; the events tell.
            Ok(_) => Ok(false),
        }
    }
}
