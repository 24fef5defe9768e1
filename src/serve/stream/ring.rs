//! The newest frames of the flow, in chunks that follow each other without a hole. Plain data.

use std::collections::VecDeque;

use axum::body::Bytes;

use crate::flow::read::Gap;
use crate::model::Position;

/// Frames of the records between two positions.
#[derive(Debug, Clone)]
struct Chunk {
    start: Position,
    end: Position,
    frames: Bytes,
}

/// What the ring has for a client at some position.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// These frames, after which the client is there.
    Frames(Bytes, Position),
    /// Nothing yet.
    Nothing,
    /// What the client needs first is in the file; it should read up to there.
    InFile(Position),
    /// The files are not what they were.
    Gap(Gap),
}

/// The newest frames, at most `bound` bytes of them or one chunk.
#[derive(Debug)]
pub struct Ring {
    chunks: VecDeque<Chunk>,
    /// Position after the newest frame.
    end: Position,
    bytes: usize,
    bound: usize,
    gaps: u64,
    last_gap: Option<Gap>,
}

impl Ring {
    /// An empty ring at a position.
    pub fn new(end: Position, bound: usize) -> Self {
        Self { chunks: VecDeque::new(), end, bytes: 0, bound, gaps: 0, last_gap: None }
    }

    /// How many gaps there were; a client that knows of fewer gets [`Found::Gap`].
    pub fn gaps(&self) -> u64 {
        self.gaps
    }

    /// Adds the frames of the records up to `end`, forgetting the oldest.
    pub fn push(&mut self, frames: Bytes, end: Position) {
        self.bytes += frames.len();
        self.chunks.push_back(Chunk { start: self.end, end, frames });
        self.end = end;
        while self.bytes > self.bound && self.chunks.len() > 1 {
            self.bytes -= self.chunks.pop_front().map_or(0, |chunk| chunk.frames.len());
        }
    }

    /// Goes on at another place.
    pub fn gap(&mut self, gap: Gap) {
        *self = Self { gaps: self.gaps + 1, last_gap: Some(gap), ..Self::new(gap.resumed, self.bound) };
    }

    /// What there is for a client at `at` that knows of `gaps` gaps.
    pub fn after(&self, at: Position, gaps: u64) -> Found {
        if let Some(gap) = self.last_gap.filter(|_| gaps < self.gaps) {
            return Found::Gap(gap);
        }
        if at >= self.end {
            return Found::Nothing;
        }
        let next = self.chunks.partition_point(|chunk| chunk.end <= at);
        match self.chunks.get(next) {
            Some(chunk) if chunk.start == at => Found::Frames(chunk.frames.clone(), chunk.end),
            Some(chunk) if chunk.start < at => Found::InFile(chunk.end),
            Some(chunk) => Found::InFile(chunk.start),
            None => Found::InFile(self.end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Position {
        Position { day: "2026-11-22".parse().unwrap(), offset }
    }

    #[test]
    fn clients_are_served_from_where_they_are() {
        let mut ring = Ring::new(at(100), 10);
        assert_eq!(ring.after(at(50), 0), Found::InFile(at(100)));
        assert_eq!(ring.after(at(100), 0), Found::Nothing);
        ring.push(Bytes::from_static(b"aaaa"), at(110));
        ring.push(Bytes::from_static(b"bbbb"), at(120));
        assert_eq!(ring.after(at(100), 0), Found::Frames(Bytes::from_static(b"aaaa"), at(110)));
        assert_eq!(ring.after(at(105), 0), Found::InFile(at(110)));
        assert_eq!(ring.after(at(130), 0), Found::Nothing);
        ring.push(Bytes::from_static(b"cccc"), at(130));
        assert_eq!(ring.after(at(100), 0), Found::InFile(at(110)), "the oldest is forgotten");
        ring.push(Bytes::from_static(b"a large one"), at(140));
        assert_eq!(ring.after(at(130), 0), Found::Frames(Bytes::from_static(b"a large one"), at(140)));
    }

    #[test]
    fn a_gap_reaches_everybody_once() {
        let mut ring = Ring::new(at(100), 10);
        let gap = Gap { asked: at(100), resumed: at(0) };
        ring.gap(gap);
        assert_eq!(ring.after(at(100), 0), Found::Gap(gap));
        assert_eq!(ring.after(at(0), ring.gaps()), Found::Nothing);
    }
}
