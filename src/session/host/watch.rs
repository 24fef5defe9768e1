//! One client of the terminal: what it is shown, and what it types.
//!
//! Invariant: a client that does not read keeps nobody waiting but itself: what it is shown comes from what is held.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::sync::{Notify, watch};

use super::viewers::{Sized, ViewerKind};
use super::{Host, model};
use crate::session::Event;
use crate::session::output::{Chunk, OutputReader};
use crate::session::terminal::{Keys, Source};
use crate::wire::WindowSize;

/// How a client wants to look.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// The next byte it wants; from now on without.
    pub from: Option<u64>,
    /// The terminal waits while it falls behind.
    pub hold: bool,
    /// How large it is.
    pub size: Option<WindowSize>,
    /// What it is.
    pub kind: ViewerKind,
}

/// One client. It leaves when this is dropped.
#[derive(Debug)]
pub(super) struct Viewer {
    host: Arc<Host>,
    id: u64,
    kind: ViewerKind,
    /// It stated a size, and is told the one there is.
    echo: Notify,
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.host.viewers.leave(self.id);
    }
}

/// A client comes: what it is shown, and how it types.
pub(super) fn join(host: &Arc<Host>, how: How) -> (Watch, Typing) {
    let answered = host.viewers.answered();
    let id = host.viewers.join(how.kind, None);
    let viewer = Arc::new(Viewer { host: Arc::clone(host), id, kind: how.kind, echo: Notify::new() });
    if let Some(size) = how.size {
        viewer.stated(size, false);
    }
    if how.kind.screen && !how.kind.read_only {
        host.read();
    }
    let reader = host.output.reader(how.from, how.hold);
    let held = how.from.is_some_and(|from| from == reader.at() && reader.is_held());
    let next = match (how.kind.screen, held) {
        (false, _) => Next::Output,
        (true, true) => Next::Size,
        (true, false) => Next::Screen { answered },
    };
    let sized = host.viewers.sized();
    let watch = Watch { viewer: Arc::clone(&viewer), reader, sized, next };
    (watch, Typing { viewer, waiting: VecDeque::new(), bytes: 0 })
}

/// What comes next.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// The whole screen; whether a terminal was there before, which answers the program's questions.
    Screen { answered: bool },
    /// The size, whatever it is.
    Size,
    /// What the program puts out.
    Output,
}

/// What a client is shown.
#[derive(Debug)]
pub(super) struct Watch {
    viewer: Arc<Viewer>,
    reader: OutputReader,
    sized: watch::Receiver<Sized>,
    next: Next,
}

impl Source for Watch {
    async fn next(&mut self) -> io::Result<Option<Event>> {
        match self.next {
            Next::Screen { answered } => {
                let event = self.screen(answered).await?;
                self.next = Next::Size;
                Ok(Some(event))
            }
            Next::Size => {
                self.next = Next::Output;
                let now = *self.sized.borrow_and_update();
                Ok(Some(self.size(now)))
            }
            Next::Output => self.output().await.map(Some),
        }
    }
}

impl Watch {
    async fn output(&mut self) -> io::Result<Event> {
        let screen = self.viewer.kind.screen;
        let chunk = if screen {
            tokio::select! {
                biased;
                now = new_size(&mut self.sized, &self.viewer.echo) => return Ok(self.size(now)),
                chunk = self.reader.next() => chunk,
            }
        } else {
            self.reader.next().await
        };
        Ok(match chunk {
            Chunk::Bytes(bytes) => Event::Output(bytes),
            // Too slow for what is held: it sees what there is now.
            Chunk::Gap(..) if screen => {
                let answered = self.viewer.host.viewers.answered();
                // Also where this wait is dropped.
                self.next = Next::Screen { answered };
                // Who only looks whether there is more of the output does not have it drawn in vain.
                tokio::task::yield_now().await;
                self.screen(answered).await.inspect(|_| self.next = Next::Output)?
            }
            Chunk::Gap(from, to) => Event::Gap(from, to),
            Chunk::End => Event::End(Box::new(self.viewer.host.status_now())),
        })
    }

