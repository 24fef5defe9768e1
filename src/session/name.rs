//! Names that users give sessions: what one may be, and that it means one session.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::{GMUX, Table};
use crate::model::SessionId;
use crate::store::{ensure_private_dir, lock_beside};
use crate::util::visible_line;

/// Longest name, in characters.
const NAME_MAX: usize = 64;

/// What stands beside the lock of those who give names, in the folder of all sessions. No id begins with a dot.
const NAMES: &str = ".names";

/// How long somebody else may be giving a name.
const PATIENCE: Duration = Duration::from_secs(10);

/// A name as a user typed it, without blanks around it; what is wrong with it, otherwise.
pub fn parse_name(text: &str) -> Result<String, String> {
    if text.contains('@') {
        return Err("a name holds no `@`: what follows one is a machine".to_owned());
    }
    let printable = !text.trim().is_empty() && visible_line(text) == text;
    if printable && text.chars().count() <= NAME_MAX {
        Ok(text.trim().to_owned())
    } else {
        Err(format!("a name has 1 to {NAME_MAX} printable characters"))
    }
}

/// Why a session is not given a name.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// Another session is meant by it.
    #[error("`{name}` names session {other} already; give another name")]
    Taken {
        /// The name.
        name: String,
        /// The session that has it.
        other: SessionId,
    },
    /// Nobody can say whether it is free.
    #[error("{path}: {source}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A name that is free, and that nobody else is given meanwhile.
#[derive(Debug)]
pub struct HeldName {
    _lock: File,
}

/// Holds a name for `own`, which is to have it, until that has it. It must not hold the lease of a session meanwhile: who
/// gives a name takes that second.
pub async fn hold_name(table: &Table, name: &str, own: &SessionId) -> Result<HeldName, NameError> {
    let path = table.dir().to_owned();
    let (table, name, own) = (table.clone(), name.to_owned(), own.clone());
    let held = tokio::task::spawn_blocking(move || {
        let lock = ensure_private_dir(table.dir());
        let lock = lock.and_then(|()| lock_beside(&table.dir().join(NAMES), PATIENCE));
        let lock = lock.map_err(|source| NameError::File { path: table.dir().join(NAMES), source })?;
        check_free_name(&table, &name, &own).map(|()| HeldName { _lock: lock })
    });
    held.await.unwrap_or_else(|error| Err(NameError::File { path, source: io::Error::other(error) }))
}

/// Refuses a name that means another session than `own`.
pub fn check_free_name(table: &Table, name: &str, own: &SessionId) -> Result<(), NameError> {
    match other_of(table, name, own) {
        Ok(None) => Ok(()),
        Ok(Some(other)) => Err(NameError::Taken { name: name.to_owned(), other }),
        Err(source) => Err(NameError::File { path: table.dir().to_owned(), source }),
    }
}

/// The session that a name means, beside `own`: one whose id it is, with or without `sess-`, or one that runs and has it.
fn other_of(table: &Table, name: &str, own: &SessionId) -> io::Result<Option<SessionId>> {
    let mut sessions = table.list()?.into_iter().filter(|session| session.id != *own);
    let taken = sessions.find(|session| {
        let id = session.id.as_str();
        id == name
            || id.strip_prefix(GMUX) == Some(name)
            || session.name.as_deref() == Some(name) && !session.state.is_final()
    });
    Ok(taken.map(|session| session.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_short_line() {
        assert_eq!(parse_name(" two words ").as_deref(), Ok("two words"));
        for bad in ["", "  ", "a\nb", "a\u{1b}[2J", "a@b", &"x".repeat(65)] {
            assert!(parse_name(bad).is_err(), "{bad:?}");
        }
    }
}
