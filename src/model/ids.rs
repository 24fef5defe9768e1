//! Ids as types. Each is checked once, where it enters, and is safe afterwards as a file name, a URL path
//! segment and a Redis key part.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest id, in bytes: the limit of darkmux 1.9 for machine and role ids.
pub const MAX_ID_LEN: usize = 64;

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is no valid {kind}: use 1 to {MAX_ID_LEN} of a-z, 0-9, `_` and `-`{}",
    .text.escape_debug(),
    if *.leading { ", starting with a letter or a digit" } else { "" }
)]
pub struct IdError {
    kind: &'static str,
    text: String,
    leading: bool,
}

fn check(kind: &'static str, text: &str, leading: bool) -> Result<(), IdError> {
    let charset = text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
    let start = !leading || text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if charset && start && (1..=MAX_ID_LEN).contains(&text.len()) {
        return Ok(());
    }
    // An error quotes at most this much of a text that may be hostile and long.
    let quoted: String = text.chars().take(80).collect();
    Err(IdError { kind, text: quoted, leading })
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal, leading: $leading:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `text` and takes it as the id.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                check($kind, &text, $leading)?;
                Ok(Self(text))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

id_type!(
    /// The operator-given name of one computer: `[a-z0-9_-]{1,64}`.
    MachineId, "machine id", leading: false
);
id_type!(
    /// The name of a role: `[a-z0-9_-]{1,64}`, as in darkmux 1.9.
    RoleId, "role id", leading: false
);
id_type!(
    /// The id of a session, and of the job that runs in it: `[a-z0-9][a-z0-9_-]{0,63}`.
    SessionId, "session id", leading: true
);

impl MachineId {
    /// A valid id made from a host name: the part before the first dot, lower case, other characters as `-`.
    /// `None` when nothing of the name is usable.
    pub fn from_host_name(name: &str) -> Option<Self> {
        let label = name.split('.').next().unwrap_or_default();
        let text: String = label
            .chars()
            .map(|c| c.to_ascii_lowercase())
            .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' { c } else { '-' })
            .take(MAX_ID_LEN)
            .collect();
        Self::new(text.trim_matches('-')).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_take_the_charset_and_nothing_else() {
        for good in ["a", "studio", "ipad-pi", "x_1", &"a".repeat(64)] {
            assert_eq!(MachineId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "A", "a.b", "a/b", "..", "a b", "ä", "a\n", &"a".repeat(65)] {
            assert!(MachineId::new(bad).is_err(), "{bad:?}");
        }
        assert!(SessionId::new("-x").is_err());
        assert!(SessionId::new("sess-0badcafe").is_ok());
    }

    #[test]
    fn an_error_shows_no_raw_control_characters() {
        let text = MachineId::new("\u{1b}[31m").unwrap_err().to_string();
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn host_names_become_ids() {
        let made = |name| MachineId::from_host_name(name).map(String::from);
        assert_eq!(made("Studio.local").as_deref(), Some("studio"));
        assert_eq!(made("Kai's MacBook").as_deref(), Some("kai-s-macbook"));
        assert_eq!(made("..."), None);
    }
}
