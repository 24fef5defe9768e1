//! Finding what nobody told of: the folder of sessions, and the folders that sessions run in.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use super::{Held, LiveTable, Loaded, PLACE_PATIENCE, load, place};
use crate::model::SessionId;
use crate::session::{Table, files};
use crate::util::tick;

/// Between two looks at the folder of sessions.
const LOOK: Duration = Duration::from_secs(4);

/// A folder that changed so lately may change again within the same tick of its file system's clock.
const TICK: Duration = Duration::from_secs(2);

/// Folders that did not answer in time, after which none is asked any more: each keeps a thread.
const HANGING_MAX: usize = 4;

/// What is known of a session before a look.
struct Known {
    followed: bool,
    written: Option<SystemTime>,
}

/// What a look found.
struct Found {
    loaded: Vec<Loaded>,
    gone: Vec<SessionId>,
}

impl LiveTable {
    /// Reads what is new, or otherwise than it was, and drops what is gone.
    pub(super) async fn look(&self) {
        let known: HashMap<SessionId, Known> = {
            let state = self.state();
            let known = |held: &Held| Known { followed: held.followed, written: held.written };
            state.sessions.iter().map(|(id, held)| (id.clone(), known(held))).collect()
        };
        let table = self.0.table.clone();
        let found = self.0.shutdown.spawn_blocking(move || look(&table, &known)).await;
        match found {
            Ok(Ok(Found { mut loaded, gone })) => {
                // The oldest first: slugs are given in this order, also after a restart.
                loaded.sort_by(|a, b| {
                    let key = |loaded: &Loaded| (loaded.status.created_at.clone(), loaded.status.id.clone());
                    key(a).cmp(&key(b))
                });
                for loaded in loaded {
                    self.put(loaded);
                }
                for id in gone {
                    self.remove(&id);
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "the folder of sessions cannot be read"),
            Err(error) => tracing::warn!(%error, "a look at the sessions was broken off"),
        }
    }
}

fn look(table: &Table, known: &HashMap<SessionId, Known>) -> std::io::Result<Found> {
    let mut loaded = Vec::new();
    let mut seen = HashSet::new();
    for id in table.ids()? {
        if let Some(known) = known.get(&id) {
            // A follower sees more than its session's files.
            let same = || written(&table.folder(&id).join(files::STATE)) == known.written;
            if known.followed || known.written.is_some() && same() {
                seen.insert(id);
                continue;
            }
        }
        match load(table, &id) {
            Ok(Some(session)) => {
                loaded.push(session);
                seen.insert(id);
            }
            Ok(None) => {}
            Err(error) => {
                // One bad folder hides no other session, and is not gone because of it.
                tracing::warn!(%error, session = %id, "a session cannot be read");
                seen.insert(id);
            }
        }
    }
    let gone = known.keys().filter(|id| !seen.contains(*id)).cloned().collect();
    Ok(Found { loaded, gone })
}

/// Looks again whenever the folder has changed.
pub(super) async fn keep_looking(table: LiveTable) {
    let shutdown = table.0.shutdown.clone();
    let dir = table.0.table.dir().to_owned();
    let mut settled = None;
    loop {
        tokio::select! {
            () = shutdown.stopped() => return,
            () = tick(LOOK) => {}
        }
        let changed = written(&dir);
        if settled == Some(changed) {
            continue;
        }
        table.look().await;
        // Without a folder nothing changes before there is one.
        settled = changed.is_none_or(|at| at.elapsed().is_ok_and(|age| age > TICK)).then_some(changed);
    }
}

/// When a file or a folder was changed last.
pub(super) fn written(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|meta| meta.modified()).ok()
}

/// Reads the folders that sessions run in, one after the other.
pub(super) async fn read_places(table: LiveTable, mut places: mpsc::Receiver<PathBuf>) {
    let shutdown = table.0.shutdown.clone();
    let mut hanging = 0;
    loop {
        let cwd = tokio::select! {
            () = shutdown.stopped() => return,
            cwd = places.recv() => cwd,
        };
        let Some(cwd) = cwd else { return };
        if hanging >= HANGING_MAX || table.state().places.get(&cwd).is_some() {
            continue;
        }
        let (asked, home) = (cwd.clone(), table.0.home.clone());
        // Not one of the tasks that a stop waits for: a network folder may never answer.
        let read = tokio::task::spawn_blocking(move || place::read(&asked, home.as_deref()));
        match tokio::time::timeout(PLACE_PATIENCE, read).await {
            Ok(Ok(place)) => table.learn_place(&cwd, &Arc::new(place)),
            Ok(Err(error)) => tracing::warn!(%error, "a session's folder could not be looked at"),
            Err(_) => {
                hanging += 1;
                let cwd = crate::util::visible_line(&cwd.to_string_lossy()).into_owned();
                tracing::warn!(
                    cwd,
                    "a session's folder did not answer within 2 s; its repository is not shown"
                );
            }
        }
    }
}
