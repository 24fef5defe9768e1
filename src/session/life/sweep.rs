//! What a daemon does every few minutes, so that what has ended does not pile up.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::torn::sweep_torn;
use super::{Keep, finish_dismissals, retain, retain_folders};
use crate::config::{Environment, FlowConfig};
use crate::flow::Flow;
use crate::model::SessionId;
use crate::session::live::LiveTable;
use crate::session::settle;
use crate::util::{Clock, Shutdown, clock, jitter};
use crate::work::Journal;
use crate::workspace::{KeptResults, Mirror, Records};

/// Between two sweeps.
const EVERY: Duration = Duration::from_mins(3);

/// The folders of jobs are looked through, file by file, in each of so many sweeps.
const FOLDERS_EVERY: u32 = 20;

/// Keeps the folders of sessions and of jobs within their bounds.
#[derive(Debug, Clone)]
pub struct Sweeper {
    /// The sessions.
    pub live: LiveTable,
    /// What of ended sessions is kept.
    pub keep: Keep,
    /// The folders that jobs were given.
    pub worktrees: PathBuf,
    /// How long such a folder stays untouched.
    pub worktrees_age: Duration,
    /// What those folders borrow from.
    pub mirrors: PathBuf,
    /// Which repositories jobs were dispatched from; kept as long as the folders.
    pub workspaces: Records,
    /// Results of jobs that wait here to be fetched.
    pub results: KeptResults,
    /// What git runs with.
    pub env: Environment,
    /// What the runner has still to tell.
    pub journal: Journal,
    /// Where the end of a lost session is noted.
    pub flow: FlowConfig,
    /// Where the time comes from.
    pub clock: Clock,
}

impl Sweeper {
    /// Sweeps now and every few minutes, until the daemon stops.
    pub fn start(self, shutdown: &Shutdown) {
        let stop = shutdown.clone();
        drop(shutdown.spawn(async move {
            let swept = async {
                for round in 0_u32.. {
                    self.sweep(round % FOLDERS_EVERY == 0).await;
                    tokio::time::sleep(jitter(EVERY, 10)).await;
                }
            };
            tokio::select! {
                biased;
                () = stop.stopped() => {}
                () = swept => {}
            }
        }));
    }

    /// Gives lost sessions their end, completes dismissals, and dismisses what is too old; with `folders`, deletes
    /// old folders of jobs, too.
    async fn sweep(&self, folders: bool) {
        let table = self.live.table();
        let (lost, flow, clock) = (table.clone(), self.flow.clone(), self.clock.clone());
        let settled = tokio::task::spawn_blocking(move || {
            settle(&lost, &clock, || Some(Flow::new(flow.clone(), clock.clone())))
        });
        if let Err(error) = settled.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
            tracing::warn!(%error, "lost sessions could not be given their end");
        }
        if let Err(error) = finish_dismissals(table).await {
            tracing::warn!(%error, "dismissed sessions could not be removed");
        }
        if folders && let Err(error) = sweep_torn(table, SystemTime::from(self.clock.now())).await {
            tracing::warn!(%error, "what crashes left could not be looked for");
        }
        let untold = match self.untold().await {
            Ok(untold) => untold,
            Err(error) => {
                // Who does not know what is needed removes nothing.
                tracing::warn!(%error, "the journal of jobs cannot be read; nothing old is removed");
                return;
            }
        };
        match retain(table, self.keep, |status| untold.contains(&status.id)).await {
            Ok(gone) => {
                for id in gone {
                    tracing::info!(session = %id, "dismissed: more sessions have ended than are kept");
                    self.live.remove(&id);
                }
            }
            Err(error) => tracing::warn!(%error, "old sessions could not be removed"),
        }
        if folders && let Err(error) = self.sweep_folders(&untold).await {
            tracing::warn!(%error, "old folders of jobs could not be removed");
        }
    }

    /// Jobs whose attempt runs, or whose end is not told yet.
    async fn untold(&self) -> io::Result<HashSet<SessionId>> {
        let journal = self.journal.clone();
        let untold = tokio::task::spawn_blocking(move || journal.untold()).await;
        untold.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    async fn sweep_folders(&self, untold: &HashSet<SessionId>) -> io::Result<()> {
        let (dir, age) = (self.worktrees.clone(), self.worktrees_age);
        let alive = self.live.list().into_iter().filter(|session| session.is_alive());
        let mut needed: Vec<PathBuf> = alive.map(|session| session.status().cwd.clone()).collect();
        let of_job = |id: &SessionId| folders_of(&dir, id);
        needed.extend(untold.iter().flat_map(of_job));
        let now = SystemTime::from(self.clock.now());
        let swept = tokio::task::spawn_blocking(move || retain_folders(&dir, age, now, &needed)).await;
        for folder in swept.unwrap_or_else(|error| Err(io::Error::other(error)))? {
            tracing::info!(folder = %folder.display(), "deleted: an ended job's folder that nobody uses");
        }
        let (mirrors, dir) = (self.mirrors.clone(), self.worktrees.clone());
        let swept = tokio::task::spawn_blocking(move || Mirror::retain(&mirrors, &dir, now)).await;
        for mirror in swept.unwrap_or_else(|error| Err(io::Error::other(error)))? {
            tracing::info!(mirror = %mirror.display(), "deleted: no folder of a job borrows from it");
        }
        let results = self.results.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || results.retain()).await {
            tracing::warn!(%error, "results that are gone are still listed");
        }
        let now_ms = clock::unix_ms(self.clock.now());
        for job in self.workspaces.retain(&self.env, age, now_ms).await {
            tracing::debug!(%job, "its repository need not be remembered");
        }
        Ok(())
    }
}

/// The folders of a job's attempts: its id, or its id and an attempt's mark.
fn folders_of(dir: &Path, id: &SessionId) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let of_job = |name: &str| {
        name.strip_prefix(id.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    entries.filter(|entry| entry.file_name().to_str().is_some_and(of_job)).map(|entry| entry.path()).collect()
}
