//! A client of a session host.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::{STATE_MAX, socket_path};
use crate::wire::frames::{Decoder, HEADER_LEN, Kind, MAX_PAYLOAD, UPGRADE, header as frame_header};
use crate::wire::{SessionStatus, WindowSize};

/// How long a host may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes read from a host at a time.
const READ_BUFFER: usize = 64 * 1024 + 64;

/// A connection to a host.
#[derive(Debug)]
pub struct HostClient {
    sender: SendRequest<Full<Bytes>>,
    // Drives the connection; ends with the client.
    driver: JoinSet<()>,
}

/// The other side does not speak this protocol; trying again would not mend it.
fn foreign(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the session host did not answer within 5 s")
}

async fn in_time<T>(what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(ANSWER_TIMEOUT, what).await.unwrap_or_else(|_| Err(timed_out()))
}

impl HostClient {
    /// Connects to the host of the session in `folder`.
    pub async fn connect(folder: &Path) -> io::Result<Self> {
        in_time(async {
            let stream = UnixStream::connect(socket_path(folder)).await?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
            let mut driver = JoinSet::new();
            driver.spawn(async {
                // Its end shows at the requests.
                let _ = connection.with_upgrades().await;
            });
            Ok(Self { sender, driver })
        })
        .await
    }

    /// What the session is.
    pub async fn status(&mut self) -> io::Result<SessionStatus> {
        let response = self.ask(Method::GET, "/v1/status", Bytes::new()).await?;
        let limit = usize::try_from(STATE_MAX).unwrap_or(usize::MAX);
        let body = in_time(async {
            Limited::new(response.into_body(), limit).collect().await.map_err(io::Error::other)
        });
        Ok(serde_json::from_slice(&body.await?.to_bytes())?)
    }

    /// Types `bytes`.
    pub async fn input(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(MAX_PAYLOAD) {
            self.ask(Method::POST, "/v1/input", Bytes::copy_from_slice(piece)).await?;
        }
        Ok(())
    }

    /// Sends the signal of this name (`INT`) to the session's processes.
    pub async fn signal(&mut self, name: &str) -> io::Result<()> {
        self.ask(Method::POST, &format!("/v1/signal?name={name}"), Bytes::new()).await?;
        Ok(())
    }

    /// Asks the session to end, with `grace` before KILL (the session's own when `None`).
    pub async fn stop(&mut self, grace: Option<Duration>) -> io::Result<()> {
        let query = grace.map(|grace| format!("?grace_ms={}", grace.as_millis())).unwrap_or_default();
        self.ask(Method::POST, &format!("/v1/stop{query}"), Bytes::new()).await?;
        Ok(())
    }

    /// Follows the session from an offset (`None`: from now on) and types into it. With `hold`, its terminal
    /// waits while this client falls behind.
    pub async fn attach(mut self, from: Option<u64>, hold: bool) -> io::Result<Attachment> {
        let from = from.map(|from| format!("from={from}&")).unwrap_or_default();
        let request = Request::get(format!("/v1/attach?{from}hold={}", u8::from(hold)))
            .header(header::HOST, "darkmux")
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, UPGRADE)
            .body(Full::default())
            .map_err(io::Error::other)?;
        let upgraded = in_time(async {
            let response = self.sender.send_request(request).await.map_err(io::Error::other)?;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                return Err(refused(response).await);
            }
            hyper::upgrade::on(response).await.map_err(io::Error::other)
        })
        .await?;
        let (reader, writer) = tokio::io::split(TokioIo::new(upgraded));
        let buffer = vec![0; READ_BUFFER];
        let events = Events { reader, decoder: Decoder::default(), buffer, _driver: self.driver };
        Ok(Attachment { events, input: Input { writer, waiting: BytesMut::new() } })
    }

    async fn ask(&mut self, method: Method, path: &str, body: Bytes) -> io::Result<Response<Incoming>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "darkmux")
            .body(Full::new(body))
            .map_err(io::Error::other)?;
        in_time(async {
            self.sender.ready().await.map_err(io::Error::other)?;
            let response = self.sender.send_request(request).await.map_err(io::Error::other)?;
            if response.status().is_success() { Ok(response) } else { Err(refused(response).await) }
        })
        .await
    }
}

/// The host's own words about a refusal.
async fn refused(response: Response<Incoming>) -> io::Error {
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_PAYLOAD).collect().await;
    let text = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let said: Option<serde_json::Value> = serde_json::from_slice(&text).ok();
    let message = said.as_ref().and_then(|said| said["error"].as_str()).unwrap_or("no reason given");
    foreign(format!("the session host refused ({status}): {message}"))
}

/// A session being followed.
#[derive(Debug)]
pub struct Attachment {
    /// What comes from it.
    pub events: Events,
    /// What goes to it.
    pub input: Input,
}

/// What comes from a session.
#[derive(Debug)]
pub struct Events {
    reader: ReadHalf<TokioIo<Upgraded>>,
    decoder: Decoder,
    buffer: Vec<u8>,
    _driver: JoinSet<()>,
}

/// One thing that came from a session.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Bytes of the terminal.
    Output(Bytes),
    /// The bytes between these offsets are no longer held.
    Gap(u64, u64),
    /// The session has ended.
    End(Box<SessionStatus>),
}

impl Events {
    /// The next event; `None` when the host went away without saying the end. Can be dropped while it waits.
    pub async fn next(&mut self) -> io::Result<Option<Event>> {
        loop {
            while let Some((kind, payload)) = self.decoder.next_frame().map_err(foreign)? {
                match kind {
                    Kind::Output => return Ok(Some(Event::Output(Bytes::copy_from_slice(payload)))),
                    Kind::Gap => return gap(payload).map(Some),
                    Kind::End => return Ok(Some(Event::End(Box::new(serde_json::from_slice(payload)?)))),
                    Kind::Resize | Kind::Input => {}
                }
            }
            let count = self.reader.read(&mut self.buffer).await?;
            if count == 0 {
                return Ok(None);
            }
            self.decoder.push(&self.buffer[..count]);
        }
    }
}

fn gap(payload: &[u8]) -> io::Result<Event> {
    let number =
        |range| payload.get(range).and_then(|bytes: &[u8]| bytes.try_into().ok()).map(u64::from_be_bytes);
    match (number(0..8), number(8..16)) {
        (Some(from), Some(to)) => Ok(Event::Gap(from, to)),
        _ => Err(foreign("a gap without its offsets")),
    }
}

/// What goes to a session. It waits here until the host takes it, so that whoever types can go on listening.
#[derive(Debug)]
pub struct Input {
    writer: WriteHalf<TokioIo<Upgraded>>,
    waiting: BytesMut,
}

impl Input {
    /// Types `bytes`, at the next [`flush`](Self::flush).
    pub fn send(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(MAX_PAYLOAD) {
            self.frame(Kind::Input, piece);
        }
    }

    /// Changes the terminal's size, at the next [`flush`](Self::flush).
    pub fn resize(&mut self, size: WindowSize) {
        let payload = [size.cols.to_be_bytes(), size.rows.to_be_bytes()].concat();
        self.frame(Kind::Resize, &payload);
    }

    /// Bytes that the host has not taken yet.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Hands over what waits. Can be dropped while it waits, and called again.
    pub async fn flush(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            if self.writer.write_buf(&mut self.waiting).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        self.writer.flush().await
    }

    fn frame(&mut self, kind: Kind, payload: &[u8]) {
        self.waiting.reserve(HEADER_LEN + payload.len());
        self.waiting.extend_from_slice(&frame_header(kind, payload.len()));
        self.waiting.extend_from_slice(payload);
    }
}
