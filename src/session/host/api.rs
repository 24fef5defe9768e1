//! What a client can ask of a host, over HTTP:
//!
//! | request | does | answers |
//! |---|---|---|
//! | `GET /v1/status` | | [`SessionStatus`](crate::wire::SessionStatus) |
//! | `GET /v1/output?from=N&follow=1` | | the terminal's bytes; `darkmux-output-start` is the offset of the first |
//! | `POST /v1/input` | types the body | 204 |
//! | `POST /v1/resize` `{cols, rows}` | changes the terminal's size | 204 |
//! | `POST /v1/signal?name=INT` | sends one signal to the whole session | 204 |
//! | `POST /v1/stop?grace_ms=N` | TERM, HUP, and after the grace KILL to the whole session | 202 |
//! | `GET /v1/attach?from=N&hold=1` | upgrade to [`frames`](crate::wire::frames) | 101 |
//! | `GET /v1/attach?screen=1&from=N&cols=C&rows=R&read_only=1` | the same, beginning with the screen | 101 |
//! | `POST /v1/terminal?screen=1&…&ours=1&stall=MS&ping=MS&pong=MS` | serves the client whose socket came ahead ([`handing`](crate::session::handing)) | 101 |
//! | `GET /v1/screen?format=text` | | the screen's rows; with `ansi` the bytes that draw it |
//! | `POST /v1/name` `{name}` | gives the session a name | 204 |
//! | `GET /v1/events` | | what happens, one JSON object a line |
//!
//! The agent's side is in [`agent`](mod@super::agent). Errors are `{"error": "…"}` with a 4xx or 5xx status.
//!
//! Who asks shows the key of this user's sockets (`Authorization: Bearer`, [`SocketKey`](crate::store::SocketKey)): a
//! command in a sandbox reaches the socket, and may neither type here nor read what is shown. What the session's program
//! says of itself, and what the session is, goes without ([`is_open`]).

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::json;

use super::places::Place;
use super::viewers::ViewerKind;
use super::watch::How;
use super::{Host, agent, attach, events, terminal};
use crate::model::SessionState;
use crate::pty;
use crate::session::name::parse_name;
use crate::session::output::{Chunk, OutputReader};
use crate::session::socket_key;
use crate::session::terminal::Client;
use crate::store::shown_bearer;
use crate::util::Shutdown;
use crate::wire::frames::{HANDING, MAX_PAYLOAD, OUTPUT_END, PROTOCOL_HEADER, UPGRADE};
use crate::wire::{HOST_PROTOCOL, OUTPUT_START, WindowSize};

/// A response's body.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// How long the body of a request may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest body that names the session, in bytes.
const NAME_BODY_MAX: usize = 4096;

/// How long typed bytes may wait for the process; less than a client waits for an answer.
const INPUT_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest time that the daemon may give a client whose socket it hands over.
const CLIENT_TIME_MAX: Duration = Duration::from_hours(24);

/// Answers one request. The descriptor came ahead of it; it is closed where it is not asked for with the key.
pub(super) async fn answer(
    host: Arc<Host>,
    (clients, place): (Shutdown, Arc<Place>),
    (descriptor, request): (Option<OwnedFd>, Request<Incoming>),
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let is_open = is_open(request.method(), &path);
    let shown = (!is_open || place.is_guest()) && shows_key(&host, &request);
    if shown {
        place.shown();
    }
    if !is_open && !shown {
        let key = socket_key(&host.folder);
        let message = format!(
            "show the key in {} as `Authorization: Bearer`; a program that may not read it may only report what it does",
            key.path().display()
        );
        return Ok(failure(StatusCode::UNAUTHORIZED, message));
    }
    Ok(match (request.method(), path.as_str()) {
        (&Method::GET, "/v1/status") => json_response(StatusCode::OK, &host.status_now()),
        (&Method::GET, "/v1/output") => output(&host, &request),
        (&Method::GET, "/v1/attach") => upgrade(Upgraded::Attached, host, (&clients, &place), request).await,
        (&Method::POST, "/v1/terminal") => {
            upgrade(Upgraded::Handed(descriptor), host, (&clients, &place), request).await
        }
        (&Method::POST, "/v1/input") => input(&host, request).await,
        (&Method::POST, "/v1/resize") => resize(&host, request).await,
        (&Method::POST, "/v1/name") => name(&host, request).await,
        (&Method::POST, "/v1/signal") => signal(&host, &request),
        (&Method::POST, "/v1/stop") => stop(&host, &request),
        (&Method::GET, "/v1/screen") => screen(&host, &request).await,
        (&Method::GET, "/v1/events") => follow_events(host),
        _ => agent::answer(&host, request).await.unwrap_or_else(|| {
            let message =
                format!("no such request; this host speaks version {HOST_PROTOCOL} of its protocol");
            failure(StatusCode::NOT_FOUND, message)
        }),
    })
}

