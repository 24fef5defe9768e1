//! The newest frames of the flow, in chunks that follow each other without a hole. Plain data.

use std::collections::VecDeque;

use axum::body::Bytes;

use super::frame;
use crate::model::Place;

/// Frames of the records between two places.
#[derive(Debug, Clone)]
struct Chunk {
    start: Place,
    end: Place,
    frames: Bytes,
}

/// Records between two places may be missing or come twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Break {
    /// Where a reader was.
    pub from: Place,
    /// Where it goes on.
    pub to: Place,
    /// How many are missing, where that is known.
    pub missed: Option<u64>,
}

/// What the ring has for a client at some place.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// These frames, after which the client is there. Without any it only goes on.
    Frames(Bytes, Place),
    /// Nothing yet.
    Nothing,
    /// What the client needs first is in the files or in Redis; it should read up to there.
    Behind(Place),
    /// The files or the stream are not what they were.
    Gap(Break),
}

/// The newest frames, at most `bound` bytes of them or one chunk.
#[derive(Debug)]
pub struct Ring {
    chunks: VecDeque<Chunk>,
    /// Place after the newest frame.
    end: Place,
    bytes: usize,
    bound: usize,
    gaps: u64,
    last_gap: Option<Break>,
}

/// What a chunk costs beside its frames.
const CHUNK_COST: usize = 128;

impl Ring {
    /// An empty ring at a place.
    pub fn new(end: Place, bound: usize) -> Self {
        Self { chunks: VecDeque::new(), end, bytes: 0, bound, gaps: 0, last_gap: None }
    }

    /// How many gaps there were; a client that knows of fewer gets [`Found::Gap`].
    pub fn gaps(&self) -> u64 {
        self.gaps
    }

    /// The place after the newest frame.
    pub fn end(&self) -> Place {
        self.end
    }

    /// Adds the frames of the records up to `end`, forgetting the oldest.
    pub fn push(&mut self, frames: Bytes, end: Place) {
        self.bytes += frames.len() + CHUNK_COST;
        self.chunks.push_back(Chunk { start: self.end, end, frames });
        self.end = end;
        while self.bytes > self.bound && self.chunks.len() > 1 {
            self.bytes -= self.chunks.pop_front().map_or(0, |chunk| chunk.frames.len() + CHUNK_COST);
        }
    }

    /// Goes on at another place.
    pub fn gap(&mut self, gap: Break) {
        *self = Self { gaps: self.gaps + 1, last_gap: Some(gap), ..Self::new(gap.to, self.bound) };
    }

    /// What there is for a client at `at` that knows of `gaps` gaps.
    pub fn after(&self, at: Place, gaps: u64) -> Found {
        if let Some(gap) = self.last_gap.filter(|_| gaps < self.gaps) {
            return Found::Gap(gap);
        }
        if !at.is_behind(&self.end) {
            return Found::Nothing;
        }
        let next = self.chunks.partition_point(|chunk| !at.is_behind(&chunk.end));
        match self.chunks.get(next) {
            Some(chunk) if chunk.start == at => Found::Frames(chunk.frames.clone(), chunk.end),
            // Records of others, for a client that is in the midst of them or further in our files. Redis may
            // have lost them since.
            Some(chunk) if !at.is_behind(&chunk.start) && chunk.start.local == chunk.end.local => {
                Found::Frames(frame::rest(&chunk.frames, at).into(), Place { local: at.local, ..chunk.end })
            }
            Some(chunk) if !at.is_behind(&chunk.start) => Found::Behind(chunk.end),
            Some(chunk) => Found::Behind(chunk.start),
            None => Found::Behind(self.end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Place {
        Place::local(crate::model::Position { day: "2026-11-22".parse().unwrap(), offset })
    }

    fn both(offset: u64, ms: u64) -> Place {
        let id = crate::model::EntryId { ms, seq: 0 };
        Place { fleet: Some(crate::model::FleetAt::after(id)), ..at(offset) }
    }

    #[test]
    fn clients_are_served_from_where_they_are() {
        let mut ring = Ring::new(at(100), 10 + 2 * CHUNK_COST);
        assert_eq!(ring.after(at(50), 0), Found::Behind(at(100)));
        assert_eq!(ring.after(at(100), 0), Found::Nothing);
        ring.push(Bytes::from_static(b"aaaa"), at(110));
        ring.push(Bytes::from_static(b"bbbb"), at(120));
        assert_eq!(ring.after(at(100), 0), Found::Frames(Bytes::from_static(b"aaaa"), at(110)));
        assert_eq!(ring.after(at(105), 0), Found::Behind(at(110)));
        assert_eq!(ring.after(at(130), 0), Found::Nothing);
        ring.push(Bytes::from_static(b"cccc"), at(130));
        assert_eq!(ring.after(at(100), 0), Found::Behind(at(110)), "the oldest is forgotten");
        ring.push(Bytes::from_static(b"a large one"), at(140));
        assert_eq!(ring.after(at(130), 0), Found::Frames(Bytes::from_static(b"a large one"), at(140)));
    }

    #[test]
    fn a_client_that_is_ahead_in_one_part_is_behind_in_the_other() {
        let mut ring = Ring::new(both(100, 5), 1000);
        ring.push(Bytes::from_static(b"ours"), both(110, 5));
        let mut theirs = Vec::new();
        for ms in [6, 8, 9] {
            frame::record(&mut theirs, format!("{ms}").as_bytes(), both(110, ms));
        }
        ring.push(theirs.into(), both(110, 9));
        assert_eq!(ring.after(both(100, 5), 0), Found::Frames(Bytes::from_static(b"ours"), both(110, 5)));
        assert_eq!(ring.after(both(100, 9), 0), Found::Behind(both(110, 5)));
        let part = |at: Place, numbers: &[u64]| {
            let mut frames = Vec::new();
            for &ms in numbers {
                frame::record(
                    &mut frames,
                    format!("{ms}").as_bytes(),
                    Place { local: at.local, ..both(0, ms) },
                );
            }
            Found::Frames(frames.into(), Place { local: at.local, ..both(0, 9) })
        };
        for (at, numbers) in [(both(110, 7), &[8, 9][..]), (both(120, 5), &[6, 8, 9]), (both(120, 8), &[9])] {
            assert_eq!(ring.after(at, 0), part(at, numbers));
        }
        assert_eq!(ring.after(both(50, 1), 0), Found::Behind(both(100, 5)));
        assert_eq!(ring.after(both(120, 9), 0), Found::Nothing);
    }

    #[test]
    fn a_gap_reaches_everybody_once() {
        let mut ring = Ring::new(at(100), 10);
        let gap = Break { from: at(100), to: at(0), missed: None };
        ring.gap(gap);
        assert_eq!(ring.after(at(100), 0), Found::Gap(gap));
        assert_eq!(ring.after(at(0), ring.gaps()), Found::Nothing);
    }
}
