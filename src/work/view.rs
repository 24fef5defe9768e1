//! Looking at the queue: jobs, dead letters, depth.

use std::collections::{BTreeMap, HashMap};

use redis::Value;
use redis::streams::StreamRangeReply;
use serde::{Deserialize, Serialize};

use super::queue::{Queue, Row};
use super::{WorkError, control};
use crate::model::{JobState, MachineId, Priority, SessionId};
use crate::util::{clock, human};
use crate::wire::{JOB_SCHEMA, JobResult, JobSpec, Lane, WorkJob};

/// Longest title of a job, in characters.
const TITLE_MAX: usize = 120;

/// Jobs asked about in one write.
const CHUNK: usize = 500;

/// Bytes of a record that are read for a view: role and title stand at its beginning.
const RECORD_HEAD: usize = 2048;

/// Longest escape of one character in JSON: two halves of six characters.
const ESCAPE_MAX: usize = 12;

/// Most ids that are looked through for the beginning or the end of one.
const SEARCH_MAX: usize = 20_000;

/// Jobs that have not ended in one list: more than any queue holds.
const LIVE_MAX: usize = 1_000_000;

/// Ended jobs that are looked through for a name.
const NAMES_MAX: usize = 1000;

/// Fewest characters by which the end of an id, or the beginning of its random part, names it.
const ENDING_MIN: usize = 4;

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
    /// The same in RFC 3339.
    pub started_at: String,
    /// When it ended, Unix milliseconds.
    pub ended_ms: u64,
    /// The same in RFC 3339.
    pub ended_at: String,
    /// `done`, `failed`, `cancelled`, `requeue`, `lost`, `refused`.
    pub ended: String,
}

/// A job as anybody in the fleet sees it. Times are those of the Redis' clock: `…_ms` in Unix milliseconds, `…_at` the same
/// in RFC 3339; what is not known is null.
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
    /// The machine it is meant for.
    pub target: Option<String>,
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
    /// See [`created_ms`](Self::created_ms).
    pub created_at: String,
    /// When it was queued last; a machine that gives it back does not count.
    pub queued_ms: Option<u64>,
    /// See [`queued_ms`](Self::queued_ms).
    pub queued_at: Option<String>,
    /// When its running attempt was claimed.
    pub started_ms: Option<u64>,
    /// See [`started_ms`](Self::started_ms).
    pub started_at: Option<String>,
    /// When it ended.
    pub finished_ms: Option<u64>,
    /// See [`finished_ms`](Self::finished_ms).
    pub finished_at: Option<String>,
    /// When a waiting job comes into its lane.
    pub due_ms: Option<u64>,
    /// See [`due_ms`](Self::due_ms).
    pub due_at: Option<String>,
    /// When a queued job that machines gave back is offered to them again.
    pub offered_again_ms: Option<u64>,
    /// See [`offered_again_ms`](Self::offered_again_ms).
    pub offered_again_at: Option<String>,
    /// What a machine must have to run it.
    pub lane: Option<Lane>,
    /// Machines that gave it back, and why.
    pub declined: BTreeMap<String, String>,
    /// Why it is to be cancelled, or was.
    pub cancel: Option<String>,
    /// Why it ended as a dead letter.
    pub why: Option<String>,
    /// Why no machine can run it now; null while one can.
    pub parked: Option<String>,
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
    /// Of the queued ones, those that no machine that is alive can run.
    pub parked: u64,
    /// Running jobs by machine.
    pub running: BTreeMap<String, Vec<SessionId>>,
    /// Dead letters.
    pub dead: u64,
    /// The Redis' clock, Unix milliseconds.
    pub now_ms: u64,
}

/// What a glance sees of one job that has not ended.
struct Glance {
    id: SessionId,
    state: JobState,
    machine: String,
    queued_ms: u64,
    is_parked: bool,
}

impl Queue {
    /// A job. `None` when there is none of this id.
    pub async fn job(&self, id: &SessionId) -> Result<Option<JobView>, WorkError> {
        Ok(self.jobs_of(std::slice::from_ref(id)).await?.pop())
    }

