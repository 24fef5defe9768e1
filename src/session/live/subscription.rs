//! One listener of the table: all that is there, then every change.

use std::sync::Arc;

use tokio::sync::watch;

use super::changes::Change;
use super::{LiveSession, LiveTable, Notice};
use crate::model::SessionId;

/// Changes handed over at a time.
const BATCH: usize = 256;

/// Something that a listener is told.
#[derive(Debug, Clone)]
pub enum LiveEvent {
    /// The session is new, or is otherwise than before.
    Upsert(Arc<LiveSession>),
    /// The session is no more.
    Remove(SessionId),
    /// The session has shown something.
    Activity(SessionId),
    /// The session's program wants a person to be told something.
    Notice(SessionId, Arc<Notice>),
}

/// What comes at a time.
#[derive(Debug)]
pub enum News {
    /// All there is, as of this change: whatever else the listener knows is gone.
    All(u64, Vec<Arc<LiveSession>>),
    /// Changes with their numbers, oldest first.
    Changes(Vec<(u64, LiveEvent)>),
}

/// A listener. It is never overrun: a session that changes often is told as it is when the listener has time.
#[derive(Debug)]
pub struct Subscription {
    table: LiveTable,
    /// It has seen all up to this change; `None`: nothing yet.
    at: Option<u64>,
    newest: watch::Receiver<u64>,
}

impl Subscription {
    pub(super) fn new(table: LiveTable, at: Option<u64>, newest: watch::Receiver<u64>) -> Self {
        Self { table, at, newest }
    }

    /// All of it again.
    pub fn restart(&mut self) {
        self.at = None;
    }

    /// What there is to tell, waiting for it. Can be dropped while it waits.
    pub async fn next(&mut self) -> News {
        loop {
            self.newest.borrow_and_update();
            if let Some(news) = self.look() {
                return news;
            }
            if self.newest.changed().await.is_err() {
                // This listener holds the table, which holds the sender.
                std::future::pending::<()>().await;
            }
        }
    }

    fn look(&mut self) -> Option<News> {
        let state = self.table.state();
        let Some(at) = self.at.filter(|at| state.changes.reaches(*at)) else {
            let newest = state.changes.newest();
            drop(state);
            self.at = Some(newest);
            // Listed after the number was taken: what changes in between is told once more.
            let mut all = self.table.list();
            all.reverse();
            return Some(News::All(newest, all));
        };
        let changes = state.changes.after(at, BATCH);
        let last = changes.last()?.0;
        let session = |id: &SessionId| state.sessions.get(id).map(|held| Arc::clone(&held.shown));
        let told = changes.into_iter().filter_map(|(number, change)| {
            let event = match change {
                Change::Upsert(id) => LiveEvent::Upsert(session(&id)?),
                Change::Remove(id) => LiveEvent::Remove(id),
                Change::Activity(id) => LiveEvent::Activity(id),
                Change::Notice(id, notice) => LiveEvent::Notice(id, notice),
            };
            Some((number, event))
        });
        let told = told.collect();
        self.at = Some(last);
        Some(News::Changes(told))
    }
}
