//! A client on the duplex stream: output down, input and sizes up.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::Host;
use crate::session::output::{Chunk, OutputReader};
use crate::wire::frames::{Decoder, HEADER_LEN, Kind, MAX_PAYLOAD, header};
use crate::wire::{SessionStatus, WindowSize};

/// Bytes read from the client at a time.
const READ_BUFFER: usize = 8 * 1024;

type Stream = TokioIo<Upgraded>;

/// Serves one client until it leaves or has seen the end.
pub(super) async fn run(host: Arc<Host>, upgrade: OnUpgrade, from: Option<u64>, hold: bool) {
    let stream = match upgrade.await {
        Ok(upgraded) => TokioIo::new(upgraded),
        Err(error) => return tracing::debug!(%error, "an attachment did not come about"),
    };
    let reader = host.output.reader(from, hold);
    let (up, down) = tokio::io::split(stream);
    let done = tokio::select! {
        done = send_output(&host, down, reader) => done,
        done = take_input(&host, up) => done,
    };
    if let Err(error) = done {
        tracing::debug!(%error, "an attachment ended");
    }
}

async fn send_output(host: &Host, mut down: WriteHalf<Stream>, mut reader: OutputReader) -> io::Result<()> {
    let mut frame = Vec::new();
    loop {
        frame.clear();
        match reader.next().await {
            Chunk::Bytes(bytes) => put(&mut frame, Kind::Output, &bytes),
            Chunk::Gap(from, to) => {
                put(&mut frame, Kind::Gap, &[from.to_be_bytes(), to.to_be_bytes()].concat());
            }
            Chunk::End => {
                put(&mut frame, Kind::End, &end(host.snapshot())?);
                down.write_all(&frame).await?;
                return down.shutdown().await;
            }
        }
        down.write_all(&frame).await?;
    }
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

async fn take_input(host: &Host, mut up: ReadHalf<Stream>) -> io::Result<()> {
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
                (Kind::Input, bytes) => {
                    // After the end nobody takes it; the client is about to be told.
                    let _ = host.input.send(Bytes::copy_from_slice(bytes)).await;
                }
                (Kind::Resize, &[a, b, c, d]) => {
                    let size =
                        WindowSize { cols: u16::from_be_bytes([a, b]), rows: u16::from_be_bytes([c, d]) };
                    host.resize(size)?;
                }
                _ => return Err(io::Error::other("a frame that only a host sends")),
            }
        }
    }
}
