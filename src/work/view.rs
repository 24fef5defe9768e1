//! Looking at the queue: jobs, dead letters, depth.

use std::collections::{BTreeMap, HashMap};

use redis::Value;
use redis::streams::StreamRangeReply;
use serde::Serialize;

use super::queue::Queue;
use super::{WorkError, control};
use crate::model::{JobState, MachineId, Priority, SessionId};
use crate::util::human;
use crate::wire::{JOB_SCHEMA, JobResult, JobSpec, Lane, WorkJob};

/// Longest title of a job, in characters.
const TITLE_MAX: usize = 120;

/// Jobs asked about in one write.
const CHUNK: usize = 500;

/// Most ids that are looked through for the beginning or the end of one.
const SEARCH_MAX: usize = 20_000;

/// One attempt that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// Which, from 1.
    #[serde(rename = "attempt")]
    pub number: u32,
    /// Where it ran.
    pub machine: String,
    /// When it was claimed, Unix milliseconds.
    pub started_ms: u64,
    /// When it ended, Unix milliseconds.
    pub ended_ms: u64,
    /// `done`, `failed`, `cancelled`, `requeue`, `lost`, `refused`.
    pub ended: String,
}

/// A job as anybody in the fleet sees it. Times are Unix milliseconds of the Redis' clock; what is not known is
/// null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobView {
    /// [`JOB_SCHEMA`].
    pub schema: u32,
    /// Its id, which is its session's.
    pub id: SessionId,
    /// Where it is in its life.
    pub state: JobState,
    /// The role it runs.
    pub role: Option<String>,
    /// The name the user gave.
    pub name: Option<String>,
    /// The beginning of its message.
    pub title: Option<String>,
    /// Who goes first.
    pub priority: Priority,
    /// The machine that runs it or ran it last.
    pub machine: Option<String>,
    /// The machine that published it.
    pub published_by: Option<String>,
    /// Attempts so far.
    pub attempt: u32,
    /// Attempts that ended.
    pub attempts: Vec<Attempt>,
    /// When it was published.
    pub created_ms: u64,
    /// When it came into its lane last.
    pub queued_ms: Option<u64>,
    /// When its running attempt was claimed.
    pub started_ms: Option<u64>,
    /// When it ended.
    pub finished_ms: Option<u64>,
    /// When a waiting job comes into its lane.
    pub due_ms: Option<u64>,
    /// What a machine must have to run it.
    pub lane: Option<Lane>,
    /// Machines that gave it back, and why.
    pub declined: BTreeMap<String, String>,
    /// Why it is to be cancelled, or was.
    pub cancel: Option<String>,
    /// Why it ended as a dead letter.
    pub why: Option<String>,
    /// The machine of darkmux 1.9 that took it.
    pub legacy_runner: Option<String>,
    /// How its last attempt ended.
    pub result: Option<JobResult>,
    /// What was said about it, with the message left out.
    pub spec: Option<JobSpec>,
}

/// A job that will not be tried again by itself, or an entry that was none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Its place among the dead letters.
    pub entry: String,
    /// The job; null for an entry that was none.
    pub job: Option<SessionId>,
    /// Why.
    pub why: String,
    /// The beginning of an entry that was no job, as text.
    pub raw: Option<String>,
}

/// The queue at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueStatus {
    /// [`JOB_SCHEMA`].
    pub schema: u32,
    /// Whether jobs are handed out.
    pub paused: bool,
    /// Machines that get no jobs.
    pub drained: Vec<String>,
    /// Jobs that have not ended, by state.
    pub depth: BTreeMap<&'static str, u64>,
    /// When the job that waits longest came into its lane, Unix milliseconds.
    pub oldest_queued_ms: Option<u64>,
    /// Running jobs by machine.
    pub running: BTreeMap<String, Vec<SessionId>>,
    /// Dead letters.
    pub dead: u64,
    /// The Redis' clock, Unix milliseconds.
    pub now_ms: u64,
}

impl Queue {
    /// A job. `None` when there is none of this id.
    pub async fn job(&self, id: &SessionId) -> Result<Option<JobView>, WorkError> {
        let mut ask = redis::cmd("HGETALL");
        ask.arg(format!("darkmux:job:{id}"));
        let fields: HashMap<String, Vec<u8>> = self.redis.query(&ask).await?;
        Ok(view(id, &fields))
    }

