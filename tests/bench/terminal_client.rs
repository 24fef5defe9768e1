//! A client of a terminal with nothing behind it: over a host's socket, or over the daemon's WebSocket.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use darkmux::wire::frames::{HEADER_LEN, Kind, UPGRADE, header};
use memchr::memmem;

use crate::http::{READ, read_head};

/// Keys of a round.
const KEYS: usize = 300;
/// Longest wait for an end mark.
const PATIENCE: Duration = Duration::from_mins(2);

/// Where a terminal is found.
pub enum Place {
    /// A host's socket; with the screen, or with output alone.
    Host(PathBuf, bool),
    /// The daemon's port, its token, and the session.
    Daemon(u16, String, String),
}

trait Socket: Read + Write {
    fn patience(&self, wait: Duration);
}

impl Socket for UnixStream {
    fn patience(&self, wait: Duration) {
        self.set_read_timeout(Some(wait)).expect("a socket");
    }
}

impl Socket for TcpStream {
    fn patience(&self, wait: Duration) {
        self.set_read_timeout(Some(wait)).expect("a socket");
    }
}

fn host(path: &Path, screen: bool) -> (Box<dyn Socket>, String) {
    let socket = crate::machine::wait_for(|| UnixStream::connect(path).ok());
    let how = if screen { "screen=1" } else { "hold=1" };
    // The floor's own listener asks for none.
    let key = path.ancestors().nth(3).and_then(|home| std::fs::read_to_string(home.join("socket-key")).ok());
    let key = key.map(|key| format!("Authorization: Bearer {}\r\n", key.trim())).unwrap_or_default();
    let request = format!(
        "GET /v1/attach?{how} HTTP/1.1\r\nHost: x\r\n{key}Connection: upgrade\r\nUpgrade: {UPGRADE}\r\n\r\n"
    );
    (Box::new(socket), request)
}

