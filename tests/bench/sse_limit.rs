//! The limit of event streams: one thread, epoll, inotify on the file or a bare XREAD, the same bytes to every
//! socket.
//!
//! Frames are kept in one piece of memory; a client is an offset in it, so nothing is copied for a client that is
//! behind. Once all clients have everything the memory is used anew.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fs::inotify;

use crate::broker::{Reply, Wire};
use crate::http::READ;

const LISTENER: u64 = u64::MAX;
const CHANGED: u64 = u64::MAX - 1;
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n:\n\n";

struct Client {
    socket: TcpStream,
    at: usize,
    waits: bool,
}

/// Where records come from.
pub enum Source {
    /// A growing file.
    File { file: File, inotify: OwnedFd, offset: u64, torn: Vec<u8> },
    /// A stream in Redis.
    Stream { wire: Wire, key: &'static str, last: Vec<u8> },
}

impl Source {
    /// From the beginning of a file on.
    pub fn file(path: &Path) -> Self {
        let inotify = inotify::init(inotify::CreateFlags::NONBLOCK).expect("inotify");
        inotify::add_watch(&inotify, path, inotify::WatchFlags::MODIFY).expect("inotify");
        let file = File::open(path).expect("the day's file");
        Self::File { file, inotify, offset: 0, torn: Vec::new() }
    }

    /// From the beginning of a stream on.
    pub fn stream(wire: Wire, key: &'static str) -> Self {
        let mut source = Self::Stream { wire, key, last: b"0-0".to_vec() };
        source.ask();
        source
    }

    fn ask(&mut self) {
        if let Self::Stream { wire, key, last } = self {
            wire.put(&[b"XREAD", b"COUNT", b"256", b"BLOCK", b"0", b"STREAMS", key.as_bytes(), last]);
            wire.flush();
        }
    }

    /// Frames what came; `false` when nothing did.
    fn frame(&mut self, buffer: &mut [u8], frames: &mut Vec<u8>) -> bool {
        match self {
            Self::File { file, offset, torn, .. } => {
                let count = file.read(buffer).expect("the day's file");
                torn.extend_from_slice(&buffer[..count]);
                let mut rest = &torn[..];
                while let Some(end) = memchr::memchr(b'\n', rest) {
                    *offset += end as u64 + 1;
                    let _ = write!(frames, "id: 2026-01-02:{offset:012}\ndata: ");
                    frames.extend_from_slice(&rest[..end]);
                    frames.extend_from_slice(b"\n\n");
                    rest = &rest[end + 1..];
                }
                let kept = rest.len();
                torn.drain(..torn.len() - kept);
                count > 0
            }
            Self::Stream { wire, last, .. } => {
                let Some(entries) = wire.reply().into_nth(0).and_then(|stream| stream.into_nth(1)) else {
                    return false;
                };
                let Reply::Many(entries) = entries else { return false };
                for entry in entries {
                    let Reply::Many(parts) = entry else { continue };
                    let mut parts = parts.into_iter();
                    let (Some(Reply::Text(id)), Some(fields)) = (parts.next(), parts.next()) else {
                        continue;
                    };
                    // schema, its version, record, and what we want.
                    let Some(Reply::Text(record)) = fields.into_nth(3) else { continue };
                    frames.extend_from_slice(b"id: ");
                    frames.extend_from_slice(&id);
                    frames.extend_from_slice(b"\ndata: ");
                    frames.extend_from_slice(&record);
                    frames.extend_from_slice(b"\n\n");
                    *last = id;
                }
                true
            }
        }
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::File { inotify, .. } => inotify.as_fd(),
            Self::Stream { wire, .. } => wire.as_fd(),
        }
    }
}

struct Server {
    epoll: OwnedFd,
    source: Source,
    frames: Vec<u8>,
    clients: HashMap<u64, Client>,
}

/// Hands on what comes from `source` for as long as the program runs; returns the port.
pub fn serve(source: Source) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("a port").port();
    std::thread::spawn(move || {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
        for (fd, token) in [(listener.as_fd(), LISTENER), (source.as_fd(), CHANGED)] {
            epoll::add(&epoll, fd, EventData::new_u64(token), EventFlags::IN).expect("epoll");
        }
        Server { epoll, source, frames: Vec::new(), clients: HashMap::new() }.run(&listener);
    });
    port
}

impl Server {
    fn run(&mut self, listener: &TcpListener) {
        let mut events = Vec::with_capacity(256);
        let mut buffer = vec![0; READ];
        let mut next = 0;
        loop {
            events.clear();
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None).expect("epoll");
            for event in &events {
                match event.data.u64() {
                    LISTENER => {
                        self.accept(listener, next);
                        next += 1;
                    }
                    CHANGED => {
                        if let Source::File { inotify, .. } = &self.source {
                            while rustix::io::read(inotify, &mut buffer[..]).is_ok() {}
                        }
                        if matches!(&self.source, Source::Stream { wire, .. } if wire.is_over()) {
                            return;
                        }
                        self.follow(&mut buffer);
                    }
                    client => self.serve(client, event.flags, &mut buffer),
                }
            }
        }
    }

    fn accept(&mut self, listener: &TcpListener, token: u64) {
        let Ok((mut socket, _)) = listener.accept() else { return };
        // A request of this harness comes in one piece.
        let mut head = [0; 1024];
        if socket.read(&mut head).is_err() || socket.write_all(HEAD).is_err() {
            return;
        }
        let ready = socket.set_nodelay(true).and_then(|()| socket.set_nonblocking(true));
        ready.expect("a socket");
        epoll::add(&self.epoll, &socket, EventData::new_u64(token), EventFlags::IN).expect("epoll");
        self.clients.insert(token, Client { socket, at: self.frames.len(), waits: false });
    }

    /// Frames what was added and sends it: of a file all there is, a bufferful at a time; of a stream one reply.
    fn follow(&mut self, buffer: &mut [u8]) {
        while self.source.frame(buffer, &mut self.frames) {
            // The next question goes out before the answers do.
            self.source.ask();
            for token in self.clients.keys().copied().collect::<Vec<_>>() {
                self.send(token);
            }
            if self.clients.values().all(|client| client.at == self.frames.len()) {
                self.frames.clear();
                self.clients.values_mut().for_each(|client| client.at = 0);
            }
            if matches!(self.source, Source::Stream { .. }) {
                return;
            }
        }
    }

    fn send(&mut self, token: u64) {
        let Some(client) = self.clients.get_mut(&token) else { return };
        while client.at < self.frames.len() {
            match client.socket.write(&self.frames[client.at..]) {
                Ok(count) => client.at += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.clients.remove(&token);
                    return;
                }
            }
        }
        let waits = client.at < self.frames.len();
        if waits != client.waits {
            client.waits = waits;
            let flags = if waits { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(&self.epoll, &client.socket, EventData::new_u64(token), flags).expect("epoll");
        }
    }

    fn serve(&mut self, token: u64, flags: EventFlags, buffer: &mut [u8]) {
        if flags.contains(EventFlags::OUT) {
            self.send(token);
        }
        if flags.contains(EventFlags::IN) {
            let Some(client) = self.clients.get_mut(&token) else { return };
            if !client.socket.read(buffer).is_ok_and(|count| count > 0) {
                self.clients.remove(&token);
            }
        }
    }
}
