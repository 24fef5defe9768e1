//! The reader of the fleet's flow that all clients share: one connection, each record framed once.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::frame;
use super::hub::{CHUNK_BYTES, Shared, shrunk};
use super::ring::Break;
use crate::flow::shared::{Batch, SharedFlow, SharedTail, Way};
use crate::model::{FleetAt, Place};
use crate::store::RedisFault;
use crate::util::{Backoff, clock};

/// How long the first answer may take before clients are served without.
const FIRST: Duration = Duration::from_secs(1);

/// How far back a moment's place lies, for clocks that differ.
const MARGIN_MS: u64 = 10_000;

/// How long the flow may be away before clients are told and closed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pauses between tries.
const LEAST_PAUSE: Duration = Duration::from_millis(250);
const MOST_PAUSE: Duration = Duration::from_secs(2);

impl Shared {
    /// Follows the fleet's flow until `stop`.
    pub(super) async fn follow_fleet(self: Arc<Self>, fleet: SharedFlow, stop: CancellationToken) {
        let stopped = self.shutdown.stopped();
        tokio::select! {
            () = stopped => {}
            () = stop.cancelled() => {}
            () = self.follow(fleet, &stop) => {}
        }
    }

    async fn follow(&self, fleet: SharedFlow, stop: &CancellationToken) {
        let first = tokio::time::timeout(FIRST, SharedTail::now(fleet.clone())).await;
        let since = FleetAt::since(clock::unix_ms(self.clock.now()).saturating_sub(MARGIN_MS));
        let mut tail = match first {
            Ok(Ok(tail)) => Some(tail),
            _ => None,
        };
        self.settle(tail.as_ref().map_or(since, |tail| FleetAt::after(tail.at())), stop);
        if tail.is_none() {
            // Whoever is here from now on knows it.
            self.locked().is_up = false;
        }
        let mut backoff = Backoff::new(LEAST_PAUSE, MOST_PAUSE);
        let mut failing: Option<(Instant, u32)> = None;
        loop {
            let began = Instant::now();
            let looked = match &mut tail {
                Some(tail) => tail.next().await,
                None => match SharedTail::from(fleet.clone(), since).await {
                    Ok(began) => tail.insert(began).next().await,
                    Err(fault) => Err(fault),
                },
            };
            match looked {
                Ok(batch) => {
                    failing = None;
                    backoff.reset();
                    self.went_up();
                    self.add_theirs(&batch);
                    self.hand_out_in_turns().await;
                }
                Err(fault) => {
                    let (since, tries) = failing.get_or_insert((began, 0));
                    *tries += 1;
                    if since.elapsed() >= PATIENCE {
                        self.went_down(&fleet, *tries, &fault);
                        self.hand_out_in_turns().await;
                    }
                    tokio::time::sleep(backoff.pause()).await;
                }
            }
        }
    }

    fn went_up(&self) {
        let mut state = self.locked();
        if !state.is_up {
            state.is_up = true;
            drop(state);
            tracing::info!("the fleet's flow is followed again");
            self.tell();
        }
    }

    /// Told once until it is up again.
    fn went_down(&self, fleet: &SharedFlow, tries: u32, fault: &RedisFault) {
        let mut state = self.locked();
        if !state.is_up {
            return;
        }
        state.is_up = false;
        state.downs += 1;
        state.cause = format!("the stream {} could not be read {tries} times: {fault}", fleet.stream);
        tracing::warn!(error = %fault, "the fleet's flow can't be followed; clients get this machine's records");
        drop(state);
        self.tell();
    }

    fn add_theirs(&self, batch: &Batch) {
        let mut twins = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.locked();
        let Some(live) = state.live.as_mut() else { return };
        let mut at = live.ring.end();
        if let Some(missed) = batch.missed {
            let first = batch.records.first().map_or(batch.at, |entry| entry.id);
            let to = Place {
                fleet: Some(
                    at.fleet.map_or(FleetAt::since(first.ms), |fleet| fleet.max(FleetAt::since(first.ms))),
                ),
                ..at
            };
            live.ring.gap(Break { from: at, to, missed: Some(missed.count) });
            at = to;
        }
        let begins = batch.records.first().map(|entry| FleetAt::after(entry.id));
        if begins.is_some() && begins <= at.fleet {
            // Another stream, whose ids begin below those of the old one.
            let to = Place { fleet: begins.map(|begins| FleetAt::after(begins.id.before())), ..at };
            live.ring.gap(Break { from: at, to, missed: None });
            at = to;
        }
        drop(state);
        let mut frames = Vec::new();
        let mut any = batch.missed.is_some();
        let push = |frames: &mut Vec<u8>, fleet: FleetAt| {
            let end = Place { fleet: Some(fleet), ..at };
            if let Some(live) = self.locked().live.as_mut().filter(|live| live.ring.end().is_behind(&end)) {
                live.ring.push(shrunk(std::mem::take(frames)), end);
            }
        };
        for entry in &batch.records {
            let way = if entry.origin.is_some() { Way::File } else { Way::Sent };
            if twins.is_first(&entry.record, way) {
                let fleet = FleetAt::after(entry.id);
                frame::record(&mut frames, &entry.record, Place { fleet: Some(fleet), ..at });
                any = true;
                if frames.len() >= CHUNK_BYTES {
                    push(&mut frames, fleet);
                }
            }
        }
        push(&mut frames, FleetAt::after(batch.at));
        if any {
            self.tell();
        }
    }
}