    /// A job's message.
    pub async fn message(&self, id: &SessionId) -> Result<Option<String>, WorkError> {
        let mut ask = redis::cmd("HGET");
        ask.arg(format!("darkmux:job:{id}")).arg("record");
        let record: Option<Vec<u8>> = self.redis.query(&ask).await?;
        Ok(record.and_then(|record| WorkJob::parse(&record).ok()).map(|job| job.message))
    }

    /// The jobs that have not ended, and the newest `ended` others; newest first.
    pub async fn jobs(&self, ended: usize) -> Result<Vec<JobView>, WorkError> {
        let mut ids = self.ids("SMEMBERS", &["darkmux:live"]).await?;
        if ended > 0 {
            let newest = (ended + ids.len()).to_string();
            let newest = self.ids("ZRANGE", &["darkmux:jobs", "0", &newest, "REV"]).await?;
            ids.extend(newest);
        }
        ids.sort();
        ids.dedup();
        let mut jobs = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let mut commands = redis::pipe();
            for id in chunk {
                commands.cmd("HGETALL").arg(format!("darkmux:job:{id}"));
            }
            let rows: Vec<HashMap<String, Vec<u8>>> = self.redis.pipeline(&commands).await?;
            jobs.extend(chunk.iter().zip(&rows).filter_map(|(id, fields)| view(id, fields)));
        }
        jobs.sort_by(|one, other| (other.created_ms, &other.id).cmp(&(one.created_ms, &one.id)));
        let mut left = ended;
        jobs.retain(|job| {
            let keep = !job.state.is_final() || left > 0;
            left = left.saturating_sub(usize::from(job.state.is_final()));
            keep
        });
        Ok(jobs)
    }

    /// The ids of jobs that begin or (four characters and more) end with `text`, or are it.
    pub async fn ids_like(&self, text: &str) -> Result<Vec<SessionId>, WorkError> {
        let most = SEARCH_MAX.to_string();
        let ids = self.ids("ZRANGE", &["darkmux:jobs", "0", &most, "REV"]).await?;
        if let Some(id) = ids.iter().find(|id| id.as_str() == text) {
            return Ok(vec![id.clone()]);
        }
        let like =
            |id: &SessionId| id.as_str().starts_with(text) || text.len() >= 4 && id.as_str().ends_with(text);
        Ok(ids.into_iter().filter(like).collect())
    }

    async fn ids(&self, verb: &str, words: &[&str]) -> Result<Vec<SessionId>, WorkError> {
        let mut ask = redis::cmd(verb);
        ask.arg(words);
        let ids: Vec<String> = self.redis.query(&ask).await?;
        // What is no id was not put there by us.
        Ok(ids.into_iter().filter_map(|id| SessionId::new(id).ok()).collect())
    }

    /// The newest dead letters.
    pub async fn dead(&self, count: usize) -> Result<Vec<DeadLetter>, WorkError> {
        let mut range = redis::cmd("XREVRANGE");
        range.arg("darkmux:dead").arg("+").arg("-").arg("COUNT").arg(count);
        let reply: StreamRangeReply = self.redis.query(&range).await?;
        let text = |value: Option<&Value>| match value {
            Some(Value::BulkString(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        };
        let letter = |entry: &redis::streams::StreamId| DeadLetter {
            entry: entry.id.clone(),
            job: text(entry.map.get("job")).and_then(|id| SessionId::new(id).ok()),
            why: text(entry.map.get("why")).unwrap_or_default(),
            raw: text(entry.map.get("raw")),
        };
        Ok(reply.ids.iter().map(letter).collect())
    }

    /// Takes a dead letter away; its job stays until its time. `false` when it is not there.
    pub async fn drop_dead(&self, entry: &str) -> Result<bool, WorkError> {
        let mut delete = redis::cmd("XDEL");
        delete.arg("darkmux:dead").arg(entry);
        Ok(self.redis.query::<u64>(&delete).await? > 0)
    }

    /// The queue at a glance.
    pub async fn status(&self) -> Result<QueueStatus, WorkError> {
        let mut ask = redis::pipe();
        ask.cmd("EXISTS").arg("darkmux:paused").cmd("SMEMBERS").arg("darkmux:drained");
        ask.cmd("XLEN").arg("darkmux:dead").cmd("TIME");
        let (paused, mut drained, dead, time): (bool, Vec<String>, u64, (u64, u64)) =
            self.redis.pipeline(&ask).await?;
        drained.sort();
        let mut status = QueueStatus {
            schema: JOB_SCHEMA,
            paused,
            drained,
            depth: BTreeMap::new(),
            oldest_queued_ms: None,
            running: BTreeMap::new(),
            dead,
            now_ms: time.0 * 1000 + time.1 / 1000,
        };
        for state in [JobState::Queued, JobState::Waiting, JobState::Running] {
            status.depth.insert(state.as_str(), 0);
        }
        for (id, state, machine, queued) in self.glance().await? {
            *status.depth.entry(state.as_str()).or_default() += 1;
            match state {
                JobState::Queued => {
                    let oldest = status.oldest_queued_ms.unwrap_or(u64::MAX);
                    status.oldest_queued_ms = Some(oldest.min(queued));
                }
                JobState::Running => status.running.entry(machine).or_default().push(id),
                _ => {}
            }
        }
        Ok(status)
    }

    async fn glance(&self) -> Result<Vec<(SessionId, JobState, String, u64)>, WorkError> {
        let ids = self.ids("SMEMBERS", &["darkmux:live"]).await?;
        let mut rows = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let mut commands = redis::pipe();
            for id in chunk {
                commands.cmd("HMGET").arg(format!("darkmux:job:{id}")).arg(&["state", "machine", "queued"]);
            }
            let found: Vec<(Option<String>, Option<String>, Option<u64>)> =
                self.redis.pipeline(&commands).await?;
            for (id, (state, machine, queued)) in chunk.iter().zip(found) {
                let Some(Ok(state)) = state.as_deref().map(control::state_of) else { continue };
                rows.push((id.clone(), state, machine.unwrap_or_default(), queued.unwrap_or(0)));
            }
        }
        Ok(rows)
    }
}

