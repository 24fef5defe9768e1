//! A job's output in Redis: its newest part, in order, readable from every machine while it runs and until its
//! result goes. All of it is with the session, on the machine that ran it.

use std::collections::VecDeque;
use std::time::Duration;

use redis::Value;
use redis::streams::{StreamId, StreamRangeReply, StreamReadReply};

use super::{Queue, WorkError, doorbell};
use crate::model::{JobState, SessionId};
use crate::store::Reader;
use crate::util::clock::whole_ms;

/// Largest piece, in bytes.
pub const PIECE_MAX: usize = 16 * 1024;

/// How long an output stays when nobody ends its job.
const KEPT: Duration = Duration::from_hours(30 * 24);

/// Pieces read at once.
const READ_COUNT: usize = 64;

fn key(id: &SessionId) -> String {
    format!("darkmux:log:{id}")
}

/// The writing side: one attempt's output.
#[derive(Debug)]
pub struct JobLog {
    queue: Queue,
    id: SessionId,
    attempt: u32,
    max: u64,
    /// What is kept: entry and bytes, oldest first.
    kept: VecDeque<(String, u64)>,
    kept_bytes: u64,
    /// After the last byte that Redis has of this attempt.
    end: u64,
}

impl JobLog {
    /// Goes on where the last writer of this attempt stopped. Keeps about `max` bytes.
    pub async fn open(queue: &Queue, id: &SessionId, attempt: u32, max: u64) -> Result<Self, WorkError> {
        let mut log = Self {
            queue: queue.clone(),
            id: id.clone(),
            attempt,
            max,
            kept: VecDeque::new(),
            kept_bytes: 0,
            end: 0,
        };
        let mut after = "0-0".to_owned();
        loop {
            let parts = queue.log_after(id, &after, READ_COUNT).await?;
            let Some((last, _)) = parts.last() else { return Ok(log) };
            after.clone_from(last);
            for (entry, part) in parts {
                if let LogPart::Output { attempt: of, offset, bytes } = part {
                    log.kept_bytes += bytes.len() as u64;
                    log.kept.push_back((entry, bytes.len() as u64));
                    if of == attempt {
                        log.end = offset.saturating_add(bytes.len() as u64);
                    }
                }
            }
        }
    }

    /// After the last byte that Redis has of this attempt.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Adds output that starts at `offset` (which is after [`end`](Self::end) when something is left out).
    pub async fn append(&mut self, offset: u64, bytes: &[u8]) -> Result<(), WorkError> {
        for (number, piece) in bytes.chunks(PIECE_MAX).enumerate() {
            let at = offset.saturating_add((number * PIECE_MAX) as u64);
            let key = key(&self.id);
            let mut commands = redis::pipe();
            commands.cmd("XADD").arg(&key).arg("*").arg("a").arg(self.attempt).arg("o").arg(at);
            commands.arg("d").arg(piece);
            commands.cmd("EXPIRE").arg(&key).arg(KEPT.as_secs()).ignore();
            let (entry,): (String,) = self.queue.redis.pipeline(&commands).await?;
            self.kept.push_back((entry, piece.len() as u64));
            self.kept_bytes += piece.len() as u64;
            self.end = at.saturating_add(piece.len() as u64);
            self.trim(&key).await?;
        }
        Ok(())
    }

    async fn trim(&mut self, key: &str) -> Result<(), WorkError> {
        if self.kept_bytes <= self.max {
            return Ok(());
        }
        // Some room, so that not every piece costs a trim.
        while self.kept_bytes > self.max - self.max / 8 && self.kept.len() > 1 {
            if let Some((_, bytes)) = self.kept.pop_front() {
                self.kept_bytes -= bytes;
            }
        }
        let Some((oldest, _)) = self.kept.front() else { return Ok(()) };
        let mut trim = redis::cmd("XTRIM");
        trim.arg(key).arg("MINID").arg(oldest);
        self.queue.redis.query::<u64>(&trim).await?;
        Ok(())
    }
}

/// One entry of a job's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPart {
    /// Output.
    Output {
        /// Of which attempt.
        attempt: u32,
        /// Where it starts in that attempt's output.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The job ended so; nothing follows.
    End(JobState),
    /// Nothing to show: that somebody waits, or what a newer version says.
    Other,
}