/// What needs no key: hooks of agents report from sandboxes of theirs.
fn is_open(method: &Method, path: &str) -> bool {
    match *method {
        Method::GET => matches!(path, "/v1/status" | "/meta"),
        Method::PUT => matches!(path, "/status" | "/slug" | "/agent"),
        _ => false,
    }
}

fn shows_key(host: &Host, request: &Request<Incoming>) -> bool {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    shown.and_then(shown_bearer).is_some_and(|shown| socket_key(&host.folder).is(shown))
}

pub(super) fn json_response(status: StatusCode, value: &impl serde::Serialize) -> Response<Body> {
    let text = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Full::from(text).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

pub(super) fn failure(status: StatusCode, message: impl std::fmt::Display) -> Response<Body> {
    json_response(status, &json!({ "error": message.to_string() }))
}

pub(super) fn done(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Empty::new().boxed_unsync());
    *response.status_mut() = status;
    response
}

/// The text of a query parameter.
fn text<'r>(request: &'r Request<Incoming>, name: &str) -> Option<&'r str> {
    let mut pairs = request.uri().query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The number of a query parameter.
pub(super) fn parameter(request: &Request<Incoming>, name: &str) -> Option<u64> {
    text(request, name)?.parse().ok()
}

fn output(host: &Host, request: &Request<Incoming>) -> Response<Body> {
    let follow = parameter(request, "follow") == Some(1);
    let range = host.output.range();
    let from = parameter(request, "from").unwrap_or(range.start).clamp(range.start, range.end);
    let until = (!follow).then_some(range.end);
    let reader = host.output.reader(Some(from), false);
    let frames = stream::unfold((reader, until), |(mut reader, until)| async move {
        let bytes = next_bytes(&mut reader, until).await?;
        Some((Ok(Frame::data(bytes)), (reader, until)))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/octet-stream"));
    headers.insert(OUTPUT_START, header::HeaderValue::from(from));
    response
}

/// The next bytes before `until`. A gap ends the stream: the client asks again and learns of it by the header.
async fn next_bytes(reader: &mut OutputReader, until: Option<u64>) -> Option<Bytes> {
    let left = until.map(|until| until.saturating_sub(reader.at()));
    if left == Some(0) {
        return None;
    }
    match reader.next().await {
        Chunk::Bytes(bytes) => {
            let len =
                left.map_or(bytes.len(), |left| bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
            Some(bytes.slice(..len))
        }
        Chunk::Gap(..) | Chunk::End => None,
    }
}

/// The body of a request that types.
pub(super) async fn body(request: Request<Incoming>) -> Result<Bytes, Response<Body>> {
    body_within(request, MAX_PAYLOAD).await
}

/// The body of a request, at most `max` bytes.
pub(super) async fn body_within(request: Request<Incoming>, max: usize) -> Result<Bytes, Response<Body>> {
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(request.into_body(), max).collect());
    match collected.await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(failure(StatusCode::PAYLOAD_TOO_LARGE, error)),
        Err(_) => Err(failure(StatusCode::REQUEST_TIMEOUT, "the body took longer than 10 s")),
    }
}

async fn input(host: &Arc<Host>, request: Request<Incoming>) -> Response<Body> {
    let bytes = match body(request).await {
        Ok(bytes) => bytes,
        Err(response) => return response,
    };
    type_in(host, bytes).await
}

/// Types bytes.
pub(super) async fn type_in(host: &Arc<Host>, bytes: Bytes) -> Response<Body> {
    host.typed(&bytes);
    match tokio::time::timeout(INPUT_TIMEOUT, host.input.send(bytes)).await {
        Ok(Ok(())) => done(StatusCode::NO_CONTENT),
        Ok(Err(_)) => failure(StatusCode::CONFLICT, "the session has ended"),
        Err(_) => failure(StatusCode::SERVICE_UNAVAILABLE, "the process does not read what is typed"),
    }
}

async fn resize(host: &Host, request: Request<Incoming>) -> Response<Body> {
    let bytes = match body(request).await {
        Ok(bytes) => bytes,
        Err(response) => return response,
    };
    let size: WindowSize = match serde_json::from_slice(&bytes) {
        Ok(size) => size,
        Err(error) => return failure(StatusCode::BAD_REQUEST, error),
    };
    // Who asks this way is no viewer: the next one who types has its own size again.
    match host.resize(size, None) {
        Ok(()) => done(StatusCode::NO_CONTENT),
        Err(error) => failure(StatusCode::CONFLICT, error),
    }
}

/// A name that the user gives.
#[derive(Debug, Deserialize)]
struct Name {
    name: String,
}

async fn name(host: &Arc<Host>, request: Request<Incoming>) -> Response<Body> {
    let bytes = match body_within(request, NAME_BODY_MAX).await {
        Ok(bytes) => bytes,
        Err(response) => return response,
    };
    let asked = serde_json::from_slice::<Name>(&bytes).map_err(|error| error.to_string());
    let name = match asked.and_then(|asked| parse_name(&asked.name)) {
        Ok(name) => name,
        Err(error) => return failure(StatusCode::BAD_REQUEST, error),
    };
    match host.named(name).await {
        Ok(true) => done(StatusCode::NO_CONTENT),
        Ok(false) => failure(StatusCode::CONFLICT, "the session has ended"),
        Err(error) => {
            failure(StatusCode::INTERNAL_SERVER_ERROR, format!("the name is not on the disk: {error}"))
        }
    }
}

fn signal(host: &Host, request: &Request<Incoming>) -> Response<Body> {
    let Some(signal) = text(request, "name").and_then(pty::signal_named) else {
        let names = pty::signal_names().collect::<Vec<_>>().join(", ");
        return failure(StatusCode::BAD_REQUEST, format!("name is one of {names}"));
    };
    if host.status().state != SessionState::Running {
        return failure(StatusCode::CONFLICT, "the session has ended");
    }
    host.tree.signal(signal);
    done(StatusCode::NO_CONTENT)
}

fn stop(host: &Host, request: &Request<Incoming>) -> Response<Body> {
    let grace = parameter(request, "grace_ms").unwrap_or(host.spec.grace_ms);
    // A full queue holds requests that say the same.
    let _ = host.stop.try_send(Duration::from_millis(grace));
    done(StatusCode::ACCEPTED)
}

async fn screen(host: &Host, request: &Request<Incoming>) -> Response<Body> {
    match text(request, "format") {
        None | Some("text") => agent::screen_text(host).await,
        Some("ansi") => bytes_response(host.model.snapshot().await.1),
        Some(_) => failure(StatusCode::BAD_REQUEST, "format is text or ansi"),
    }
}

fn bytes_response(bytes: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Full::from(bytes).boxed_unsync());
    let kind = header::HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Lines of text.
pub(super) fn text_response(lines: &[String]) -> Response<Body> {
    let mut text = lines.join("\n");
    text.push('\n');
    let mut response = bytes_response(text.into_bytes());
    let kind = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn follow_events(host: Arc<Host>) -> Response<Body> {
    let frames = events::lines(host).map(|line| Ok(Frame::data(line)));
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let kind = header::HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// What an upgrade leads to.
#[derive(Debug)]
enum Upgraded {
    /// To the duplex stream.
    Attached,
    /// To this client's socket.
    Handed(Option<OwnedFd>),
}

async fn upgrade(
    to: Upgraded,
    host: Arc<Host>,
    (clients, place): (&Shutdown, &Place),
    mut request: Request<Incoming>,
) -> Response<Body> {
    let protocol = match to {
        Upgraded::Attached => UPGRADE,
        Upgraded::Handed(_) => HANDING,
    };
    let wanted = request.headers().get(header::UPGRADE).and_then(|value| value.to_str().ok());
    if wanted != Some(protocol) {
        return failure(StatusCode::UPGRADE_REQUIRED, format!("ask for an upgrade to {protocol}"));
    }
    let Some(place) = place.attach() else {
        return failure(
            StatusCode::SERVICE_UNAVAILABLE,
            "this session has too many viewers; leave one of them",
        );
    };
    let how = how(&request);
    let upgrade = hyper::upgrade::on(&mut request);
    let end = host.output.end();
    let handed = match to {
        Upgraded::Attached => None,
        Upgraded::Handed(descriptor) => {
            let client = client(&request, how.kind.read_only);
            match terminal::take(descriptor, request).await {
                Ok(socket) => Some((socket, client)),
                Err(refused) => return refused,
            }
        }
    };
    clients.spawn(async move {
        match handed {
            None => attach::run(host, upgrade, how).await,
            Some((socket, client)) => terminal::run(host, (socket, upgrade), how, client).await,
        }
        drop(place);
    });
    let mut response = done(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, header::HeaderValue::from_static(protocol));
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("upgrade"));
    headers.insert(PROTOCOL_HEADER, header::HeaderValue::from(HOST_PROTOCOL));
    headers.insert(OUTPUT_END, header::HeaderValue::from(end));
    response
}

fn how(request: &Request<Incoming>) -> How {
    let is_set = |name| parameter(request, name) == Some(1);
    let number = |name| parameter(request, name).and_then(|number| u16::try_from(number).ok());
    let size = number("cols").zip(number("rows")).map(|(cols, rows)| WindowSize { cols, rows });
    How {
        from: parameter(request, "from"),
        hold: is_set("hold"),
        size: size.filter(|size| size.cols > 0 && size.rows > 0),
        kind: ViewerKind { screen: is_set("screen"), read_only: is_set("read_only") },
    }
}

/// What the daemon says of the client whose socket it hands over, times in milliseconds.
fn client(request: &Request<Incoming>, read_only: bool) -> Client {
    let time = |name| Duration::from_millis(parameter(request, name).unwrap_or(0)).min(CLIENT_TIME_MAX);
    let ours = parameter(request, "ours") == Some(1);
    Client { ours, read_only, stall: time("stall"), ping: time("ping"), pong: time("pong") }
}
