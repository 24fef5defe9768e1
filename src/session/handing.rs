//! Handing a client's socket from the daemon to the session's host: its bytes pass one process less then, and what the
//! daemon does meanwhile delays no key.
//!
//! It takes one trip. The descriptor goes ahead of `POST /v1/terminal`, with an empty line, which HTTP passes over: a host
//! that knows nothing of descriptors answers 404. Line and request are one message: who asks for no descriptor reads to the
//! end of the message that brings one, and waits for more without looking what is there already. The body is what came
//! with the client's request. From the answer 101 on:
//!
//! | who | sends | when |
//! |---|---|---|
//! | daemon | a close code, u16 big endian | the socket has to end for this reason; the end of the connection means 1001 |
//! | host | `E` | it has ended the socket; without it the host is gone |
//!
//! Invariant: the daemon keeps a descriptor of the socket and never writes to it while a host may have it; who may no
//! longer look is cut off also where the host does not answer.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bytes::{Bytes, BytesMut};
use hyper::upgrade::OnUpgrade;
use rustix::io::FdFlags;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recv, recvmsg, sendmsg,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;

use super::client::{OldHost, foreign};
use super::duplex::{self, Incoming, Outgoing};
use super::terminal::Close;
use crate::util::visible_line;

/// What a descriptor goes with: an empty line ahead of the request.
const AHEAD: u8 = b'\n';

const ENDED: u8 = b'E';

/// Longest head of an answer, in bytes.
const HEAD_MAX: usize = 16 * 1024;

/// Waits for the first byte, and takes the descriptor that came ahead of a request. Where none did, nothing is read.
pub(super) async fn ahead(stream: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let receive = || {
        let mut first = [0];
        recv(stream, &mut first, RecvFlags::PEEK)?;
        if first == [AHEAD] { receive(stream.as_fd()) } else { Ok(None) }
    };
    stream.async_io(Interest::READABLE, receive).await
}

fn receive(stream: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(stream, &mut [IoSliceMut::new(&mut [0])], &mut control, RecvFlags::empty())?;
    let mut descriptor = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            // Others are closed.
            descriptor = descriptors.last();
        }
    }
    if let Some(descriptor) = &descriptor {
        // Not every system does it as the descriptor comes.
        rustix::io::fcntl_setfd(descriptor, FdFlags::CLOEXEC)?;
    }
    Ok(descriptor)
}

/// Sends a request and, ahead of it, a descriptor.
fn send(stream: &UnixStream, descriptor: BorrowedFd<'_>, request: &[u8]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("no room for a descriptor"));
    }
    let parts = [IoSlice::new(&[AHEAD]), IoSlice::new(request)];
    let sent = sendmsg(stream, &parts, &mut control, SendFlags::empty())?;
    if sent == 1 + request.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// The head of an answer, and what came after it.