    /// These jobs, in this order; those that are not there are left out.
    pub async fn jobs_of(&self, ids: &[SessionId]) -> Result<Vec<JobView>, WorkError> {
        let mut jobs = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let mut call = self.scripts.list.prepare_invoke();
            call.arg(RECORD_HEAD);
            for id in chunk {
                call.arg(id.as_str());
            }
            let rows: Vec<HashMap<Vec<u8>, Vec<u8>>> = self.redis.script(&call).await?;
            jobs.extend(chunk.iter().zip(rows).filter_map(|(id, fields)| view(id, &named(fields))));
        }
        Ok(jobs)
    }

    /// A job's message.
    pub async fn message(&self, id: &SessionId) -> Result<Option<String>, WorkError> {
        Ok(self.work(id).await?.map(|job| job.message))
    }

    /// What a job was asked to do; `None` where that is gone, or cannot be read.
    pub async fn work(&self, id: &SessionId) -> Result<Option<WorkJob>, WorkError> {
        let mut ask = redis::cmd("HGET");
        ask.arg(format!("darkmux:job:{id}")).arg("record");
        let record: Option<Vec<u8>> = self.redis.query(&ask).await?;
        Ok(record.and_then(|record| WorkJob::parse(&record).ok()))
    }

    /// The jobs that have not ended, and the newest `ended` others; newest first.
    pub async fn jobs(&self, ended: usize) -> Result<Vec<JobView>, WorkError> {
        Ok(self.newest(LIVE_MAX, ended).await?.0)
    }

    /// The jobs that run, the newest `live` others that have not ended, and the newest `ended` that have; newest
    /// first. Also how many that have not ended are left out.
    pub async fn newest(&self, live: usize, ended: usize) -> Result<(Vec<JobView>, u64), WorkError> {
        let mut call = self.scripts.newest.prepare_invoke();
        call.arg(live.min(LIVE_MAX)).arg(ended);
        let answer: Vec<Vec<u8>> = self.redis.script(&call).await?;
        let mut words = answer.into_iter().map(|word| String::from_utf8(word).unwrap_or_default());
        let hidden = words.next().and_then(|hidden| hidden.parse().ok()).unwrap_or(0);
        // What is no id was not put there by us.
        let ids: Vec<SessionId> = words.filter_map(|id| SessionId::new(id).ok()).collect();
        let mut jobs = self.jobs_of(&ids).await?;
        jobs.sort_by(|one, other| (other.created_ms, &other.id).cmp(&(one.created_ms, &one.id)));
        Ok((jobs, hidden))
    }

    /// The jobs that `text` may name: the one with this id, else the newest of this name (one that has not ended
    /// before one that has), else all whose id begins so; with four characters and more also those whose id ends so, or
    /// whose part after the last `-` begins so.
    pub async fn find(&self, text: &str) -> Result<Vec<SessionId>, WorkError> {
        if let Ok(id) = SessionId::new(text)
            && self.redis.query::<bool>(redis::cmd("EXISTS").arg(format!("darkmux:job:{id}"))).await?
        {
            return Ok(vec![id]);
        }
        let jobs = self.jobs(NAMES_MAX).await?;
        let named = || jobs.iter().filter(|job| job.name.as_deref() == Some(text));
        if let Some(job) = named().find(|job| !job.state.is_final()).or_else(|| named().next()) {
            return Ok(vec![job.id.clone()]);
        }
        let most = SEARCH_MAX.to_string();
        let ids = self.ids(redis::cmd("ZRANGE").arg(&["darkmux:jobs", "0", &most, "REV"])).await?;
        let like = |id: &SessionId| {
            let id = id.as_str();
            let random = id.rsplit_once('-').map_or("", |(_, random)| random);
            let is_part = text.len() >= ENDING_MIN && (id.ends_with(text) || random.starts_with(text));
            !text.is_empty() && id.starts_with(text) || is_part
        };
        let like: Vec<SessionId> = ids.into_iter().filter(like).collect();
        // The list of ids remembers longer than the jobs are kept.
        Ok(self.jobs_of(&like).await?.into_iter().map(|job| job.id).collect())
    }

    /// The lane that a job is in now, which is another than it was published to when runners gave it back.
    pub async fn lane_now(&self, id: &SessionId) -> Result<Option<Lane>, WorkError> {
        self.lane_of(id).await
    }

    /// How many queued jobs are ahead of this one in its lane; `None` when it is not queued.
    pub async fn position(&self, id: &SessionId) -> Result<Option<usize>, WorkError> {
        let fields = ["state", "lane", "entry"];
        let mut ask = redis::pipe();
        ask.cmd("HMGET").arg(format!("darkmux:job:{id}")).arg(&fields);
        let place = self.rows(&ask).await?.pop().unwrap_or_default();
        let [state, lane, entry] = &place[..] else { return Ok(None) };
        let Some(own) = entry.as_deref().and_then(entry_order) else { return Ok(None) };
        if state.as_deref() != Some(JobState::Queued.as_str()) {
            return Ok(None);
        }
        let mut ahead = 0;
        for chunk in self.ids(redis::cmd("SMEMBERS").arg("darkmux:live")).await?.chunks(CHUNK) {
            let mut commands = redis::pipe();
            for id in chunk {
                commands.cmd("HMGET").arg(format!("darkmux:job:{id}")).arg(&fields);
            }
            let places = self.rows(&commands).await?;
            let is_ahead = |place: &&Row| {
                let [other_state, other_lane, other] = &place[..] else { return false };
                let before = other.as_deref().and_then(entry_order).is_some_and(|other| other < own);
                before && other_state == state && other_lane == lane
            };
            ahead += places.iter().filter(is_ahead).count();
        }
        Ok(Some(ahead))
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
        let (paused, drained, dead, time): (bool, Vec<Vec<u8>>, u64, (u64, u64)) =
            self.redis.pipeline(&ask).await?;
        let mut drained: Vec<String> =
            drained.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        drained.sort();
        let mut status = QueueStatus {
            schema: JOB_SCHEMA,
            paused,
            drained,
            depth: BTreeMap::new(),
            oldest_queued_ms: None,
            parked: 0,
            running: BTreeMap::new(),
            dead,
            now_ms: time.0 * 1000 + time.1 / 1000,
        };
        for state in [JobState::Queued, JobState::Waiting, JobState::Running] {
            status.depth.insert(state.as_str(), 0);
        }
        for Glance { id, state, machine, queued_ms, is_parked } in self.glance().await? {
            *status.depth.entry(state.as_str()).or_default() += 1;
            match state {
                JobState::Queued => {
                    let oldest = status.oldest_queued_ms.unwrap_or(u64::MAX);
                    status.oldest_queued_ms = Some(oldest.min(queued_ms));
                    status.parked += u64::from(is_parked);
                }
                JobState::Running => status.running.entry(machine).or_default().push(id),
                _ => {}
            }
        }
        Ok(status)
    }

    async fn glance(&self) -> Result<Vec<Glance>, WorkError> {
        let ids = self.ids(redis::cmd("SMEMBERS").arg("darkmux:live")).await?;
        let mut rows = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let mut commands = redis::pipe();
            for id in chunk {
                let fields = ["state", "machine", "queued", "parked"];
                commands.cmd("HMGET").arg(format!("darkmux:job:{id}")).arg(&fields);
            }
            for (id, row) in chunk.iter().zip(self.rows(&commands).await?) {
                let word = |at: usize| row.get(at).cloned().flatten();
                let Some(Ok(state)) = word(0).as_deref().map(control::state_of) else { continue };
                rows.push(Glance {
                    id: id.clone(),
                    state,
                    machine: word(1).unwrap_or_default(),
                    queued_ms: word(2).and_then(|queued| queued.parse().ok()).unwrap_or(0),
                    is_parked: word(3).is_some_and(|why| !why.is_empty()),
                });
            }
        }
        Ok(rows)
    }
}

