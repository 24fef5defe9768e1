//! The sessions of this machine in memory: what each is, and every change as it happens.
//!
//! A task a living host follows that host's events; a look at the folder every few seconds finds what nobody told
//! of. Lists are answered from memory.
//!
//! Invariants: while a session is followed, its follower alone says what it is; who subscribes gets all that is
//! there and then every change, with nothing lost in between; a removal is told; memory is bounded by the
//! number of sessions; a session that nobody uses costs no wake-up.
//!
//! Not here: who may see it, and how it is sent (`serve`).

mod changes;
mod find;
mod follow;
mod kept;
mod look;
mod place;
mod shown;
mod slug;
mod subscription;

pub use changes::{Change, Changes, Notice};
pub use shown::LiveSession;
pub use subscription::{LiveEvent, News, Subscription};

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, mpsc, watch};

use self::place::{Place, Places};
use self::slug::Slugs;
use super::{Table, files, spec_in};
use crate::model::SessionId;
use crate::util::Shutdown;
use crate::wire::SessionStatus;

/// Folders that wait for being read; more are read when their sessions change next.
const PLACES_QUEUE: usize = 1024;

/// The sessions in memory. Clones share them.
#[derive(Debug, Clone)]
pub struct LiveTable(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: Table,
    home: Option<PathBuf>,
    epoch: String,
    shutdown: Shutdown,
    state: Mutex<State>,
    newest: watch::Sender<u64>,
    unread_places: mpsc::Sender<PathBuf>,
    places_to_read: Mutex<Option<mpsc::Receiver<PathBuf>>>,
    slugs_changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    sessions: HashMap<SessionId, Held>,
    changes: Changes,
    slugs: Slugs,
    places: Places,
}

#[derive(Debug)]
struct Held {
    shown: Arc<LiveSession>,
    /// Its follower says what it is.
    followed: bool,
    /// Somebody told of it meanwhile: its follower looks again before it ends.
    again: bool,
    /// Wakes a follower that waits to look again.
    look: Arc<Notify>,
    /// Whether it is an attempt of the queue's.
    dispatched: bool,
    /// When its state file was written that was read.
    written: Option<SystemTime>,
}

/// What a folder says of its session.
#[derive(Debug)]
struct Loaded {
    status: SessionStatus,
    dispatched: bool,
    written: Option<SystemTime>,
}

impl LiveTable {
    /// The sessions of `table`; none is known until [`start`](Self::start). `home` is shown as `~`.
    pub fn new(table: Table, home: Option<PathBuf>, shutdown: Shutdown) -> Self {
        let (unread_places, places) = mpsc::channel(PLACES_QUEUE);
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        Self(Arc::new(Inner {
            table,
            home,
            epoch: format!("{:08x}", random >> 32),
            shutdown,
            state: Mutex::default(),
            newest: watch::Sender::new(0),
            unread_places,
            places_to_read: Mutex::new(Some(places)),
            slugs_changed: Notify::new(),
        }))
    }

    /// Reads every session there is, and follows them from then on.
    pub async fn start(&self) {
        self.remember_slugs().await;
        self.look().await;
        let places = self.0.places_to_read.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(places) = places {
            drop(self.0.shutdown.spawn(look::read_places(self.clone(), places)));
            drop(self.0.shutdown.spawn(look::keep_looking(self.clone())));
            drop(self.0.shutdown.spawn(kept::keep_slugs(self.clone())));
        }
    }

    /// Every session, newest first.
    pub fn list(&self) -> Vec<Arc<LiveSession>> {
        let mut all: Vec<_> = self.state().sessions.values().map(|held| Arc::clone(&held.shown)).collect();
        all.sort_by(|a, b| {
            b.status().created_at.cmp(&a.status().created_at).then_with(|| a.id().cmp(b.id()))
        });
        all
    }

    /// One session by its id.
    pub fn get(&self, id: &SessionId) -> Option<Arc<LiveSession>> {
        self.state().sessions.get(id).map(|held| Arc::clone(&held.shown))
    }

    /// The folder of one session.
    pub fn folder(&self, id: &SessionId) -> PathBuf {
        self.0.table.folder(id)
    }

    /// The sessions on the disk.
    pub fn table(&self) -> &Table {
        &self.0.table
    }

    /// Looks at a session that was started, resumed, ended or removed just now, so that it is known when this
    /// returns. `None` when there is none.
    pub async fn announce(&self, id: &SessionId) -> Option<Arc<LiveSession>> {
        if let Some(held) = self.state().sessions.get_mut(id)
            && held.followed
        {
            held.again = true;
            held.look.notify_one();
            return Some(Arc::clone(&held.shown));
        }
        match self.load(id).await {
            Ok(Some(loaded)) => self.put(loaded),
            Ok(None) => self.remove(id),
            Err(error) => tracing::warn!(%error, session = %id, "a session cannot be read"),
        }
        self.get(id)
    }

