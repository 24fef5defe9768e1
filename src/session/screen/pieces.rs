//! A picture in pieces: who sends it begins while the rest is drawn.

/// Bytes of a piece, but for the last one. Smaller than what the allocator gives back to the system at once.
const PIECE: usize = 120 * 1024;

/// Takes bytes and gives them on in pieces.
pub(super) struct Pieces<'g> {
    piece: Vec<u8>,
    give: &'g mut dyn FnMut(Vec<u8>, bool),
}

impl<'g> Pieces<'g> {
    /// Gives to `give`, and says whether more follows; at most about `expected` bytes.
    pub fn new(give: &'g mut dyn FnMut(Vec<u8>, bool), expected: usize) -> Self {
        Self { piece: Vec::with_capacity(expected.min(PIECE)), give }
    }

    pub fn push(&mut self, mut bytes: &[u8]) {
        while self.piece.len() + bytes.len() > PIECE {
            let (fits, rest) = bytes.split_at(PIECE - self.piece.len());
            self.piece.extend_from_slice(fits);
            (self.give)(std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE)), true);
            bytes = rest;
        }
        self.piece.extend_from_slice(bytes);
    }

    /// Gives the last one.
    pub fn end(self) {
        (self.give)(self.piece, false);
    }
}
