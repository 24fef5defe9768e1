//! After a start: jobs that the daemon before this one ran.

use std::sync::Arc;

use super::{Runner, claims, end, start, worker};
use crate::work::{Ran, RanState};

/// Takes up what the journal tells, then claims.
pub async fn adopt_then_claim(runner: Arc<Runner>) {
    match runner.journal.ran() {
        Ok(ran) => {
            for ran in ran {
                adopt(&runner, ran);
            }
        }
        Err(error) => tracing::error!(%error, "the journal of jobs cannot be read"),
    }
    if runner.config.enabled {
        claims::claim_until_stopped(runner).await;
    }
}

/// An attempt that ran goes on with its token; one whose end was perhaps not told is told again.
fn adopt(runner: &Arc<Runner>, ran: Ran) {
    let (state, stopping) = (ran.state.clone(), ran.stopping.clone());
    let claim = ran.claim();
    let (id, attempt) = (claim.id.clone(), claim.attempt);
    match state {
        RanState::Running => {
            tracing::info!(job = %id, attempt, "adopted");
            let slot = runner.take_slot(&id);
            // Its worker asks at once whether the job is still its own.
            slot.look.notify_one();
            let runner = Arc::clone(runner);
            let shutdown = runner.shutdown.clone();
            drop(shutdown.spawn(async move {
                let Some(started) = start::had_session(&runner, &claim).await else { return };
                if started {
                    let adopted = worker::Adopted { stopping };
                    Box::pin(worker::follow(runner, slot, claim, Some(adopted))).await;
                } else if let Some(why) = stopping {
                    worker::end_without_session(runner, slot, claim, why).await;
                } else {
                    // It was claimed and the daemon died before its session began.
                    worker::begin_if_ours(runner, slot, claim).await;
                }
            }));
        }
        RanState::Ended { outcome, result, told: false, .. } => {
            let told = Arc::clone(runner);
            drop(runner.shutdown.spawn(async move {
                end::tell(&told, &claim, outcome, *result).await;
            }));
        }
        RanState::Ended { .. } => {}
    }
}
