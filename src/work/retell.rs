//! Telling a Redis that lost its newest writes, or all of them, what the journal remembers.
//!
//! Invariants: what is wrong with one entry's data holds up no other; what ended or was published longer ago than the
//! journal remembers is told to nobody, however long its entry stays.

use std::io;

use uuid::Uuid;

use super::claim::{Finish, Outcome};
use super::{Claim, Journal, Published, Queue, RanState, Seat, WorkError};
use crate::model::SessionId;
use crate::wire::JobResult;

impl Journal {
    /// Tells a Redis that forgot it what still runs here. Whether it is lost meanwhile each job's worker finds out.
    pub async fn resume_running(&self, queue: &Queue, seat: &Seat) -> Result<(), WorkError> {
        for ran in self.all_open().map_err(|error| unreadable(&error))? {
            if ran.state == RanState::Running {
                let claim = ran.claim();
                let resumed = queue.resume(seat, &claim).await.map(|_| ());
                resumed.or_else(|error| unless_its_own(&claim.id, error))?;
            }
        }
        Ok(())
    }

    /// Tells a Redis that forgot them the results that it was not told, and those of the last ten minutes. The ids that
    /// it did not know are added to `told`, also those before an error.
    pub async fn reassert(
        &self,
        queue: &Queue,
        seat: &Seat,
        told: &mut Vec<SessionId>,
    ) -> Result<(), WorkError> {
        let attempts = self.all_open().and_then(|open| Ok([open, self.told_lately()?].concat()));
        let mut attempts = attempts.map_err(|error| unreadable(&error))?;
        // What an attempt came to counts before the one after it.
        attempts.sort_by_key(|ran| ran.attempt);
        for ran in attempts {
            let RanState::Ended { outcome, result, .. } = ran.state.clone() else { continue };
            let claim = ran.claim();
            match reassert(queue, seat, (&claim, outcome), &result).await {
                Ok(false) => {}
                Ok(true) => told.push(claim.id),
                Err(error) => unless_its_own(&claim.id, error)?,
            }
        }
        Ok(())
    }

    /// Cancels once more what a Redis that went back has not ended.
    pub async fn cancel_again(&self, queue: &Queue) -> Result<(), WorkError> {
        for (id, at_ms) in self.cancelled_lately().map_err(|error| unreadable(&error))? {
            match queue.cancel_again(&id, at_ms).await {
                Ok(_) | Err(WorkError::Unknown(_)) => {}
                Err(error) => unless_its_own(&id, error)?,
            }
        }
        Ok(())
    }

    /// Forgets the published jobs that this Redis knows to have ended, whoever ended them: one that forgets them, and whose
    /// runner is gone, must not be given them again.
    pub async fn forget_ended(&self, queue: &Queue) -> Result<(), WorkError> {
        let ids = self.published_ids().map_err(|error| unreadable(&error))?;
        for id in queue.ended(ids).await? {
            self.forget_published(&id).map_err(|error| unreadable(&error))?;
        }
        Ok(())
    }

    /// Publishes the jobs of the last ten minutes once more. The ids that Redis did not know are added to `told`, also
    /// those before an error.
    pub async fn republish(&self, queue: &Queue, told: &mut Vec<SessionId>) -> Result<(), WorkError> {
        for (job, spec) in self.published_lately().map_err(|error| unreadable(&error))? {
            match queue.publish(&job, &spec).await {
                Ok(Published::New) => told.push(spec.id),
                Ok(Published::Before(_)) => {}
                Err(error @ WorkError::Full(_)) => {
                    tracing::warn!(job = %spec.id, %error, "Redis forgot it and has no room for it");
                }
                Err(error) => unless_its_own(&spec.id, error)?,
            }
        }
        Ok(())
    }
}

/// `true` when Redis did not know it.
async fn reassert(
    queue: &Queue,
    seat: &Seat,
    (claim, ended): (&Claim, Outcome),
    result: &JobResult,
) -> Result<bool, WorkError> {
    let Claim { id, token, job, spec, .. } = claim;
    if queue.job(id).await?.is_some_and(|job| job.state.is_final()) {
        // It knows how the job ended.
        return Ok(false);
    }
    if ended == Outcome::Failed && spec.retries > 0 {
        // Another try may follow: only the queue knows how many there were.
        let failed = Outcome::Failed;
        return Ok(queue.finish(id, token, failed, (result, spec.retries)).await? == Finish::Forgotten
            && queue.finish_forgotten(seat, claim, failed, result).await? != Finish::Fenced);
    }
    queue.reassert((job, spec), token, ended, result).await
}

/// What is wrong with one job's data holds up nobody else's.
fn unless_its_own(id: &SessionId, error: WorkError) -> Result<(), WorkError> {
    if !error.is_of_the_data() {
        return Err(error);
    }
    tracing::error!(job = %id, %error, "Redis cannot be told of it");
    Ok(())
}

fn unreadable(error: &io::Error) -> WorkError {
    WorkError::Invalid(format!("the journal cannot be read: {error}"))
}

impl Queue {
    /// Which life of the Redis this is: another text after it was started again, promoted or emptied.
    pub async fn epoch(&self) -> Result<String, WorkError> {
        let mut call = self.scripts.epoch.prepare_invoke();
        call.arg(Uuid::new_v4().to_string());
        let mark = self.send(&call).await?.into_iter().next();
        let server = self.redis.server();
        let run_id = server.borrow().as_ref().map(|server| server.run_id.clone());
        Ok(format!("{}/{}", run_id.unwrap_or_default(), mark.unwrap_or_default()))
    }
}
