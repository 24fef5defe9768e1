//! What people do to jobs and to the queue: cancel, retry, pause, drain.

use super::claim::{OFFER_DOUBLINGS, json};
use super::doorbell::NUDGE;
use super::legacy::NOT_AFTER;
use super::queue::{Queue, strange};
use super::{WorkError, lane, sign};
use crate::model::{JobState, MachineId, SessionId};
use crate::util::clock::whole_ms;
use crate::wire::{JobSpec, Lane};

const PAUSED: &str = "darkmux:paused";
const DRAINED: &str = "darkmux:drained";
const LANES: &str = "darkmux:lanes";
const HINTS: &str = "darkmux:hints";

/// What became of a cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It had not started and never will.
    Now,
    /// It runs; its runner was told to end it.
    Asked,
    /// It had ended before, so.
    Ended(JobState),
}

/// What became of a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    /// It is in the queue again.
    Queued,
    /// It waits, and machines gave it back: they are offered it again.
    Offered,
    /// It has not ended.
    Live(JobState),
}

/// What keeps jobs from being handed out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gates {
    /// To anybody.
    pub paused: bool,
    /// To one machine.
    pub drained: bool,
}

impl Queue {
    /// Cancels a job: at once when it has not started, else its runner ends it.
    pub async fn cancel(&self, id: &SessionId, why: &str) -> Result<Cancelled, WorkError> {
        self.cancel_at(id, if why.is_empty() { "cancelled" } else { why }, "").await
    }

    /// Cancels a job that was cancelled at this time of the Redis, unless it was queued since.
    pub(super) async fn cancel_again(&self, id: &SessionId, at_ms: u64) -> Result<Cancelled, WorkError> {
        self.cancel_at(id, "cancelled before Redis lost its newest writes", &at_ms.to_string()).await
    }

