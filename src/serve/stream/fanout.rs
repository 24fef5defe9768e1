//! Clients that have got everything, written to from one place.
//!
//! A client without a backlog needs no task of its own to be woken for each event, and no buffer: it is *parked*
//! here with its socket and its place. Whoever made new frames calls [`Fanout::tell`] and then
//! [`Fanout::hand_out`], which writes the same shared bytes to each socket. A client whose socket does not take
//! all of them at once, or that needs something else than frames, goes back to its own task ([`Back`]) and parks
//! again when it has caught up. So nobody waits for anybody.
//!
//! Invariants: a parked client is written to by one thread at a time; what was told after its last look is looked
//! at; a client that leaves ([`Parking`] is dropped) is forgotten with its socket.
//!
//! Not here: what a place is and where frames come from; that is the caller's.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use tokio::sync::oneshot;

use crate::serve::takeover::{Outlet, Socket, advance};

/// Clients that are served before others get the thread.
const SLICE: usize = 128;

/// Pieces and bytes of one write to a client, about; the rest is for the next one.
const PIECES: usize = 16;
const BYTES: usize = 256 * 1024;

/// What there is for a parked client at some place.
#[derive(Debug)]
pub enum Ahead<A> {
    /// These frames, after which it is there.
    Frames(Bytes, A),
    /// Nothing yet.
    Nothing,
    /// Something that its own task has to see to.
    Other,
}

/// What a client's own task goes on with.
#[derive(Debug)]
pub struct Back<A> {
    /// Where the client is once it has got the rest.
    pub at: A,
    /// What its socket did not take yet.
    pub unsent: VecDeque<Bytes>,
}

/// The parked clients.
#[derive(Debug)]
pub struct Fanout<A> {
    lists: Mutex<Lists<A>>,
    /// How long a client may be without a sign of life, and the sign.
    quiet: Duration,
    sign: Bytes,
}

#[derive(Debug)]
struct Lists<A> {
    /// How often something was told.
    round: u64,
    next: u64,
    /// Those that have to be looked at.
    due: Vec<Parked<A>>,
    idle: Vec<Parked<A>>,
}

#[derive(Debug)]
struct Parked<A> {
    key: u64,
    socket: Arc<Socket>,
    at: A,
    sent: Instant,
    back: oneshot::Sender<Back<A>>,
}

/// What the next clients get that are where the last one was.
struct Load<A> {
    from: A,
    to: A,
    pieces: Vec<Bytes>,
    then: Then,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Wait,
    /// There is more at once.
    Again,
    GiveBack,
}

impl<A: Clone + PartialEq> Fanout<A> {
    /// Without clients. Those that got nothing for `quiet` are sent the sign when they are looked at; who looks
    /// as often gives each a sign at least every second time.
    pub fn new(quiet: Duration, sign: Bytes) -> Self {
        let lists = Lists { round: 0, next: 0, due: Vec::new(), idle: Vec::new() };
        Self { lists: Mutex::new(lists), quiet, sign }
    }

    /// How often something was told: a client takes it before it looks for itself.
    pub fn round(&self) -> u64 {
        self.locked().round
    }

