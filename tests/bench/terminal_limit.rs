//! The limit of a terminal behind a socket: one thread reads it and writes frames, one reads frames and types.
//!
//! It merges what the kernel has ready into frames of up to 64 KiB, as a host does, keeps the newest 2 MiB, which a
//! client gets first, and writes while the lock is held: one client, no log, no end.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use darkmux::wire::frames::{Decoder, HEADER_LEN, Kind, UPGRADE, header};
use pty_process::blocking;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::http::read_head;

/// Bytes kept.
const RING: usize = 2 << 20;
/// Largest payload of a frame.
const FRAME: usize = 64 * 1024;

#[derive(Default)]
struct Kept {
    ring: Vec<u8>,
    client: Option<UnixStream>,
}

/// Runs `/bin/sh` in `folder` behind a socket, as long as the program runs.
pub fn serve(path: &Path, folder: &Path) {
    let listener = UnixListener::bind(path).expect("a socket");
    let (pty, pts) = blocking::open().expect("a terminal");
    pty.resize(pty_process::Size::new(24, 80)).expect("a terminal");
    let shell = blocking::Command::new("/bin/sh").current_dir(folder).spawn(pts).expect("a shell");
    let pty = Arc::new(pty);
    let kept = Arc::new(Mutex::new(Kept::default()));
    let shown = (Arc::clone(&pty), Arc::clone(&kept));
    std::thread::spawn(move || show(&shown.0, &shown.1));
    std::thread::spawn(move || {
        // Ends with its terminal, when this program does.
        let _shell = shell;
        for client in listener.incoming().flatten() {
            // One that goes away makes room for the next.
            let _ = attach(client, &pty, &kept);
        }
    });
}

fn show(pty: &blocking::Pty, kept: &Mutex<Kept>) {
    let mut buffer = vec![0; HEADER_LEN + FRAME];
    loop {
        let mut filled = HEADER_LEN;
        while filled < buffer.len() && (filled == HEADER_LEN || is_ready(pty)) {
            match (&*pty).read(&mut buffer[filled..]) {
                Ok(count) if count > 0 => filled += count,
                _ if filled > HEADER_LEN => break,
                _ => return,
            }
        }
        buffer[..HEADER_LEN].copy_from_slice(&header(Kind::Output, filled - HEADER_LEN));
        let mut kept = kept.lock().expect("nobody panics with it");
        kept.ring.extend_from_slice(&buffer[HEADER_LEN..filled]);
        if kept.ring.len() > 2 * RING {
            let old = kept.ring.len() - RING;
            kept.ring.drain(..old);
        }
        if kept.client.as_mut().is_some_and(|client| client.write_all(&buffer[..filled]).is_err()) {
            kept.client = None;
        }
    }
}

fn is_ready(pty: &blocking::Pty) -> bool {
    let mut wanted = [PollFd::new(pty, PollFlags::IN)];
    poll(&mut wanted, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|count| count > 0)
}

fn attach(mut client: UnixStream, pty: &blocking::Pty, kept: &Mutex<Kept>) -> std::io::Result<()> {
    read_head(&mut client)?;
    write!(client, "HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: {UPGRADE}\r\n\r\n")?;
    {
        let mut kept = kept.lock().expect("nobody panics with it");
        for piece in kept.ring[kept.ring.len().saturating_sub(RING)..].chunks(FRAME) {
            client.write_all(&header(Kind::Output, piece.len()))?;
            client.write_all(piece)?;
        }
        kept.client = Some(client.try_clone()?);
    }
    let mut decoder = Decoder::default();
    let mut buffer = [0; 8192];
    loop {
        let count = client.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        decoder.push(&buffer[..count]);
        while let Some((kind, bytes)) = decoder.next_frame().map_err(std::io::Error::other)? {
            if kind == Kind::Input {
                (&*pty).write_all(bytes)?;
            }
        }
    }
}
