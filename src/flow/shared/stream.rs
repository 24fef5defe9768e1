//! What Redis says of the stream as a whole.

use redis::Value;

use super::SharedFlow;
use super::entry::{array, text};
use crate::model::EntryId;
use crate::store::{RedisClass, RedisFault};

/// `XINFO STREAM`, as far as it matters here. All zero when there is no stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamInfo {
    /// The newest id that was ever given.
    pub last: EntryId,
    /// The oldest entry that is there.
    pub first: Option<EntryId>,
    /// Entries that are there.
    pub length: u64,
    /// Entries that were ever added.
    pub added: u64,
}

impl StreamInfo {
    /// Reads a reply.
    pub fn read(reply: Value) -> Self {
        let mut info = Self::default();
        let pairs: Vec<(Value, Value)> = match reply {
            Value::Map(pairs) => pairs,
            other => {
                let mut items = array(other).into_iter();
                std::iter::from_fn(|| Some((items.next()?, items.next()?))).collect()
            }
        };
        for (key, value) in pairs {
            let number = match &value {
                Value::Int(number) => u64::try_from(*number).unwrap_or(0),
                _ => 0,
            };
            match text(&key) {
                Some("length") => info.length = number,
                Some("entries-added") => info.added = number,
                Some("last-generated-id") => {
                    info.last = text(&value).and_then(|id| id.parse().ok()).unwrap_or_default();
                }
                Some("first-entry") => {
                    info.first = array(value).first().and_then(|id| text(id)?.parse().ok());
                }
                _ => {}
            }
        }
        info
    }

    /// Entries that were removed.
    pub fn removed(&self) -> u64 {
        self.added.saturating_sub(self.length)
    }
}

/// The command that asks for it.
pub(super) fn command(stream: &str) -> redis::Cmd {
    let mut command = redis::cmd("XINFO");
    command.arg("STREAM").arg(stream);
    command
}

/// The command for the newest `count` entries up to an id.
pub(super) fn reverse(stream: &str, upper: EntryId, count: usize) -> redis::Cmd {
    let mut command = redis::cmd("XREVRANGE");
    command.arg(stream).arg(upper.to_string()).arg("-").arg("COUNT").arg(count);
    command
}

/// Its answer; no such key is an empty stream.
pub(super) fn answer(reply: Result<Value, RedisFault>) -> Result<StreamInfo, RedisFault> {
    match reply {
        Ok(reply) => Ok(StreamInfo::read(reply)),
        Err(fault) if fault.class() == RedisClass::Other && fault.detail().contains("no such key") => {
            Ok(StreamInfo::default())
        }
        Err(fault) => Err(fault),
    }
}

impl SharedFlow {
    /// Looks at the stream over the shared connection.
    pub async fn info(&self) -> Result<StreamInfo, RedisFault> {
        answer(self.redis.query(&command(&self.stream)).await)
    }
}
