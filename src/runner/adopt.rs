//! After a start: jobs that the daemon before this one ran.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Runner, claims, end, start, worker};
use crate::model::SessionId;
use crate::work::{Ran, RanState};

/// Takes up what the journal tells, then claims: what could not be read may run here, and takes a slot.
pub async fn adopt_then_claim(runner: Arc<Runner>) {
    let mut adopted = HashSet::new();
    while !adopt_new(&runner, &mut adopted) {
        if !runner.shutdown.rest(start::UNREADABLE).await {
            return;
        }
    }
    if runner.config.enabled {
        claims::claim_until_stopped(runner).await;
    }
}

/// Adopts the attempts that were not yet; whether all could be read.
fn adopt_new(runner: &Arc<Runner>, adopted: &mut HashSet<(SessionId, String)>) -> bool {
    let mut is_whole = true;
    for ran in runner.journal.open().unwrap_or_else(|error| vec![Err(error)]) {
        match ran {
            Ok(ran) if adopted.insert((ran.spec.id.clone(), ran.token.clone())) => adopt(runner, ran),
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "the journal of jobs cannot be read; no job is claimed before it is");
                is_whole = false;
            }
        }
    }
    is_whole
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
        RanState::Ended { outcome, result, .. } => {
            let told = Arc::clone(runner);
            drop(runner.shutdown.spawn(async move {
                end::tell(&told, &claim, outcome, *result).await;
            }));
        }
    }
}
