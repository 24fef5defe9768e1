//! Reading signs of life from Redis: which machines and sessions are alive.
//!
//! Invariants: a machine is alive while its key is there, whatever clocks say; what is read is bounded in number,
//! in size and in time; text in it is hostile.

use std::collections::BTreeSet;
use std::time::Duration;

use redis::{Cmd, Pipeline, Value as Reply};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{hostile, keys};
use crate::store::{Redis, RedisFault};
use crate::util::clock::whole_ms;
use crate::wire::{MachineBeat, SessionBeat};

/// Most machines, and most sessions, that are read.
const IDS_MAX: usize = 1024;

/// Longest identity or id in a key, in bytes.
const ID_MAX: usize = 128;

/// A server with more keys than this is not looked through each time.
const FEW_KEYS: u64 = 10_000;

/// How often a server with many keys is looked through for beats of darkmux 1.9.
const SCAN_EVERY: Duration = Duration::from_secs(30);

/// How long that may take at a time; it goes on where it was.
const SCAN_PATIENCE: Duration = Duration::from_millis(400);

/// Keys that the server looks at for one answer.
const SCAN_COUNT: u32 = 5000;

/// A machine that is alive.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// What it says.
    pub beat: MachineBeat,
    /// How long ago it said it, by the server's clock.
    pub age: Duration,
    /// How far its clock is ahead of the server's, in milliseconds.
    pub skew_ms: i64,
}

/// The machines that are alive.
#[derive(Debug, Clone, Default)]
pub struct Presence {
    /// By name, then identity.
    pub machines: Vec<Seen>,
    /// Values that are no sign of life.
    pub unreadable: usize,
    /// The server's clock, in milliseconds since the Unix epoch.
    pub server_ms: u64,
}

/// Reads signs of life from one Redis.
#[derive(Debug)]
pub struct PresenceReader {
    redis: Redis,
    machines: Mutex<Known>,
    sessions: Mutex<Known>,
}

/// Where to look for one kind of beat.
#[derive(Debug)]
struct Known {
    prefix: &'static str,
    index: &'static str,
    /// Found by looking through the keys.
    found: BTreeSet<String>,
    scanned: Option<Instant>,
    cursor: u64,
}

impl Known {
    fn new(prefix: &'static str, index: &'static str) -> Mutex<Self> {
        Mutex::new(Self { prefix, index, found: BTreeSet::new(), scanned: None, cursor: 0 })
    }
}

/// A value and how long it still lives.
struct Found {
    id: String,
    bytes: Vec<u8>,
    left: Duration,
}

impl PresenceReader {
    /// Asks nothing yet.
    pub fn new(redis: Redis) -> Self {
        let machines = Known::new(keys::MACHINE, keys::MACHINES);
        Self { redis, machines, sessions: Known::new(keys::SESSION, keys::SESSIONS) }
    }

    /// The server in words, without a password.
    pub fn shown(&self) -> &str {
        self.redis.shown()
    }

    /// The machines that are alive.
    pub async fn machines(&self) -> Result<Presence, RedisFault> {
        let (server_ms, found) = self.read(&self.machines).await?;
        let all = found.len();
        let seen = found.into_iter().filter_map(|Found { id, bytes, left }| {
            let beat = hostile::machine(&id, &bytes)?;
            let age = keys::LIFE.saturating_sub(left);
            let written = server_ms.saturating_sub(whole_ms(age));
            let skew_ms =
                i64::try_from(i128::from(beat.beat_ts_ms) - i128::from(written)).unwrap_or(i64::MAX);
            Some(Seen { beat, age, skew_ms })
        });
        let mut machines: Vec<Seen> = seen.collect();
        machines
            .sort_by(|a, b| (a.beat.name(), &a.beat.machine_uid).cmp(&(b.beat.name(), &b.beat.machine_uid)));
        Ok(Presence { unreadable: all - machines.len(), machines, server_ms })
    }

    /// The sessions that are alive, by id.
    pub async fn sessions(&self) -> Result<Vec<SessionBeat>, RedisFault> {
        let (_, found) = self.read(&self.sessions).await?;
        let beats = found.iter().filter_map(|found| hostile::session(&found.id, &found.bytes));
        let mut beats: Vec<SessionBeat> = beats.collect();
        beats.sort_by(|a, b| a.session_id.cmp(&b.session_id));
        Ok(beats)
    }

