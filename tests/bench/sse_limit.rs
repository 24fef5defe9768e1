//! The limit of event streams: one thread, epoll, inotify on the file, the same bytes to every socket.
//!
//! Frames are kept in one piece of memory; a client is an offset in it, so nothing is copied for a client that is
//! behind. Once all clients have everything the memory is used anew.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fs::inotify;

use crate::http::READ;

const LISTENER: u64 = u64::MAX;
const CHANGED: u64 = u64::MAX - 1;
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n:\n\n";

struct Client {
    socket: TcpStream,
    at: usize,
    waits: bool,
}

struct Server {
    epoll: OwnedFd,
    file: File,
    offset: u64,
    /// What follows the last whole line.
    torn: Vec<u8>,
    frames: Vec<u8>,
    clients: HashMap<u64, Client>,
}

/// Follows `path` for as long as the program runs; returns the port.
pub fn serve(path: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("a port").port();
    std::thread::spawn(move || {
        let inotify = inotify::init(inotify::CreateFlags::NONBLOCK).expect("inotify");
        inotify::add_watch(&inotify, &path, inotify::WatchFlags::MODIFY).expect("inotify");
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
        for (fd, token) in
            [(&OwnedFd::from(listener.try_clone().expect("a handle")), LISTENER), (&inotify, CHANGED)]
        {
            epoll::add(&epoll, fd, EventData::new_u64(token), EventFlags::IN).expect("epoll");
        }
        let file = File::open(&path).expect("the day's file");
        let (torn, frames) = (Vec::new(), Vec::new());
        Server { epoll, file, offset: 0, torn, frames, clients: HashMap::new() }.run(&listener, &inotify);
    });
    port
}

impl Server {
    fn run(&mut self, listener: &TcpListener, inotify: &OwnedFd) {
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
                        while rustix::io::read(inotify, &mut buffer[..]).is_ok() {}
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

    /// Frames what was appended and sends it, a bufferful at a time.
    fn follow(&mut self, buffer: &mut [u8]) {
        loop {
            let count = self.file.read(buffer).expect("the day's file");
            if count == 0 {
                return;
            }
            self.torn.extend_from_slice(&buffer[..count]);
            let mut rest = &self.torn[..];
            while let Some(end) = memchr::memchr(b'\n', rest) {
                self.offset += end as u64 + 1;
                let _ = write!(self.frames, "id: 2026-01-02:{:012}\ndata: ", self.offset);
                self.frames.extend_from_slice(&rest[..end]);
                self.frames.extend_from_slice(b"\n\n");
                rest = &rest[end + 1..];
            }
            let kept = rest.len();
            self.torn.drain(..self.torn.len() - kept);
            for token in self.clients.keys().copied().collect::<Vec<_>>() {
                self.send(token);
            }
            if self.clients.values().all(|client| client.at == self.frames.len()) {
                self.frames.clear();
                self.clients.values_mut().for_each(|client| client.at = 0);
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