async fn answer(stream: &mut UnixStream) -> io::Result<(BytesMut, Bytes)> {
    let mut head = BytesMut::with_capacity(1024);
    loop {
        if let Some(end) = memchr::memmem::find(&head, b"\r\n\r\n") {
            let rest = head.split_off(end + 4).freeze();
            return Ok((head, rest));
        }
        if head.len() > HEAD_MAX {
            return Err(foreign("the session host's answer has no end"));
        }
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// A socket that a host has taken, as the daemon sees it.
#[derive(Debug)]
pub struct Handed {
    incoming: Incoming,
    outgoing: Outgoing,
}

impl Handed {
    /// Asks a host to take a socket, on a connection that has just been opened.
    pub(super) async fn ask(
        mut stream: UnixStream,
        socket: BorrowedFd<'_>,
        request: &str,
        early: &[u8],
    ) -> io::Result<Self> {
        send(&stream, socket, request.as_bytes())?;
        // Who takes none need not read it, and answers all the same.
        let _ = stream.write_all(early).await;
        let (head, rest) = answer(&mut stream).await?;
        match head.get(..12) {
            Some(b"HTTP/1.1 101") => {
                let sides = stream.into_std().and_then(|stream| duplex::both(stream, rest));
                let sides = sides.map_err(|error| io::Error::new(io::ErrorKind::ConnectionAborted, error));
                let (incoming, outgoing) = sides?;
                Ok(Self { incoming, outgoing })
            }
            Some(b"HTTP/1.1 404") => Err(foreign(OldHost)),
            _ => {
                let line = String::from_utf8_lossy(&head);
                let line = visible_line(line.lines().next().unwrap_or_default());
                Err(foreign(format!("the session host refused ({line})")))
            }
        }
    }

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
    /// Until it was waited for.
    upgrade: Option<OnUpgrade>,
    sides: Option<(Incoming, Outgoing)>,
}

impl Giver {
    /// The daemon at the other end of this connection, which has yet to leave HTTP.
    pub fn new(upgrade: OnUpgrade) -> Self {
        Self { upgrade: Some(upgrade), sides: None }
    }

    /// Why the socket has to end, once it has to.
    pub async fn word(&mut self) -> Close {
        let mut code = [0; 2];
        let read = match self.sides().await {
            Ok((incoming, _)) => incoming.read(&mut code).await,
            Err(error) => Err(error),
        };
        match read {
            Ok(2) if u16::from_be_bytes(code) == Close::SignedOut.code() => Close::SignedOut,
            _ => Close::ShuttingDown,
        }
    }

    /// The socket has ended.
    pub async fn done(mut self) {
        // A daemon that is gone needs no word.
        if let Ok((_, outgoing)) = self.sides().await {
            let _ = outgoing.write_all(&[ENDED]).await;
        }
    }

    /// Can be dropped while it waits.
    async fn sides(&mut self) -> io::Result<&mut (Incoming, Outgoing)> {
        if let Some(upgrade) = &mut self.upgrade {
            let upgraded = upgrade.await;
            self.upgrade = None;
            self.sides = Some(duplex::split(upgraded.map_err(io::Error::other)?)?);
        }
        self.sides.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream as Socket;

    use super::*;

    fn is_closed(mut end: &Socket) -> bool {
        end.set_nonblocking(true).unwrap();
        end.read(&mut [0]).is_ok_and(|count| count == 0)
    }

    #[tokio::test]
    async fn a_request_without_a_descriptor_is_left_as_it_is() {
        for said in [&b"GET / HTTP/1.1"[..], b"\r\nGET", b""] {
            let (mut ours, theirs) = Socket::pair().unwrap();
            theirs.set_nonblocking(true).unwrap();
            let mut theirs = UnixStream::from_std(theirs).unwrap();
            ours.write_all(said).unwrap();
            drop(ours);
            assert!(ahead(&theirs).await.unwrap().is_none());
            let mut left = Vec::new();
            theirs.read_to_end(&mut left).await.unwrap();
            assert_eq!(left, said);
        }
    }

    #[tokio::test]
    async fn a_descriptor_comes_ahead_and_the_request_stays() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (near, mut far) = Socket::pair().unwrap();
        send(&ours, near.as_fd(), b"GET /").unwrap();
        drop(near);
        let came = ahead(&theirs).await.unwrap().expect("a descriptor");
        assert!(rustix::io::fcntl_getfd(&came).unwrap().contains(FdFlags::CLOEXEC));
        Socket::from(came).write_all(b"it").unwrap();
        let mut said = [0; 2];
        far.read_exact(&mut said).unwrap();
        let mut request = [0; 5];
        theirs.read_exact(&mut request).await.unwrap();
        assert_eq!((&said, &request), (b"it", b"GET /"));
    }

    #[tokio::test]
    async fn of_several_descriptors_one_is_kept_and_none_that_comes_later() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let pairs: Vec<_> = (0..5).map(|_| Socket::pair().unwrap()).collect();
        let (near, far): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors: Vec<_> = near[..4].iter().map(AsFd::as_fd).collect();
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        sendmsg(&ours, &[IoSlice::new(&[AHEAD])], &mut control, SendFlags::empty()).unwrap();
        send(&ours, near[4].as_fd(), b"").unwrap();
        drop(near);
        let came = ahead(&theirs).await.unwrap();
        assert_eq!(far.iter().filter(|end| !is_closed(end)).count(), 2, "one was taken, one is on its way");
        assert_eq!(theirs.read(&mut [0; 8]).await.unwrap(), 1);
        assert_eq!(far.iter().filter(|end| !is_closed(end)).count(), 1);
        drop(came);
        assert!(far.iter().all(is_closed));
    }

    /// What a host of an older program makes of it: the library passes over an empty line, and reads no descriptor.
    #[tokio::test]
    async fn a_server_that_knows_no_descriptor_answers() {
        use hyper::{Response, StatusCode, server::conn::http1, service::service_fn};

        let service = service_fn(async |_| {
            let mut response = Response::new(String::new());
            *response.status_mut() = StatusCode::NOT_FOUND;
            Ok::<_, io::Error>(response)
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let request = "POST /v1/terminal HTTP/1.1\r\ncontent-length: 5\r\n\r\n";
        for waits_first in [true, false] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let served =
                http1::Builder::new().serve_connection(hyper_util::rt::TokioIo::new(theirs), service);
            let asked = Handed::ask(ours, listener.as_fd(), request, b"early");
            let answered =
                if waits_first { tokio::join!(served, asked).1 } else { tokio::join!(asked, served).0 };
            assert!(OldHost::is(&answered.unwrap_err()));
        }
    }
}
