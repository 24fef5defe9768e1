//! A command's output: its beginning and its end for the model, all of it in a file when that is not all.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use crate::util::{ByteRing, human};

/// Output as it comes.
#[derive(Debug)]
pub struct Output {
    head: Vec<u8>,
    tail: ByteRing,
    bound: usize,
    most: u64,
    whole: PathBuf,
    file: Option<File>,
    lost: Option<std::io::Error>,
}

impl Output {
    /// Collects output of which the model gets `bound` bytes; `whole` is the file for all of it.
    pub fn new(bound: usize, most: u64, whole: PathBuf) -> Self {
        // The end says more than the beginning: errors stand there.
        let head = bound / 3;
        let tail = ByteRing::new(bound - head);
        Self { head: Vec::new(), tail, bound, most, whole, file: None, lost: None }
    }

    /// Takes a piece. `false`: there is more than a command may print.
    pub fn push(&mut self, piece: &[u8]) -> bool {
        let was_short = self.total() <= self.bound as u64;
        if was_short && self.total() + piece.len() as u64 > self.bound as u64 {
            self.spill();
        }
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(piece)
        {
            (self.file, self.lost) = (None, Some(error));
        }
        let into_head = piece.len().min(self.bound / 3 - self.head.len());
        self.head.extend_from_slice(&piece[..into_head]);
        self.tail.push(&piece[into_head..]);
        self.total() <= self.most
    }

    /// Bytes that came.
    pub fn total(&self) -> u64 {
        self.head.len() as u64 + self.tail.end()
    }

    /// Begins the file, with what came so far.
    fn spill(&mut self) {
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.whole);
        let (first, second) = self.tail.from(0, self.bound).unwrap_or_default();
        let written = opened.and_then(|mut file| {
            for part in [self.head.as_slice(), first, second] {
                file.write_all(part)?;
            }
            Ok(file)
        });
        match written {
            Ok(file) => self.file = Some(file),
            Err(error) => self.lost = Some(error),
        }
    }

    /// What the model gets.
    pub fn text(&self) -> String {
        let (first, second) = self.tail.from(self.tail.start(), self.bound).unwrap_or_default();
        let tail = [first, second].concat();
        if self.tail.start() == 0 {
            return String::from_utf8_lossy(&[self.head.as_slice(), &tail].concat()).into_owned();
        }
        // Whole lines, where there are any.
        let head = memchr::memrchr(b'\n', &self.head).map_or(self.head.as_slice(), |at| &self.head[..=at]);
        let tail =
            memchr::memchr(b'\n', &tail[..tail.len() - 1]).map_or(tail.as_slice(), |at| &tail[at + 1..]);
        let left_out = human::bytes(self.total() - (head.len() + tail.len()) as u64);
        let whole = match &self.lost {
            None => format!("all of it is in {}, which `read` and commands can open", self.whole.display()),
            Some(error) => format!("and could not be kept: {error}"),
        };
        let (head, tail) = (String::from_utf8_lossy(head), String::from_utf8_lossy(tail));
        let gap = if head.ends_with('\n') { "" } else { "\n" };
        format!("{head}{gap}… {left_out} left out; {whole} …\n{tail}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn long_output_keeps_both_ends_and_is_whole_in_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("whole");
        let mut output = Output::new(90, 10_000, path.clone());
        for number in 0..200 {
            assert!(output.push(format!("line {number}\n").as_bytes()));
        }
        let text = output.text();
        assert!(text.starts_with("line 0\nline 1\n") && text.ends_with("\nline 199\n"), "{text}");
        assert!(text.len() < 400 && text.contains("left out"), "{text}");
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
        assert_eq!(mode & 0o777, 0o600, "for nobody else");
        let whole = std::fs::read_to_string(path).unwrap();
        assert_eq!(whole.lines().count(), 200);
        assert!(!output.push(&vec![b'x'; 20_000]));
    }

    #[test]
    fn output_that_can_t_be_kept_says_so() {
        let mut output = Output::new(9, 10_000, "/nowhere/at/all".into());
        assert!(output.push(&[b'x'; 100]));
        assert!(output.text().contains("could not be kept"));
    }

    proptest! {
        #[test]
        fn what_fits_is_there_and_the_rest_is_in_the_file(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20)
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("whole");
            let mut output = Output::new(60, u64::MAX, path.clone());
            for piece in &pieces {
                output.push(piece);
            }
            let all = pieces.concat();
            prop_assert_eq!(output.total(), all.len() as u64);
            if all.len() <= 60 {
                prop_assert_eq!(output.text(), String::from_utf8_lossy(&all));
                prop_assert!(!path.exists());
            } else {
                prop_assert_eq!(std::fs::read(path).unwrap(), all);
                prop_assert!(output.text().contains("left out"));
            }
        }
    }
}
