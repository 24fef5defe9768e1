//! The side of a session's socket that its own program speaks to: short requests without a runtime, for a process
//! that lives for some milliseconds.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::wire::SessionStatus;

/// How long one reading or writing may take. Who calls has a limit of its own for all of it.
const STEP_TIMEOUT: Duration = Duration::from_millis(500);

/// Largest answer that is read, in bytes.
const ANSWER_MAX: u64 = 4 * 1024 * 1024;

/// The socket that a session gives its program as `DARKMUX_SOCKET`.
#[derive(Debug, Clone)]
pub struct AgentSide {
    socket: PathBuf,
}

impl AgentSide {
    /// That of this path.
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Puts a document at a path of the host's, such as `/status`.
    pub fn put(&self, path: &str, body: &impl Serialize) -> io::Result<()> {
        self.ask("PUT", path, &serde_json::to_vec(body)?).map(|_| ())
    }

    /// What the session is.
    pub fn status(&self) -> io::Result<SessionStatus> {
        Ok(serde_json::from_slice(&self.ask("GET", "/v1/status", b"")?)?)
    }

    /// One request on a connection of its own; the body of the answer.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(STEP_TIMEOUT))?;
        stream.set_write_timeout(Some(STEP_TIMEOUT))?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: darkmux\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat())?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
        body_of(&answer).map(<[u8]>::to_vec)
    }
}

/// The body of an answer that is no failure.
fn body_of(answer: &[u8]) -> io::Result<&[u8]> {
    let foreign = || io::Error::new(io::ErrorKind::InvalidData, "the session host's answer is no HTTP");
    let end = memchr::memmem::find(answer, b"\r\n\r\n").ok_or_else(foreign)?;
    let status = answer.split(|byte| *byte == b' ').nth(1).ok_or_else(foreign)?;
    if status.first() != Some(&b'2') {
        let status = String::from_utf8_lossy(&status[..status.len().min(8)]).into_owned();
        return Err(io::Error::other(format!("the session host refused ({status})")));
    }
    Ok(&answer[end + 4..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_success_has_a_body() {
        assert_eq!(body_of(b"HTTP/1.1 200 OK\r\na: b\r\n\r\n{}").unwrap(), b"{}");
        assert_eq!(body_of(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap(), b"");
        for bad in ["", "HTTP/1.1 404 Not Found\r\n\r\n{}", "HTTP/1.1 200 OK\r\n", "\r\n\r\n", "x \r\n\r\n"] {
            assert!(body_of(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
