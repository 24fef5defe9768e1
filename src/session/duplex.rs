//! Both ends of an attachment's socket, once HTTP has left it.
//!
//! Invariant: the runtime watches it for something to read alone. A unix socket says that there is room again whenever
//! the other end has read, and a runtime that watches for that wakes up once more for every key and every echo. Room is
//! waited for only by who has found none.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream as Socket;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

/// The side that is read.
#[derive(Debug)]
pub(super) struct Incoming {
    socket: Arc<AsyncFd<Socket>>,
    /// What came with the head of the request or its answer.
    early: Bytes,
}

/// The side that is written to.
#[derive(Debug)]
pub(super) struct Outgoing {
    socket: Arc<AsyncFd<Socket>>,
    /// Watched for room, since it had none.
    room: Option<AsyncFd<Socket>>,
}

/// Takes the socket out of the HTTP library.
pub(super) fn split(upgraded: Upgraded) -> io::Result<(Incoming, Outgoing)> {
    let parts = upgraded.downcast::<TokioIo<UnixStream>>();
    let parts = parts.map_err(|_| io::Error::other("the connection is no unix socket"))?;
    both(parts.io.into_inner().into_std()?, parts.read_buf)
}

/// The two sides of a socket that does not block.
pub(super) fn both(socket: Socket, early: Bytes) -> io::Result<(Incoming, Outgoing)> {
    let socket = Arc::new(watched(socket, Interest::READABLE)?);
    let outgoing = Outgoing { socket: Arc::clone(&socket), room: None };
    Ok((Incoming { socket, early }, outgoing))
}

fn watched(socket: Socket, interest: Interest) -> io::Result<AsyncFd<Socket>> {
    // Safe with a socket that it owns; its successor is marked unsafe for those that lend theirs.
    #[allow(deprecated)]
    AsyncFd::with_interest(socket, interest)
}

impl Incoming {
    /// Reads what there is, waiting for it; 0 at the end. Can be dropped while it waits.
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.early.is_empty() {
            let count = self.early.len().min(buffer.len());
            self.early.copy_to_slice(&mut buffer[..count]);
            return Ok(count);
        }
        loop {
            let mut ready = self.socket.readable().await?;
            // A socket that always has something lets others have their turn.
            tokio::task::consume_budget().await;
            let Ok(read) = ready.try_io(|socket| socket.get_ref().read(buffer)) else { continue };
            if matches!(read, Ok(count) if count > 0 && count < buffer.len()) {
                // It is empty: what comes from now on is told, and nobody has to ask for it in vain.
                ready.clear_ready();
            }
            return read;
        }
    }
}

impl Outgoing {
    /// Writes some of `bytes`, waiting for room. Can be dropped while it waits: nothing was written then.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            tokio::task::consume_budget().await;
            match self.socket.get_ref().write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.room().await?,
                done => {
                    self.room = None;
                    return done;
                }
            }
        }
    }

    /// Writes all of `bytes`.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write(bytes).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => bytes = &bytes[count..],
            }
        }
        Ok(())
    }

    /// Says that nothing follows.
    pub fn end(&self) -> io::Result<()> {
        self.socket.get_ref().shutdown(Shutdown::Write)
    }

    async fn room(&mut self) -> io::Result<()> {
        let room = match self.room.take() {
            Some(room) => room,
            // Another descriptor of it, because one is watched for one set of reasons.
            None => watched(self.socket.get_ref().try_clone()?, Interest::WRITABLE)?,
        };
        self.room.insert(room).writable().await?.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn pair() -> [(Incoming, Outgoing); 2] {
        let (a, b) = Socket::pair().unwrap();
        [a, b].map(|socket| {
            socket.set_nonblocking(true).unwrap();
            both(socket, Bytes::new()).unwrap()
        })
    }

    #[tokio::test]
    async fn everything_arrives_whoever_waits_for_room() {
        let [(_, mut out), (mut come, _)] = pair();
        let sent: Vec<u8> = (0..4_000_000_u32).map(|n| (n % 251) as u8).collect();
        let write = async {
            out.write_all(&sent).await.unwrap();
            out.write_all(b"end").await.unwrap();
            out.end().unwrap();
        };
        let read = async {
            let (mut got, mut buffer) = (Vec::new(), vec![0; 10_000]);
            loop {
                match come.read(&mut buffer).await.unwrap() {
                    0 => return got,
                    count => got.extend_from_slice(&buffer[..count]),
                }
            }
        };
        let ((), got) = timeout(LONG, async { tokio::join!(write, read) }).await.expect("both go on");
        assert!(got.starts_with(&sent) && got.ends_with(b"end") && got.len() == sent.len() + 3);
    }

    #[tokio::test]
    async fn an_end_that_came_with_the_last_bytes_is_seen() {
        let [(_, mut out), (mut come, _other)] = pair();
        out.write_all(b"all").await.unwrap();
        out.end().unwrap();
        let mut buffer = [0; 64];
        assert_eq!(timeout(LONG, come.read(&mut buffer)).await.unwrap().unwrap(), 3);
        assert_eq!(timeout(LONG, come.read(&mut buffer)).await.unwrap().unwrap(), 0);
    }

    #[tokio::test]
    async fn what_came_with_the_head_comes_first() {
        let (a, b) = Socket::pair().unwrap();
        a.set_nonblocking(true).unwrap();
        let (mut come, _out) = both(a, Bytes::from_static(b"early")).unwrap();
        (&b).write_all(b"late").unwrap();
        let mut buffer = [0; 3];
        let mut got = Vec::new();
        while got.len() < 9 {
            let count = timeout(LONG, come.read(&mut buffer)).await.unwrap().unwrap();
            got.extend_from_slice(&buffer[..count]);
        }
        assert_eq!(got, b"earlylate");
    }

    #[tokio::test]
    async fn a_wait_that_is_dropped_has_taken_nothing() {
        let [(mut ours, _out), (_come, mut theirs)] = pair();
        let mut buffer = [0; 8];
        assert!(timeout(Duration::from_millis(1), ours.read(&mut buffer)).await.is_err());
        theirs.write_all(b"x").await.unwrap();
        assert_eq!(timeout(LONG, ours.read(&mut buffer)).await.unwrap().unwrap(), 1);
    }
}