    async fn cancel_at(&self, id: &SessionId, why: &str, at_ms: &str) -> Result<Cancelled, WorkError> {
        let mut call = self.scripts.cancel.prepare_invoke();
        call.arg(id.as_str()).arg(why).arg(self.config.result_ttl.as_secs()).arg(at_ms);
        let answer = self.send_until_answered(&call).await?;
        match answer.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["cancelled"] => Ok(Cancelled::Now),
            ["requested"] => Ok(Cancelled::Asked),
            ["already", state] => Ok(Cancelled::Ended(state_of(state)?)),
            ["unknown"] => Err(WorkError::Unknown(id.clone())),
            _ => Err(strange(&answer)),
        }
    }

    /// Puts an ended job into the queue once more, into the lane that it was published to. One that nobody may
    /// start any longer gets its time anew. One that waits, and that machines gave back, is offered to them at once.
    pub async fn retry(&self, id: &SessionId) -> Result<Retried, WorkError> {
        let again = self.spec_again(id).await?;
        let own = again.as_ref().map(|(_, lane)| lane.clone());
        let mut call = self.scripts.retry.prepare_invoke();
        call.arg(id.as_str()).arg(self.config.max);
        match again {
            Some((sealed, lane)) => call.arg(sealed).arg(lane.stream()?).arg(lane.registered()?),
            None => call.arg("").arg("").arg(""),
        };
        let answer = self.send(&call).await?;
        match answer.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["ok"] => Ok(Retried::Queued),
            ["live", state] => match own {
                Some(lane) if self.offer_again(id, &lane, true).await? => Ok(Retried::Offered),
                _ => Ok(Retried::Live(state_of(state)?)),
            },
            ["full"] => Err(WorkError::Full(self.config.max)),
            ["unknown"] => Err(WorkError::Unknown(id.clone())),
            _ => Err(strange(&answer)),
        }
    }

    /// The sealed spec of a job for another life of it, and its lane. `None` when it cannot be read or its
    /// signature is not good: then nobody runs it, and its claimer says why.
    async fn spec_again(&self, id: &SessionId) -> Result<Option<(String, Lane)>, WorkError> {
        let mut ask = redis::pipe();
        ask.cmd("HMGET").arg(format!("darkmux:job:{id}")).arg(&["record", "spec"]).cmd("TIME");
        let (documents, (now, _)): (Vec<Option<Vec<u8>>>, (u64, u64)) = self.redis.pipeline(&ask).await?;
        let text = |at: usize| String::from_utf8(documents.get(at)?.clone()?).ok();
        let (Some(record), Some(sealed)) = (text(0), text(1)) else { return Ok(None) };
        if self.key.is_some() && !sign::is_signed(&sealed) {
            // Signing it now would be to vouch for whoever put it there.
            return Err(WorkError::Invalid(format!("job `{id}`: {}", sign::NOT_SIGNED)));
        }
        let opened = sign::open(self.key.as_ref(), &record, &sealed);
        let Some(mut spec) = opened.ok().and_then(|spec| serde_json::from_str::<JobSpec>(spec).ok()) else {
            return Ok(None);
        };
        let now_ms = now.saturating_mul(1000);
        if spec.not_after_ms >= now_ms {
            return Ok(Some((sealed, spec.lane)));
        }
        if self.key.is_none() && sign::is_signed(&sealed) {
            let why = "nobody may start it any longer, and another time must be signed; try it again from a \
                       machine that has the fleet key, or publish it anew";
            return Err(WorkError::Invalid(format!("job `{id}`: {why}")));
        }
        spec.not_after_ms = now_ms.saturating_add(whole_ms(NOT_AFTER));
        let json = json(&spec)?;
        Ok(Some((sign::seal(self.key.as_ref(), &record, &json), spec.lane)))
    }

    /// Offers a queued job in this lane to those that gave it back, at once or when its time has come. `false` when it has
    /// not, or when nobody did.
    pub async fn offer_again(&self, id: &SessionId, lane: &Lane, at_once: bool) -> Result<bool, WorkError> {
        let most = if at_once { 0 } else { whole_ms(self.offer_pause()) << OFFER_DOUBLINGS };
        let mut call = self.scripts.offer.prepare_invoke();
        call.arg(id.as_str()).arg(lane.stream()?).arg(lane.registered()?).arg(most);
        let answer = self.send_until_answered(&call).await?;
        Ok(answer.first().is_some_and(|word| word == "ok"))
    }

    /// Says why no machine can run a queued job now; `None` says that one can. `true` when that is news.
    pub async fn park(&self, id: &SessionId, why: Option<&str>) -> Result<bool, WorkError> {
        let mut call = self.scripts.park.prepare_invoke();
        call.arg(id.as_str()).arg(why.unwrap_or_default());
        let answer = self.send_until_answered(&call).await?;
        Ok(answer.first().is_some_and(|word| word != "no"))
    }

    /// Stops or goes on handing out jobs, everywhere. Running ones are not touched.
    pub async fn set_paused(&self, paused: bool) -> Result<(), WorkError> {
        let mut commands = redis::pipe();
        if paused {
            commands.cmd("SET").arg(PAUSED).arg("1").ignore();
        } else {
            commands.cmd("DEL").arg(PAUSED).ignore();
        }
        self.ring(&mut commands, "queue").await
    }

    /// Stops or goes on handing out jobs to one machine.
    pub async fn set_drained(&self, machine: &MachineId, drained: bool) -> Result<(), WorkError> {
        let verb = if drained { "SADD" } else { "SREM" };
        let mut commands = redis::pipe();
        commands.cmd(verb).arg(DRAINED).arg(machine.as_str()).ignore();
        self.ring(&mut commands, machine.as_str()).await
    }

    /// Whether all is paused, and whether this machine gets no jobs.
    pub async fn gates(&self, machine: &MachineId) -> Result<Gates, WorkError> {
        let mut ask = redis::pipe();
        ask.cmd("EXISTS").arg(PAUSED).cmd("SISMEMBER").arg(DRAINED).arg(machine.as_str());
        let (paused, drained) = self.redis.pipeline(&ask).await?;
        Ok(Gates { paused, drained })
    }

    /// Wakes whoever listens to hints alone.
    pub async fn nudge(&self) -> Result<(), WorkError> {
        self.ring(&mut redis::pipe(), NUDGE).await
    }

    async fn ring(&self, commands: &mut redis::Pipeline, what: &str) -> Result<(), WorkError> {
        commands.cmd("XADD").arg(HINTS).arg("MAXLEN").arg("~").arg(1000).arg("*");
        commands.arg("kind").arg("gate").arg("what").arg(what).ignore();
        Ok(self.redis.pipeline(commands).await?)
    }

    /// Every lane there is, with its stream, in the order in which runners ask them. What is registered and
    /// cannot be read is left out: it belongs to another version.
    pub async fn lanes(&self) -> Result<Vec<(String, Lane)>, WorkError> {
        let mut ask = redis::cmd("HGETALL");
        ask.arg(LANES);
        let registered: Vec<(Vec<u8>, Vec<u8>)> = self.redis.query(&ask).await?;
        let open = lane::open_lanes()?;
        let mut lanes = Vec::new();
        for (stream, text) in registered {
            let Ok(stream) = String::from_utf8(stream) else { continue };
            let is_open = open.iter().any(|(known, _)| *known == stream);
            if let Ok(lane) = serde_json::from_slice::<Lane>(&text)
                && !is_open
                && lane.stream()? == stream
            {
                lanes.push((stream, lane));
            }
        }
        lane::in_order(&mut lanes);
        // However many narrow ones there are, the lanes that everybody reads are read.
        lanes.truncate(lane::LANES_MAX - open.len());
        lanes.extend(open);
        lane::in_order(&mut lanes);
        Ok(lanes)
    }

    /// The lane that a job is in now.
    pub(super) async fn lane_of(&self, id: &SessionId) -> Result<Option<Lane>, WorkError> {
        let mut ask = redis::cmd("HGET");
        ask.arg(format!("darkmux:job:{id}")).arg("lanedoc");
        let document: Option<String> = self.redis.query(&ask).await?;
        Ok(document.and_then(|document| match document.as_str() {
            "" => Some(Lane::default()),
            document => serde_json::from_str(document).ok(),
        }))
    }

    /// Forgets lanes that hold nothing and that no live job is in.
    pub(super) async fn sweep_lanes(&self, in_use: &[String]) -> Result<(), WorkError> {
        let mut ask = redis::cmd("HKEYS");
        ask.arg(LANES);
        let registered: Vec<Vec<u8>> = self.redis.query(&ask).await?;
        let registered: Vec<String> =
            registered.into_iter().filter_map(|stream| String::from_utf8(stream).ok()).collect();
        // Whatever else is registered is no stream of ours, and is not touched.
        let ours = registered.iter().filter(|stream| stream.starts_with(lane::PREFIX));
        for stream in ours.filter(|stream| !in_use.contains(stream)) {
            let mut call = self.scripts.sweep.prepare_invoke();
            call.arg(stream);
            self.send(&call).await?;
        }
        Ok(())
    }
}

pub(super) fn state_of(word: &str) -> Result<JobState, WorkError> {
    JobState::of_word(word).ok_or_else(|| strange(&[word.to_owned()]))
}
