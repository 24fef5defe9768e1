//! Names of peers: the machines whose sessions this one shows.

/// Longest name, in bytes.
const NAME_MAX: usize = 64;

/// Whether `text` can be a peer's name: `[a-z0-9][a-z0-9_.-]{0,63}`. So it stands in ids behind an `@`, and in paths.
pub fn is_peer_name(text: &str) -> bool {
    let good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-');
    (1..=NAME_MAX).contains(&text.len())
        && text.as_bytes()[0].is_ascii_alphanumeric()
        && text.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_behind_an_at_sign() {
        for good in ["a", "studio", "dev-2", "box.lan", "9_x", &"a".repeat(64)] {
            assert!(is_peer_name(good), "{good}");
        }
        for bad in ["", "-a", ".a", "_a", "A", "a@b", "a/b", "a b", "ä", "a\n", &"a".repeat(65)] {
            assert!(!is_peer_name(bad), "{bad:?}");
        }
    }
}
