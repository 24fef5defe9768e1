//! Ids of sessions of other machines: `sess-x@desktop`, `sess-x@dev@server`.

use std::fmt::Write as _;

use super::audience::HOPS_MAX;
use crate::model::is_peer_name;

/// Longest id with all its machines, in bytes: more hops than anybody has.
const TEXT_MAX: usize = 512;

/// A session as one machine names it to another: what the last `@` divides. Local ids have no `@`.
///
/// Each machine knows its own peers only, and hands `rest` to the one that is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteId<'a> {
    /// What the peer calls it.
    pub rest: &'a str,
    /// The peer, by the name that it has here.
    pub peer: &'a str,
}

impl<'a> RemoteId<'a> {
    /// Reads an id from the right; `None` when it names no other machine, or could not be sent to one.
    pub fn parse(text: &'a str) -> Option<RemoteId<'a>> {
        let (rest, peer) = text.rsplit_once('@')?;
        // A segment of dots would be taken out of the path.
        let is_sendable = !matches!(rest, "" | "." | "..")
            && !rest.starts_with('@')
            && !rest.chars().any(|c| c == '/' || c == '\\' || c.is_control());
        // No further than sessions are shown: an id that goes in a circle would hold calls at each of its machines.
        let is_near = text.matches('@').count() <= HOPS_MAX;
        (text.len() <= TEXT_MAX && is_near && is_sendable && is_peer_name(peer))
            .then_some(Self { rest, peer })
    }

    /// How many machines lie behind the peer.
    pub fn further(&self) -> u32 {
        u32::try_from(self.rest.matches('@').count()).unwrap_or(u32::MAX)
    }

    /// `rest` as one segment of a path.
    pub fn segment(&self) -> String {
        encoded(self.rest)
    }
}

/// A text as a part of a URL.
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~@:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to memory can't fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_is_read_from_the_right() {
        let parse = |text| RemoteId::parse(text).map(|id| (id.rest, id.peer, id.further()));
        assert_eq!(parse("sess-x@desktop"), Some(("sess-x", "desktop", 0)));
        assert_eq!(parse("sess-x@dev@server"), Some(("sess-x@dev", "server", 1)));
        assert_eq!(parse("two words@desk.1"), Some(("two words", "desk.1", 0)));
        for local in ["sess-x", "", "@", "x@", "@x", "x@Desk", "x@a b", "../kill@d", "..@d", ".@d", "a\n@d"] {
            assert_eq!(parse(local), None, "{local:?}");
        }
        assert_eq!(parse("x@a@b@a@b"), Some(("x@a@b@a", "b", 3)));
        assert_eq!(parse("x@a@b@a@b@a"), None, "a circle");
        assert_eq!(RemoteId::parse(&format!("x@{}", "d".repeat(65))), None);
        assert_eq!(RemoteId::parse(&format!("{}@d", "x".repeat(512))), None);
    }

    proptest! {
        #[test]
        fn a_segment_is_one_and_comes_back_as_it_was(rest in "[^/\\\\\\p{C}]{1,40}") {
            let text = format!("{rest}@desk");
            let Some(id) = RemoteId::parse(&text) else { return Ok(()) };
            let url = format!("http://h/v1/sessions/{}/kill?a=b", id.segment());
            let path = url.parse::<http::Uri>().unwrap().path().to_owned();
            let segments: Vec<&str> = path.split('/').collect();
            prop_assert_eq!(segments.len(), 5);
            let mut bytes = Vec::new();
            let mut left = segments[3].bytes();
            while let Some(byte) = left.next() {
                bytes.push(if byte == b'%' {
                    let hex = [left.next().unwrap(), left.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
                } else {
                    byte
                });
            }
            prop_assert_eq!(String::from_utf8(bytes).unwrap(), rest);
        }
    }
}
