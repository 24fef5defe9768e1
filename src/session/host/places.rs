//! Who is connected to a host: how many there may be, and who makes room.
//!
//! The session's own program may connect as often as it likes, and need not have the key of this user's sockets. Invariant:
//! it cannot keep out who has: those who have not shown the key are few, and the one that came first makes room for the
//! next; those who have keep their places.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Connections that have not shown the key.
const GUESTS: usize = 16;

/// Connections that have; a further one is a guest.
const KNOWN: usize = 48;

/// Clients on the duplex stream.
const ATTACHED: usize = 128;

/// All the places of one host.
#[derive(Debug)]
pub(super) struct Places {
    next: AtomicU64,
    /// Who came first stands first.
    guests: Mutex<VecDeque<(u64, Arc<Notify>)>>,
    known: Arc<Semaphore>,
    attached: Arc<Semaphore>,
}

/// One connection's place. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    id: u64,
    let_go: Arc<Notify>,
    known: OnceLock<OwnedSemaphorePermit>,
    is_attached: AtomicBool,
}

impl Places {
    /// All of them free.
    pub fn new() -> Self {
        Self {
            next: AtomicU64::new(0),
            guests: Mutex::default(),
            known: Arc::new(Semaphore::new(KNOWN)),
            attached: Arc::new(Semaphore::new(ATTACHED)),
        }
    }

    /// The place of a connection that was just accepted.
    pub fn enter(self: &Arc<Self>) -> Place {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let let_go = Arc::new(Notify::new());
        let mut guests = self.guests();
        guests.push_back((id, Arc::clone(&let_go)));
        if guests.len() > GUESTS
            && let Some((_, first)) = guests.pop_front()
        {
            first.notify_one();
        }
        drop(guests);
        Place {
            places: Arc::clone(self),
            id,
            let_go,
            known: OnceLock::new(),
            is_attached: AtomicBool::new(false),
        }
    }

    fn guests(&self) -> MutexGuard<'_, VecDeque<(u64, Arc<Notify>)>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, id: u64) {
        self.guests().retain(|(guest, _)| *guest != id);
    }
}

impl Place {
    /// Resolves when this connection has to make room; never once it is attached, so that who gets no answer knows that
    /// nothing was done.
    pub async fn let_go(&self) {
        self.let_go.notified().await;
        if self.is_attached.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    /// Whether it still has to show the key.
    pub fn is_guest(&self) -> bool {
        self.known.get().is_none()
    }

    /// The key was shown.
    pub fn shown(&self) {
        if let Ok(place) = Arc::clone(&self.places.known).try_acquire_owned()
            && self.known.set(place).is_ok()
        {
            self.places.forget(self.id);
        }
    }

    /// A place on the duplex stream, which goes on after the connection's own end; `None` when there are too many.
    pub fn attach(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.places.attached).try_acquire_owned().ok()?;
        self.is_attached.store(true, Ordering::Relaxed);
        Some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_guest() {
            self.places.forget(self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_first_guest_makes_room_and_who_showed_the_key_stays() {
        let places = Arc::new(Places::new());
        let known = places.enter();
        known.shown();
        let mut guests: Vec<Place> = (0..GUESTS).map(|_| places.enter()).collect();
        let must_go = |place: &Place| place.let_go().now_or_never().is_some();
        assert!(!guests.iter().any(must_go));
        guests.push(places.enter());
        assert!(must_go(&guests[0]) && !guests[1..].iter().any(must_go) && !must_go(&known));
        guests.remove(0);
        guests.remove(0);
        guests.push(places.enter());
        assert!(!guests.iter().any(must_go), "a place that was given back is free");
        let attached = guests[0].attach();
        guests.push(places.enter());
        assert!(attached.is_some() && !guests.iter().any(must_go), "it was answered");
        drop(guests);
        assert_eq!(places.guests().len(), 0);

        let more: Vec<Place> = (0..KNOWN).map(|_| places.enter()).collect();
        more.iter().for_each(Place::shown);
        assert_eq!(more.iter().filter(|place| place.is_guest()).count(), 1);
        drop(known);
        more.iter().for_each(Place::shown);
        assert!(!more.iter().any(Place::is_guest));
    }
}