    /// The screen as it is now; the output goes on after it.
    async fn screen(&mut self, answered: bool) -> io::Result<Event> {
        let host = Arc::clone(&self.viewer.host);
        let model = Arc::clone(&host.model);
        let seen = model.look(move |screen, at| {
            // What the program asked before this viewer came is nothing that it sees. Passed on here, because the
            // viewer may be gone when the picture is there, and what the program said is told once.
            model::pass_on(&host, screen.take_said(), answered);
            (at, screen.snapshot())
        });
        let (at, bytes) = seen.await.ok_or_else(|| io::Error::other("the host is ending"))?;
        self.reader.seek(at);
        Ok(Event::Snapshot { at, bytes: bytes.into() })
    }

    fn size(&self, sized: Sized) -> Event {
        Event::Size { size: sized.size, owner: sized.owner_for(self.viewer.id) }
    }
}

impl Viewer {
    /// It says how large it is.
    fn stated(&self, size: WindowSize, claim: bool) {
        if let Some(size) = self.host.viewers.stated(self.id, size, claim) {
            self.resize(size);
        }
    }

    /// It types: the terminal is as large as it is.
    fn types(&self) {
        if let Some(size) = self.host.viewers.typed(self.id) {
            self.resize(size);
        }
    }

    fn resize(&self, size: WindowSize) {
        if let Err(error) = self.host.resize(size, Some(self.id)) {
            // The terminal is gone; its end is about to be told.
            tracing::debug!(%error, "the terminal takes no size");
        }
    }
}

/// The size when it changes, or when the client is to be told again.
async fn new_size(sized: &mut watch::Receiver<Sized>, echo: &Notify) -> Sized {
    tokio::select! {
        // The sender lives as long as the host.
        _ = sized.changed() => {
            // What changed because of this client is its echo, too.
            let _ = echo.notified().now_or_never();
        }
        () = echo.notified() => {}
    }
    *sized.borrow_and_update()
}

/// How a client types.
#[derive(Debug)]
pub(super) struct Typing {
    viewer: Arc<Viewer>,
    waiting: VecDeque<Typed>,
    /// How many are typed in `waiting`.
    bytes: usize,
}

#[derive(Debug)]
enum Typed {
    Bytes(Bytes),
    Size(WindowSize, bool),
}

impl Keys for Typing {
    fn send(&mut self, bytes: &[u8]) {
        if !self.viewer.kind.read_only && !bytes.is_empty() {
            self.bytes += bytes.len();
            self.waiting.push_back(Typed::Bytes(Bytes::copy_from_slice(bytes)));
        }
    }

    fn resize(&mut self, size: WindowSize) {
        self.said(size, true);
    }

    fn state_size(&mut self, size: WindowSize) {
        self.said(size, false);
    }

    fn waiting(&self) -> usize {
        self.bytes + self.waiting.len() * size_of::<Typed>()
    }

    async fn flush(&mut self) -> io::Result<()> {
        while let Some(first) = self.waiting.front() {
            match first {
                Typed::Bytes(bytes) => {
                    self.viewer.types();
                    // After the end nobody takes it; the client is about to be told.
                    if let Ok(place) = self.viewer.host.input.reserve().await {
                        self.viewer.host.typed(bytes);
                        place.send(bytes.clone());
                    }
                    self.bytes -= bytes.len();
                }
                Typed::Size(size, claim) => {
                    self.viewer.stated(*size, *claim);
                    self.viewer.echo.notify_one();
                }
            }
            self.waiting.pop_front();
        }
        Ok(())
    }
}

impl Typing {
    fn said(&mut self, size: WindowSize, claim: bool) {
        self.waiting.push_back(Typed::Size(size, claim));
    }
}