fn daemon(port: u16, token: &str, id: &str) -> (Box<dyn Socket>, String) {
    let socket = TcpStream::connect(("127.0.0.1", port)).expect("the daemon accepts");
    socket.set_nodelay(true).expect("a socket");
    let request = format!(
        "GET /ws/{id} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    );
    (Box::new(socket), request)
}

/// A client of either.
pub struct Terminal {
    socket: Box<dyn Socket>,
    is_web: bool,
    buffer: Vec<u8>,
    /// Bytes that came with the head of the answer.
    early: Vec<u8>,
    /// Bytes of the payload that have not come yet, and the part of a header that has.
    left: usize,
    is_output: bool,
    head: Vec<u8>,
}

impl Terminal {
    /// Connects, and waits until it is quiet.
    pub fn attach(place: &Place) -> Self {
        let mut terminal = Self::connect(place);
        terminal.quiet(Duration::from_millis(500));
        terminal
    }

    fn connect(place: &Place) -> Self {
        let ((mut socket, request), is_web) = match place {
            Place::Host(path, screen) => (host(path, *screen), false),
            Place::Daemon(port, token, id) => (daemon(*port, token, id), true),
        };
        socket.write_all(request.as_bytes()).expect("a request");
        let (answer, early) = read_head(&mut socket).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        let (buffer, head) = (vec![0; READ], Vec::new());
        Self { socket, is_web, buffer, early, left: 0, is_output: false, head }
    }

    /// From before the connection until `mark` came.
    pub fn time_to_attach(place: &Place, mark: &str) -> Duration {
        let begun = Instant::now();
        Self::connect(place).until(mark, begun)
    }

    fn send(&mut self, text: &str) {
        // A key of zeroes masks nothing.
        let head = |piece: &[u8]| {
            let few = u8::try_from(piece.len()).expect("a small piece");
            if self.is_web {
                vec![0x82, 0x80 | few, 0, 0, 0, 0]
            } else {
                header(Kind::Input, piece.len()).to_vec()
            }
        };
        let frames: Vec<u8> =
            text.as_bytes().chunks(120).flat_map(|piece| [&head(piece), piece].concat()).collect();
        self.socket.write_all(&frames).expect("input is taken");
    }

    /// Whether a frame is output, and how long it is; `None` while its header is not whole.
    fn frame(&self) -> Option<(bool, usize)> {
        if !self.is_web {
            let (kind, length) = (*self.head.first()?, self.head.get(1..HEADER_LEN)?);
            let is_output = kind == Kind::Output.byte() || kind == Kind::Snapshot.byte();
            return Some((is_output, u32::from_be_bytes(length.try_into().ok()?) as usize));
        }
        let is_output = match self.head.first()? & 0x0f {
            // It goes on with the message before it.
            0 => self.is_output,
            kind => kind == 2,
        };
        let length = match self.head.get(1)? {
            126 => usize::from(u16::from_be_bytes(self.head.get(2..4)?.try_into().ok()?)),
            127 => usize::try_from(u64::from_be_bytes(self.head.get(2..10)?.try_into().ok()?)).ok()?,
            few => usize::from(*few),
        };
        Some((is_output, length))
    }

    /// Hands on the payload of the frames that one read brings; `false` after a wait without any.
    fn pump(&mut self, wait: Duration, mut take: impl FnMut(&[u8])) -> bool {
        let mut count = self.early.len();
        if count > 0 {
            self.buffer[..count].copy_from_slice(&self.early);
            self.early.clear();
        } else {
            self.socket.patience(wait);
            let Ok(read) = self.socket.read(&mut self.buffer) else { return false };
            assert!(read > 0, "the connection was closed");
            count = read;
        }
        let mut at = 0;
        while at < count {
            if self.left == 0 {
                self.head.push(self.buffer[at]);
                at += 1;
                if let Some((is_output, length)) = self.frame() {
                    (self.is_output, self.left) = (is_output, length);
                    if self.is_web && self.head[0] & 0x0f == 9 {
                        self.socket.write_all(&[0x8a, 0x80, 0, 0, 0, 0]).expect("a pong");
                    }
                    self.head.clear();
                }
            } else {
                let end = count.min(at + self.left);
                if self.is_output {
                    take(&self.buffer[at..end]);
                }
                self.left -= end - at;
                at = end;
            }
        }
        true
    }

    fn quiet(&mut self, wait: Duration) {
        while self.pump(wait, |_| ()) {}
    }

    /// Runs a command; returns the time from the key to the mark that follows its output.
    pub fn time_of(&mut self, command: &str, run: usize) -> Duration {
        // The line as it is typed must not hold the mark.
        let begun = Instant::now();
        self.send(&format!("{command}; printf 'END-%s\\n' MARK-{run}\r"));
        let took = self.until(&format!("END-MARK-{run}"), begun);
        self.quiet(Duration::from_millis(150));
        took
    }

    fn until(&mut self, mark: &str, begun: Instant) -> Duration {
        let finder = memmem::Finder::new(mark.as_bytes());
        let mut tail = Vec::new();
        let mut found = false;
        while !found {
            assert!(begun.elapsed() < PATIENCE, "no {mark}");
            self.pump(Duration::from_millis(200), |bytes| {
                // The mark may lie across two pieces.
                tail.extend_from_slice(&bytes[..bytes.len().min(mark.len())]);
                found |= finder.find(&tail).is_some() || finder.find(bytes).is_some();
                if bytes.len() > mark.len() {
                    tail.clear();
                    tail.extend_from_slice(&bytes[bytes.len() - mark.len()..]);
                }
                tail.drain(..tail.len().saturating_sub(mark.len()));
            });
        }
        begun.elapsed()
    }

    /// Types keys one at a time; returns how long each took to be seen.
    pub fn echoes(&mut self) -> Vec<Duration> {
        self.send("cat >/dev/null\r");
        self.quiet(Duration::from_millis(300));
        let mut times = Vec::new();
        for number in 0..KEYS {
            let begun = Instant::now();
            self.send("x");
            let mut seen = false;
            while !seen {
                assert!(begun.elapsed() < PATIENCE, "a key was not echoed");
                self.pump(Duration::from_millis(500), |bytes| seen |= bytes.contains(&b'x'));
            }
            times.push(begun.elapsed());
            if number % 60 == 59 {
                self.send("\r");
                self.quiet(Duration::from_millis(60));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.send("\x04");
        self.quiet(Duration::from_millis(300));
        times
    }
}
