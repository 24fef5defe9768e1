//! The stream of one client: from the files and from Redis until it has caught up, then parked.

use std::io;
use std::time::Duration;

use axum::body::Bytes;
use tokio::time::Instant;

use super::frame;
use super::hub::{Caught, Seat};
use super::ring::{Break, Found};
use crate::model::{Place, Position};
use crate::serve::takeover::Outlet;
use crate::util::{Clock, Shutdown, clock};

/// Time until Redis is asked again for what a client has not seen.
const AGAIN: Duration = Duration::from_secs(1);

/// How a stream is kept.
#[derive(Debug, Clone)]
pub struct Keep {
    /// Between two signs of life.
    pub keepalive: Duration,
    /// Ends the stream.
    pub shutdown: Shutdown,
    /// Where the time comes from.
    pub clock: Clock,
}

/// Sends the events after `from`, for as long as the client listens and the daemon runs.
pub async fn events(seat: Seat, from: Place, keep: Keep, mut outlet: Outlet) -> io::Result<()> {
    // Something to send at once: the head goes out with it.
    outlet.queue(frame::begin(from));
    let arrived = seat.now == from;
    let quiet = Instant::now();
    let stopped = keep.shutdown.stopped();
    let client = Client { at: from, arrived, seat, keep, quiet, over: false, unanswered: false };
    tokio::select! {
        biased;
        () = stopped => Ok(()),
        served = client.serve(outlet) => served,
    }
}

struct Client {
    seat: Seat,
    at: Place,
    /// Its place was compared with the files and with Redis.
    arrived: bool,
    keep: Keep,
    /// Nothing was sent since then.
    quiet: Instant,
    /// The last event was sent.
    over: bool,
    /// Redis did not answer this client when it was asked last.
    unanswered: bool,
}

/// What a client's task does next.
enum Step {
    Send(Bytes),
    /// There is nothing, as of its last look.
    Park,
}

impl Client {
    /// Until the stream has to be opened anew.
    async fn serve(mut self, mut outlet: Outlet) -> io::Result<()> {
        loop {
            outlet.flush().await?;
            if self.over {
                return Ok(());
            }
            self.quiet = Instant::now();
            // In a box of its own: a parked client, and most are, has no use for it.
            match Box::pin(self.step()).await? {
                Step::Send(frames) => outlet.queue(frames),
                Step::Park => {
                    let Some(back) = self.seat.park(&outlet, self.at).await? else { continue };
                    self.at = back.at;
                    back.unsent.into_iter().for_each(|bytes| outlet.queue(bytes));
                }
            }
            tokio::task::consume_budget().await;
        }
    }

    async fn step(&mut self) -> io::Result<Step> {
        loop {
            self.seat.begin_look();
            if let Some(cause) = self.seat.went_down() {
                self.over = true;
                let last = frame::error(&clock::seconds(self.keep.clock.now()), &cause);
                return Ok(Step::Send(last.into()));
            }
            let until = match self.seat.look(self.at) {
                Found::Frames(frames, end) if self.arrived => {
                    self.at = end;
                    if frames.is_empty() {
                        continue;
                    }
                    return Ok(Step::Send(frames));
                }
                Found::Gap(gap) => return Ok(Step::Send(self.jump(gap))),
                Found::Behind(until) if self.arrived => Some(until),
                Found::Nothing if self.arrived => None,
                // A place that the client named may be ahead of the files or of Redis; both are asked once.
                _ => {
                    self.arrived = true;
                    if let Some(gap) = self.seat.is_ahead(self.at).await {
                        return Ok(Step::Send(self.jump(gap)));
                    }
                    let day = self.seat.now.local.day.max(self.at.local.day);
                    Some(Place { local: Position { day, offset: u64::MAX }, ..self.seat.end() })
                }
            };
            let Some(until) = until else { return Ok(Step::Park) };
            let before = self.at;
            let frames = self.catch_up(until).await?;
            if !frames.is_empty() {
                return Ok(Step::Send(frames.into()));
            }
            if self.at != before {
                continue;
            }
            // Redis or the files have not yet what the ring had.
            if let Some(sign) = self.wait(self.at.fleet < until.fleet).await {
                return Ok(Step::Send(sign));
            }
        }
    }

    fn jump(&mut self, gap: Break) -> Bytes {
        self.at = gap.to;
        let mut frames = Vec::new();
        frame::gap(&mut frames, gap);
        frames.into()
    }

    /// A part of what lies between: first of the files, then of Redis, if that answers.
    async fn catch_up(&mut self, until: Place) -> io::Result<Vec<u8>> {
        let is_up = self.seat.is_up();
        // Whoever waits for Redis is given what this machine writes meanwhile.
        let alone = !is_up || self.unanswered;
        let until_local = if alone { until.local.max(self.seat.end().local) } else { until.local };
        if self.at.local < until_local {
            let before = self.at;
            let Caught { frames, at } = self.seat.read(before, until_local).await?;
            self.at = at;
            if !frames.is_empty() || at != before {
                return Ok(frames);
            }
        }
        let Some(fleet) = until.fleet.filter(|fleet| is_up && self.at.fleet < Some(*fleet)) else {
            return Ok(Vec::new());
        };
        let page = self.seat.page(self.at, fleet).await;
        self.unanswered = page.is_none();
        let Some(Caught { frames, at }) = page else { return Ok(Vec::new()) };
        self.at = at;
        Ok(frames)
    }

    /// Waits for news; a sign of life when it was quiet for too long.
    async fn wait(&mut self, waits_for_fleet: bool) -> Option<Bytes> {
        let quiet = self.quiet.elapsed();
        let left = self.keep.keepalive.saturating_sub(quiet);
        let pause = if waits_for_fleet { left.min(AGAIN) } else { left };
        let waited = tokio::time::timeout(pause, self.seat.news()).await;
        let is_due = waited.is_err() && self.quiet.elapsed() >= self.keep.keepalive;
        is_due.then(|| Bytes::from_static(frame::KEEPALIVE))
    }
}
