//! Its link to one peer: the events, the health once a connection, and again after 1, 2, 4 … 30 s.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::{Dechunk, Request, call, dial, headers};
use super::{Shared, merge};

/// Longest line of a stream.
const LINE_MAX: usize = 256 * 1024;

/// How long a peer may say nothing, once it has begun to answer.
const IDLE: Duration = Duration::from_mins(1);

/// A peer, and how the link to it is.
pub struct Peer {
    pub url: String,
    pub token: String,
    pub local: bool,
    status: &'static str,
    last_error: Option<&'static str>,
    /// How often it was tried.
    tries: u64,
    health: Value,
}

impl Peer {
    pub fn new(url: &str, token: &str, local: bool) -> Self {
        let (url, token) = (url.trim_end_matches('/').to_owned(), token.to_owned());
        Self { url, token, local, status: "connecting", last_error: None, tries: 0, health: Value::Null }
    }

    /// As health tells it, and how often it was tried.
    pub fn told(&self, name: &str) -> Value {
        let health = &self.health;
        json!({
            "name": name, "url": self.url, "status": self.status, "last_error": self.last_error, "tries": self.tries,
            "version": health["version"], "default_launcher": health["default_launcher"], "launchers": health["launchers"],
        })
    }
}

/// Keeps the link until the daemon ends.
pub fn keep(shared: &Shared, name: &str) {
    let mut pause = 1;
    while !shared.is_over() {
        set(shared, name, "connecting", None);
        let mut up = false;
        let why = follow(shared, name, &mut up);
        if up {
            pause = 1;
        }
        set(shared, name, "disconnected", Some(why));
        let until = Instant::now() + Duration::from_secs(pause);
        pause = (pause * 2).min(30);
        while Instant::now() < until && !shared.is_over() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn set(shared: &Shared, name: &str, status: &'static str, error: Option<&'static str>) {
    let mut state = shared.state();
    let Some(peer) = state.peers.get_mut(name) else { return };
    peer.tries += u64::from(status == "connecting");
    peer.status = status;
    peer.last_error = error.or(peer.last_error.filter(|_| status == "connecting"));
    let told = json!({ "type": "peer-status", "id": name });
    shared.emit(&mut state, "peer-status", name, &told);
}

/// One connection's time; why it ended.
fn follow(shared: &Shared, name: &str, up: &mut bool) -> &'static str {
    let Some((url, token)) =
        shared.state().peers.get(name).map(|peer| (peer.url.clone(), peer.token.clone()))
    else {
        return "connection failed";
    };
    let mut stream = match dial(&url, Duration::from_secs(30)) {
        Ok(stream) => stream,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return "connection refused",
        Err(error) if error.kind() == ErrorKind::TimedOut => return "connection timed out",
        Err(_) => return "connection failed",
    };
    let asked = write!(
        stream,
        "GET /v1/events HTTP/1.1\r\nHost: {}\r\nUser-Agent: Go-http-client/1.1\r\nAccept: text/event-stream\r\n\
         Accept-Encoding: gzip\r\nAuthorization: Bearer {token}\r\n\r\n",
        url.trim_start_matches("http://")
    );
    if asked.is_err() {
        return "connection lost";
    }
    shared.state().connections.push(stream.try_clone().expect("a second handle"));
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    if reader.read_line(&mut first).is_err() {
        return "connection lost";
    }
    let Some(head) = headers(&mut reader) else { return "connection lost" };
    match first.split(' ').nth(1) {
        Some("200") => {}
        Some("401" | "403") => return "authentication failed",
        _ => return "connection failed",
    }
    assert!(!head.contains_key("content-encoding"), "this daemon reads no compressed stream");
    reader.get_ref().set_read_timeout(Some(IDLE)).expect("a timeout");
    *up = true;
    set(shared, name, "connected", None);
    // Before the first event is read, however long it takes.
    let ask = Request {
        method: "GET".into(),
        path: "/v1/health".into(),
        query: String::new(),
        headers: std::collections::HashMap::default(),
        body: Vec::new(),
    };
    if let Some(answer) = call(&url, &token, &ask).filter(|answer| answer.status == 200)
        && let Some(peer) = shared.state().peers.get_mut(name)
    {
        peer.health = answer.json()["data"].clone();
    }
    if head.get("transfer-encoding").is_some_and(|kind| kind == "chunked") {
        events(shared, name, BufReader::new(Dechunk::new(reader)))
    } else {
        events(shared, name, reader)
    }
}

fn events(shared: &Shared, name: &str, mut reader: impl BufRead) -> &'static str {
    let mut event = String::new();
    loop {
        let mut line = Vec::new();
        let most = LINE_MAX as u64 + 1;
        match reader.by_ref().take(most).read_until(b'\n', &mut line) {
            Ok(0) => return "connection lost",
            Ok(_) if line.len() > LINE_MAX => return "connection failed",
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return "no data received";
            }
            Err(_) => return "connection lost",
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches(['\r', '\n']);
        let value = |line: &str| line.strip_prefix(' ').unwrap_or(line).to_owned();
        if line.is_empty() {
            event.clear();
        } else if let Some(word) = line.strip_prefix("event:") {
            event = value(word);
        } else if let Some(data) = line.strip_prefix("data:") {
            // Each line by itself, unlike the standard.
            if let Ok(data) = serde_json::from_str(&value(data))
                && !event.is_empty()
            {
                merge::take(shared, name, &event, &data);
            }
        }
    }
}
