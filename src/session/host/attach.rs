//! A client on the duplex stream: the screen and output down, input and sizes up.
//!
//! Invariant: a client that does not read keeps nobody waiting but itself: what is sent to it comes from what is held.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use hyper::upgrade::OnUpgrade;
use tokio::sync::{Notify, watch};

use super::viewers::{Sized, ViewerKind};
use super::{Host, model};
use crate::session::duplex::{self, Incoming, Outgoing};
use crate::session::output::{Chunk, OutputReader};
use crate::wire::frames::{Decoder, HEADER_LEN, Kind, MAX_PAYLOAD, header};
use crate::wire::{SessionStatus, WindowSize};

/// Bytes read from the client at a time.
const READ_BUFFER: usize = 8 * 1024;

/// How a client wants to look.
pub(super) struct How {
    pub from: Option<u64>,
    pub hold: bool,
    pub size: Option<WindowSize>,
    pub kind: ViewerKind,
}

/// One client. It leaves when this is dropped.
struct Viewer {
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

/// Serves one client until it leaves or has seen the end.
pub(super) async fn run(host: Arc<Host>, upgrade: OnUpgrade, how: How) {
    let socket = upgrade.await.map_err(io::Error::other).and_then(duplex::split);
    let (up, down) = match socket {
        Ok(socket) => socket,
        Err(error) => return tracing::debug!(%error, "an attachment did not come about"),
    };
    let answered = host.viewers.answered();
    let id = host.viewers.join(how.kind, None);
    let viewer = Viewer { host: Arc::clone(&host), id, kind: how.kind, echo: Notify::new() };
    if let Some(size) = how.size {
        viewer.stated(size, false);
    }
    if how.kind.screen && !how.kind.read_only {
        host.read();
    }
    let reader = host.output.reader(how.from, how.hold);
    let done = tokio::select! {
        done = send(&viewer, down, reader, (how.from, answered)) => done,
        done = take_input(&viewer, up) => done,
    };
    if let Err(error) = done {
        tracing::debug!(%error, "an attachment ended");
    }
}

async fn send(
    viewer: &Viewer,
    mut down: Outgoing,
    mut reader: OutputReader,
    (from, answered): (Option<u64>, bool),
) -> io::Result<()> {
    if !viewer.kind.screen {
        return viewer.send_output(down, reader, None).await;
    }
    let held = from.is_some_and(|from| from == reader.at() && reader.is_held());
    if !held {
        viewer.send_screen(&mut down, &mut reader, answered).await?;
    }
    let mut sized = viewer.host.viewers.sized();
    let now = *sized.borrow_and_update();
    viewer.send_size(&mut down, now).await?;
    viewer.send_output(down, reader, Some(sized)).await
}

impl Viewer {
    /// The screen as it is now; the output goes on after it.
    async fn send_screen(
        &self,
        down: &mut Outgoing,
        reader: &mut OutputReader,
        answered: bool,
    ) -> io::Result<()> {
        let seen = self.host.model.look(|screen, at| (at, screen.snapshot(), screen.take_said())).await;
        let (at, bytes, said) = seen.ok_or_else(|| io::Error::other("the host is ending"))?;
        // What the program asked before this viewer came is nothing that it sees.
        model::pass_on(&self.host, said, answered);
        reader.seek(at);
        let mut frame = Vec::new();
        for piece in bytes.chunks(MAX_PAYLOAD - size_of::<u64>()) {
            frame.clear();
            frame.extend_from_slice(&header(Kind::Snapshot, size_of::<u64>() + piece.len()));
            frame.extend_from_slice(&at.to_be_bytes());
            frame.extend_from_slice(piece);
            down.write_all(&frame).await?;
        }
        Ok(())
    }

    async fn send_size(&self, down: &mut Outgoing, sized: Sized) -> io::Result<()> {
        let mut frame = Vec::new();
        let [a, b] = sized.size.cols.to_be_bytes();
        let [c, d] = sized.size.rows.to_be_bytes();
        put(&mut frame, Kind::Resize, &[a, b, c, d, sized.owner_for(self.id).byte()]);
        down.write_all(&frame).await
    }

    async fn send_output(
        &self,
        mut down: Outgoing,
        mut reader: OutputReader,
        mut sized: Option<watch::Receiver<Sized>>,
    ) -> io::Result<()> {
        let mut frame = Vec::new();
        loop {
            frame.clear();
            let chunk = match &mut sized {
                None => reader.next().await,
                Some(sized) => tokio::select! {
                    biased;
                    now = new_size(sized, &self.echo) => {
                        self.send_size(&mut down, now).await?;
                        continue;
                    }
                    chunk = reader.next() => chunk,
                },
            };
            match chunk {
                Chunk::Bytes(bytes) => put(&mut frame, Kind::Output, &bytes),
                // Too slow for what is held: it sees what there is now.
                Chunk::Gap(..) if self.kind.screen => {
                    let answered = self.host.viewers.answered();
                    self.send_screen(&mut down, &mut reader, answered).await?;
                    continue;
                }
                Chunk::Gap(from, to) => {
                    put(&mut frame, Kind::Gap, &[from.to_be_bytes(), to.to_be_bytes()].concat());
                }
                Chunk::End => {
                    put(&mut frame, Kind::End, &end(self.host.status_now())?);
                    down.write_all(&frame).await?;
                    return down.end();
                }
            }
            down.write_all(&frame).await?;
        }
    }

    /// It says how large it is.
    fn stated(&self, size: WindowSize, claim: bool) {
        let host = &self.host;
        if let Some(size) = host.viewers.stated(self.id, size, claim)
            && let Err(error) = host.resize(size, Some(self.id))
        {
            // The terminal is gone; its end is about to be told.
            tracing::debug!(%error, "the terminal takes no size");
        }
    }

    async fn typed(&self, bytes: &[u8]) {
        if self.kind.read_only {
            return;
        }
        let host = &self.host;
        if let Some(size) = host.viewers.typed(self.id)
            && let Err(error) = host.resize(size, Some(self.id))
        {
            tracing::debug!(%error, "the terminal takes no size");
        }
        // After the end nobody takes it; the client is about to be told.
        let _ = host.input.send(Bytes::copy_from_slice(bytes)).await;
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

/// The final state, without the command's arguments where they do not fit into a frame.
fn end(status: SessionStatus) -> serde_json::Result<Vec<u8>> {
    let whole = serde_json::to_vec(&status)?;
    if whole.len() <= MAX_PAYLOAD { Ok(whole) } else { serde_json::to_vec(&status.without_words()) }
}

fn put(frame: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
    frame.reserve(HEADER_LEN + payload.len());
    frame.extend_from_slice(&header(kind, payload.len()));
    frame.extend_from_slice(payload);
}

async fn take_input(viewer: &Viewer, mut up: Incoming) -> io::Result<()> {
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        let count = up.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        decoder.push(&buffer[..count]);
        while let Some((kind, payload)) = decoder.next_frame().map_err(io::Error::other)? {
            match (kind, payload) {
                (Kind::Input, bytes) => viewer.typed(bytes).await,
                (Kind::Resize, &[a, b, c, d, ref claim @ ..]) if claim.len() <= 1 => {
                    let size =
                        WindowSize { cols: u16::from_be_bytes([a, b]), rows: u16::from_be_bytes([c, d]) };
                    viewer.stated(size, claim != [0]);
                    viewer.echo.notify_one();
                }
                _ => return Err(io::Error::other("a frame that only a host sends")),
            }
        }
    }
}
