//! What a person sees of a command's output while it comes: its first lines, and its last ones when it has ended.

use std::collections::VecDeque;

use crate::agent::tools::text::cut;
use crate::util::visible_line;

/// Lines that are told as they come, and how many of the others at the end.
const FIRST: usize = 40;
const LAST: usize = 10;

/// Longest line, in characters.
const WIDTH: usize = 200;

/// Tells output line by line.
#[derive(Debug, Default)]
pub struct Teller {
    line: Vec<u8>,
    told: usize,
    /// The last lines of those that were not told, and how many there are altogether.
    last: VecDeque<String>,
    passed: usize,
}

impl Teller {
    /// Takes a piece of the output.
    pub fn tell(&mut self, piece: &[u8], tell: &mut dyn FnMut(&str)) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let room = (WIDTH * 4).saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.line(tell);
            }
        }
    }

    /// The output is over.
    pub fn end(&mut self, tell: &mut dyn FnMut(&str)) {
        if !self.line.is_empty() {
            self.line(tell);
        }
        let between = self.passed - self.last.len();
        if between > 0 {
            tell(&format!("… {between} further lines …"));
        }
        self.last.drain(..).for_each(|line| tell(&line));
    }

    /// A line is whole.
    fn line(&mut self, tell: &mut dyn FnMut(&str)) {
        let text = String::from_utf8_lossy(&self.line);
        let text = cut(&visible_line(text.trim_end()), WIDTH);
        self.line.clear();
        if self.told < FIRST {
            self.told += 1;
            tell(&text);
            return;
        }
        if self.passed == 0 {
            tell("… (more is shown when it has ended)");
        }
        self.passed += 1;
        self.last.push_back(text);
        if self.last.len() > LAST {
            self.last.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(output: &str) -> Vec<String> {
        let (mut teller, mut told) = (Teller::default(), Vec::new());
        for piece in output.as_bytes().chunks(7) {
            teller.tell(piece, &mut |line| told.push(line.to_owned()));
        }
        teller.end(&mut |line| told.push(line.to_owned()));
        told
    }

    #[test]
    fn a_person_sees_the_first_lines_and_the_last_ones() {
        assert_eq!(told("one\ntwo"), ["one", "two"], "the last line needs no end");
        assert!(told("").is_empty());
        let lines = |count: usize| (1..=count).map(|number| number.to_string() + "\n").collect::<String>();
        let shown = told(&lines(FIRST + 5000));
        assert_eq!((shown.len(), shown[FIRST - 1].as_str()), (FIRST + 2 + LAST, "40"));
        assert!(shown[FIRST].contains("when it has ended"));
        assert_eq!(shown[FIRST + 1], "… 4990 further lines …");
        assert_eq!((shown[FIRST + 2].as_str(), shown.last().unwrap().as_str()), ("5031", "5040"));
        let few = told(&lines(FIRST + 3));
        assert_eq!(few[FIRST + 1..], ["41", "42", "43"], "nothing is between");
    }
}
