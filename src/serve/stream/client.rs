//! The stream of one client: from the file until it has caught up, then from the ring.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;

use super::frame;
use super::hub::Seat;
use super::ring::Found;
use crate::flow::read::Gap;
use crate::model::Position;
use crate::util::Shutdown;

/// The events after `from`, for as long as the client listens and the daemon runs.
pub fn events(seat: Seat, from: Position, keepalive: Duration, shutdown: &Shutdown) -> Body {
    let client = Client { at: from, arrived: seat.now == from, seat, keepalive, shutdown: shutdown.clone() };
    // Something to send at once: the head goes out with it.
    let begin = (Some(Bytes::from_static(frame::KEEPALIVE)), client);
    Body::from_stream(stream::unfold(begin, async |(first, mut client)| match first {
        Some(first) => Some((Ok(first), (None, client))),
        None => client.next().await.map(|frames| (frames, (None, client))),
    }))
}

struct Client {
    seat: Seat,
    at: Position,
    /// Its place was compared with the file.
    arrived: bool,
    keepalive: Duration,
    shutdown: Shutdown,
}

impl Client {
    /// The next bytes; `None` when the daemon stops.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        let stopped = self.shutdown.stopped();
        tokio::select! {
            biased;
            () = stopped => None,
            frames = self.frames() => Some(frames),
        }
    }

    async fn frames(&mut self) -> io::Result<Bytes> {
        loop {
            let until = match self.seat.look(self.at) {
                Found::Frames(frames, end) if self.arrived => {
                    self.at = end;
                    return Ok(frames);
                }
                Found::Gap(gap) => {
                    self.at = gap.resumed;
                    return Ok(told(gap));
                }
                Found::InFile(until) if self.arrived => Some(until),
                Found::Nothing if self.arrived => None,
                // A place that the client named may be ahead of the file; the file is asked once.
                _ => Some(Position { day: self.seat.now.day.max(self.at.day), offset: u64::MAX }),
            };
            self.arrived = true;
            if let Some(until) = until {
                let before = self.at;
                let (frames, at) = self.seat.read(before, until).await?;
                self.at = at;
                if !frames.is_empty() {
                    return Ok(frames.into());
                }
                if at != before {
                    continue;
                }
            }
            if tokio::time::timeout(self.keepalive, self.seat.news()).await.is_err() {
                return Ok(Bytes::from_static(frame::KEEPALIVE));
            }
        }
    }
}

fn told(gap: Gap) -> Bytes {
    let mut frames = Vec::new();
    frame::gap(&mut frames, gap);
    frames.into()
}
