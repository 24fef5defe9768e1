//! A client of a session host.
//!
//! A host of protocol 1 has neither screen nor events: asked for them, it is told apart by [`OldHost`], and following
//! its output with [`HostClient::attach`] still works.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Builder;
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::attachment::{Attachment, Events, Input};
use super::handing::Handed;
use super::host_events::HostEvents;
use super::terminal::Client;
use super::{STATE_MAX, duplex, socket_key, socket_path};
use crate::store::is_ours;
use crate::util::visible_line;
use crate::wire::frames::{HANDING, MAX_PAYLOAD, OUTPUT_END, PROTOCOL_HEADER, UPGRADE};
use crate::wire::{SessionStatus, WindowSize};

/// How long a host may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Most bytes of a screen.
const SNAPSHOT_MAX: usize = 16 * 1024 * 1024;

/// The session's host is of an older version of darkmux, which has no screen and no events. It stays so until the
/// session is started again; its output can be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the session runs under a host of an older darkmux, which cannot do this; it can once the session is restarted"
)]
pub struct OldHost;

impl OldHost {
    /// Whether an error of a client says this.
    pub fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Self>)
    }
}

/// How to look at a session's screen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScreenAttach {
    /// Go on at this offset where its output is still held; a snapshot comes first otherwise, and without it.
    pub from: Option<u64>,
    /// How large the viewer is.
    pub size: Option<WindowSize>,
    /// Look only: nothing is typed, no size is taken over, and the session stays unread.
    pub read_only: bool,
}

impl ScreenAttach {
    fn query(self) -> String {
        let from = self.from.map(|from| format!("&from={from}")).unwrap_or_default();
        let size =
            self.size.map(|size| format!("&cols={}&rows={}", size.cols, size.rows)).unwrap_or_default();
        format!("screen=1&read_only={}{from}{size}", u8::from(self.read_only))
    }
}

/// How the screen is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScreenFormat {
    /// Its rows as text.
    Text,
    /// Bytes that draw it, with the lines above it, on a terminal.
    Ansi,
}

/// A connection to a host.
#[derive(Debug)]
pub struct HostClient {
    sender: SendRequest<Full<Bytes>>,
    /// What opens it; `None` for a program that may not have it, which is told so by what it asks.
    bearer: Option<HeaderValue>,
    // Drives the connection; ends with the client.
    _driver: JoinSet<()>,
}

/// The other side does not speak this protocol; trying again would not mend it.
pub(super) fn foreign(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the session host did not answer within 5 s")
}

async fn in_time<T>(what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(ANSWER_TIMEOUT, what).await.unwrap_or_else(|_| Err(timed_out()))
}

async fn connected(folder: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(socket_path(folder)).await?;
    if is_ours(&stream) {
        Ok(stream)
    } else {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "another user listens in its place"))
    }
}

/// The key of this user's sockets, as it is shown. No log has it.
fn bearer(folder: &Path) -> Option<HeaderValue> {
    let mut bearer = HeaderValue::from_str(socket_key(folder).bearer()?.expose()).ok()?;
    bearer.set_sensitive(true);
    Some(bearer)
}