fn view(id: &SessionId, fields: &HashMap<String, Vec<u8>>) -> Option<JobView> {
    let text = |name: &str| {
        let text = String::from_utf8_lossy(fields.get(name)?).into_owned();
        (!text.is_empty()).then_some(text)
    };
    let number = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
    let state = JobState::of_word(&text("state")?)?;
    let job = fields.get("record").and_then(|record| serde_json::from_slice::<WorkJob>(record).ok());
    let sealed = text("spec");
    let spec = sealed.as_deref().and_then(|sealed| sealed.split_once('\n'));
    let spec: Option<JobSpec> = spec.and_then(|(_, spec)| serde_json::from_str(spec).ok());
    let result = fields.get("result").and_then(|text| serde_json::from_slice(text).ok());
    let with_prefix = |prefix: &'static str| {
        fields.iter().filter_map(move |(name, value)| {
            Some((name.strip_prefix(prefix)?.to_owned(), String::from_utf8_lossy(value).into_owned()))
        })
    };
    let mut attempts: Vec<Attempt> = with_prefix("try:").filter_map(|(n, text)| attempt(&n, &text)).collect();
    attempts.sort_by_key(|attempt| attempt.number);
    Some(JobView {
        schema: JOB_SCHEMA,
        id: id.clone(),
        state,
        role: job.as_ref().map(|job| job.role_id.to_string()),
        name: spec.as_ref().and_then(|spec| spec.name.clone()),
        title: job.as_ref().and_then(|job| human::headline(&job.message, TITLE_MAX)),
        priority: spec.as_ref().map_or(Priority::Normal, |spec| spec.lane.priority),
        machine: text("machine"),
        published_by: job.as_ref().and_then(|job| job.published_by_machine.clone()),
        attempt: number("attempt").and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        attempts,
        created_ms: number("created").unwrap_or(0),
        queued_ms: number("queued"),
        started_ms: number("started"),
        finished_ms: number("finished"),
        due_ms: (state == JobState::Waiting).then(|| number("due")).flatten(),
        lane: spec.as_ref().map(|spec| spec.lane.clone()),
        declined: with_prefix("declined:").collect(),
        cancel: text("cancel"),
        why: text("why"),
        legacy_runner: text("legacy"),
        result,
        spec,
    })
}

fn attempt(number: &str, text: &str) -> Option<Attempt> {
    let mut words = text.split(' ');
    let machine = words.next()?.to_owned();
    let (started_ms, ended_ms) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let ended = words.next()?.to_owned();
    Some(Attempt { number: number.parse().ok()?, machine, started_ms, ended_ms, ended })
}

impl JobView {
    /// The machine as an id, where it is one.
    pub fn machine_id(&self) -> Option<MachineId> {
        self.machine.as_deref().and_then(|name| name.parse().ok())
    }
}
