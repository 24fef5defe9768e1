//! A terminal of another machine: frames go between its socket and the client's, one for one, both ways.
//!
//! Invariants: what one side does not take is not read from the other, and nothing is queued; each connection has
//! pings of its own; a code that one side closes with reaches the other; a client that may only watch types nothing,
//! whatever the other machine makes of it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tungstenite::Message;
use tungstenite::protocol::CloseFrame;

use super::upgrade::{ClientSocket, ClientStream};
use crate::peer::{PeerError, PeerSocket, RemoteId};
use crate::serve::App;
use crate::serve::auth::Caller;
use crate::session::terminal::{self, Asked, Close, Down, GOODBYE, Heartbeat};

/// How long the other machine may not take what is typed.
const TYPED_STALL: Duration = Duration::from_mins(1);

/// Longest reason that a frame can hold, in bytes.
const REASON_MAX: usize = 120;

/// The code of gmux for another machine that does not answer.
const UNAVAILABLE: u16 = 1011;

/// What a socket needs whose session is elsewhere.
pub struct Away {
    /// The daemon.
    pub app: Arc<App>,
    /// Who looks.
    pub caller: Caller,
    /// Whether they may only watch.
    pub read_only: bool,
    /// Its place among the sockets.
    pub place: OwnedSemaphorePermit,
}

/// The path of a terminal at its peer. Who may only watch says so there, too.
pub fn path(to: RemoteId<'_>, query: Option<&str>, read_only: bool) -> String {
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<&str> = pairs.filter(|pair| !pair.starts_with("read_only=")).collect();
    if read_only {
        pairs.push("read_only=1");
    }
    let mark = if pairs.is_empty() { "" } else { "?" };
    format!("/ws/{}{mark}{}", to.segment(), pairs.join("&"))
}

/// Why a terminal of another machine is not there, as a frame.
fn refusal(peer: &str, error: &PeerError) -> CloseFrame {
    if matches!(error, PeerError::Status(404, _)) {
        return CloseFrame { code: Close::Gone.code().into(), reason: "gone".into() };
    }
    // gmux ends with these words alone; what follows them is ours.
    let mut reason = format!("peer unavailable: {peer}: {error}");
    reason.truncate(
        (0..=REASON_MAX.min(reason.len())).rev().find(|at| reason.is_char_boundary(*at)).unwrap_or(0),
    );
    CloseFrame { code: UNAVAILABLE.into(), reason: reason.into() }
}

/// Tells a client why its socket ends before it began.
pub async fn refuse(mut socket: ClientSocket, peer: &str, error: &PeerError) {
    let told = async {
        let _ = socket.send(Message::Close(Some(refusal(peer, error)))).await;
        while let Some(Ok(_)) = socket.next().await {}
    };
    let _ = timeout(GOODBYE, told).await;
}

/// How it ended.
enum End {
    /// The other machine closed the socket, or its connection ended without a word.
    Peer(Option<CloseFrame>),
    /// The client did.
    Client(Option<CloseFrame>),
    /// This machine did.
    Here(Close),
    /// The other machine does not do its part.
    Lost(PeerError),
}

/// Carries frames until one of the two ends it.
pub async fn relay(client: ClientSocket, peer: PeerSocket, name: String, ready: Away) {
    let Away { app, caller, read_only, place: _place } = ready;
    let (sink, mut frames) = client.split();
    let (mut to_peer, mut from_peer) = peer.split();
    let stall = app.limits.write_stall;
    let mut down = Down { sink, ours: true, read_only, at: None, end: 0, stall, took: false };
    let beats = Beats {
        client: Heartbeat::new(app.limits.ping, app.limits.pong),
        peer: Heartbeat::new(app.limits.ping, app.limits.pong),
    };
    let end = tokio::select! {
        end = to_the_client(&mut from_peer, &mut down, &beats) => end,
        end = to_the_peer(&mut frames, &mut to_peer, read_only, &beats) => end,
        () = caller.revoked() => End::Here(Close::SignedOut),
        () = app.shutdown.stopped() => End::Here(Close::ShuttingDown),
    };
    let patience = terminal::patience(if let End::Here(close) = end { Some(close) } else { None });
    let (for_client, for_peer) = match end {
        End::Peer(close) => (close.map(|close| Message::Close(Some(close))), None),
        End::Client(close) => (None, Some(Message::Close(close))),
        End::Here(close) => (Some(close.message()), Some(Message::Close(None))),
        End::Lost(error) => (Some(Message::Close(Some(refusal(&name, &error)))), None),
    };
    if let Some(close) = for_peer {
        let _ = timeout(GOODBYE / 2, to_peer.send(close)).await;
    }
    let Some(close) = for_client else { return };
    let said = tokio::select! {
        said = timeout(patience, down.sink.send(close)) => said,
        () = app.shutdown.stopped(), if patience > GOODBYE => return,
    };
    if matches!(said, Ok(Ok(()))) {
        let _ = timeout(GOODBYE, async { while let Some(Ok(_)) = frames.next().await {} }).await;
    }
}

