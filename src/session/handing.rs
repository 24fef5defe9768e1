//! Handing a client's socket from the daemon to the session's host: its bytes pass one process less then, and what the
//! daemon does meanwhile delays no key.
//!
//! On the connection, once it is upgraded to [`HANDING`](crate::wire::frames::HANDING):
//!
//! | who | sends | when |
//! |---|---|---|
//! | host | `R` | it can take a descriptor now; what came before would be lost |
//! | daemon | a length, u32 big endian, with the socket's descriptor; so many bytes | these came with the client's request |
//! | daemon | a close code, u16 big endian | the socket has to end for this reason; the end of the connection means 1001 |
//! | host | `E` | it has ended the socket; without it the host is gone |
//!
//! Invariant: the daemon keeps a descriptor of the socket and never writes to it while the host lives; who may no longer
//! look is cut off also where the host does not answer.

use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;

use bytes::Bytes;
use hyper::upgrade::Upgraded;

use super::client::{foreign, in_time};
use super::duplex::{self, Incoming, Outgoing};
use super::terminal::Close;

const READY: u8 = b'R';
const ENDED: u8 = b'E';

/// Most bytes that come with a client's request.
const EARLY_MAX: usize = 256 * 1024;

/// A host that waits for a client's socket.
#[derive(Debug)]
pub struct OpenHand {
    incoming: Incoming,
    outgoing: Outgoing,
}

/// A socket that a host has taken, as the daemon sees it.
#[derive(Debug)]
pub struct Handed {
    incoming: Incoming,
    outgoing: Outgoing,
}

impl OpenHand {
    /// Waits until the host can take a descriptor.
    pub(super) async fn of(upgraded: Upgraded) -> io::Result<Self> {
        let (mut incoming, outgoing) = duplex::split(upgraded)?;
        let mut ready = [0];
        if incoming.read(&mut ready).await? == 0 || ready != [READY] {
            return Err(foreign("the host takes no socket"));
        }
        Ok(Self { incoming, outgoing })
    }

    /// Gives it a socket that has left HTTP, with what came `early`. After an error it is still the caller's.
    pub async fn give(self, socket: &TcpStream, early: &[u8]) -> io::Result<Handed> {
        let Self { incoming, mut outgoing } = self;
        let length = u32::try_from(early.len()).ok().filter(|length| *length as usize <= EARLY_MAX);
        let length = length.ok_or_else(|| foreign("too much came with the request"))?;
        outgoing.write_with_descriptor(&length.to_be_bytes(), socket.as_fd())?;
        in_time(outgoing.write_all(early)).await?;
        Ok(Handed { incoming, outgoing })
    }
}

impl Handed {
    /// Resolves when the host has ended the socket; an error when it went away without. Can be dropped while it waits.
    pub async fn ended(&mut self) -> io::Result<()> {
        let mut word = [0];
        match self.incoming.read(&mut word).await? {
            1 if word == [ENDED] => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Asks the host to end it for this reason.
    pub async fn end(&mut self, close: Close) -> io::Result<()> {
        self.outgoing.write_all(&close.code().to_be_bytes()).await
    }
}

/// The daemon that handed a socket over, as the host sees it.
#[derive(Debug)]
pub(super) struct Giver {
    incoming: Incoming,
    outgoing: Outgoing,
}

impl Giver {
    /// Takes the socket, and what came with its client's request.
    pub async fn take(upgraded: Upgraded) -> io::Result<(Self, TcpStream, Bytes)> {
        let (mut incoming, mut outgoing) = duplex::split(upgraded)?;
        outgoing.write_all(&[READY]).await?;
        let mut length = [0; 4];
        let (count, descriptor) = incoming.read_with_descriptor(&mut length).await?;
        let descriptor = descriptor.filter(|_| count == length.len());
        let descriptor = descriptor.ok_or_else(|| foreign("no socket came"))?;
        let length = u32::from_be_bytes(length) as usize;
        if length > EARLY_MAX {
            return Err(foreign("too much comes with the socket"));
        }
        let mut early = vec![0; length];
        let mut at = 0;
        while at < length {
            match incoming.read(&mut early[at..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => at += count,
            }
        }
        Ok((Self { incoming, outgoing }, TcpStream::from(descriptor), early.into()))
    }

    /// Why the socket has to end, once it has to.
    pub async fn word(&mut self) -> Close {
        let mut code = [0; 2];
        match self.incoming.read(&mut code).await {
            Ok(2) if u16::from_be_bytes(code) == Close::SignedOut.code() => Close::SignedOut,
            _ => Close::ShuttingDown,
        }
    }

    /// The socket has ended.
    pub async fn done(mut self) {
        // A daemon that is gone needs no word.
        let _ = self.outgoing.write_all(&[ENDED]).await;
    }
}