impl HostClient {
    /// Connects to the host of the session in `folder`.
    pub async fn connect(folder: &Path) -> io::Result<Self> {
        in_time(async {
            let stream = connected(folder).await?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
            let mut driver = JoinSet::new();
            driver.spawn(async {
                // Its end shows at the requests.
                let _ = connection.with_upgrades().await;
            });
            Ok(Self { sender, bearer: bearer(folder), _driver: driver })
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

    /// Gives the session a name. [`OldHost`] where the host takes none.
    pub async fn set_name(&mut self, name: &str) -> io::Result<()> {
        let body = serde_json::json!({ "name": name }).to_string();
        self.ask(Method::POST, "/v1/name", body.into()).await.map_err(old_if_unknown)?;
        Ok(())
    }

    /// Gives the session's terminal another size. Whoever attaches next with a size has its own.
    pub async fn resize(&mut self, size: WindowSize) -> io::Result<()> {
        let body = serde_json::json!(size).to_string();
        self.ask(Method::POST, "/v1/resize", body.into()).await?;
        Ok(())
    }

    /// Follows the session from an offset (`None`: from now on) and types into it. With `hold`, its terminal
    /// waits while this client falls behind.
    pub async fn attach(self, from: Option<u64>, hold: bool) -> io::Result<Attachment> {
        let from = from.map(|from| format!("from={from}&")).unwrap_or_default();
        self.upgrade(&format!("/v1/attach?{from}hold={}", u8::from(hold)), false).await
    }

    /// Looks at the session's screen and types into it. First comes [`Event::Snapshot`](super::Event::Snapshot), then [`Event::Size`](super::Event::Size), then
    /// the output that follows the snapshot, no byte lost or doubled. A snapshot that comes later takes the place of
    /// everything before it: this viewer was too slow for what is held. [`OldHost`] where there is no screen.
    pub async fn attach_screen(self, how: ScreenAttach) -> io::Result<Attachment> {
        self.upgrade(&format!("/v1/attach?{}", how.query()), true).await
    }

    /// Gives the host of the session in `folder` a client's socket that has left HTTP, with what came `early`. It shows
    /// `client` the screen there as [`attach_screen`](Self::attach_screen) does. [`OldHost`] where it takes none.
    ///
    /// After `TimedOut` and `ConnectionAborted` it may have the socket; after any other error it has not.
    pub async fn hand(
        folder: &Path,
        (socket, early): (BorrowedFd<'_>, &[u8]),
        how: ScreenAttach,
        client: Client,
    ) -> io::Result<Handed> {
        let times = [("stall", client.stall), ("ping", client.ping), ("pong", client.pong)];
        let times = times.map(|(name, time)| format!("&{name}={}", time.as_millis())).concat();
        let query = format!("{}&ours={}{times}", how.query(), u8::from(client.ours));
        let bearer = bearer(folder);
        let bearer = bearer.as_ref().and_then(|bearer| bearer.to_str().ok()).unwrap_or_default();
        let request = format!(
            "POST /v1/terminal?{query} HTTP/1.1\r\nhost: darkmux\r\nauthorization: {bearer}\r\n\
             connection: upgrade\r\nupgrade: {HANDING}\r\ncontent-length: {}\r\n\r\n",
            early.len()
        );
        in_time(async { Handed::ask(connected(folder).await?, socket, &request, early).await }).await
    }

    /// The session's screen as it is now. [`OldHost`] where there is none.
    pub async fn screen(&mut self, format: ScreenFormat) -> io::Result<Bytes> {
        let format = match format {
            ScreenFormat::Text => "text",
            ScreenFormat::Ansi => "ansi",
        };
        let response = self.ask(Method::GET, &format!("/v1/screen?format={format}"), Bytes::new()).await;
        let response = response.map_err(old_if_unknown)?;
        let body = Limited::new(response.into_body(), SNAPSHOT_MAX).collect();
        Ok(in_time(async { body.await.map_err(io::Error::other) }).await?.to_bytes())
    }

    /// Follows what happens in the session, from its state now to its end. [`OldHost`] where the host tells nothing.
    pub async fn events(mut self) -> io::Result<HostEvents> {
        let response = self.ask(Method::GET, "/v1/events", Bytes::new()).await.map_err(old_if_unknown)?;
        Ok(HostEvents { body: response.into_body(), buffer: BytesMut::new(), searched: 0, _client: self })
    }

    async fn upgrade(self, path: &str, screen: bool) -> io::Result<Attachment> {
        let (head, upgraded) = self.upgraded(path, UPGRADE).await?;
        if screen && !head.contains_key(PROTOCOL_HEADER) {
            return Err(foreign(OldHost));
        }
        let end = head.get(OUTPUT_END).and_then(|end| end.to_str().ok()?.parse().ok());
        let (incoming, outgoing) = duplex::split(upgraded)?;
        Ok(Attachment { events: Events::new(incoming), input: Input::new(outgoing), end })
    }

    /// The connection as it speaks `protocol`, with the head of the answer.
    async fn upgraded(mut self, path: &str, protocol: &'static str) -> io::Result<(HeaderMap, Upgraded)> {
        let request = self
            .request(Method::GET, path)
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, protocol)
            .body(Full::default())
            .map_err(io::Error::other)?;
        in_time(async {
            let mut response = self.sender.send_request(request).await.map_err(io::Error::other)?;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                return Err(refused(response).await);
            }
            let head = std::mem::take(response.headers_mut());
            Ok((head, hyper::upgrade::on(response).await.map_err(io::Error::other)?))
        })
        .await
    }

    fn request(&self, method: Method, path: &str) -> Builder {
        let request = Request::builder().method(method).uri(path).header(header::HOST, "darkmux");
        match &self.bearer {
            Some(bearer) => request.header(header::AUTHORIZATION, bearer.clone()),
            None => request,
        }
    }

    async fn ask(&mut self, method: Method, path: &str, body: Bytes) -> io::Result<Response<Incoming>> {
        let request = self.request(method, path).body(Full::new(body)).map_err(io::Error::other)?;
        in_time(async {
            self.sender.ready().await.map_err(io::Error::other)?;
            let response = self.sender.send_request(request).await.map_err(io::Error::other)?;
            if response.status().is_success() { Ok(response) } else { Err(refused(response).await) }
        })
        .await
    }
}

/// Marks an error as that of a host which does not know the request.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unknown(String);

fn old_if_unknown(error: io::Error) -> io::Error {
    if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Unknown>) {
        foreign(OldHost)
    } else {
        error
    }
}

/// The host's own words about a refusal.
async fn refused(response: Response<Incoming>) -> io::Error {
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_PAYLOAD).collect().await;
    let text = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let said: Option<serde_json::Value> = serde_json::from_slice(&text).ok();
    let message = said.as_ref().and_then(|said| said["error"].as_str()).unwrap_or("no reason given");
    let message = format!("the session host refused ({status}): {}", visible_line(message));
    match status {
        StatusCode::NOT_FOUND => foreign(Unknown(message)),
        StatusCode::UNAUTHORIZED => io::Error::new(io::ErrorKind::PermissionDenied, message),
        _ => foreign(message),
    }
}