/// Whether each of the two is there.
struct Beats {
    client: Heartbeat,
    peer: Heartbeat,
}

async fn to_the_client(
    from: &mut SplitStream<PeerSocket>,
    down: &mut Down<ClientStream>,
    beats: &Beats,
) -> End {
    loop {
        let message = tokio::select! {
            frame = from.next() => {
                beats.peer.heard();
                match frame {
                    Some(Ok(Message::Binary(bytes))) => Message::Binary(bytes),
                    Some(Ok(Message::Text(text))) => Message::Text(text),
                    Some(Ok(Message::Close(close))) => return End::Peer(close),
                    Some(Ok(_)) => continue,
                    Some(Err(error)) => return match PeerError::of_socket(&error) {
                        PeerError::Lost => End::Peer(None),
                        error => End::Lost(error),
                    },
                    None => return End::Peer(None),
                }
            }
            ping = beats.client.next() => match ping {
                Ok(ping) => ping,
                Err(close) => return End::Here(close),
            },
        };
        // Who is not listened to cannot answer.
        beats.peer.excuse(true);
        let sent = down.send(message).await;
        beats.peer.excuse(false);
        if let Err(close) = sent {
            return End::Here(close);
        }
        if std::mem::take(&mut down.took) {
            beats.client.heard();
        }
    }
}

async fn to_the_peer(
    from: &mut SplitStream<ClientSocket>,
    to: &mut SplitSink<PeerSocket, Message>,
    read_only: bool,
    beats: &Beats,
) -> End {
    loop {
        let message = tokio::select! {
            frame = from.next() => {
                beats.client.heard();
                match frame {
                    Some(Ok(message)) => match typed(message, read_only) {
                        Ok(Some(message)) => message,
                        Ok(None) => continue,
                        Err(end) => return end,
                    },
                    Some(Err(error)) => return terminal::refused(&error).map_or(End::Client(None), End::Here),
                    None => return End::Client(None),
                }
            }
            ping = beats.peer.next() => match ping {
                Ok(_) => Message::Ping(Bytes::new()),
                Err(_) => return End::Lost(PeerError::NoData),
            },
        };
        beats.client.excuse(true);
        let sent = timeout(TYPED_STALL, to.send(message)).await;
        beats.client.excuse(false);
        match sent {
            Ok(Ok(())) => {}
            // The end of the connection is told on the way down, after what it still brings.
            Ok(Err(_)) => std::future::pending().await,
            Err(_) => return End::Lost(PeerError::NoData),
        }
    }
}

/// What of a client's frame goes on. Bytes that nobody may type end the socket, as at home.
fn typed(message: Message, read_only: bool) -> Result<Option<Message>, End> {
    match message {
        Message::Binary(_) if read_only => Err(End::Here(Close::NotAllowed)),
        Message::Binary(bytes) => Ok(Some(Message::Binary(bytes))),
        Message::Text(text) if read_only => match Asked::of(&text) {
            Asked::Typed => Err(End::Here(Close::NotAllowed)),
            Asked::Size(..) | Asked::Nothing => Ok(None),
        },
        Message::Text(text) => Ok(Some(Message::Text(text))),
        Message::Close(close) => Err(End::Client(close)),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_goes_on_and_watchers_stay_watchers() {
        let to = RemoteId::parse("sess-1@dev@desk").unwrap();
        assert_eq!(path(to, None, false), "/ws/sess-1@dev");
        assert_eq!(path(to, Some("from=7&darkmux=1"), false), "/ws/sess-1@dev?from=7&darkmux=1");
        assert_eq!(path(to, Some("read_only=0&from=7"), true), "/ws/sess-1@dev?from=7&read_only=1");
    }

    #[test]
    fn a_reason_fits_its_frame() {
        let long = PeerError::Failed("\u{e4}".repeat(200));
        let frame = refusal("desk", &long);
        assert!(frame.reason.len() <= REASON_MAX && frame.reason.starts_with("peer unavailable: desk: "));
    }

    #[test]
    fn who_may_only_watch_types_nothing() {
        let kept = |message, read_only| typed(message, read_only).map_err(|_| ()).map(|sent| sent.is_some());
        let resize = || Message::text(r#"{"type":"resize","cols":80,"rows":24}"#);
        assert_eq!((kept(resize(), false), kept(resize(), true)), (Ok(true), Ok(false)));
        assert_eq!((kept(Message::text("ls"), false), kept(Message::text("ls"), true)), (Ok(true), Err(())));
        assert_eq!(kept(Message::binary(b"x".to_vec()), true), Err(()));
    }
}
