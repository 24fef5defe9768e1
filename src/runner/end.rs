//! From a session's end to the job's result.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Runner, claims};
use crate::model::{EndReason, Level, SessionState};
use crate::session::agent_result;
use crate::util::{Backoff, clock};
use crate::wire::{JOB_SCHEMA, JobResult, SessionStatus};
use crate::work::{Beat, Claim, Finish, Outcome, Ran, Told, WorkError};

/// Exit code of a job that was not started, as a shell reports a program that it cannot run.
const NOT_STARTED: i32 = 126;

/// Pause before a result is told again, growing to the second figure.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How an attempt ended.
pub struct Verdict {
    /// What the queue is told.
    pub outcome: Outcome,
    /// What people are told.
    pub result: JobResult,
}

/// What a session's end means for its job.
pub fn verdict(runner: &Runner, claim: &Claim, status: &SessionStatus) -> Verdict {
    let lost = status.state == SessionState::Lost;
    let outcome = match status.exit_code {
        Some(0) if !lost => Outcome::Done,
        _ => Outcome::Failed,
    };
    let mut details = Value::Null;
    if let Some(target) = claim.job.meant_for_another(&runner.machine) {
        details = json!({ "target_machine": target });
    }
    let agent = agent_result(&runner.table.folder(&claim.id));
    let why = agent.as_ref().filter(|result| result.result != "stop").map(|result| match &result.blocked {
        Some(why) => format!("BLOCKED: {why}"),
        None => result.last.clone(),
    });
    if let Some(agent) = agent {
        details["agent"] = json!(agent);
    }
    let result = JobResult {
        schema: JOB_SCHEMA,
        machine: Some(runner.machine.clone()),
        attempt: claim.attempt,
        exit_code: status.exit_code,
        reason: status.reason,
        error: status.error.clone().or(why),
        started_at: status.started_at.clone(),
        ended_at: status.ended_at.clone(),
        wall_ms: status.ran().and_then(|ran| u64::try_from(ran.as_millis()).ok()),
        output_bytes: status.output.end,
        workdir: Some(status.cwd.clone()),
        workspace: None,
        details,
    };
    Verdict { outcome, result }
}

/// The result of a job that was never started.
pub fn unstarted(runner: &Runner, claim: &Claim, why: &str) -> JobResult {
    JobResult {
        schema: JOB_SCHEMA,
        machine: Some(runner.machine.clone()),
        attempt: claim.attempt,
        exit_code: Some(NOT_STARTED),
        reason: Some(EndReason::Failed),
        error: Some(why.to_owned()),
        ended_at: Some(clock::millis(runner.clock.now())),
        ..JobResult::default()
    }
}

/// What a session that left nothing behind would say.
pub fn no_session(runner: &Runner, claim: &Claim) -> SessionStatus {
    let now = clock::millis(runner.clock.now());
    SessionStatus {
        role: Some(claim.job.role_id.clone()),
        name: claim.spec.name.clone(),
        state: SessionState::Lost,
        cwd: runner.home.clone(),
        ended_at: Some(now.clone()),
        reason: Some(EndReason::Failed),
        ..SessionStatus::unknown(claim.id.clone(), runner.machine.clone(), now)
    }
}

/// Keeps the result in the journal and tells it until Redis has answered.
pub async fn tell(runner: &Arc<Runner>, claim: &Claim, outcome: Outcome, result: JobResult) {
    let Claim { token, job, spec, .. } = claim;
    let ran = Ran::of(claim);
    let noted = |kept: std::io::Result<()>| {
        if let Err(error) = kept {
            tracing::error!(job = %claim.id, %error, "its result is not in the journal");
        }
    };
    noted(runner.journal.ended(&ran, outcome, &result));
    let finish = tell_until_answered(runner, claim, outcome, &result).await;
    match finish {
        // Nobody may take it for the job's result later.
        Some(Finish::Fenced) => forget(runner, claim),
        Some(_) => noted(runner.journal.answered(&claim.id, token)),
        None => {}
    }
    if let (Some(workspace), Some(Finish::Accepted)) = (&spec.workspace, finish)
        && matches!(outcome, Outcome::Done | Outcome::Cancelled)
        && let Err(error) = runner.queue.age_bundle(&workspace.bundle).await
    {
        tracing::debug!(job = %claim.id, %error, "its bundle stays until its time is over");
    }
    if let (Some(session), Some(Finish::Accepted)) = (&spec.legacy_session, finish)
        && (outcome != Outcome::Done || session != claim.id.as_str())
    {
        let good = outcome == Outcome::Done;
        let code = if good { 0 } else { result.exit_code.filter(|code| *code != 0).unwrap_or(1) };
        runner.transitions.tell_1_9((session, job.role_id.as_str()), code, result.wall_ms).await;
    }
    let (action, level) = match (finish, outcome) {
        (Some(Finish::Fenced), _) => ("job.fenced", Level::Warn),
        (Some(Finish::Again), _) => ("job.retried", Level::Warn),
        (Some(_), Outcome::Cancelled) => ("job.cancelled", Level::Info),
        (Some(_), Outcome::Dead) => ("job.dead", Level::Error),
        (Some(_), Outcome::Failed) => ("job.failed", Level::Warn),
        (Some(_), _) => ("job.done", Level::Info),
        (None, _) => return,
    };
    let payload = json!({ "exit_code": result.exit_code, "wall_ms": result.wall_ms });
    runner.transitions.of_claim(claim, (action, level), payload).await;
}

