//! A peer that does what a test tells it: it answers with given bytes, says nothing, or holds its streams open.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// What is done with a request to a path.
#[derive(Clone)]
pub enum Answer {
    /// These bytes, and the connection ends.
    Bytes(Vec<u8>),
    /// An event stream that begins with these bytes and stays open.
    Stream(Vec<u8>),
    /// These bytes again and again.
    Endless(Vec<u8>),
    /// The first bytes once, and then the others again and again.
    Then(Vec<u8>, Vec<u8>),
    /// These bytes, one every moment, and nothing more.
    Drip(Vec<u8>),
    /// A WebSocket that is opened, and these bytes on it.
    Socket(Vec<u8>),
    /// Nothing at all.
    Mute,
}

/// A head as it came in.
#[derive(Debug, Clone)]
pub struct Asked {
    pub line: String,
    pub headers: HashMap<String, String>,
    pub at: Instant,
}

#[derive(Default)]
struct State {
    answers: HashMap<String, Answer>,
    asked: Vec<Asked>,
    streams: Vec<TcpStream>,
}

/// The peer.
pub struct Spoke {
    pub port: u16,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Spoke {
    /// Listens; every path is answered with 404 until it is told otherwise.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::<(Mutex<State>, Condvar)>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        Self { port, state }
    }

    /// One that says it is this machine and has these sessions.
    pub fn of(node_id: &str, sessions: &[Value]) -> Self {
        let spoke = Self::start();
        spoke.on("/v1/health", Answer::Bytes(health(node_id)));
        let events: String =
            sessions.iter().map(|session| upsert(session["id"].as_str().expect("an id"), session)).collect();
        spoke.on("/v1/events", Answer::Stream(events.into_bytes()));
        spoke
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What becomes of requests to this path from now on.
    pub fn on(&self, path: &str, answer: Answer) {
        let mut state = self.state.0.lock().expect("the peer's state");
        state.answers.insert(path.to_owned(), answer);
        self.state.1.notify_all();
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.0.lock().expect("the peer's state").asked.clone()
    }

    /// When its events were asked for, the first time first.
    pub fn tries(&self) -> Vec<Instant> {
        self.asked().iter().filter(|asked| asked.line.contains("/v1/events")).map(|asked| asked.at).collect()
    }

    /// Says this on every open stream.
    pub fn say(&self, text: &str) {
        let state = self.state.0.lock().expect("the peer's state");
        for mut stream in &state.streams {
            // Who has left does not listen.
            let _ = stream.write_all(text.as_bytes());
        }
    }

    /// Ends every open stream.
    pub fn hang_up(&self) {
        for stream in self.state.0.lock().expect("the peer's state").streams.drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn serve(stream: &TcpStream, shared: &(Mutex<State>, Condvar)) {
    stream.set_write_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut line = String::new();
    if reader.read_line(&mut line).is_err() || line.is_empty() {
        return;
    }
    let mut headers = HashMap::new();
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).is_err() || header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':') {
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
    }
    let path = line.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    let mut state = shared.0.lock().expect("the peer's state");
    let key = headers.get("sec-websocket-key").cloned().unwrap_or_default();
    state.asked.push(Asked { line: line.trim().to_owned(), headers, at: Instant::now() });
    let answer = state.answers.get(&path).cloned();
    let mut out = stream.try_clone().expect("a second handle");
    match answer {
        None => {
            let _ =
                out.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
        Some(Answer::Bytes(bytes)) => {
            let _ = out.write_all(&bytes);
        }
        Some(Answer::Stream(bytes)) => {
            let head =
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n:\n\n";
            let _ = out.write_all(head).and_then(|()| out.write_all(&bytes));
            state.streams.push(out);
        }
        Some(Answer::Socket(bytes)) => {
            let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            let _ = out.write_all(head.as_bytes()).and_then(|()| out.write_all(&bytes));
            state.streams.push(out);
        }
        Some(Answer::Endless(bytes)) => {
            drop(state);
            while out.write_all(&bytes).is_ok() {}
        }
        Some(Answer::Then(first, bytes)) => {
            drop(state);
            let _ = out.write_all(&first);
            while out.write_all(&bytes).is_ok() {}
        }
        Some(Answer::Drip(bytes)) => {
            drop(state);
            for byte in bytes {
                // How slow it is, is what is tested.
                std::thread::sleep(Duration::from_millis(200));
                if out.write_all(&[byte]).is_err() {
                    return;
                }
            }
        }
        Some(Answer::Mute) => {
            // Held until the peer is told something else.
            let waited = shared.1.wait_timeout(state, Duration::from_mins(3));
            drop(waited.expect("the peer's state"));
        }
    }
}

/// The answer of a daemon of ours to `/v1/health`.
pub fn health(node_id: &str) -> Vec<u8> {
    let data = json!({ "service": "gmuxd", "version": "test", "node_id": node_id, "machine_id": "spoke", "launchers": [] });
    answer(&json!({ "data": data, "ok": true }))
}

/// An answer of JSON.
pub fn answer(body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// An event about a session.
pub fn upsert(id: &str, session: &Value) -> String {
    let data = json!({ "id": id, "session": session, "type": "session-upsert" });
    format!("event: session-upsert\ndata: {data}\n\n")
}

/// A session as a peer may tell it.
pub fn session(id: &str) -> Value {
    json!({ "id": id, "alive": true, "kind": "shell", "title": format!("title of {id}"), "status": null, "unread": false,
        "created_at": "2026-01-01T00:00:00Z", "slug": id })
}
