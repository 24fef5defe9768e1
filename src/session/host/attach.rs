//! A client on the duplex stream: the screen and output down, input and sizes up.

use std::io;
use std::sync::Arc;

use hyper::upgrade::OnUpgrade;

use super::Host;
use super::watch::{self, How, Typing, Watch};
use crate::session::Event;
use crate::session::duplex::{self, Incoming, Outgoing};
use crate::session::terminal::{Keys, Source};
use crate::wire::frames::{Decoder, HEADER_LEN, Kind, MAX_PAYLOAD, header};
use crate::wire::{SessionStatus, WindowSize};

/// Bytes read from the client at a time.
const READ_BUFFER: usize = 8 * 1024;

/// Serves one client until it leaves or has seen the end.
pub(super) async fn run(host: Arc<Host>, upgrade: OnUpgrade, how: How) {
    let socket = upgrade.await.map_err(io::Error::other).and_then(duplex::split);
    let (up, down) = match socket {
        Ok(socket) => socket,
        Err(error) => return tracing::debug!(%error, "an attachment did not come about"),
    };
    let (watch, typing) = watch::join(&host, how);
    let done = tokio::select! {
        done = send(watch, down) => done,
        done = take_input(typing, up) => done,
    };
    if let Err(error) = done {
        tracing::debug!(%error, "an attachment ended");
    }
}

async fn send(mut watch: Watch, mut down: Outgoing) -> io::Result<()> {
    let mut frame = Vec::new();
    while let Some(event) = watch.next().await? {
        frame.clear();
        match event {
            Event::Output(bytes) => put(&mut frame, Kind::Output, &bytes),
            Event::Gap(from, to) => {
                put(&mut frame, Kind::Gap, &[from.to_be_bytes(), to.to_be_bytes()].concat());
            }
            Event::Size { size, owner } => {
                let [a, b] = size.cols.to_be_bytes();
                let [c, d] = size.rows.to_be_bytes();
                put(&mut frame, Kind::Resize, &[a, b, c, d, owner.byte()]);
            }
            Event::Snapshot { at, bytes } => {
                send_screen(&mut down, at, &bytes).await?;
                continue;
            }
            Event::End(status) => {
                put(&mut frame, Kind::End, &end(*status)?);
                down.write_all(&frame).await?;
                return down.end();
            }
        }
        down.write_all(&frame).await?;
    }
    Ok(())
}

async fn send_screen(down: &mut Outgoing, at: u64, bytes: &[u8]) -> io::Result<()> {
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

async fn take_input(mut typing: Typing, mut up: Incoming) -> io::Result<()> {
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
                (Kind::Input, bytes) => typing.send(bytes),
                (Kind::Resize, &[a, b, c, d, ref claim @ ..]) if claim.len() <= 1 => {
                    let size =
                        WindowSize { cols: u16::from_be_bytes([a, b]), rows: u16::from_be_bytes([c, d]) };
                    if claim == [0] { typing.state_size(size) } else { typing.resize(size) }
                }
                _ => return Err(io::Error::other("a frame that only a host sends")),
            }
            typing.flush().await?;
        }
    }
}
