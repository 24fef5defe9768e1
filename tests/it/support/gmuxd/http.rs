//! Requests as they come in and go out.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http_raw::Answer;

/// The longest that a request to a peer takes, from its beginning to the end of the answer.
const CALL_TIME: Duration = Duration::from_secs(10);

/// Longest body that is read at all.
const BODY_MAX: usize = 12 * 1024 * 1024;

/// A request, its body joined.
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    /// The next one of a connection; `None` at its end.
    pub fn read(reader: &mut BufReader<TcpStream>) -> Option<Self> {
        let line = line(reader)?;
        let mut words = line.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let (path, query) = (path.replace("%40", "@"), query.to_owned());
        let headers = headers(reader)?;
        let mut body = Vec::new();
        if headers.get("transfer-encoding").is_some_and(|kind| kind == "chunked") {
            Dechunk::new(reader).take(BODY_MAX as u64).read_to_end(&mut body).ok()?;
        } else if let Some(length) = headers.get("content-length") {
            let length: usize = length.parse().ok().filter(|length| *length <= BODY_MAX)?;
            body.resize(length, 0);
            reader.read_exact(&mut body).ok()?;
        }
        Some(Self { method, path, query, headers, body })
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// A value of the query.
    pub fn asked(&self, key: &str) -> Option<&str> {
        self.query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|pair| pair.0 == key)
            .map(|pair| pair.1)
    }
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.by_ref().take(64 * 1024).read_line(&mut line).ok().filter(|count| *count > 0)?;
    Some(line.trim_end().to_owned())
}

/// The lines of a head up to the empty one.
pub fn headers(reader: &mut impl BufRead) -> Option<HashMap<String, String>> {
    let mut headers = HashMap::new();
    loop {
        let line = line(reader)?;
        if line.is_empty() {
            return Some(headers);
        }
        let (name, value) = line.split_once(':')?;
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
}

/// An answer.
pub struct Reply {
    pub status: u16,
    pub kind: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn ok(data: &Value) -> Self {
        Self::json(200, &json!({ "ok": true, "data": data }))
    }

    pub fn fails(status: u16, code: &str) -> Self {
        Self::json(
            status,
            &json!({ "ok": false, "error": { "code": code, "message": format!("{code} (gmux)") } }),
        )
    }

    pub fn text(status: u16, text: &str) -> Self {
        let kind = "text/plain; charset=utf-8".to_owned();
        Self { status, kind, body: format!("{text}\n").into_bytes() }
    }

    fn json(status: u16, body: &Value) -> Self {
        Self { status, kind: "application/json".to_owned(), body: body.to_string().into_bytes() }
    }

    pub fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let location = if self.status == 303 { "Location: /auth/login\r\n" } else { "" };
        let (status, kind, length) = (self.status, &self.kind, self.body.len());
        write!(
            out,
            "HTTP/1.1 {status} Status\r\nContent-Type: {kind}\r\n{location}Content-Length: {length}\r\n\r\n"
        )?;
        out.write_all(&self.body)?;
        out.flush()
    }
}

/// Writes one piece of a body without a length.
pub fn write_chunk(out: &mut impl Write, text: &str) -> std::io::Result<()> {
    write!(out, "{:x}\r\n{text}\r\n", text.len())?;
    out.flush()
}

/// Connects to `http://host:port`.
pub fn dial(url: &str, wait: Duration) -> std::io::Result<TcpStream> {
    let address: SocketAddr = url.trim_start_matches("http://").parse().expect("an address");
    let stream = TcpStream::connect_timeout(&address, wait)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks a peer. The body goes in pieces, and of the headers only its kind goes with it. `None`: nothing came in time.
pub fn call(url: &str, token: &str, request: &Request) -> Option<Answer> {
    let by = Instant::now() + CALL_TIME;
    let mut stream = dial(url, CALL_TIME).ok()?;
    let kind = request.header("content-type");
    let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
    let (method, path) = (&request.method, &request.path);
    let mut bytes = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: Go-http-client/1.1\r\nConnection: close\r\n\
         Authorization: Bearer {token}\r\n{kind}",
        url.trim_start_matches("http://")
    )
    .into_bytes();
    if method == "GET" {
        bytes.extend(b"\r\n");
    } else {
        bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
        for piece in request.body.chunks(32 * 1024) {
            bytes.extend(
                format!("{:x}\r\n", piece.len()).bytes().chain(piece.iter().copied()).chain(*b"\r\n"),
            );
        }
        bytes.extend(b"0\r\n\r\n");
    }
    // A peer that refuses early may close while this is sent.
    let _ = stream.write_all(&bytes);
    let mut answer = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let left = by.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        stream.set_read_timeout(Some(left)).ok()?;
        match stream.read(&mut buffer) {
            Ok(0) => return Answer::parse(&answer),
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(_) => return None,
        }
    }
}

/// A body in pieces, joined.
pub struct Dechunk<R> {
    inner: R,
    left: usize,
    over: bool,
}

impl<R: BufRead> Dechunk<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, left: 0, over: false }
    }
}

impl<R: BufRead> Read for Dechunk<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 && !self.over {
            let mut size = String::new();
            self.inner.read_line(&mut size)?;
            self.left = usize::from_str_radix(size.trim(), 16).map_err(std::io::Error::other)?;
            if self.left == 0 {
                self.over = true;
                self.inner.read_line(&mut size)?;
            }
        }
        let most = self.left.min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.inner.read(&mut buffer[..most])?;
        self.left -= count;
        if self.left == 0 {
            self.inner.read_line(&mut String::new())?;
        }
        Ok(count)
    }
}
