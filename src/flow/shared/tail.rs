//! The fleet's flow as it grows: one blocking reader, which survives every failure of Redis without missing or
//! repeating what its caller has seen.

use std::time::Duration;

use redis::Value;
use uuid::Uuid;

use super::entry::{self, Entry};
use super::seen::Seen;
use super::{SharedFlow, stream};
use crate::model::{EntryId, FleetAt};
use crate::store::{Reader, RedisFault};
use crate::util::clock::whole_ms;

/// How long one read waits for something new.
const BLOCK: Duration = Duration::from_secs(2);

/// How long an answer may take beyond that.
const MARGIN: Duration = Duration::from_secs(1);

/// Entries of one read; each may be 1 MiB, and is 64 KiB at most where we wrote it.
const COUNT: usize = 256;

/// Logs whose marks are read at the beginning.
const MARKS_MAX: usize = 1024;

/// What one look brought.
#[derive(Debug)]
pub struct Batch {
    /// New records of other machines, in the order of the stream.
    pub records: Vec<Entry>,
    /// Where the reader is now.
    pub at: EntryId,
    /// What was removed from the stream before we came to it.
    pub missed: Option<Missed>,
}

/// Entries that were trimmed unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// How many.
    pub count: u64,
}

/// Follows the stream.
pub struct SharedTail {
    flow: SharedFlow,
    reader: Option<Reader>,
    at: EntryId,
    /// Entries added to the stream up to `at`; `None` when that is not known.
    added: Option<u64>,
    seen: Seen,
    /// The stream as a whole must be looked at before the next read.
    look: bool,
}

impl SharedTail {
    /// Begins at the end of the stream as it is now.
    pub async fn now(flow: SharedFlow) -> Result<Self, RedisFault> {
        Self::begin(flow, None).await
    }

    /// Begins at a place that a reader has come to.
    pub async fn from(flow: SharedFlow, at: FleetAt) -> Result<Self, RedisFault> {
        Self::begin(flow, Some(at)).await
    }

    async fn begin(flow: SharedFlow, at: Option<FleetAt>) -> Result<Self, RedisFault> {
        let mut reader = flow.redis.reader(BLOCK).await?;
        // Marks first: what is shipped between the two questions is behind `at`, and not among the marks.
        let marks = if at.is_none() { marks(&mut reader, &flow.marks()).await? } else { Vec::new() };
        let info = stream::answer(reader.query_within(&stream::command(&flow.stream), MARGIN).await)?;
        let from = match at {
            None => info.last,
            Some(at) if at.seen => at.id,
            // The id right before the moment, so that an entry of the moment itself is read.
            Some(at) => EntryId { ms: at.id.ms.saturating_sub(1), seq: u64::MAX }.min(info.last),
        };
        let added = (from == info.last).then_some(info.added);
        let seen = Seen::begin(marks, Uuid::now_v7());
        Ok(Self { flow, reader: Some(reader), at: from, added, seen, look: false })
    }

    /// Where it is.
    pub fn at(&self) -> EntryId {
        self.at
    }

    /// What came, or nothing after two seconds. After an error it can be asked again, and goes on where it was.
    pub async fn next(&mut self) -> Result<Batch, RedisFault> {
        let read = self.read().await;
        if read.is_err() {
            self.reader = None;
            self.look = true;
        }
        read
    }

    async fn read(&mut self) -> Result<Batch, RedisFault> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => self.flow.redis.reader(BLOCK).await?,
        };
        let missed = if self.look { self.look(&mut reader).await? } else { None };
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(COUNT).arg("BLOCK").arg(whole_ms(BLOCK));
        command.arg("STREAMS").arg(&self.flow.stream).arg(self.at.to_string());
        let reply: Value = reader.query_within(&command, BLOCK + MARGIN).await?;
        self.reader = Some(reader);
        let found = entry::entries(entry::of_read(reply));
        // A quiet stream may be another one; a full read may be slower than what trims it.
        self.look = found.count == 0 || found.count >= COUNT as u64;
        self.at = found.last.unwrap_or(self.at);
        self.added = self.added.map(|added| added + found.count);
        let log = &self.flow.log;
        let mut records = found.records;
        records.retain(|entry| !entry.is_of(log) && self.seen.is_new(entry));
        Ok(Batch { records, at: self.at, missed })
    }

    /// Compares our place with the stream: it may have been emptied, rolled back or trimmed. A read after an id
    /// that is ahead of it would wait for ever.
    async fn look(&mut self, reader: &mut Reader) -> Result<Option<Missed>, RedisFault> {
        let reply = reader.query_within(&stream::command(&self.flow.stream), MARGIN).await;
        let info = stream::answer(reply)?;
        self.look = false;
        let (before, at) = (self.added, self.at);
        if info.last <= at {
            // Everything is read; when it is behind us it is another stream, which goes on from there.
            (self.at, self.added) = (info.last, Some(info.added));
            return Ok(None);
        }
        let Some(before) = before.filter(|before| *before <= info.added) else {
            self.added = None;
            return Ok(None);
        };
        let missed = info.removed().saturating_sub(before);
        if missed == 0 || info.first.is_some_and(|first| first <= at) {
            return Ok(None);
        }
        self.added = Some(info.removed());
        Ok(Some(Missed { count: missed }))
    }
}

/// How far each log is shipped.
async fn marks(reader: &mut Reader, key: &str) -> Result<Vec<(String, crate::model::Position)>, RedisFault> {
    let mut command = redis::cmd("HSCAN");
    command.arg(key).arg(0).arg("COUNT").arg(MARKS_MAX);
    let reply: Value = reader.query_within(&command, MARGIN).await?;
    let items = entry::array(reply).into_iter().nth(1).map(entry::array).unwrap_or_default();
    let mut items = items.into_iter();
    let mut marks = Vec::new();
    while let (Some(log), Some(pos)) = (items.next(), items.next()) {
        let (Some(log), Some(pos)) = (entry::text(&log), entry::text(&pos)) else { continue };
        marks.extend(pos.parse().ok().map(|pos| (log.to_owned(), pos)));
    }
    Ok(marks)
}
