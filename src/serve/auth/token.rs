//! The token file: one line of 64 hexadecimal digits, for its owner alone.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::store::{Durability, ensure_private_dir, open_in, read_open, write_atomic};
use crate::util::Secret;

/// Fewest hexadecimal digits of a token: 256 bits.
const DIGITS: usize = 64;

/// Largest token file, in bytes.
const FILE_MAX: u64 = 4096;

/// What is wrong with a token file. No message quotes the token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It can't be read or written.
    #[error("{path}: {action} failed: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Others may read it, or may have written it.
    #[error(
        "{path} {problem}; others may know the token: `rm '{path}'` and `darkmux auth rotate` make another"
    )]
    NotPrivate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// It holds something else.
    #[error("{path} holds no token of at least {DIGITS} hexadecimal digits; `darkmux auth rotate` makes one")]
    NoToken {
        /// The file.
        path: PathBuf,
    },
}

/// A file with a token.
#[derive(Debug, Clone)]
pub struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    /// The file at this path. Reads nothing yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The token; `None` when there is no file.
    pub fn read(&self) -> Result<Option<Secret>, TokenError> {
        let text = read_own(&self.path, FILE_MAX)?;
        let Some(text) = text else { return Ok(None) };
        let text = String::from_utf8(text).unwrap_or_default();
        let token = text.trim();
        if token.len() < DIGITS || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(TokenError::NoToken { path: self.path.clone() });
        }
        Ok(Some(Secret::new(token)))
    }

    /// The token, made now where there is none.
    pub fn ensure(&self) -> Result<Secret, TokenError> {
        match self.read()? {
            Some(token) => Ok(token),
            None => self.rotate(),
        }
    }

    /// Puts a new token in the place of whatever is there.
    pub fn rotate(&self) -> Result<Secret, TokenError> {
        let token = Secret::generate().map_err(|source| self.failed("making a random token", source))?;
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        ensure_private_dir(folder)
            .and_then(|()| {
                write_atomic(&self.path, format!("{}\n", token.expose()).as_bytes(), Durability::Synced)
            })
            .map_err(|source| self.failed("writing it", source))?;
        Ok(token)
    }

    fn failed(&self, action: &'static str, source: io::Error) -> TokenError {
        TokenError::Io { path: self.path.clone(), action, source }
    }
}

/// Reads a regular file that only this user may read; `None` when there is none.
pub fn read_own(path: &Path, bound: u64) -> Result<Option<Vec<u8>>, TokenError> {
    let failed = |source| TokenError::Io { path: path.to_owned(), action: "reading it", source };
    let not_private = |problem: String| TokenError::NotPrivate { path: path.to_owned(), problem };
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    };
    let file = match open_in(folder, name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            return Err(not_private("is no regular file".to_owned()));
        }
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(not_private("is a link".to_owned()));
        }
        Err(error) => return Err(failed(error)),
    };
    let meta = file.metadata().map_err(failed)?;
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(not_private(format!("belongs to user {}", meta.uid())));
    }
    if meta.mode() & 0o077 != 0 {
        return Err(not_private(format!("is open to others (mode {:03o})", meta.mode() & 0o777)));
    }
    read_open(&file, bound).map(Some).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_token_is_made_once_kept_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::new(dir.path().join("home/auth-token"));
        assert!(file.read().unwrap().is_none());
        let token = file.ensure().unwrap();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), format!("{}\n", token.expose()));
        assert_eq!(token.expose().len(), DIGITS);
        assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(file.ensure().unwrap(), token);
        assert_ne!(file.rotate().unwrap(), token);
    }

    #[test]
    fn a_file_that_is_not_ours_alone_is_refused_and_left() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::new(dir.path().join("auth-token"));
        let token = file.ensure().unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o640)).unwrap();
        let said = file.ensure().unwrap_err().to_string();
        assert!(said.contains("mode 640") && said.contains("auth rotate"), "{said}");
        assert!(!said.contains(token.expose()));
        fs::rename(file.path(), dir.path().join("real")).unwrap();
        symlink("real", file.path()).unwrap();
        assert!(file.ensure().unwrap_err().to_string().contains("is a link"));
        fs::remove_file(file.path()).unwrap();
        fs::create_dir(file.path()).unwrap();
        assert!(matches!(file.read(), Err(TokenError::NotPrivate { .. })));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::new(dir.path().join("auth-token"));
        for text in ["", "short", &"g".repeat(64), &"a".repeat(63), &"a b".repeat(30), &"a".repeat(5000)] {
            write_atomic(file.path(), text.as_bytes(), Durability::Cached).unwrap();
            assert!(file.read().is_err(), "{text}");
        }
        write_atomic(file.path(), format!(" {}\r\n", "Ab".repeat(40)).as_bytes(), Durability::Cached)
            .unwrap();
        assert_eq!(file.read().unwrap().unwrap().expose(), "Ab".repeat(40));
    }
}