/// Says of a job that Redis has no place for what became of it.
pub async fn untold(runner: &Runner, claim: &Claim, error: &WorkError) {
    tracing::error!(job = %claim.id, %error, "what became of it cannot be told");
    let payload = json!({ "why": error.to_string() });
    runner.transitions.of_claim(claim, ("job.untold", Level::Error), payload).await;
}

/// `None` when the daemon stops first, or Redis has no place for it: the next one tells it.
async fn tell_until_answered(
    runner: &Arc<Runner>,
    claim: &Claim,
    outcome: Outcome,
    result: &JobResult,
) -> Option<Finish> {
    let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
    let Claim { id, token, spec, .. } = claim;
    let told = Told { id, token, outcome, result, retries: spec.retries };
    let mut turned = claims::turn(runner, told).await;
    loop {
        let finish = match turned.take() {
            Some(finish) => Ok(finish),
            None => runner.queue.finish(id, token, outcome, (result, spec.retries)).await,
        };
        let told = match finish {
            Ok(Finish::Forgotten) => {
                runner.queue.finish_forgotten(&runner.seat, claim, outcome, result).await
            }
            told => told,
        };
        match told {
            // It went back once more in between.
            Ok(Finish::Forgotten) => tracing::debug!(job = %id, "its result waits: Redis forgot it again"),
            Ok(finish) => return Some(finish),
            Err(error) if error.is_of_the_data() => {
                // It stays in the journal.
                untold(runner, claim, &error).await;
                return None;
            }
            Err(error) => tracing::debug!(job = %id, %error, "its result waits"),
        }
        if !runner.shutdown.rest(backoff.pause()).await {
            return None;
        }
    }
}

/// Tells that an attempt ended without a result, until Redis has answered: it may run nowhere, where `refused` says
/// why, or was lost. `None` as for a result; the next daemon finds the job as this one did.
async fn tell_without_result(runner: &Runner, claim: &Claim, refused: Option<&str>) -> Option<Finish> {
    let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
    loop {
        let answer = match refused {
            Some(why) => runner.queue.refuse(&claim.id, &claim.token, why).await,
            None => runner.queue.lose(claim).await,
        };
        let waits = match answer {
            // Redis lost its newest writes: it hears first that the job was here.
            Ok(Finish::Forgotten) => match runner.queue.resume(&runner.seat, claim).await {
                Ok(Beat::Lost) => return Some(Finish::Fenced),
                Ok(_) => None,
                Err(error) => Some(error),
            },
            Ok(finish) => return Some(finish),
            Err(error) => Some(error),
        };
        if let Some(error) = waits {
            if error.is_of_the_data() {
                untold(runner, claim, &error).await;
                return None;
            }
            tracing::debug!(job = %claim.id, %error, "its end waits");
        }
        if !runner.shutdown.rest(backoff.pause()).await {
            return None;
        }
    }
}

/// The session's host is gone, and with it how the job would have ended: the attempt is lost, as when the whole
/// machine had gone.
pub async fn lost(runner: &Runner, claim: &Claim) {
    let Some(finish) = tell_without_result(runner, claim, None).await else { return };
    forget(runner, claim);
    let (action, level, payload) = match finish {
        Finish::Again => ("job.lost", Level::Warn, json!({ "then": "queued again" })),
        Finish::Fenced => ("job.fenced", Level::Warn, json!({ "why": "its session was lost" })),
        _ => ("job.dead", Level::Error, json!({ "why": "its session was lost" })),
    };
    runner.transitions.of_claim(claim, (action, level), payload).await;
}

/// Another attempt counts: this one's session was ended and its result is nobody's.
pub async fn superseded(runner: &Runner, claim: &Claim) {
    forget(runner, claim);
    let payload = json!({ "why": "its lease was over; what became of the job since counts" });
    runner.transitions.of_claim(claim, ("job.fenced", Level::Warn), payload).await;
}

/// Nothing more is to be told of this attempt.
pub fn forget(runner: &Runner, claim: &Claim) {
    if let Err(error) = runner.journal.forget(&claim.id, &claim.token) {
        tracing::warn!(job = %claim.id, %error, "stays in the journal");
    }
}

/// The claimed job must not run, anywhere: it ends as a dead letter.
pub async fn refused(runner: &Runner, claim: &Claim, why: &str) {
    match tell_without_result(runner, claim, Some(why)).await {
        Some(Finish::Fenced) => return superseded(runner, claim).await,
        Some(_) => forget(runner, claim),
        None => return,
    }
    if let Some(session) = &claim.spec.legacy_session {
        runner.transitions.tell_1_9((session, claim.job.role_id.as_str()), NOT_STARTED, None).await;
    }
    runner.transitions.of_claim(claim, ("job.dead", Level::Error), json!({ "why": why })).await;
}
