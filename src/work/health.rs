//! What keeps jobs from being handed out although Redis answers: groups that are gone, and entries that are held in
//! the name of nobody.

use std::time::Duration;

use redis::Value;
use redis::streams::{StreamInfoGroupsReply, StreamRangeReply};

use super::WorkError;
use super::queue::Queue;
use crate::store::RedisClass;
use crate::util::clock::whole_ms;

/// The consumer group of all runners.
const GROUP: &str = "darkmux-runners";

/// Entries looked at in one lane.
const LOOKED_AT: usize = 200;

/// How long an entry may be held by nobody before it counts: the reconcilers' time, and some.
const HELD: Duration = Duration::from_mins(2);

/// An entry that was delivered, and that no job speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The name in the group under which it is held. A name without `:` is that of a runner of darkmux 1.9.
    pub consumer: String,
    /// For how long.
    pub held: Duration,
}

/// How the streams of the queue are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueHealth {
    /// Whether anything was ever published to the lane that darkmux 1.9 knows.
    pub exists: bool,
    /// Lanes that hold entries and have no group.
    pub without_group: Vec<String>,
    /// Entries that nobody holds any longer.
    pub orphans: Vec<Orphan>,
}

type Pending = (String, String, u64, u64);

impl Queue {
    /// Looks at the streams of all lanes; changes nothing.
    pub async fn health(&self) -> Result<QueueHealth, WorkError> {
        let mut health = QueueHealth::default();
        for (stream, _) in self.lanes().await? {
            let mut length = redis::cmd("XLEN");
            length.arg(&stream);
            let mut exists = redis::cmd("EXISTS");
            exists.arg(&stream);
            if !self.redis.query::<bool>(&exists).await? {
                continue;
            }
            health.exists |= stream == super::lane::MAIN;
            let mut groups = redis::cmd("XINFO");
            groups.arg("GROUPS").arg(&stream);
            let groups: StreamInfoGroupsReply = self.redis.query(&groups).await?;
            if groups.groups.iter().any(|group| group.name == GROUP) {
                self.orphans(&stream, &mut health.orphans).await?;
            } else if self.redis.query::<u64>(&length).await? > 0 {
                health.without_group.push(stream);
            }
        }
        Ok(health)
    }

    async fn orphans(&self, stream: &str, orphans: &mut Vec<Orphan>) -> Result<(), WorkError> {
        let mut ask = redis::cmd("XPENDING");
        ask.arg(stream).arg(GROUP).arg("IDLE").arg(whole_ms(HELD)).arg("-").arg("+").arg(LOOKED_AT);
        let pending: Vec<Pending> = match self.redis.query(&ask).await {
            // It went between the two looks.
            Err(fault) if fault.class() == RedisClass::NoGroup => return Ok(()),
            pending => pending?,
        };
        for (entry, consumer, idle, _) in pending {
            if !self.is_running(stream, &entry, &consumer).await? {
                orphans.push(Orphan { consumer, held: Duration::from_millis(idle) });
            }
        }
        Ok(())
    }

    /// Whether a job says that this entry is the one it runs by.
    async fn is_running(&self, stream: &str, entry: &str, consumer: &str) -> Result<bool, WorkError> {
        let mut range = redis::cmd("XRANGE");
        range.arg(stream).arg(entry).arg(entry);
        let found: StreamRangeReply = self.redis.query(&range).await?;
        let Some(Value::BulkString(id)) = found.ids.first().and_then(|found| found.map.get("job")) else {
            return Ok(false);
        };
        let mut ask = redis::cmd("HMGET");
        ask.arg([b"darkmux:job:", id.as_slice()].concat()).arg(&["state", "entry", "owner"]);
        let (state, held, owner): (Option<String>, Option<String>, Option<String>) =
            self.redis.query(&ask).await?;
        Ok(state.as_deref() == Some("running")
            && held.as_deref() == Some(entry)
            && owner.as_deref() == Some(consumer))
    }
}
