//! As much of HTTP as a load client and a bare server need.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use memchr::memmem;

/// Bytes read from a socket at a time.
pub const READ: usize = 256 * 1024;

/// An answer that was read and thrown away.
pub struct Drained {
    /// To the last byte of the body.
    pub whole: Duration,
    /// Bytes of the body.
    pub bytes: u64,
}

/// Reads up to the end of a head; returns the head and what came with it.
pub fn read_head(socket: &mut impl Read) -> io::Result<(String, Vec<u8>)> {
    let mut got = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        let count = socket.read(&mut buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        got.extend_from_slice(&buffer[..count]);
        if let Some(end) = memmem::find(&got, b"\r\n\r\n") {
            let rest = got.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&got).into_owned(), rest));
        }
    }
}

/// The path of a request's head.
pub fn path_of(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or("/")
}

/// Connects and asks; the head of the answer has not been read.
pub fn ask(port: u16, path: &str) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_nodelay(true)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
    socket.write_all(request.as_bytes())?;
    Ok(socket)
}

fn head_and_length(socket: &mut TcpStream) -> (u64, Option<u64>) {
    let (head, rest) = read_head(socket).expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    (rest.len() as u64, length)
}

/// Reads all of a path whose length is announced.
pub fn drain(port: u16, path: &str, buffer: &mut [u8]) -> Drained {
    let begun = Instant::now();
    let mut socket = ask(port, path).expect("a connection");
    let (mut bytes, length) = head_and_length(&mut socket);
    let length = length.expect("a length");
    while bytes < length {
        let count = socket.read(buffer).expect("the body");
        assert!(count > 0, "{bytes} of {length} bytes came");
        bytes += count as u64;
    }
    Drained { whole: begun.elapsed(), bytes }
}

/// Time to the first byte of the body; the rest is not waited for.
pub fn first_byte(port: u16, path: &str) -> Duration {
    let begun = Instant::now();
    let mut socket = ask(port, path).expect("a connection");
    if head_and_length(&mut socket).0 == 0 {
        assert!(socket.read(&mut [0]).expect("the body") > 0);
    }
    begun.elapsed()
}
