//! Terminals: of its own sessions, and of its peers' through it.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use http::HeaderValue;
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use super::Shared;
use super::http::dial;

/// Largest message of a client, and of a spoke.
const CLIENT_MAX: usize = 256 * 1024;
const SPOKE_MAX: usize = 4 * 1024 * 1024;

/// How long one side is listened to before it is the other's turn.
const TURN: Duration = Duration::from_millis(3);

type Socket = WebSocket<TcpStream>;

/// What a viewer is told.
enum Shown {
    Bytes(Vec<u8>),
    Told(String),
    /// The program is over: the connection ends without a word.
    End,
}

/// What a session's program has shown, and who looks.
#[derive(Default)]
pub struct Terminal {
    pub output: Vec<u8>,
    viewers: Vec<Sender<Shown>>,
}

impl Terminal {
    pub fn print(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
        self.viewers.retain(|viewer| viewer.send(Shown::Bytes(bytes.to_vec())).is_ok());
    }

    pub fn end(&mut self) {
        for viewer in self.viewers.drain(..) {
            let _ = viewer.send(Shown::End);
        }
    }

    fn attach(&mut self) -> Receiver<Shown> {
        let (sender, receiver) = channel();
        let picture =
            [b"\x1b[?2026h\x1b[r\x1b[H\x1b[2J\x1b[3J", self.output.as_slice(), b"\x1b[?25h\x1b[?2026l"]
                .concat();
        // Held below: nobody has left yet.
        let _ = sender.send(Shown::Bytes(picture));
        self.viewers.push(sender);
        receiver
    }
}

fn config(most: usize) -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(most)).max_frame_size(Some(most))
}

/// The side of a client whose upgrade was answered.
pub fn accepted(stream: TcpStream) -> Socket {
    stream.set_read_timeout(Some(TURN)).expect("a timeout");
    WebSocket::from_raw_socket(stream, Role::Server, Some(config(CLIENT_MAX)))
}

/// The next message, when one comes within a turn; an error is the end.
fn next(socket: &mut Socket) -> Result<Option<Message>, Error> {
    match socket.read() {
        Ok(message) => Ok(Some(message)),
        Err(Error::Io(error)) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn close(socket: &mut Socket, code: u16, reason: &'static str) {
    let _ = socket.close(Some(CloseFrame { code: code.into(), reason: reason.into() }));
    // The other side's answer, or its end.
    while let Ok(Some(_)) = next(socket) {}
}

/// Shows a session of this machine.
pub fn show(shared: &Shared, id: &str, mut socket: Socket) {
    let attached = {
        let mut state = shared.state();
        let running = state.sessions.get_mut(id).filter(|held| held.object["alive"] == true);
        running.map(|held| held.terminal.attach())
    };
    let Some(viewer) = attached else { return close(&mut socket, 1011, "backend unavailable") };
    while !shared.is_over() {
        while let Ok(shown) = viewer.try_recv() {
            let sent = match shown {
                Shown::Bytes(bytes) => socket.send(Message::Binary(bytes.into())),
                Shown::Told(text) => socket.send(Message::text(text)),
                Shown::End => return,
            };
            if sent.is_err() {
                return;
            }
        }
        match next(&mut socket) {
            Ok(Some(Message::Binary(bytes))) => typed(shared, id, &bytes),
            Ok(Some(Message::Text(text))) => said(shared, id, text.as_str()),
            Ok(Some(Message::Close(_))) => return,
            Ok(_) => {}
            Err(Error::Capacity(_)) => return close(&mut socket, 1009, "message too big"),
            Err(_) => return,
        }
    }
}

/// The program repeats it, as a terminal that echoes.
fn typed(shared: &Shared, id: &str, bytes: &[u8]) {
    let echo = String::from_utf8_lossy(bytes).replace('\r', "\r\n");
    if let Some(held) = shared.state().sessions.get_mut(id) {
        held.terminal.print(echo.as_bytes());
    }
}

/// A change of size, which everybody is told; anything else is typed.
fn said(shared: &Shared, id: &str, text: &str) {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let size = value["cols"].as_u64().zip(value["rows"].as_u64()).filter(|_| value["type"] == "resize");
    let Some((cols, rows)) = size else { return typed(shared, id, text.as_bytes()) };
    let mut state = shared.state();
    let Some(held) = state.sessions.get_mut(id).filter(|_| cols > 0 && rows > 0) else { return };
    held.object["terminal_cols"] = cols.into();
    held.object["terminal_rows"] = rows.into();
    let told =
        json!({ "type": "terminal_resize", "cols": cols, "rows": rows, "source": "web_client" }).to_string();
    held.terminal.viewers.retain(|viewer| viewer.send(Shown::Told(told.clone())).is_ok());
    shared.tell(&mut state, id);
}

/// Carries frames between a client and a peer, as they are, until one of them ends.
pub fn relay(shared: &Shared, id: &str, url: &str, token: &str, mut client: Socket) {
    let Some(mut spoke) = open(url, token, id) else {
        return close(&mut client, 1011, "peer unavailable");
    };
    while !shared.is_over() {
        match carry(&mut client, &mut spoke).and_then(|()| carry(&mut spoke, &mut client)) {
            Ok(()) => {}
            Err(Error::Capacity(_)) => return close(&mut client, 1009, "message too big"),
            Err(_) => return,
        }
    }
}

/// Hands one message on, when one comes within a turn; an error is the end of both sides.
fn carry(from: &mut Socket, to: &mut Socket) -> Result<(), Error> {
    match next(from)? {
        Some(message @ (Message::Binary(_) | Message::Text(_))) => to.send(message),
        Some(Message::Close(frame)) => {
            let _ = to.close(frame);
            let _ = next(to);
            Err(Error::ConnectionClosed)
        }
        _ => Ok(()),
    }
}

fn open(url: &str, token: &str, id: &str) -> Option<Socket> {
    let mut request = format!("{}/ws/{id}", url.replace("http://", "ws://")).into_client_request().ok()?;
    let bearer = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    request.headers_mut().insert("authorization", bearer);
    let stream = dial(url, Duration::from_secs(10)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let (socket, _) =
        tungstenite::client::client_with_config(request, stream, Some(config(SPOKE_MAX))).ok()?;
    socket.get_ref().set_read_timeout(Some(TURN)).ok()?;
    Some(socket)
}