impl Queue {
    /// The pieces after an entry (`0-0`: from the oldest), at most `count`.
    pub async fn log_after(
        &self,
        id: &SessionId,
        after: &str,
        count: usize,
    ) -> Result<Vec<(String, LogPart)>, WorkError> {
        let mut range = redis::cmd("XRANGE");
        range.arg(key(id)).arg(format!("({after}")).arg("+").arg("COUNT").arg(count);
        let reply: StreamRangeReply = self.redis.query(&range).await?;
        Ok(reply.ids.iter().map(entry_of).collect())
    }

    /// Where the last `lines` lines begin of what is there of an attempt's output now.
    pub async fn last_lines(&self, id: &SessionId, attempt: u32, lines: usize) -> Result<u64, WorkError> {
        // Where the newest lines begin, at most as many as are asked for.
        let mut begins = VecDeque::new();
        let (mut end, mut after) = (None, "0-0".to_owned());
        loop {
            let parts = self.log_after(id, &after, READ_COUNT).await?;
            let Some((last, _)) = parts.last() else { break };
            after.clone_from(last);
            for (_, part) in parts {
                let LogPart::Output { attempt: of, offset, bytes } = part else { continue };
                let known = end.unwrap_or(offset);
                if of != attempt || offset.saturating_add(bytes.len() as u64) <= known {
                    continue;
                }
                if end.is_none_or(|end| end < offset) {
                    begins.push_back(offset);
                }
                let from = known.max(offset);
                let skipped = usize::try_from(from - offset).unwrap_or(usize::MAX);
                let fresh = bytes.get(skipped..).unwrap_or_default();
                let after_newlines = memchr::memchr_iter(b'\n', fresh).map(|at| from + at as u64 + 1);
                begins.extend(after_newlines);
                // One more, because the newest may begin nothing.
                begins.drain(..begins.len().saturating_sub(lines.saturating_add(1)));
                end = Some(from + fresh.len() as u64);
            }
        }
        let end = end.unwrap_or(0);
        if begins.back() == Some(&end) {
            begins.pop_back();
        }
        let first = begins.len().saturating_sub(lines);
        Ok(begins.get(first).copied().unwrap_or(end))
    }

    /// Makes sure that the end of a job wakes whoever reads its log, also where the job says nothing. To be repeated
    /// now and then while somebody waits: a retry makes another log.
    pub async fn watch_log(&self, id: &SessionId) -> Result<(), WorkError> {
        let mut call = self.scripts.watch.prepare_invoke();
        call.arg(id.as_str()).arg(KEPT.as_secs());
        self.send(&call).await.map(|_| ())
    }

    /// A reader that waits for a job's output.
    pub async fn log_reader(&self, id: &SessionId) -> Result<LogReader, WorkError> {
        Ok(LogReader { reader: self.redis.reader(doorbell::BLOCK).await?, key: key(id) })
    }
}

/// The reading side that waits.
pub struct LogReader {
    reader: Reader,
    key: String,
}

impl LogReader {
    /// The pieces after an entry; none when nothing came within two seconds. After an error make another.
    pub async fn next(&mut self, after: &str) -> Result<Vec<(String, LogPart)>, WorkError> {
        let mut read = redis::cmd("XREAD");
        read.arg("BLOCK").arg(whole_ms(doorbell::BLOCK)).arg("COUNT").arg(READ_COUNT);
        read.arg("STREAMS").arg(&self.key).arg(after);
        let reply = self.reader.query::<Option<StreamReadReply>>(&read).await?;
        let entries = reply.into_iter().flat_map(|reply| reply.keys).flat_map(|stream| stream.ids);
        Ok(entries.map(|entry| entry_of(&entry)).collect())
    }
}

/// An entry and what it says. None is left out, so that whoever reads on does not meet it again.
fn entry_of(entry: &StreamId) -> (String, LogPart) {
    (entry.id.clone(), part(entry).unwrap_or(LogPart::Other))
}

fn part(entry: &StreamId) -> Option<LogPart> {
    let text = |name: &str| match entry.map.get(name)? {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    };
    if let Some(state) = text("end") {
        return JobState::of_word(state).map(LogPart::End);
    }
    let Value::BulkString(bytes) = entry.map.get("d")? else { return None };
    Some(LogPart::Output {
        attempt: text("a")?.parse().ok()?,
        offset: text("o")?.parse().ok()?,
        bytes: bytes.clone(),
    })
}
