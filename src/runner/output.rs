//! A running job's output on its way to Redis, and its end.

use std::time::Duration;

use bytes::BytesMut;
use tokio::time::Instant;

use super::{Runner, worker};
use crate::model::SessionState;
use crate::session::{Event, HostClient, LogReader, files};
use crate::wire::SessionStatus;
use crate::work::{Claim, JobLog};

/// Output that waits for Redis, in bytes; what comes beyond it is left out of Redis' copy.
const WAITING_MAX: usize = 256 * 1024;

/// Output read from the disk at a time, in bytes.
const READ: usize = 64 * 1024;

/// How long output may be collected before it is sent.
const COLLECT: Duration = Duration::from_millis(20);

/// How long Redis may take the last output before the end is told without it.
const LAST: Duration = Duration::from_secs(5);

/// Pause before Redis is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Carries the output until the session has ended, and returns how.
pub async fn carry(runner: &Runner, claim: &Claim) -> SessionStatus {
    let mut sink = Sink::new(runner, claim);
    loop {
        if let Some(status) = follow(runner, claim, &mut sink).await {
            sink.finish().await;
            return status;
        }
        // The host is gone, or not there yet; its state says which.
        match runner.table.get(&claim.id) {
            Ok(Some(status)) if status.state.is_final() => {
                // It ended before it could be followed, or its host died: the rest is on the disk.
                if let Err(error) = sink.read_rest(&status).await {
                    tracing::warn!(job = %claim.id, %error, "the rest of its output cannot be read");
                }
                sink.finish().await;
                return status;
            }
            Ok(None) => return gone(runner, claim),
            _ => tokio::time::sleep(worker::LOOK).await,
        }
    }
}

/// A session whose folder somebody removed.
fn gone(runner: &Runner, claim: &Claim) -> SessionStatus {
    tracing::error!(job = %claim.id, "its session's folder is gone");
    SessionStatus {
        state: SessionState::Lost,
        error: Some("its session's folder is gone".to_owned()),
        ..super::end::no_session(runner, claim)
    }
}

/// Follows the session's host; `None` when the connection broke.
async fn follow(runner: &Runner, claim: &Claim, sink: &mut Sink<'_>) -> Option<SessionStatus> {
    let folder = runner.table.folder(&claim.id);
    let from = sink.at;
    let attach = async { HostClient::connect(&folder).await?.attach(Some(from), false).await };
    let mut attachment = attach.await.ok()?;
    loop {
        let event = tokio::select! {
            event = attachment.events.next() => event,
            () = tokio::time::sleep_until(sink.due()) => {
                sink.flush().await;
                continue;
            }
        };
        match event.ok()?? {
            Event::Output(bytes) => sink.push(&bytes).await,
            Event::Gap(_, to) => sink.skip_to(to).await,
            // Only who asks for the screen gets these.
            Event::Snapshot { .. } | Event::Size { .. } => {}
            Event::End(status) => return Some(*status),
        }
    }
}

/// Collects output and hands it to Redis in few pieces.
struct Sink<'a> {
    runner: &'a Runner,
    claim: &'a Claim,
    log: Option<JobLog>,
    waiting: BytesMut,
    /// Where `waiting` starts in the output.
    start: u64,
    /// After the last byte that was collected.
    at: u64,
    since: Option<Instant>,
    failed: Option<Instant>,
}

impl<'a> Sink<'a> {
    fn new(runner: &'a Runner, claim: &'a Claim) -> Self {
        let (waiting, log) = (BytesMut::new(), None);
        Self { runner, claim, log, waiting, start: 0, at: 0, since: None, failed: None }
    }

    fn due(&self) -> Instant {
        let collected = self.since.map(|since| since + COLLECT);
        let again = self.failed.map(|failed| failed + AGAIN);
        match (collected, again) {
            (Some(collected), Some(again)) => collected.max(again),
            (Some(collected), None) => collected,
            // Nothing waits: no need to wake.
            _ => Instant::now() + Duration::from_hours(1),
        }
    }

    async fn push(&mut self, bytes: &[u8]) {
        if self.waiting.is_empty() {
            self.start = self.at;
        }
        self.at += bytes.len() as u64;
        self.waiting.extend_from_slice(bytes);
        self.since.get_or_insert_with(Instant::now);
        let full = self.waiting.len() >= crate::work::PIECE_MAX;
        if full && self.failed.is_none_or(|failed| failed.elapsed() >= AGAIN) {
            self.flush().await;
        }
        let over = self.waiting.len().saturating_sub(WAITING_MAX);
        if over > 0 {
            // The newest is worth more than the oldest; all of it is with the session.
            let _ = self.waiting.split_to(over);
            self.start += over as u64;
        }
    }

    /// Takes what the session left on the disk, as far as Redis would keep it.
    async fn read_rest(&mut self, status: &SessionStatus) -> std::io::Result<()> {
        let folder = self.runner.table.folder(&self.claim.id).join(files::OUTPUT);
        let mut log = LogReader::new(folder);
        let newest = status.output.end.saturating_sub(self.runner.config.log_bytes);
        if newest > self.at {
            self.skip_to(newest).await;
        }
        let mut buffer = vec![0; READ];
        loop {
            let (from, count) = log.read_at(self.at, &mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            if from > self.at {
                self.skip_to(from).await;
            }
            self.push(&buffer[..count]).await;
        }
    }

    async fn skip_to(&mut self, to: u64) {
        self.flush().await;
        self.waiting.clear();
        self.at = to;
    }

    async fn flush(&mut self) {
        if self.waiting.is_empty() {
            self.since = None;
            return;
        }
        match self.send().await {
            Ok(()) => {
                self.waiting.clear();
                (self.since, self.failed) = (None, None);
            }
            Err(error) => {
                tracing::debug!(job = %self.claim.id, %error, "its output waits");
                self.failed = Some(Instant::now());
            }
        }
    }

    async fn send(&mut self) -> Result<(), crate::work::WorkError> {
        let Self { runner, claim, .. } = *self;
        if self.log.is_none() {
            let log = JobLog::open(&runner.queue, &claim.id, claim.attempt, runner.config.log_bytes);
            self.log = Some(log.await?);
        }
        let Some(log) = &mut self.log else { return Ok(()) };
        // What Redis has already (after a restart, or an answer that was lost) is not sent twice.
        let has = usize::try_from(log.end().saturating_sub(self.start)).unwrap_or(usize::MAX);
        let new = self.waiting.get(has.min(self.waiting.len())..).unwrap_or_default();
        if new.is_empty() {
            return Ok(());
        }
        let from = self.start.max(log.end());
        let sent = log.append(from, new).await;
        if sent.is_err() {
            // How much of it arrived is asked anew.
            self.log = None;
        }
        sent
    }

    async fn finish(&mut self) {
        let last = async {
            while !self.waiting.is_empty() {
                self.flush().await;
                if self.failed.is_some() {
                    tokio::time::sleep(AGAIN / 4).await;
                }
            }
        };
        if tokio::time::timeout(LAST, last).await.is_err() {
            tracing::warn!(job = %self.claim.id, "the end of its output is not in Redis; it is with its session");
        }
    }
}
