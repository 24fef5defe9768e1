//! Telling how an attempt ended, by itself or together with the next claim.

use redis::{FromRedisValue, ScriptInvocation, Value};

use super::WorkError;
use super::claim::{Beat, Claim, Finish, Offer, Outcome, Seat, backoff_ms, claim_args, json};
use super::queue::{Queue, strange};
use crate::model::SessionId;
use crate::wire::JobResult;

/// An attempt that ended, as [`Queue::finish`] and [`Queue::finish_and_claim`] are told.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// The job.
    pub id: &'a SessionId,
    /// What fences the attempt.
    pub token: &'a str,
    /// How it ended.
    pub outcome: Outcome,
    /// Its result.
    pub result: &'a JobResult,
    /// How often a failed job is tried again.
    pub retries: u32,
}

impl Queue {
    /// Tells how an attempt ended. May be told again until it is answered.
    pub async fn finish(
        &self,
        id: &SessionId,
        token: &str,
        outcome: Outcome,
        (result, retries): (&JobResult, u32),
    ) -> Result<Finish, WorkError> {
        let mut call = self.scripts.finish.prepare_invoke();
        self.finish_args(&mut call, Told { id, token, outcome, result, retries })?;
        finished(&self.send_until_answered(&call).await?)
    }

    /// As [`finish`](Self::finish), to a Redis that may have forgotten the claim: it hears first that the job ran
    /// here, so that a failed job is tried again as if nothing had been forgotten.
    pub async fn finish_forgotten(
        &self,
        seat: &Seat,
        claim: &Claim,
        outcome: Outcome,
        result: &JobResult,
    ) -> Result<Finish, WorkError> {
        if self.resume(seat, claim).await? == Beat::Lost {
            return Ok(Finish::Fenced);
        }
        self.finish(&claim.id, &claim.token, outcome, (result, claim.spec.retries)).await
    }

    /// Tells how an attempt ended and takes the next job, in one step and one round trip. After an error nobody
    /// knows whether either happened: finish again, and claim again with the same nonce and `retry`.
    pub async fn finish_and_claim(
        &self,
        told: Told<'_>,
        seat: &Seat,
        streams: &[String],
        nonce: &str,
    ) -> Result<(Finish, Offer), WorkError> {
        let mut call = self.scripts.turn.prepare_invoke();
        self.finish_args(&mut call, told)?;
        claim_args(&mut call, seat, streams, (nonce, false));
        let (finish, claim): (Value, Vec<Value>) = self.redis.script(&call).await?;
        let finish = Vec::<String>::from_redis_value(finish).map_err(|_| strange(&[]))?;
        Ok((finished(&finish)?, self.offer(claim).await?))
    }

    fn finish_args(&self, call: &mut ScriptInvocation<'_>, told: Told<'_>) -> Result<(), WorkError> {
        let Told { id, token, outcome, result, retries } = told;
        let ttl = if outcome == Outcome::Dead { self.config.dead_ttl } else { self.config.result_ttl };
        call.arg(id.as_str()).arg(token).arg(outcome.as_str()).arg(json(result)?);
        call.arg(retries.saturating_add(1)).arg(backoff_ms(result.attempt)).arg(ttl.as_secs());
        Ok(())
    }
}

/// What the answer to an attempt's end says.
pub(super) fn finished(answer: &[String]) -> Result<Finish, WorkError> {
    match answer.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["already", "queued" | "waiting"] | ["again"] => Ok(Finish::Again),
        ["ok"] | ["already", _] => Ok(Finish::Accepted),
        ["fenced", _] => Ok(Finish::Fenced),
        ["unknown"] => Ok(Finish::Forgotten),
        _ => Err(strange(answer)),
    }
}
