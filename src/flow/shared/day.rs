//! What other machines wrote on one day.
//!
//! The stream is read from its newest entry backwards, in pages, until the day is over or enough was found; what
//! is held is bounded by [`RECORDS_MAX`] and [`BYTES_MAX`].

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use redis::Value;
use serde::Deserialize;

use super::entry::{self, Entry};
use super::twins::{Twins, Way};
use super::{SharedFlow, stream};
use crate::model::{Day, EntryId, FleetAt, Position};
use crate::store::RedisFault;
use crate::util::clock;

/// Records of others in one answer, as many as 1.9 gives in all.
pub const RECORDS_MAX: usize = 10_000;

/// Their bytes.
pub const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Entries of one page.
const PAGE: usize = 500;

/// How far clocks may be apart, and how late a record of the day may have been shipped.
const MARGIN_MS: u64 = 3_600_000;
const LATE_MS: u64 = 7 * 24 * MARGIN_MS;

/// How long each answer may take, and all of them.
const ANSWER: Duration = Duration::from_secs(1);
const ALL: Duration = Duration::from_secs(5);

/// A record with the time it is sorted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed {
    /// Milliseconds since the Unix epoch; not before those of any earlier record of its machine.
    pub ms: u64,
    /// The line.
    pub line: Vec<u8>,
    pub(super) way: Way,
}

/// The records of others, in order.
#[derive(Debug)]
pub struct Foreign {
    /// Oldest first.
    pub records: Vec<Timed>,
    /// How far the stream was read.
    pub at: FleetAt,
    /// Older ones of the day were left out.
    pub is_cut: bool,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub enum DayError {
    /// Redis failed.
    #[error(transparent)]
    Redis(#[from] RedisFault),
    /// It is slow.
    #[error("Redis at {0} is slow")]
    Slow(String),
}

#[derive(Deserialize)]
struct Shown<'a> {
    #[serde(borrow)]
    ts: Option<Cow<'a, str>>,
}

/// The day that a record names, and its time.
pub(super) fn time(line: &[u8]) -> (Option<Day>, u64) {
    let shown = serde_json::from_slice::<Shown<'_>>(line).ok();
    let ts = shown.as_ref().and_then(|shown| shown.ts.as_deref());
    let day = ts.and_then(|ts| ts.get(..10)?.parse().ok());
    let second = ts.and_then(|ts| ts.parse().ok()).map_or(0, clock::unix_ms);
    (day, precise(line, second))
}

/// The time of a record's id, where that agrees with the second it names.
fn precise(line: &[u8], second: u64) -> u64 {
    let stamp = entry::record_id(line).and_then(|id| id.get_timestamp());
    let ms = stamp.map(|stamp| stamp.to_unix()).map(|(s, nanos)| s * 1000 + u64::from(nanos / 1_000_000));
    ms.filter(|ms| ms / 1000 == second / 1000).unwrap_or(second)
}

/// The time of a record by which a day is sorted.
pub(super) fn time_of(line: &[u8]) -> u64 {
    time(line).1
}

impl SharedFlow {
    /// What others wrote on a day. `is_here` says of a place in our own log whether our files hold it; what they
    /// hold no longer is among the records of others.
    pub async fn day(
        &self,
        day: Day,
        most: usize,
        is_here: impl FnMut(Position) -> bool,
    ) -> Result<Foreign, DayError> {
        let slow = |_| DayError::Slow(self.redis.shown().to_owned());
        tokio::time::timeout(ALL, self.read_day(day, most.min(RECORDS_MAX), is_here)).await.map_err(slow)?
    }

    async fn read_day(
        &self,
        day: Day,
        most: usize,
        mut is_here: impl FnMut(Position) -> bool,
    ) -> Result<Foreign, DayError> {
        let slow = |_| DayError::Slow(self.redis.shown().to_owned());
        let info = tokio::time::timeout(ANSWER, self.info()).await.map_err(slow)??;
        let at = FleetAt::after(info.last);
        let end = FleetAt::since_day(day.next()).id.ms.saturating_add(LATE_MS);
        let lower = EntryId { ms: FleetAt::since_day(day).id.ms.saturating_sub(MARGIN_MS), seq: 0 };
        let mut upper = info.last.min(EntryId { ms: end, seq: 0 });
        let mut found = Vec::new();
        let mut bytes = 0;
        let mut is_cut = false;
        while upper >= lower && upper > EntryId::ZERO && !is_cut {
            let command = stream::reverse(&self.stream, upper, PAGE);
            let reply = tokio::time::timeout(ANSWER, self.redis.query::<Value>(&command)).await;
            let page = entry::entries(reply.map_err(slow)??);
            let Some(last) = page.last else { break };
            upper = last.before();
            for entry in page.records.into_iter().filter(|entry| entry.id >= lower) {
                let (named, ms) = time(&entry.record);
                if named != Some(day) || self.is_ours(&entry, &mut is_here) {
                    continue;
                }
                if found.len() >= most || bytes + entry.record.len() > BYTES_MAX {
                    is_cut = true;
                    break;
                }
                bytes += entry.record.len();
                found.push((entry, ms));
            }
            if page.count < PAGE as u64 {
                break;
            }
        }
        found.reverse();
        Ok(Foreign { records: in_order(found), at, is_cut })
    }

    fn is_ours(&self, entry: &Entry, is_here: &mut impl FnMut(Position) -> bool) -> bool {
        entry.origin.as_ref().is_some_and(|origin| origin.log == self.log && is_here(origin.pos))
    }
}

/// Sorts by time and keeps the order of each machine, whatever its clock did. A record that came twice stays
/// once.
fn in_order(found: Vec<(Entry, u64)>) -> Vec<Timed> {
    let mut newest: HashMap<Option<String>, u64> = HashMap::new();
    let mut ids = HashSet::new();
    let mut twins = Twins::default();
    let mut records = Vec::with_capacity(found.len());
    for (entry, ms) in found {
        let way = if entry.origin.is_some() { Way::File } else { Way::Sent };
        let is_first = match entry.record_id() {
            Some(id) => ids.insert(id),
            None => twins.is_first(&entry.record, way),
        };
        if is_first {
            let newest = newest.entry(entry.origin.map(|origin| origin.log)).or_insert(0);
            *newest = ms.max(*newest);
            records.push(Timed { ms: *newest, line: entry.record, way });
        }
    }
    records.sort_by_key(|record| record.ms);
    records
}
