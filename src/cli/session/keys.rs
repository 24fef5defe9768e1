//! Keys by name, as a terminal sends them.

/// Names of keys that are no characters, and what they send.
const NAMED: &[(&str, &str)] = &[
    ("enter", "\r"),
    ("return", "\r"),
    ("tab", "\t"),
    ("backtab", "\x1b[Z"),
    ("esc", "\x1b"),
    ("escape", "\x1b"),
    ("space", " "),
    ("backspace", "\x7f"),
    ("delete", "\x1b[3~"),
    ("insert", "\x1b[2~"),
    ("up", "\x1b[A"),
    ("down", "\x1b[B"),
    ("right", "\x1b[C"),
    ("left", "\x1b[D"),
    ("home", "\x1b[H"),
    ("end", "\x1b[F"),
    ("pageup", "\x1b[5~"),
    ("pagedown", "\x1b[6~"),
    ("f1", "\x1bOP"),
    ("f2", "\x1bOQ"),
    ("f3", "\x1bOR"),
    ("f4", "\x1bOS"),
    ("f5", "\x1b[15~"),
    ("f6", "\x1b[17~"),
    ("f7", "\x1b[18~"),
    ("f8", "\x1b[19~"),
    ("f9", "\x1b[20~"),
    ("f10", "\x1b[21~"),
    ("f11", "\x1b[23~"),
    ("f12", "\x1b[24~"),
];

/// Keys that send another sequence where the program asked for it.
const CURSOR: [&str; 6] = ["up", "down", "right", "left", "home", "end"];

/// A key by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedKey {
    bytes: Vec<u8>,
    cursor: bool,
}

impl NamedKey {
    /// What it sends; with `application`, to a program that asked for application cursor keys.
    pub fn bytes(&self, application: bool) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        if self.cursor && application {
            bytes[1] = b'O';
        }
        bytes
    }

    /// Whether what it sends depends on the program.
    pub fn is_cursor(&self) -> bool {
        self.cursor
    }
}

/// Reads the name of a key: `enter`, `up`, `f5`, `ctrl-c`, `alt-x`.
pub(super) fn parse_key(text: &str) -> Result<NamedKey, String> {
    let lower = text.to_ascii_lowercase();
    let plain = |bytes: Vec<u8>| Ok(NamedKey { bytes, cursor: false });
    if let Some((name, bytes)) = NAMED.iter().find(|(name, _)| *name == lower) {
        return Ok(NamedKey { bytes: bytes.as_bytes().to_vec(), cursor: CURSOR.contains(name) });
    }
    let after = |starts: [&str; 3]| starts.iter().find_map(|start| lower.strip_prefix(start));
    if let Some([code]) = after(["ctrl-", "ctrl+", "c-"]).map(str::as_bytes) {
        let has_ctrl = code.is_ascii_lowercase() || matches!(code, b'[' | b'\\' | b']' | b'^' | b'_' | b'@');
        if has_ctrl {
            return plain(vec![code & 0x1f]);
        }
    }
    if after(["alt-", "alt+", "m-"]).is_some_and(|rest| rest.len() == 1 && rest.is_ascii()) {
        return plain(vec![0x1b, text.as_bytes()[text.len() - 1]]);
    }
    let names: Vec<&str> = NAMED.iter().map(|(name, _)| *name).collect();
    Err(format!("no key is called so; there are {}, ctrl-c and alt-x", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_send_what_terminals_send() {
        let sends = |text: &str| parse_key(text).map(|key| key.bytes(false));
        assert_eq!(sends("Enter"), Ok(b"\r".to_vec()));
        assert_eq!(sends("ctrl-c"), Ok(b"\x03".to_vec()));
        assert_eq!(sends("C-\\"), Ok(b"\x1c".to_vec()));
        assert_eq!(sends("alt-X"), Ok(b"\x1bX".to_vec()));
        assert_eq!(sends("up"), Ok(b"\x1b[A".to_vec()));
        assert_eq!(parse_key("up").unwrap().bytes(true), b"\x1bOA");
        assert_eq!(parse_key("f5").unwrap().bytes(true), b"\x1b[15~");
        for bad in ["", "x", "ctrl-", "ctrl-ab", "ctrl-1", "alt-", "alt-\u{e4}", "f13"] {
            assert!(sends(bad).is_err(), "{bad}");
        }
    }
}
