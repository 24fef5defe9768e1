//! The keys that leave an attached session running, as the setting names them.

/// Most keys of a sequence.
const KEYS_MAX: usize = 3;

/// What the setting takes.
pub(super) const TAKES: &str =
    "takes a key such as `ctrl-\\` or up to three such as `ctrl-a d`, the first with ctrl";

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DetachKey {
    /// The character on it, in lower case where Ctrl is held.
    pub code: u8,
    /// Whether Ctrl is held.
    pub ctrl: bool,
}

impl DetachKey {
    fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let rest = ["ctrl-", "ctrl+", "c-", "^"].iter().find_map(|start| lower.strip_prefix(start));
        let (name, ctrl) = rest.filter(|rest| !rest.is_empty()).map_or((text, false), |rest| (rest, true));
        let code = match *name.as_bytes() {
            [code] if code.is_ascii_graphic() => code,
            _ => return None,
        };
        // What Ctrl makes nothing of is no key with Ctrl.
        let has_ctrl = code.is_ascii_lowercase() || matches!(code, b'\\' | b']' | b'^' | b'_' | b'@');
        (!ctrl || has_ctrl).then_some(Self { code, ctrl })
    }
}

/// The keys: `ctrl-\`, `ctrl-a d`. `None` where they are none, or too many, or could not be typed any more.
pub fn detach_keys(text: &str) -> Option<Vec<DetachKey>> {
    let keys: Vec<DetachKey> = text.split_whitespace().map(DetachKey::parse).collect::<Option<_>>()?;
    // A first key without Ctrl would be lost to the session.
    ((1..=KEYS_MAX).contains(&keys.len()) && keys[0].ctrl).then_some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "d", "ctrl-", "ctrl-1", "ctrl-a b c d", "f12", "ctrl-\u{e4}"] {
            assert!(detach_keys(text).is_none(), "{text}");
        }
        assert!(detach_keys("^]").is_some() && detach_keys("Ctrl+B x").is_some());
    }
}
