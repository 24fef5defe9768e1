//! Server-sent events as they come in from a peer, which may send anything: no line and no event is held that is
//! larger than [`EVENT_MAX`].

/// Largest event that is read, in bytes; what is larger is passed over. gmux' hubs end at a quarter of it.
pub const EVENT_MAX: usize = 1024 * 1024;

/// Longest name and id of an event, in bytes.
const WORD_MAX: usize = 128;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// By which its reader resumes; empty for none.
    pub id: String,
    /// What it says.
    pub data: Vec<u8>,
}

/// Puts events together from the bytes of a stream.
#[derive(Debug, Default)]
pub struct EventReader {
    line: Vec<u8>,
    /// The line is too long: the rest of it is passed over.
    over: bool,
    event: Event,
    /// The event is too large: it is dropped at its end.
    broken: bool,
    dropped: u64,
}

impl EventReader {
    /// Takes more bytes; the events that are complete with them.
    pub fn push(&mut self, mut bytes: &[u8]) -> Vec<Event> {
        let mut complete = Vec::new();
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.fill(&bytes[..end]);
            bytes = &bytes[end + 1..];
            complete.extend(self.end_of_line());
        }
        self.fill(bytes);
        complete
    }

    /// Events that were too large, since the last question.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn fill(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > EVENT_MAX {
            self.over = true;
        }
        if !self.over {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_of_line(&mut self) -> Option<Event> {
        let over = std::mem::take(&mut self.over);
        let line = std::mem::take(&mut self.line);
        self.broken |= over;
        let ended = !over && matches!(line.as_slice(), b"" | b"\r");
        if !over && !ended {
            self.field(line.strip_suffix(b"\r").unwrap_or(&line));
        }
        if line.capacity() <= EVENT_MAX / 16 {
            // Kept for the next line, unless a large one would stay for long.
            self.line = line;
            self.line.clear();
        }
        if !ended {
            return None;
        }
        let event = std::mem::take(&mut self.event);
        if std::mem::take(&mut self.broken) {
            self.dropped += 1;
            return None;
        }
        (!event.data.is_empty()).then_some(event)
    }

    fn field(&mut self, line: &[u8]) {
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let (name, value) = (&line[..colon], line.get(colon + 1..).unwrap_or_default());
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let word = || String::from_utf8(value.to_vec()).ok().filter(|word| word.len() <= WORD_MAX);
        match name {
            b"event" => self.event.name = word().unwrap_or_default(),
            b"id" => self.event.id = word().unwrap_or_default(),
            b"data" if self.event.data.len() + value.len() >= EVENT_MAX => self.broken = true,
            b"data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push(b'\n');
                }
                self.event.data.extend_from_slice(value);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(name: &str, id: &str, data: &str) -> Event {
        Event { name: name.into(), id: id.into(), data: data.into() }
    }

    #[test]
    fn events_are_read_as_both_kinds_of_daemon_write_them() {
        let mut reader = EventReader::default();
        let text = b":\n\nevent: a\ndata: {\"x\":1}\n\nid:7\nevent:b\r\ndata:1\r\ndata: 2\r\n\r\nretry: 1\n\nevent: c\n\n";
        assert_eq!(reader.push(text), [event("a", "", "{\"x\":1}"), event("b", "7", "1\n2")]);
    }

    #[test]
    fn what_is_too_large_is_passed_over_and_takes_no_memory() {
        let mut reader = EventReader::default();
        let piece = vec![b'x'; 64 * 1024];
        reader.push(b"event: a\ndata: ");
        for _ in 0..64 {
            assert!(reader.push(&piece).is_empty());
            assert!(reader.line.capacity() <= 2 * EVENT_MAX);
        }
        assert!(reader.push(b"\n").is_empty());
        for _ in 0..64 {
            reader.push(&[b"data: ".as_slice(), &piece, b"\n"].concat());
            assert!(reader.event.data.capacity() <= 2 * EVENT_MAX);
        }
        assert!(reader.push(b"\n").is_empty());
        assert_eq!((reader.take_dropped(), reader.take_dropped()), (1, 0));
        assert_eq!(reader.push(b"event: b\ndata: 1\n\n"), [event("b", "", "1")]);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            text in "(event: ?[ab]\r?\n|data:x*\r?\n|id: 1\n|:\n|\n){0,20}", cuts in prop::collection::vec(0usize..200, 0..8),
        ) {
            let whole = EventReader::default().push(text.as_bytes());
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut reader = EventReader::default();
            let mut parts = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                parts.extend(reader.push(&text.as_bytes()[from..cut]));
                from = cut;
            }
            prop_assert_eq!(parts, whole);
        }
    }
}
