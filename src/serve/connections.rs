//! The open connections: how many there may be, and which one makes room.
//!
//! Idle connections cost nothing to open, so their number must not lock anybody out: when all places are taken,
//! the one that waited longest without a request in flight is closed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

/// Where a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No byte of a next request has come since then.
    Idle(Instant),
    /// The head of a request is coming since then.
    Head(Instant),
    /// A request is being answered, or the connection speaks something else by now.
    Busy,
}

/// One open connection, as the list and the socket see it.
#[derive(Debug)]
pub struct Slot {
    phase: Mutex<Phase>,
    /// The socket did not take all that was written to it.
    unsent: AtomicBool,
    /// It was upgraded: there is no next request to wait for.
    upgraded: AtomicBool,
    evicted: CancellationToken,
}

impl Slot {
    /// Where the connection is now.
    pub fn phase(&self) -> Phase {
        if self.upgraded.load(Ordering::Acquire) { Phase::Busy } else { *self.locked() }
    }

    /// The connection speaks something else from now on; whoever upgraded it keeps the time.
    pub fn upgraded(&self) {
        self.upgraded.store(true, Ordering::Release);
    }

    /// A byte came while no request was in flight.
    pub fn head_begins(&self) {
        let mut phase = self.locked();
        if matches!(*phase, Phase::Idle(_)) {
            *phase = Phase::Head(Instant::now());
        }
    }

    /// A request is in flight until the guard is dropped.
    pub fn busy(self: &Arc<Self>) -> Busy {
        *self.locked() = Phase::Busy;
        Busy(Arc::clone(self))
    }

    /// Notes whether the socket took all that was written to it.
    pub fn set_unsent(&self, unsent: bool) {
        self.unsent.store(unsent, Ordering::Relaxed);
    }

    /// Whether something written waits for the socket.
    pub fn has_unsent(&self) -> bool {
        self.unsent.load(Ordering::Relaxed)
    }

    /// Resolves when the connection has to make room.
    pub async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    fn locked(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in flight.
#[derive(Debug)]
pub struct Busy(Arc<Slot>);

impl Drop for Busy {
    fn drop(&mut self) {
        *self.0.locked() = Phase::Idle(Instant::now());
    }
}

/// The list of open connections. Clones share it.
#[derive(Debug, Clone)]
pub struct Connections {
    open: Arc<Mutex<Open>>,
    most: usize,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    slots: BTreeMap<u64, Arc<Slot>>,
}

impl Connections {
    /// An empty list of at most `most`.
    pub fn new(most: usize) -> Self {
        Self { open: Arc::default(), most }
    }

    /// A place for a new connection; `None` when all are taken by requests in flight. The place is given back
    /// when the ticket is dropped.
    pub fn enter(&self) -> Option<Ticket> {
        let mut open = self.locked();
        if open.slots.len() >= self.most && !open.evict() {
            return None;
        }
        let key = open.next;
        open.next += 1;
        let slot = Arc::new(Slot {
            phase: Mutex::new(Phase::Idle(Instant::now())),
            unsent: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
            evicted: CancellationToken::new(),
        });
        open.slots.insert(key, Arc::clone(&slot));
        Some(Ticket { connections: self.clone(), key, slot })
    }

    /// Closes the longest idle connection; `false` when there is none.
    pub fn evict(&self) -> bool {
        self.locked().evict()
    }

    fn locked(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn evict(&mut self) -> bool {
        let waiting = self.slots.iter().filter_map(|(key, slot)| match slot.phase() {
            Phase::Idle(since) | Phase::Head(since) => Some((since, *key)),
            Phase::Busy => None,
        });
        let Some((_, key)) = waiting.min() else { return false };
        if let Some(slot) = self.slots.remove(&key) {
            slot.evicted.cancel();
        }
        true
    }
}

/// A place in the list.
#[derive(Debug)]
pub struct Ticket {
    connections: Connections,
    key: u64,
    /// The connection's own entry.
    pub slot: Arc<Slot>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.connections.locked().slots.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_idle_makes_room_and_requests_in_flight_never_do() {
        let connections = Connections::new(2);
        let first = connections.enter().unwrap();
        let second = connections.enter().unwrap();
        let busy = first.slot.busy();
        let third = connections.enter().unwrap();
        assert!(second.slot.evicted.is_cancelled() && !first.slot.evicted.is_cancelled());
        let _third_busy = third.slot.busy();
        assert!(connections.enter().is_none());
        drop(busy);
        assert!(connections.enter().is_some());
        assert!(first.slot.evicted.is_cancelled());
    }
}
