//! The built-in agent's checkpoints on their way to Redis while it works, and from there to the next attempt: also when
//! this machine is gone by then.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use super::{Runner, workspace};
use crate::agent;
use crate::model::OnLoss;
use crate::session;
use crate::work::{Claim, Keeping, KeptCheckpoint};

/// Time between two looks whether there is another one.
const LOOK: Duration = Duration::from_secs(1);

/// Times as long as one took to be sent, nothing further is: the rest of the link belongs to beats and output.
const SHARE: u32 = 4;

/// Carries the newest checkpoint of a running job, again and again.
pub async fn carry(runner: &Runner, claim: &Claim) -> Infallible {
    let folder = runner.table.folder(&claim.id);
    if claim.spec.on_loss != OnLoss::Rerun || !is_agent(&folder) {
        return std::future::pending().await;
    }
    carry_on(runner, claim, &folder).await
}

/// Whether a session is one of the built-in agent.
fn is_agent(folder: &Path) -> bool {
    session::spec_in(folder).ok().flatten().is_some_and(|spec| spec.kind.as_deref() == Some(agent::KIND))
}

async fn carry_on(runner: &Runner, claim: &Claim, folder: &Path) -> Infallible {
    let (mut carried, mut pause) = (None, LOOK);
    let mut files = Files::new(claim);
    loop {
        tokio::time::sleep(pause).await;
        pause = LOOK;
        let stamp = agent::checkpoint_stamp(folder);
        if stamp.is_none() || stamp == carried {
            continue;
        }
        let began = Instant::now();
        let here = folder.to_owned();
        let read = tokio::task::spawn_blocking(move || agent::checkpoint(&here)).await;
        let bytes = match read.map_err(std::io::Error::other).and_then(|read| read) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => continue,
            Err(error) => {
                tracing::info!(job = %claim.id, %error, "its checkpoint stays on this machine");
                carried = stamp;
                continue;
            }
        };
        let changes = files.look(runner, claim).await;
        match runner.queue.keep_checkpoint(claim, bytes, changes).await {
            Ok(Keeping::Kept | Keeping::WithoutChanges) => carried = stamp,
            // Another attempt has the job, and this session is being ended; or Redis forgot it, and is being told.
            Ok(Keeping::Fenced) => {
                pause = LOOK * SHARE;
                continue;
            }
            Ok(Keeping::TooLarge) => {
                tracing::info!(job = %claim.id, "its checkpoint is too large for Redis; an older one stays there");
                carried = stamp;
            }
            Err(error) => tracing::debug!(job = %claim.id, %error, "its checkpoint waits"),
        }
        pause = LOOK.max(began.elapsed() * SHARE);
    }
}

/// What the job changed, as far as it is looked at.
struct Files {
    /// Git's index from one look to the next; `None` where nothing is looked at.
    index: Option<TempDir>,
}

impl Files {
    fn new(claim: &Claim) -> Self {
        let has_repository = claim.spec.workspace.is_some() && claim.job.workdir.is_none();
        Self { index: has_repository.then(|| tempfile::tempdir().ok()).flatten() }
    }

    /// What the job has changed by now, where that is little and soon to be had.
    async fn look(&mut self, runner: &Runner, claim: &Claim) -> Option<Vec<u8>> {
        let index = self.index.as_ref()?.path().join("index");
        match workspace::changes_so_far(runner, claim, &index).await {
            Ok(changes) => changes,
            Err(why) => {
                tracing::info!(job = %claim.id, why, "its conversation is kept without what it changes");
                self.index = None;
                None
            }
        }
    }
}

/// What an attempt after number `known` was remembered by, for the one that begins now. What can't be read is said, and
/// the attempt begins anew.
pub async fn kept(runner: &Runner, claim: &Claim, known: u32) -> Option<KeptCheckpoint> {
    if claim.attempt <= known.saturating_add(1) || claim.spec.on_loss != OnLoss::Rerun {
        return None;
    }
    match runner.queue.checkpoint(&claim.id).await {
        Ok(kept) => kept.filter(|kept| counts(kept.attempt, known, claim.attempt)),
        Err(error) => {
            tracing::warn!(job = %claim.id, %error, "it begins anew");
            None
        }
    }
}

/// Whether what attempt `of` was remembered by is for attempt `now`: it is newer than number `known`, and over.
fn counts(of: u32, known: u32, now: u32) -> bool {
    known < of && of < now
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_attempts_between_what_is_known_and_this_one_count() {
        let counted: Vec<u32> = (0..7).filter(|of| counts(*of, 2, 5)).collect();
        assert_eq!(counted, [3, 4]);
        assert!(!(0..7).any(|of| counts(of, u32::MAX, 5)));
    }
}
