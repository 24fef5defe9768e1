//! Waking up when there is something to do: one blocking read a runner, which claims nothing, so that an answer
//! that gets lost loses no job.

use std::time::Duration;

use redis::Value;
use redis::streams::StreamReadReply;
use tokio::sync::watch;

use super::{Queue, WorkError};
use crate::model::SessionId;
use crate::store::{Reader, Server};
use crate::util::clock::whole_ms;

/// The stream of hints: what runners should look at. Losing one costs at most the next look.
const HINTS: &str = "darkmux:hints";

/// What a hint says that is to wake bells alone.
pub(super) const NUDGE: &str = "nudge";

/// Longest wait in one read.
pub const BLOCK: Duration = Duration::from_secs(2);

/// What rang.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// An entry came to one of the streams.
    Work,
    /// There are other lanes than before.
    Lanes,
    /// Somebody cancelled this job, at this Unix millisecond of the Redis' clock.
    Cancelled(SessionId, u64),
    /// It ended without a runner.
    Over(SessionId),
    /// The queue was paused or goes on, or a machine was drained or is back.
    Gate,
    /// Somebody wanted the bell to listen to what it was armed with.
    Nudge,
    /// A job waits for its time.
    Due,
    /// Redis lost its data, as somebody noticed.
    Life,
    /// Nothing rang within [`BLOCK`].
    Quiet,
}

/// The bell of one runner.
pub struct Doorbell {
    reader: Reader,
    hints: String,
    /// Who answers requests.
    server: watch::Receiver<Option<Server>>,
}

impl Doorbell {
    /// Connects. What rang before is not heard: look at everything once afterwards.
    pub async fn hang(queue: &Queue) -> Result<Self, WorkError> {
        let reader = queue.redis.reader(BLOCK).await?;
        let server = queue.redis.server();
        let mut newest = redis::cmd("XREVRANGE");
        newest.arg(HINTS).arg("+").arg("-").arg("COUNT").arg(1);
        let newest: redis::streams::StreamRangeReply = queue.redis.query(&newest).await?;
        let hints = newest.ids.first().map_or("0-0".to_owned(), |entry| entry.id.clone());
        Ok(Self { reader, hints, server })
    }

    /// Nothing rang; nothing ever will at a server that requests no longer go to.
    fn quiet(&self) -> Result<Hint, WorkError> {
        let here = self.reader.server();
        match &*self.server.borrow() {
            Some(there) if there.run_id != here.run_id => Err(self.reader.left_behind().into()),
            _ => Ok(Hint::Quiet),
        }
    }

    /// Waits for a hint, or for an entry of these streams after these marks, for at most `limit`. After an error
    /// hang another one. Dropping the wait drops the bell's connection with it, and nothing else.
    pub async fn wait(
        &mut self,
        streams: &[String],
        marks: &[String],
        limit: Duration,
    ) -> Result<Hint, WorkError> {
        let block = limit.clamp(Duration::from_millis(1), BLOCK);
        let mut read = redis::cmd("XREAD");
        read.arg("BLOCK").arg(whole_ms(block)).arg("COUNT").arg(1).arg("STREAMS");
        read.arg(HINTS).arg(streams).arg(&self.hints).arg(marks);
        let Some(reply) = self.reader.query::<Option<StreamReadReply>>(&read).await? else {
            return self.quiet();
        };
        let hint = reply.keys.iter().find(|stream| stream.key == HINTS).and_then(|stream| stream.ids.first());
        let Some(hint) = hint else { return Ok(Hint::Work) };
        self.hints.clone_from(&hint.id);
        let at_ms = hint.id.split('-').next().and_then(|ms| ms.parse().ok()).unwrap_or(0);
        let word = |name: &str| match hint.map.get(name) {
            Some(Value::BulkString(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        };
        Ok(match (word("kind").as_str(), SessionId::new(word("what"))) {
            ("lane", _) => Hint::Lanes,
            ("cancel", Ok(id)) => Hint::Cancelled(id, at_ms),
            ("over", Ok(id)) => Hint::Over(id),
            // Who armed the bell woke it; there is nothing to look at.
            ("gate", Ok(what)) if what.as_str() == NUDGE => Hint::Nudge,
            ("gate", _) => Hint::Gate,
            ("due", _) => Hint::Due,
            ("life", _) => Hint::Life,
            _ => Hint::Quiet,
        })
    }
}
