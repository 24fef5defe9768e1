//! The reader of this machine's files that all clients share. It looks only while there are clients: when the
//! system tells of a change, and now and then. What it finds it hands out on the spot.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::frame;
use super::hub::{CHUNK_BYTES, Shared, shrunk};
use super::ring::Break;
use crate::flow::read::{FlowTail, Gap, Next, Watch};
use crate::flow::shared::Way;
use crate::model::{Place, Position};

/// Time between two looks at a quiet flow, where nothing tells of its growth.
const QUIET: Duration = Duration::from_millis(50);

/// Time until the next look after something came, where nothing tells of its growth: more of it goes into one
/// write.
const LIVELY: Duration = Duration::from_millis(4);

/// Time until the next look after the flow could not be read.
const FAILED: Duration = Duration::from_secs(1);

/// Lines that were read and not yet framed.
#[derive(Default)]
struct Gathered {
    lines: Vec<u8>,
    /// End of each line in `lines`, and the place after it in the files.
    ends: Vec<(usize, Position)>,
}

impl Shared {
    /// Looks, hands on, waits, until there have been no clients for a while or the daemon stops.
    pub(super) fn follow_files(&self, from: Position, mut watch: Watch, stop: &CancellationToken) {
        let mut tail = FlowTail::new(&self.dir, self.clock.clone(), from);
        let mut left: Option<Instant> = None;
        let mut pause = Duration::ZERO;
        loop {
            let mut state = self.locked();
            let is_over = self.shutdown.is_stopping() || stop.is_cancelled();
            if state.clients > 0 && !is_over {
                left = None;
                drop(state);
                pause = self.look_at_files(&mut tail, pause);
                self.hand_out();
                match pause {
                    Duration::ZERO => {}
                    FAILED => watch.pause(FAILED),
                    pause => watch.wait(pause),
                }
                continue;
            }
            let gone = left.get_or_insert_with(Instant::now).elapsed();
            let rest = self.linger().saturating_sub(gone);
            if is_over || rest.is_zero() {
                state.live = None;
                drop(state);
                // Who is parked looks for itself.
                self.tell();
                self.hand_out();
                return;
            }
            drop(state);
            // Short enough for a daemon that stops.
            watch.pause(rest.min(Duration::from_secs(1)));
        }
    }

    /// Adds one chunk, if something came; returns how long to pause.
    fn look_at_files(&self, tail: &mut FlowTail, last_pause: Duration) -> Duration {
        let mut gathered = Gathered::default();
        let mut gap = None;
        let pause = loop {
            match tail.poll() {
                Ok(Next::Record(record)) => {
                    gathered.lines.extend_from_slice(record.line);
                    gathered.ends.push((gathered.lines.len(), record.after));
                }
                Ok(Next::Gap(found)) => {
                    gap = Some(found);
                    break Duration::ZERO;
                }
                Ok(Next::CaughtUp) if gathered.ends.is_empty() => {
                    break (last_pause * 2).clamp(LIVELY, QUIET);
                }
                Ok(Next::CaughtUp) => break LIVELY,
                Err(error) => {
                    if last_pause != FAILED {
                        tracing::warn!(%error, "the flow can't be read; trying again every second");
                    }
                    break FAILED;
                }
            }
            if gathered.lines.len() >= CHUNK_BYTES {
                break Duration::ZERO;
            }
        };
        if !gathered.ends.is_empty() || gap.is_some() {
            let end = gap.map_or(tail.position(), |gap| gap.asked);
            self.add_ours(&gathered, end, gap);
        }
        pause
    }

    fn add_ours(&self, gathered: &Gathered, end: Position, gap: Option<Gap>) {
        let mut twins = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = self.locked().live.as_ref().map(|live| live.ring.end()) else { return };
        let mut frames = Vec::with_capacity(gathered.lines.len() + gathered.ends.len() * 80);
        let mut begin = 0;
        for &(until, local) in &gathered.ends {
            let line = &gathered.lines[begin..until];
            begin = until;
            if self.fleet.is_none() || twins.is_first(line, Way::File) {
                frame::record(&mut frames, line, Place { local, ..at });
            }
        }
        if let Some(live) = self.locked().live.as_mut() {
            if !gathered.ends.is_empty() {
                live.ring.push(shrunk(frames), Place { local: end, ..at });
            }
            if let Some(gap) = gap {
                let place = |local| Place { local, ..at };
                live.ring.gap(Break { from: place(gap.asked), to: place(gap.resumed), missed: None });
            }
        }
        self.tell();
    }
}
