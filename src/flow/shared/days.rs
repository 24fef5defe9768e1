//! Of which days the stream still has records. Nothing is counted: of each day only the newest entries are read.

use std::collections::BTreeSet;
use std::time::Duration;

use redis::Value;

use super::day::time;
use super::{SharedFlow, entry, stream};
use crate::model::{Day, EntryId, FleetAt, day_of_ms};
use crate::store::RedisFault;

/// Days that are looked for: a viewer shows a year.
const DAYS_MAX: usize = 400;

/// Entries of one day that are read: some of them may have been shipped late and be of the day before.
const NEWEST: usize = 8;

/// How long it may take; what is found by then is told.
const PATIENCE: Duration = Duration::from_secs(1);

impl SharedFlow {
    /// The days that entries of the stream name, the newest ones where time runs out.
    pub async fn days(&self) -> Result<BTreeSet<Day>, RedisFault> {
        let mut days = BTreeSet::new();
        match tokio::time::timeout(PATIENCE, self.look_for_days(&mut days)).await {
            Ok(Err(fault)) if days.is_empty() => Err(fault),
            _ => Ok(days),
        }
    }

    async fn look_for_days(&self, days: &mut BTreeSet<Day>) -> Result<(), RedisFault> {
        let mut upper = self.info().await?.last;
        for _ in 0..DAYS_MAX {
            let reply = self.redis.query::<Value>(&stream::reverse(&self.stream, upper, NEWEST)).await?;
            let page = entry::entries(reply);
            days.extend(page.records.iter().filter_map(|entry| time(&entry.record).0));
            let Some(day) = page.last.and_then(|oldest| day_of_ms(oldest.ms)) else { break };
            upper = EntryId { ms: FleetAt::since_day(day).id.ms, seq: 0 }.before();
        }
        Ok(())
    }
}