    async fn read(&self, known: &Mutex<Known>) -> Result<(u64, Vec<Found>), RedisFault> {
        // Held while asking: two who ask at once need not look through the keys twice.
        let mut known = known.lock().await;
        let mut ask = redis::pipe();
        ask.cmd("DBSIZE").cmd("ZREVRANGE").arg(known.index).arg(0).arg(IDS_MAX - 1).ignore_errors();
        let answers: Vec<Reply> = self.redis.pipeline(&ask).await?;
        let size = match answers.first() {
            Some(Reply::Int(size)) => u64::try_from(*size).unwrap_or(0),
            _ => u64::MAX,
        };
        let due = known.scanned.is_none_or(|at| at.elapsed() >= SCAN_EVERY);
        if due || size <= FEW_KEYS {
            self.scan(&mut known).await?;
        }
        let mut ids = known.found.clone();
        let Some(Reply::Array(listed)) = answers.get(1) else { return self.values(&mut known, ids).await };
        ids.extend(listed.iter().filter_map(|id| checked(bytes(id)?)));
        self.values(&mut known, ids).await
    }

    /// Looks through the keys of the server, for a while; what it does not come to is come to the next time.
    async fn scan(&self, known: &mut Known) -> Result<(), RedisFault> {
        let deadline = Instant::now() + SCAN_PATIENCE;
        known.scanned = Some(Instant::now());
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(known.cursor).arg("MATCH").arg(format!("{}*", known.prefix));
            scan.arg("COUNT").arg(SCAN_COUNT).arg("TYPE").arg("string");
            let (cursor, found): (u64, Vec<Vec<u8>>) = self.redis.query(&scan).await?;
            known.cursor = cursor;
            for key in found {
                if known.found.len() < IDS_MAX
                    && let Some(id) = key.strip_prefix(known.prefix.as_bytes()).and_then(checked)
                {
                    known.found.insert(id);
                }
            }
            if cursor == 0 || Instant::now() >= deadline {
                return Ok(());
            }
        }
    }

    async fn values(
        &self,
        known: &mut Known,
        ids: BTreeSet<String>,
    ) -> Result<(u64, Vec<Found>), RedisFault> {
        let ids: Vec<String> = ids.into_iter().take(IDS_MAX).collect();
        let mut ask = redis::pipe();
        ask.ignore_errors().cmd("TIME");
        for id in &ids {
            let key = format!("{}{id}", known.prefix);
            // The server sends at most this much of a value, and one byte that says that there is more.
            ask.cmd("GETRANGE").arg(&key).arg(0).arg(hostile::BEAT_MAX).cmd("PTTL").arg(&key);
        }
        let mut answers = self.redis.pipeline::<Vec<Reply>>(&ask).await?.into_iter();
        let server_ms = answers.next().as_ref().and_then(time).unwrap_or(0);
        let mut found = Vec::new();
        for id in ids {
            let (value, left) = (answers.next(), answers.next());
            let bytes = value.as_ref().and_then(bytes).unwrap_or_default();
            if bytes.is_empty() {
                known.found.remove(&id);
                continue;
            }
            let left = match left {
                Some(Reply::Int(left)) => Duration::from_millis(u64::try_from(left).unwrap_or(0)),
                _ => Duration::ZERO,
            };
            found.push(Found { id, bytes: bytes.to_vec(), left });
        }
        Ok((server_ms, found))
    }
}

fn bytes(reply: &Reply) -> Option<&[u8]> {
    match reply {
        Reply::BulkString(bytes) => Some(bytes),
        Reply::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

/// An id that may stand in a key; another one is passed over.
fn checked(bytes: &[u8]) -> Option<String> {
    let id = std::str::from_utf8(bytes).ok()?;
    (!id.is_empty() && id.len() <= ID_MAX).then(|| id.to_owned())
}

/// The answer to `TIME`, in milliseconds.
pub fn time(reply: &Reply) -> Option<u64> {
    let Reply::Array(parts) = reply else { return None };
    let number = |part: Option<&Reply>| std::str::from_utf8(bytes(part?)?).ok()?.parse::<u64>().ok();
    Some(number(parts.first())? * 1000 + number(parts.get(1))? / 1000)
}

/// `SET key value` that lasts as long as a sign of life.
pub fn set_beat(pipeline: &mut Pipeline, key: &str, value: &[u8]) {
    let mut set: Cmd = redis::cmd("SET");
    set.arg(key).arg(value).arg("PX").arg(whole_ms(keys::LIFE)).arg("GET");
    pipeline.add_command(set);
}
