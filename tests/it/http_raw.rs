//! Bare HTTP over a socket: what a client library would refuse to send, and what it would hide.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{PATIENCE, wait_for};

/// An answer, its body joined.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads one from everything a connection brought.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let split = find(bytes, b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..split].to_vec()).ok()?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let body = &bytes[split + 4..];
        let body = if head.to_lowercase().contains("transfer-encoding: chunked") {
            unchunk(body)?
        } else {
            body.to_vec()
        };
        Some(Self { status, head, body })
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, what)
}

fn unchunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let line = find(bytes, b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).ok()?, 16).ok()?;
        bytes = &bytes[line + 2..];
        if size == 0 {
            return Some(out);
        }
        out.extend_from_slice(bytes.get(..size)?);
        bytes = bytes.get(size + 2..)?;
    }
}

pub fn connect(port: u16) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", port)).expect("the daemon accepts");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

/// Sends these bytes and reads until the daemon closes.
pub fn send(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut socket = connect(port);
    // Who is refused early may find the connection closed while it still sends.
    let _ = socket.write_all(bytes);
    let mut answer = Vec::new();
    match socket.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    answer
}

/// Asks with these further header lines.
pub fn ask(port: u16, method: &str, path: &str, headers: &[&str]) -> Answer {
    let host = format!("Host: localhost:{port}");
    let mut lines = vec![host.as_str(), "Connection: close"];
    lines.extend_from_slice(headers);
    ask_as(port, method, path, &lines)
}

/// Asks with exactly these header lines.
pub fn ask_as(port: u16, method: &str, path: &str, headers: &[&str]) -> Answer {
    let lines = lines(headers);
    let bytes = send(port, format!("{method} {path} HTTP/1.1\r\n{lines}\r\n").as_bytes());
    Answer::parse(&bytes)
        .unwrap_or_else(|| panic!("no answer to {method} {path}: {}", String::from_utf8_lossy(&bytes)))
}

/// Asks with exactly these header lines and this body.
pub fn ask_with(port: u16, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    let text = request(method, path, headers, body);
    let bytes = send(port, text.as_bytes());
    Answer::parse(&bytes)
        .unwrap_or_else(|| panic!("no answer to {text}: {}", String::from_utf8_lossy(&bytes)))
}

/// As [`ask_with`], over the daemon's unix socket, with what opens it.
pub fn ask_socket(socket: &Path, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    let key = std::fs::read_to_string(socket.with_file_name("socket-key")).expect("the sockets' key");
    let bearer = format!("Authorization: Bearer {}", key.trim());
    ask_socket_as(socket, method, path, &[headers, &[bearer.as_str()]].concat(), body)
}

/// As [`ask_with`], over a unix socket.
pub fn ask_socket_as(socket: &Path, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    let mut stream = UnixStream::connect(socket).expect("the daemon accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(request(method, path, headers, body).as_bytes()).expect("a request");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer");
    Answer::parse(&bytes).unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(&bytes)))
}

fn request(method: &str, path: &str, headers: &[&str], body: &str) -> String {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n{length}{}\r\n{body}", lines(headers))
}

fn lines(headers: &[&str]) -> String {
    headers.iter().flat_map(|line| [*line, "\r\n"]).collect()
}

/// A plain GET.
pub fn get(port: u16, path: &str) -> Answer {
    ask(port, "GET", path, &[])
}

/// An open event stream.
pub struct Events {
    socket: TcpStream,
    raw: Vec<u8>,
    text: Vec<u8>,
    head_read: bool,
    chunked: bool,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub name: String,
    pub id: String,
    pub data: String,
}

impl Events {
    pub fn open(port: u16, path: &str, headers: &[&str]) -> Self {
        let mut socket = connect(port);
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let lines = lines(headers);
        write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n{lines}\r\n").expect("a request");
        let mut events = Self { socket, raw: Vec::new(), text: Vec::new(), head_read: false, chunked: false };
        wait_for("the stream to open", || {
            events.fill();
            events.head_read.then_some(())
        });
        events
    }

    /// Reads what is there; `false` at the end of the stream.
    pub fn fill(&mut self) -> bool {
        let mut buffer = vec![0; 256 * 1024];
        match self.socket.read(&mut buffer) {
            Ok(0) => return false,
            Ok(count) => self.raw.extend_from_slice(&buffer[..count]),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(_) => return false,
        }
        if !self.head_read {
            let Some(split) = find(&self.raw, b"\r\n\r\n") else { return true };
            let head = String::from_utf8_lossy(&self.raw[..split]).into_owned();
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            assert!(head.contains("text/event-stream"), "{head}");
            self.chunked = head.contains("chunked");
            assert!(self.chunked || head.contains("\r\nconnection: close"), "{head}");
            self.raw.drain(..split + 4);
            self.head_read = true;
        }
        if !self.chunked {
            // Its end is that of the connection.
            self.text.append(&mut self.raw);
            return true;
        }
        let mut used = 0;
        while let Some(line) = find(&self.raw[used..], b"\r\n") {
            let size = std::str::from_utf8(&self.raw[used..used + line]).expect("a chunk size");
            let size = usize::from_str_radix(size, 16).expect("a chunk size");
            if size == 0 {
                // The answer is over; its connection may stay.
                return false;
            }
            let start = used + line + 2;
            if self.raw.len() < start + size + 2 {
                break;
            }
            self.text.extend_from_slice(&self.raw[start..start + size]);
            used = start + size + 2;
        }
        self.raw.drain(..used);
        true
    }

    /// The events that are complete now.
    pub fn take(&mut self) -> Vec<Event> {
        let Some(end) = memchr::memmem::rfind(&self.text, b"\n\n") else { return Vec::new() };
        let rest = self.text.split_off(end + 2);
        let text = String::from_utf8(std::mem::replace(&mut self.text, rest)).expect("UTF-8");
        text.split("\n\n").filter_map(event).collect()
    }

    /// The id of an event, or of none, that the complete text ends with.
    pub fn place(&self) -> Option<String> {
        let end = memchr::memmem::rfind(&self.text, b"\n\n")?;
        let text = std::str::from_utf8(&self.text[..end]).ok()?;
        text.rsplit("\n\n")
            .find_map(|block| block.lines().find_map(|line| line.strip_prefix("id: ")).map(str::to_owned))
    }

    /// Waits for `count` events.
    pub fn next(&mut self, count: usize) -> Vec<Event> {
        let mut seen = Vec::new();
        let deadline = Instant::now() + PATIENCE * 3;
        while seen.len() < count {
            assert!(Instant::now() < deadline, "{} of {count} events", seen.len());
            assert!(self.fill() || self.head_read, "the stream ended");
            seen.extend(self.take());
        }
        seen
    }
}

fn event(block: &str) -> Option<Event> {
    let field = |name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned).unwrap_or_default()
    };
    let event = Event { name: field("event: "), id: field("id: "), data: field("data: ") };
    (!event.data.is_empty()).then_some(event)
}
