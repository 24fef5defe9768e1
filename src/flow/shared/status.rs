//! How Redis is doing as a sink: the `redis` block of `flow status --json`, in the shape of 1.9.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::SharedFlow;
use crate::model::EntryId;
use crate::util::{Clock, clock};

/// How long the look may take.
const PROBE: Duration = Duration::from_secs(1);

/// A stream that is full and yet goes back this far is trimmed as it is meant to be.
const FULL_IS_FINE_MS: u64 = 24 * 3_600_000;

/// The block. Keys of 1.9.
#[derive(Debug, Clone, Serialize)]
pub struct RedisStatus {
    /// Without its password.
    pub url: String,
    /// Name of the stream.
    pub stream: String,
    /// Entries kept, about; absent when all are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_len: Option<u64>,
    /// Whether it answers.
    pub reachable: bool,
    /// Why not, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reachability_error: Option<String>,
    /// Entries in the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xlen: Option<u64>,
    /// Id of the oldest entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_ts: Option<String>,
    /// Id of the newest entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_ts: Option<String>,
    /// How long the look took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_probe_ms: Option<u64>,
    /// Whether records of the last day are, or soon will be, trimmed. A stream that is full and goes back
    /// further is as it is meant to be.
    pub near_max_len: bool,
    /// Ours: how far this machine's records are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
}

/// Looks at the stream, within a second.
pub async fn probe(flow: &SharedFlow, clock: &Clock) -> RedisStatus {
    let mut status = RedisStatus {
        url: flow.redis.shown().to_owned(),
        stream: flow.stream.clone(),
        max_len: flow.maxlen,
        reachable: false,
        reachability_error: None,
        xlen: None,
        oldest_ts: None,
        newest_ts: None,
        last_probe_ms: None,
        near_max_len: false,
        mark: None,
    };
    let began = Instant::now();
    let looked = tokio::time::timeout(PROBE, async { tokio::try_join!(flow.info(), flow.mark()) }).await;
    let (info, mark) = match looked {
        Ok(Ok(looked)) => looked,
        Ok(Err(fault)) => return RedisStatus { reachability_error: Some(fault.to_string()), ..status },
        Err(_) => {
            let error = format!("Redis at {} does not answer within {} s", status.url, PROBE.as_secs());
            return RedisStatus { reachability_error: Some(error), ..status };
        }
    };
    status.reachable = true;
    status.last_probe_ms = u64::try_from(began.elapsed().as_millis()).ok();
    status.xlen = Some(info.length);
    status.oldest_ts = info.first.map(|id| id.to_string());
    status.newest_ts = info.first.map(|_| info.last.to_string());
    status.near_max_len = is_near(flow.maxlen, info.length, info.first, clock::unix_ms(clock.now()));
    status.mark = mark;
    status
}

fn is_near(max: Option<u64>, length: u64, first: Option<EntryId>, now_ms: u64) -> bool {
    let is_full = max.is_some_and(|max| length.saturating_mul(100) >= max.saturating_mul(95));
    is_full && first.is_some_and(|first| now_ms.saturating_sub(first.ms) < FULL_IS_FINE_MS)
}

impl SharedFlow {
    /// How far our records are shipped, as Redis knows it.
    pub async fn mark(&self) -> Result<Option<String>, crate::store::RedisFault> {
        let mut command = redis::cmd("HGET");
        command.arg(self.marks()).arg(&self.log);
        self.redis.query(&command).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_stream_is_only_worth_a_word_while_it_is_young() {
        let now = 10 * FULL_IS_FINE_MS;
        let at = |ms| Some(EntryId { ms, seq: 0 });
        assert!(is_near(Some(100), 95, at(now - 1000), now));
        assert!(!is_near(Some(100), 94, at(now - 1000), now));
        assert!(!is_near(Some(100), 105, at(now - 2 * FULL_IS_FINE_MS), now));
        assert!(!is_near(None, 1_000_000, at(now), now) && !is_near(Some(100), 0, None, now));
    }
}