/// Fields by their names as text.
fn named(fields: HashMap<Vec<u8>, Vec<u8>>) -> HashMap<String, Vec<u8>> {
    let name = |name: Vec<u8>| String::from_utf8_lossy(&name).into_owned();
    fields.into_iter().map(|(field, value)| (name(field), value)).collect()
}

fn view(id: &SessionId, fields: &HashMap<String, Vec<u8>>) -> Option<JobView> {
    let text = |name: &str| {
        let text = String::from_utf8_lossy(fields.get(name)?).into_owned();
        (!text.is_empty()).then_some(text)
    };
    let number = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
    let state = JobState::of_word(&text("state")?)?;
    let job = fields.get("record").map(|record| Beginning::of(record)).unwrap_or_default();
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
    let created_ms = number("created").unwrap_or(0);
    let (queued_ms, started_ms, finished_ms) = (number("queued"), number("started"), number("finished"));
    let due_ms = (state == JobState::Waiting).then(|| number("due")).flatten();
    let offered_again_ms = (state == JobState::Queued).then(|| number("offer_due")).flatten();
    Some(JobView {
        schema: JOB_SCHEMA,
        id: id.clone(),
        state,
        role: job.role_id,
        name: spec.as_ref().and_then(|spec| spec.name.clone()),
        title: job.message.as_deref().and_then(|message| human::headline(message, TITLE_MAX)),
        priority: spec.as_ref().map_or(Priority::Normal, |spec| spec.lane.priority),
        target: job.target_machine,
        machine: text("machine"),
        published_by: job
            .published_by_machine
            .or_else(|| spec.as_ref().and_then(|spec| spec.published_by.as_ref()).map(MachineId::to_string)),
        attempt: number("attempt").and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        attempts,
        created_ms,
        created_at: clock::of_unix_ms(created_ms),
        queued_ms,
        queued_at: queued_ms.map(clock::of_unix_ms),
        started_ms,
        started_at: started_ms.map(clock::of_unix_ms),
        finished_ms,
        finished_at: finished_ms.map(clock::of_unix_ms),
        due_ms,
        due_at: due_ms.map(clock::of_unix_ms),
        offered_again_ms,
        offered_again_at: offered_again_ms.map(clock::of_unix_ms),
        lane: spec.as_ref().map(|spec| spec.lane.clone()),
        declined: with_prefix("declined:").collect(),
        cancel: text("cancel"),
        why: text("why"),
        parked: text("parked").filter(|_| state == JobState::Queued),
        legacy_runner: text("legacy"),
        result,
        spec,
    })
}

