//! The way of a verb to the queue, with words and exit statuses for everything that keeps it from there.

use super::{Cx, Exit, Failure};
use crate::config::Config;
use crate::model::SessionId;
use crate::store::{Redis, RedisClass};
use crate::work::{FleetKey, JobView, Queue, WorkError};

/// Candidates named in a message about an ambiguous text.
const NAMED: usize = 5;

/// Which Redis is meant, and what to do without one.
pub const REMEDY: &str = "a Redis that the machines share: `darkmux hub up` on the machine that stays on, `darkmux \
                          fleet join` on the others; or `darkmux config set redis.url redis://HOST:6379`";

/// The fleet's queue; `None` where this machine works alone.
pub fn queue_of(config: &Config) -> Result<Option<Queue>, Failure> {
    let Some(redis) = config.redis()? else { return Ok(None) };
    let key = FleetKey::read(&config.paths.fleet_key())
        .map_err(|error| Failure::new(Exit::Usage, format!("{error}; the fleet's key is unreadable")))?;
    Ok(Some(Queue::new(Redis::new(redis.target), config.queue(), key)))
}

/// The fleet's queue, for a verb that is nothing without it.
pub fn queue(cx: &Cx, what: &str) -> Result<Queue, Failure> {
    queue_of(cx.config()?)?.ok_or_else(|| Failure::new(Exit::Unreachable, format!("{what} needs {REMEDY}")))
}

/// What a failure of the queue means for the exit status.
pub fn failure(error: &WorkError) -> Failure {
    Failure::new(exit_of(error), error)
}

/// The exit status of a failure of the queue.
pub fn exit_of(error: &WorkError) -> Exit {
    match error {
        WorkError::Redis(fault) if fault.class() == RedisClass::Config => Exit::Usage,
        WorkError::Redis(_) | WorkError::Full(_) => Exit::Unreachable,
        WorkError::Unknown(_) => Exit::Failed,
        WorkError::Invalid(_) => Exit::Usage,
        WorkError::Strange(_) => Exit::Internal,
    }
}

/// The job that the user named: an id, a name, the beginning of an id, or its end with four characters and more.
pub async fn find(queue: &Queue, text: &str) -> Result<SessionId, Failure> {
    find_if_there(queue, text).await?.ok_or_else(|| no_job(text))
}

/// As [`find`]; `None` where there is no such job.
pub async fn find_if_there(queue: &Queue, text: &str) -> Result<Option<SessionId>, Failure> {
    let mut found = queue.find(text).await.map_err(|error| failure(&error))?;
    if found.len() <= 1 {
        return Ok(found.pop());
    }
    let named: Vec<&str> = found.iter().take(NAMED).map(SessionId::as_str).collect();
    let message = format!("`{}` could be {}; name it by its id", shown(text), named.join(", "));
    Err(Failure::new(Exit::Failed, message))
}

/// What is said where there is no such job.
pub fn no_job(text: &str) -> Failure {
    Failure::new(Exit::Failed, format!("no job `{}`; `darkmux job ls --all` lists them", shown(text)))
}

fn shown(text: &str) -> String {
    crate::util::visible_line(text).chars().take(80).collect()
}

/// As [`find`], with what the job is.
pub async fn find_view(queue: &Queue, text: &str) -> Result<JobView, Failure> {
    let id = find(queue, text).await?;
    let job = queue.job(&id).await.map_err(|error| failure(&error))?;
    // It may have gone between the two looks.
    job.ok_or_else(|| failure(&WorkError::Unknown(id)))
}
