//! The handle on the queue: publishing, and what every other part sends through.

use std::sync::Arc;
use std::time::Duration;

use redis::{Pipeline, ScriptInvocation, Value};

use super::WorkError;
use super::scripts::Scripts;
use super::sign::{FleetKey, seal};
use crate::config::QueueConfig;
use crate::model::{MachineId, SessionId};
use crate::store::{Redis, RedisClass, RedisFault};
use crate::util::clock::whole_ms;
use crate::wire::{JobSpec, WorkJob};

/// How long publishing may take before it is said that nothing was accepted.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(3);

/// How long an idempotency key is remembered.
pub(super) const KEY_KEPT: Duration = Duration::from_hours(7 * 24);

/// Pause before a request that may be sent twice is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// The work queue of the fleet. Clones share the connection.
#[derive(Debug, Clone)]
pub struct Queue {
    pub(super) redis: Redis,
    pub(super) config: QueueConfig,
    pub(super) key: Option<FleetKey>,
    pub(super) scripts: Arc<Scripts>,
}

/// What became of a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// It is in the queue.
    New,
    /// A job of this id, or of this idempotency key, was there already.
    Before(SessionId),
}

impl Queue {
    /// A queue in this Redis; jobs are signed and checked with `key` where there is one.
    pub fn new(redis: Redis, config: QueueConfig, key: Option<FleetKey>) -> Self {
        Self { redis, config, key, scripts: Arc::new(Scripts::new()) }
    }

    /// The Redis it is in.
    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// Its numbers.
    pub fn config(&self) -> &QueueConfig {
        &self.config
    }

    /// Whether jobs are signed.
    pub fn is_signed(&self) -> bool {
        self.key.is_some()
    }

    /// Adds a job. When this returns, the job is in the queue; an error means that it was not accepted as far as
    /// anybody can know: publishing the same id again never makes a second job.
    pub async fn publish(&self, job: &WorkJob, spec: &JobSpec) -> Result<Published, WorkError> {
        let sent = tokio::time::timeout(PUBLISH_TIMEOUT, self.publish_until_answered(job, spec));
        sent.await.unwrap_or_else(|_| {
            Err(RedisFault::new(RedisClass::Silent, self.redis.shown(), "no answer to publishing").into())
        })
    }

    async fn publish_until_answered(&self, job: &WorkJob, spec: &JobSpec) -> Result<Published, WorkError> {
        let stream = spec.lane.stream()?;
        let registered = spec.lane.registered()?;
        let (record, sealed) = self.documents(job, spec)?;
        let first: Vec<&str> = spec.first.iter().map(MachineId::as_str).collect();
        let first = if first.is_empty() { String::new() } else { format!(",{},", first.join(",")) };
        let head_start = if first.is_empty() { Duration::ZERO } else { self.config.head_start };
        let mut call = self.scripts.publish.prepare_invoke();
        call.arg(spec.id.as_str()).arg(sealed).arg(record).arg(stream).arg(registered);
        call.arg(spec.key.as_deref().unwrap_or_default()).arg(whole_ms(KEY_KEPT)).arg(self.config.max);
        call.arg(spec.delay_ms).arg(first).arg(whole_ms(head_start));
        let answer = self.send_until_answered(&call).await?;
        match answer.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["ok", _] => Ok(Published::New),
            ["dup", id] => Ok(Published::Before(id_of(id)?)),
            ["full"] => Err(WorkError::Full(self.config.max)),
            _ => Err(strange(&answer)),
        }
    }

    /// What time Redis has, in Unix milliseconds: the one clock that publishers and runners share.
    pub async fn now_ms(&self) -> Result<u64, WorkError> {
        let (seconds, micros): (u64, u64) = self.redis.query(&redis::cmd("TIME")).await?;
        Ok(seconds.saturating_mul(1000).saturating_add(micros / 1000))
    }

    /// Record and sealed spec, as they stand in Redis.
    pub(super) fn documents(&self, job: &WorkJob, spec: &JobSpec) -> Result<(String, String), WorkError> {
        let invalid = |error: serde_json::Error| WorkError::Invalid(format!("the job: {error}"));
        let record = serde_json::to_string(job).map_err(invalid)?;
        let spec = serde_json::to_string(spec).map_err(invalid)?;
        let sealed = seal(self.key.as_ref(), &record, &spec);
        Ok((record, sealed))
    }

    /// Sends a script once.
    pub(super) async fn send(&self, call: &ScriptInvocation<'_>) -> Result<Vec<String>, WorkError> {
        Ok(self.redis.script(call).await?)
    }

    /// Sends a script, and once more when the connection broke: nobody knows whether it ran, and all of ours may
    /// run twice. The caller bounds the time.
    pub(super) async fn send_until_answered(
        &self,
        call: &ScriptInvocation<'_>,
    ) -> Result<Vec<String>, WorkError> {
        match self.redis.script(call).await {
            Err(fault) if fault.class() == RedisClass::Unreachable => {
                tokio::time::sleep(RETRY_PAUSE).await;
                Ok(self.redis.script(call).await?)
            }
            answer => Ok(answer?),
        }
    }

    /// Asks for fields of many hashes, a row each. A key that is no hash has an empty row, and bytes that are no
    /// text are replaced: one broken key must not hide the others.
    pub(super) async fn rows(&self, commands: &Pipeline) -> Result<Vec<Row>, WorkError> {
        let mut each = commands.clone();
        let values: Vec<Value> = self.redis.pipeline(each.ignore_errors()).await?;
        let is_fault =
            |value: &Value| matches!(value, Value::ServerError(error) if error.code() != "WRONGTYPE");
        if values.iter().any(is_fault) {
            // It says nothing about one key: asked again, it comes as the failure that it is.
            self.redis.pipeline::<Vec<Value>>(commands).await?;
            return Err(strange(&[]));
        }
        Ok(values.into_iter().map(row).collect())
    }

    /// What answers this command and is an id. Whatever else is among the ids was not put there by us, and must
    /// not stop the rest.
    pub(super) async fn ids(&self, ask: &redis::Cmd) -> Result<Vec<SessionId>, WorkError> {
        let members: Vec<Vec<u8>> = self.redis.query(ask).await?;
        Ok(members.into_iter().filter_map(|id| SessionId::new(String::from_utf8(id).ok()?).ok()).collect())
    }
}

/// Fields of a hash as text; `None` for those that are not there.
pub(super) type Row = Vec<Option<String>>;

fn row(value: Value) -> Row {
    let text = |value| match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        _ => None,
    };
    match value {
        Value::Array(values) => values.into_iter().map(text).collect(),
        _ => Row::new(),
    }
}

pub(super) fn id_of(text: &str) -> Result<SessionId, WorkError> {
    SessionId::new(text).map_err(|error| WorkError::Strange(error.to_string()))
}

pub(super) fn strange(answer: &[String]) -> WorkError {
    let words: String = answer.join(" ").chars().take(100).collect();
    WorkError::Strange(crate::util::visible_line(&words).into_owned())
}