/// An entry's id as what it is ordered by.
fn entry_order(entry: &str) -> Option<(u64, u64)> {
    let (time, number) = entry.split_once('-')?;
    Some((time.parse().ok()?, number.parse().ok()?))
}

/// What a view needs of a record.
#[derive(Debug, Default, Deserialize)]
struct Beginning {
    role_id: Option<String>,
    message: Option<String>,
    published_by_machine: Option<String>,
    target_machine: Option<String>,
}

impl Beginning {
    /// Reads a record of which only the first [`RECORD_HEAD`] bytes may be there.
    fn of(record: &[u8]) -> Self {
        if let Ok(whole) = serde_json::from_slice(record) {
            return whole;
        }
        // It was cut in its message, perhaps in the middle of a character or of an escape.
        let whole_until = |cut: usize| {
            let text = std::str::from_utf8(&record[..cut]).ok()?;
            serde_json::from_str(&format!("{text}\"}}")).ok()
        };
        let mut cuts = (0..=ESCAPE_MAX).filter_map(|less| record.len().checked_sub(less));
        cuts.find_map(whole_until).unwrap_or_default()
    }
}

fn attempt(number: &str, text: &str) -> Option<Attempt> {
    let mut words = text.split(' ');
    let machine = words.next()?.to_owned();
    let (started_ms, ended_ms) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let (started_at, ended_at) = (clock::of_unix_ms(started_ms), clock::of_unix_ms(ended_ms));
    let ended = words.next()?.to_owned();
    Some(Attempt { number: number.parse().ok()?, machine, started_ms, started_at, ended_ms, ended_at, ended })
}

impl JobView {
    /// The machine as an id, where it is one.
    pub fn machine_id(&self) -> Option<MachineId> {
        self.machine.as_deref().and_then(|name| name.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_wherever_its_message_was_cut() {
        let message = "first line ä \u{1F600} \"quoted\" \\ tab\t and more\nsecond".repeat(3);
        let record = serde_json::json!({
            "role_id": "coder", "message": message, "session_id": "s", "published_by_machine": "m",
        });
        // The order of the format, which is not that of a map.
        let text = format!(
            r#"{{"role_id":"coder","message":{},"session_id":"s","published_by_machine":"m"}}"#,
            record["message"]
        );
        let escaped = text.replace('ä', "\\u00e4").replace('\u{1F600}', "\\ud83d\\ude00");
        for text in [text, escaped] {
            assert_eq!(Beginning::of(text.as_bytes()).published_by_machine.as_deref(), Some("m"));
            let from = text.find("first").unwrap();
            let until = text.find(r#"","session_id"#).unwrap();
            for cut in from..until {
                let read = Beginning::of(&text.as_bytes()[..cut]);
                assert_eq!(read.role_id.as_deref(), Some("coder"), "{cut}");
                assert!(message.starts_with(&read.message.unwrap()), "{cut}");
            }
        }
        assert!(Beginning::of(b"").role_id.is_none());
        assert!(Beginning::of(b"{\"role_id\":7}").role_id.is_none());
    }
}
