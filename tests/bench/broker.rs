//! A Redis of the benchmark's own that keeps nothing on the disk, and the barest client of it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::machine::{Ended, wait_for};

/// A running `redis-server`.
pub struct Broker {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    process: Ended,
    _dir: TempDir,
}

impl Broker {
    /// Starts one on a free port and waits for its answer.
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("dmxredis").tempdir().expect("a temporary folder");
        let port =
            TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let broker = Self { port, process: Ended(child), _dir: dir };
        wait_for(|| TcpStream::connect(("127.0.0.1", port)).ok());
        broker
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A client.
    pub fn wire(&self) -> Wire {
        Wire::connect(self.port)
    }
}

/// One reply.
pub enum Reply {
    /// Null, a number or a status: the limits look at none of them.
    Plain,
    /// Bytes.
    Text(Vec<u8>),
    /// Several.
    Many(Vec<Reply>),
}

impl Reply {
    /// One of several.
    pub fn into_nth(self, at: usize) -> Option<Self> {
        match self {
            Self::Many(items) => items.into_iter().nth(at),
            _ => None,
        }
    }
}

/// A connection that formats, writes, reads and parses on the spot.
pub struct Wire {
    stream: TcpStream,
    out: Vec<u8>,
    buffer: Vec<u8>,
    at: usize,
    end: usize,
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Wire {
    /// A connection to the Redis on this port.
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("Redis listens");
        stream.set_nodelay(true).expect("no delay");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
        Self { stream, out: Vec::new(), buffer: vec![0; 64 * 1024], at: 0, end: 0 }
    }

    /// Whether Redis has ended the connection; waits for it to say anything.
    pub fn is_over(&self) -> bool {
        !self.stream.peek(&mut [0]).is_ok_and(|count| count > 0)
    }

    /// Adds a command to what the next flush sends.
    pub fn put(&mut self, words: &[&[u8]]) {
        write!(self.out, "*{}\r\n", words.len()).expect("memory");
        for word in words {
            write!(self.out, "${}\r\n", word.len()).expect("memory");
            self.out.extend_from_slice(word);
            self.out.extend_from_slice(b"\r\n");
        }
    }

    /// Sends what was put, in one write.
    pub fn flush(&mut self) {
        self.stream.write_all(&self.out).expect("Redis takes it");
        self.out.clear();
    }

    /// One command and its reply.
    pub fn ask(&mut self, words: &[&[u8]]) -> Reply {
        self.put(words);
        self.flush();
        self.reply()
    }

    /// The next reply.
    pub fn reply(&mut self) -> Reply {
        let line = self.line();
        let number = || std::str::from_utf8(&line[1..]).ok()?.parse::<usize>().ok();
        match line.first() {
            Some(b'$') => number().map_or(Reply::Plain, |length| {
                let text = self.take(length);
                self.take(2);
                Reply::Text(text)
            }),
            Some(b'*') => {
                number().map_or(Reply::Plain, |count| Reply::Many((0..count).map(|_| self.reply()).collect()))
            }
            Some(b'-') if !line.starts_with(b"-BUSYGROUP") => {
                panic!("Redis refused: {}", String::from_utf8_lossy(&line))
            }
            _ => Reply::Plain,
        }
    }

    fn line(&mut self) -> Vec<u8> {
        let mut seen = self.at;
        loop {
            if let Some(found) = memchr::memchr(b'\n', &self.buffer[seen..self.end]) {
                let line = self.buffer[self.at..seen + found - 1].to_vec();
                self.at = seen + found + 1;
                return line;
            }
            let unread = self.end - self.at;
            self.fill();
            seen = self.at + unread;
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        while self.end - self.at < length {
            self.fill();
        }
        self.at += length;
        self.buffer[self.at - length..self.at].to_vec()
    }

    fn fill(&mut self) {
        self.buffer.copy_within(self.at..self.end, 0);
        self.end -= self.at;
        self.at = 0;
        assert!(self.end < self.buffer.len(), "a reply is longer than the limits' replies are");
        let count = loop {
            match self.stream.read(&mut self.buffer[self.end..]) {
                // A read with a time limit is not begun again by the system after a stop of the process.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                count => break count.expect("Redis answers"),
            }
        };
        assert!(count > 0, "Redis closed the connection");
        self.end += count;
    }
}
