//! What a verb says when it is run for somebody who reads neither stdout nor stderr of this process.
//!
//! Invariant: what is kept is bounded; data that does not fit is an error, of notes the first stay.

use std::cell::RefCell;
use std::io;

/// Most data of one run of a verb, in bytes.
const DATA_MAX: usize = 8 * 1024 * 1024;

/// Most notes of one run of a verb.
const NOTES_MAX: usize = 50;

/// Longest note, in characters.
const NOTE_MAX: usize = 2000;

/// What a verb said.
#[derive(Debug, Default)]
struct Said {
    /// What would have gone to stdout.
    data: Vec<u8>,
    /// What would have gone to stderr, a note each.
    notes: Vec<String>,
}

/// Keeps what a verb says.
pub struct Kept {
    said: RefCell<Said>,
    tell: Box<dyn Fn(&str)>,
}

impl Kept {
    /// Nothing said yet; `tell` hears each note at once.
    pub fn new(tell: impl Fn(&str) + 'static) -> Self {
        Self { said: RefCell::default(), tell: Box::new(tell) }
    }

    /// Keeps data.
    pub fn data(&self, bytes: &[u8]) -> io::Result<()> {
        let data = &mut self.said.borrow_mut().data;
        if data.len() + bytes.len() > DATA_MAX {
            let words = format!("the answer has more than {DATA_MAX} bytes; ask for less");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, words));
        }
        data.extend_from_slice(bytes);
        Ok(())
    }

    /// Keeps a note.
    pub fn note(&self, text: &str) {
        let note: String = text.trim().chars().take(NOTE_MAX).collect();
        if note.is_empty() {
            return;
        }
        (self.tell)(&note);
        let notes = &mut self.said.borrow_mut().notes;
        if notes.len() < NOTES_MAX {
            notes.push(note);
        }
    }

    /// The data since the last time.
    pub fn take_data(&self) -> Vec<u8> {
        std::mem::take(&mut self.said.borrow_mut().data)
    }

    /// The notes since the last time.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.said.borrow_mut().notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_a_bound() {
        let kept = Kept::new(|_| {});
        assert!(kept.data(&vec![b'x'; DATA_MAX]).is_ok());
        assert!(kept.data(b"x").unwrap_err().to_string().contains("ask for less"));
        for _ in 0..2 * NOTES_MAX {
            kept.note(&"n".repeat(2 * NOTE_MAX));
        }
        kept.note("  \n");
        let notes = kept.take_notes();
        assert_eq!((kept.take_data().len(), notes.len(), notes[0].len()), (DATA_MAX, NOTES_MAX, NOTE_MAX));
        assert!(kept.take_data().is_empty() && kept.take_notes().is_empty());
    }
}