    /// Waits until `check` gives something for the session's state (`None`: there is no such session), which is
    /// looked at now and after every change.
    pub async fn when<T>(
        &self,
        id: &SessionId,
        mut check: impl FnMut(Option<&LiveSession>) -> Option<T>,
    ) -> T {
        let mut newest = self.0.newest.subscribe();
        loop {
            newest.borrow_and_update();
            if let Some(found) = check(self.get(id).as_deref()) {
                return found;
            }
            if newest.changed().await.is_err() {
                // The table lives as long as this borrow of it.
                std::future::pending::<()>().await;
            }
        }
    }

    /// All that is there, then what changes; or, for somebody who has seen all up to the change `after` of this
    /// life of the table, what has changed since.
    pub fn subscribe(&self, after: Option<u64>) -> Subscription {
        Subscription::new(self.clone(), after, self.0.newest.subscribe())
    }

    /// Whether all is still known that changed after `number`.
    pub fn reaches(&self, number: u64) -> bool {
        self.state().changes.reaches(number)
    }

    /// A word for this life of the table: numbers of changes mean nothing in another one.
    pub fn epoch(&self) -> &str {
        &self.0.epoch
    }

    /// A session is gone from the disk.
    pub fn remove(&self, id: &SessionId) {
        let mut state = self.state();
        if state.sessions.remove(id).is_some() {
            state.slugs.take_back(id);
            self.0.slugs_changed.notify_one();
            state.changes.remove(id);
            self.tell(&state);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, state: &State) {
        self.0.newest.send_replace(state.changes.newest());
    }

    /// What the session's folder says; `None` when there is none, or it was dismissed.
    async fn load(&self, id: &SessionId) -> std::io::Result<Option<Loaded>> {
        let (table, id) = (self.0.table.clone(), id.clone());
        let read = self.0.shutdown.spawn_blocking(move || load(&table, &id));
        read.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
    }

    /// Takes what a folder said, unless the session is followed; follows it when it lives.
    fn put(&self, loaded: Loaded) {
        let id = loaded.status.id.clone();
        let mut state = self.state();
        if state.sessions.get(&id).is_some_and(|held| held.followed) {
            return;
        }
        let alive = !loaded.status.state.is_final();
        self.write(&mut state, loaded);
        if let Some(held) = state.sessions.get_mut(&id).filter(|_| alive) {
            (held.followed, held.again) = (true, false);
            let look = Arc::clone(&held.look);
            drop(self.0.shutdown.spawn(follow::follow(self.clone(), id, look)));
        }
    }

    /// Takes what a session is now.
    fn write(&self, state: &mut State, Loaded { status, dispatched, written }: Loaded) {
        let status = shown::slim(status);
        let id = status.id.clone();
        let wanted = shown::wanted_slug(&status);
        let slug = state.slugs.give(&id, super::kind(&status), &wanted);
        if slug != wanted {
            self.0.slugs_changed.notify_one();
        }
        let place = self.place(state, &status);
        let shown = Arc::new(LiveSession::new(status, slug, place, (&self.folder(&id), dispatched)));
        match state.sessions.get_mut(&id) {
            Some(held) if held.shown.is_like(&shown) => {
                (held.shown, held.written) = (shown, written);
                return;
            }
            Some(held) => (held.shown, held.dispatched, held.written) = (shown, dispatched, written),
            None => {
                let look = Arc::default();
                let held = Held { shown, followed: false, again: false, look, dispatched, written };
                state.sessions.insert(id.clone(), held);
            }
        }
        state.changes.upsert(&id);
        self.tell(state);
    }

    fn place(&self, state: &State, status: &SessionStatus) -> Arc<Place> {
        state.places.get(&status.cwd).unwrap_or_else(|| {
            // When it is full, the folder is read at a later change.
            let _ = self.0.unread_places.try_send(status.cwd.clone());
            shown::unread_place(&status.cwd, self.0.home.as_deref())
        })
    }

    /// A folder was read: its sessions are told anew where that says more.
    fn learn_place(&self, cwd: &Path, place: &Arc<Place>) {
        let mut state = self.state();
        state.places.keep(cwd.to_owned(), Arc::clone(place));
        let here = state.sessions.values().filter(|held| held.shown.status().cwd == cwd);
        let here = here.filter(|held| **held.shown.place() != **place);
        let loaded: Vec<_> = here
            .map(|held| {
                let status = held.shown.status().clone();
                Loaded { status, dispatched: held.dispatched, written: held.written }
            })
            .collect();
        for loaded in loaded {
            self.write(&mut state, loaded);
        }
    }
}

/// How long a session that lives in a hanging place may keep its reader.
const PLACE_PATIENCE: Duration = Duration::from_secs(2);

fn load(table: &Table, id: &SessionId) -> std::io::Result<Option<Loaded>> {
    let folder = table.folder(id);
    let written = look::written(&folder.join(files::STATE));
    let Some(status) = table.get(id)? else { return Ok(None) };
    let spec = spec_in(&folder)?;
    let dispatched = spec.and_then(|spec| spec.dispatch).is_some_and(|facts| facts.work_id.is_some());
    Ok(Some(Loaded { status, dispatched, written }))
}
