//! A bounded ring of the newest bytes of a stream, addressed by offsets that count from the stream's start.

use std::collections::VecDeque;

/// The newest bytes of a stream. Memory grows with what is held, up to the bound.
#[derive(Debug)]
pub struct ByteRing {
    bytes: VecDeque<u8>,
    start: u64,
    bound: usize,
}

impl ByteRing {
    /// An empty ring that holds at most `bound` bytes, at the start of a stream.
    pub fn new(bound: usize) -> Self {
        Self::starting_at(0, bound)
    }

    /// An empty ring that holds at most `bound` bytes, in a stream that goes on at `offset`.
    pub fn starting_at(offset: u64, bound: usize) -> Self {
        Self { bytes: VecDeque::new(), start: offset, bound }
    }

    /// Offset of the oldest byte held.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Offset after the newest byte.
    pub fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Appends to the stream, forgetting what no longer fits.
    pub fn push(&mut self, data: &[u8]) {
        let kept = &data[data.len().saturating_sub(self.bound)..];
        self.start += (data.len() - kept.len()) as u64;
        let over = (self.bytes.len() + kept.len()).saturating_sub(self.bound);
        self.bytes.drain(..over);
        self.start += over as u64;
        let needed = self.bytes.len() + kept.len();
        if needed > self.bytes.capacity() {
            // Doubled like any vector, but never beyond the bound: every byte of the capacity is used in turn.
            let capacity = needed.max(self.bytes.capacity() * 2).min(self.bound);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend(kept);
    }

    /// The bytes from `offset` on in two pieces, at most `limit` bytes; `None` when the byte at `offset` is
    /// no longer held.
    pub fn from(&self, offset: u64, limit: usize) -> Option<(&[u8], &[u8])> {
        let skip = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        if skip > self.bytes.len() {
            return None;
        }
        let (front, back) = self.bytes.as_slices();
        let take = limit.min(self.bytes.len() - skip);
        let first = &front[skip.min(front.len())..(skip + take).min(front.len())];
        let from_back = skip.saturating_sub(front.len());
        Some((first, &back[from_back..from_back + take - first.len()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn offsets_go_on_when_bytes_are_forgotten() {
        let mut ring = ByteRing::new(4);
        ring.push(b"abc");
        ring.push(b"defghij");
        assert_eq!((ring.start(), ring.end()), (6, 10));
        assert_eq!(ring.from(5, 10), None);
        assert_eq!(ring.from(10, 10), Some((&b""[..], &b""[..])));
        assert_eq!(ring.from(11, 10), None);
    }

    #[test]
    fn memory_ends_at_the_bound() {
        let mut ring = ByteRing::new(1000);
        for _ in 0..200 {
            ring.push(&[0; 37]);
        }
        assert_eq!(ring.bytes.capacity(), 1000);
    }

    proptest! {
        #[test]
        fn the_ring_is_the_tail_of_the_stream(
            pushes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..20),
            bound in 1usize..32, back in 0usize..40, limit in 0usize..40,
        ) {
            let mut ring = ByteRing::new(bound);
            let mut stream = Vec::new();
            for push in &pushes {
                ring.push(push);
                stream.extend_from_slice(push);
            }
            prop_assert_eq!(ring.end(), stream.len() as u64);
            let offset = stream.len().saturating_sub(back);
            let got = ring.from(offset as u64, limit).map(|(a, b)| [a, b].concat());
            let held = offset as u64 >= ring.start();
            prop_assert_eq!(got, held.then(|| stream[offset..(offset + limit).min(stream.len())].to_vec()));
        }
    }
}