    /// Takes a client that found nothing after this round; `None` when something was told since.
    pub fn park(&self, outlet: &Outlet, at: A, round: u64) -> Option<Parking<'_, A>> {
        let mut lists = self.locked();
        if lists.round != round {
            return None;
        }
        let key = lists.next;
        lists.next += 1;
        let (back, given) = oneshot::channel();
        lists.idle.push(Parked { key, socket: outlet.socket(), at, sent: Instant::now(), back });
        Some(Parking { fanout: self, key, given })
    }

    /// There may be something for everybody.
    pub fn tell(&self) {
        let mut lists = self.locked();
        lists.round += 1;
        let Lists { due, idle, .. } = &mut *lists;
        due.append(idle);
    }

    /// Serves some of those that are due; `false` when none is left. `look` says what there is at a place.
    pub fn hand_out(&self, mut look: impl FnMut(&A) -> Ahead<A>) -> bool {
        let (round, some) = {
            let mut lists = self.locked();
            let rest = lists.due.len().saturating_sub(SLICE);
            (lists.round, lists.due.split_off(rest))
        };
        if some.is_empty() {
            return false;
        }
        let mut load: Option<Load<A>> = None;
        let (mut done, mut again) = (Vec::with_capacity(some.len()), Vec::new());
        for client in some {
            let load = match &mut load {
                Some(load) if load.from == client.at => load,
                other => other.insert(gather(&client.at, &mut look)),
            };
            let list = if load.then == Then::Again { &mut again } else { &mut done };
            list.extend(self.serve(client, load));
        }
        let mut lists = self.locked();
        if lists.round == round {
            lists.idle.append(&mut done);
        } else {
            lists.due.append(&mut done);
        }
        lists.due.append(&mut again);
        !lists.due.is_empty()
    }

    /// Sends a client what there is; `None` when it is no longer parked.
    fn serve(&self, mut client: Parked<A>, load: &Load<A>) -> Option<Parked<A>> {
        if client.back.is_closed() {
            return None;
        }
        client.at = load.to.clone();
        let is_quiet = load.then == Then::Wait && client.sent.elapsed() >= self.quiet;
        let sign = [self.sign.clone()];
        let pieces = match &load.pieces[..] {
            [] if is_quiet => &sign[..],
            pieces => pieces,
        };
        let mut unsent = VecDeque::new();
        if !pieces.is_empty() {
            client.sent = Instant::now();
            // One that is broken goes with its sender, which its task hears of.
            unsent = write(&client.socket, pieces).ok()?;
        }
        if !unsent.is_empty() || load.then == Then::GiveBack {
            // A task that has ended meanwhile needs nothing.
            let _ = client.back.send(Back { at: client.at, unsent });
            return None;
        }
        Some(client)
    }

    fn locked(&self) -> MutexGuard<'_, Lists<A>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gather<A: Clone>(from: &A, look: &mut impl FnMut(&A) -> Ahead<A>) -> Load<A> {
    let mut load = Load { from: from.clone(), to: from.clone(), pieces: Vec::new(), then: Then::Again };
    let mut bytes = 0;
    while load.pieces.len() < PIECES && bytes < BYTES {
        match look(&load.to) {
            Ahead::Frames(frames, to) => {
                bytes += frames.len();
                load.to = to;
                load.pieces.extend(Some(frames).filter(|frames| !frames.is_empty()));
            }
            Ahead::Nothing => {
                load.then = Then::Wait;
                break;
            }
            Ahead::Other => {
                load.then = Then::GiveBack;
                break;
            }
        }
    }
    load
}

/// Writes once; returns what is left.
fn write(socket: &Socket, pieces: &[Bytes]) -> io::Result<VecDeque<Bytes>> {
    let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let written = match socket.try_write(&slices) {
        Ok(written) => written,
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
        Err(error) => return Err(error),
    };
    if written == pieces.iter().map(Bytes::len).sum::<usize>() {
        return Ok(VecDeque::new());
    }
    let mut unsent: VecDeque<Bytes> = pieces.iter().cloned().collect();
    advance(&mut unsent, written);
    Ok(unsent)
}

/// A client that is parked. Dropping it takes the client out.
#[derive(Debug)]
pub struct Parking<'a, A> {
    fanout: &'a Fanout<A>,
    key: u64,
    given: oneshot::Receiver<Back<A>>,
}

impl<A: Clone + PartialEq> Parking<'_, A> {
    /// Resolves when the client's own task has to go on; `None` when its socket is broken.
    pub async fn back(&mut self) -> Option<Back<A>> {
        (&mut self.given).await.ok()
    }
}

impl<A> Drop for Parking<'_, A> {
    fn drop(&mut self) {
        let mut lists = self.fanout.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let Lists { due, idle, .. } = &mut *lists;
        // Not in either while somebody writes to it, who then finds that nobody waits for it.
        let taken = [idle, due].into_iter().find_map(|list| {
            let at = list.iter().position(|client| client.key == self.key)?;
            Some(list.swap_remove(at))
        });
        drop(lists);
        drop(taken);
    }
}
