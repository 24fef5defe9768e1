//! What opens this user's sockets: a secret in a file that only programs with the user's own rights can read.
//!
//! A socket's path and the user's id are no proof: a command in a sandbox has both, and may not act for the user. What it
//! has not is the home folder. So who connects shows what stands there, and who can't is nobody.
//!
//! Invariants: the file is its owner's alone, or opens nothing; it is read at each use, so that it can be replaced at any
//! time; comparing takes the same time for all that is shown.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{ensure_private_dir, open_in, read_open, write_new};
use crate::util::Secret;

/// Largest file, in bytes.
const FILE_MAX: u64 = 1024;

/// Hexadecimal digits of a key: 256 bits.
const DIGITS: usize = 64;

/// The file.
#[derive(Debug, Clone)]
pub struct SocketKey(PathBuf);

impl SocketKey {
    /// The key at this path. Reads nothing yet.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The key, made where there is none. Of many who do so at once, all find the same.
    pub fn ensure(&self) -> io::Result<Secret> {
        if let Some(key) = self.read()? {
            return Ok(key);
        }
        ensure_private_dir(self.0.parent().unwrap_or(Path::new("/")))?;
        write_new(&self.0, format!("{}\n", Secret::generate()?.expose()).as_bytes())?;
        // Somebody else's, where they were first.
        self.read()?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The key; `None` where there is none yet. One that others may read, or that is none, is an error.
    pub fn read(&self) -> io::Result<Option<Secret>> {
        let wrong = |what: &str| {
            let way = format!("{} {what}; `rm` it, and the next start makes another", self.0.display());
            io::Error::new(io::ErrorKind::InvalidData, way)
        };
        let (Some(folder), Some(name)) = (self.0.parent(), self.0.file_name().and_then(|name| name.to_str()))
        else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let file = match open_in(folder, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let meta = file.metadata()?;
        if meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o077 != 0 {
            return Err(wrong("is open to others"));
        }
        let bytes = read_open(&file, FILE_MAX)?;
        let key = std::str::from_utf8(&bytes).unwrap_or_default().trim();
        if key.len() != DIGITS || !key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong("holds no key"));
        }
        Ok(Some(Secret::new(key)))
    }

    /// Whether this is it.
    pub fn is(&self, shown: &str) -> bool {
        let read =
            self.read().inspect_err(|error| tracing::error!(%error, "this user's sockets open to nobody"));
        let hash = |text: &str| blake3::hash(text.as_bytes());
        read.ok().flatten().is_some_and(|key| hash(key.expose()) == hash(shown))
    }

    /// The value of `Authorization` that shows it, made now where there is none: one that was deleted locks nobody out.
    /// `None` for who may not read it; what needs it says so.
    pub fn bearer(&self) -> Option<Secret> {
        let key = self.ensure().ok()?;
        Some(Secret::new(format!("Bearer {}", key.expose())))
    }
}

/// The token that a value of `Authorization` shows, where it shows one.
pub fn shown_bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn it_is_made_once_and_opens_to_who_shows_it() {
        let dir = tempfile::tempdir().unwrap();
        let key = SocketKey::new(dir.path().join("home/socket-key"));
        assert!(key.read().unwrap().is_none() && !key.is("") && !key.is("x"));
        key.ensure().unwrap();
        let text = fs::read_to_string(key.path()).unwrap();
        assert_eq!(fs::metadata(key.path()).unwrap().mode() & 0o777, 0o600);
        key.ensure().unwrap();
        assert_eq!(fs::read_to_string(key.path()).unwrap(), text);
        assert!(key.is(text.trim()) && !key.is(&text) && !key.is(&text[1..]) && !key.is(""));
        assert_eq!(shown_bearer(key.bearer().unwrap().expose()), Some(text.trim()));
        // Another one counts at once.
        fs::remove_file(key.path()).unwrap();
        assert!(!key.is(text.trim()));
        let other = key.bearer().unwrap();
        assert!(!key.is(text.trim()) && key.is(shown_bearer(other.expose()).unwrap()));
    }

    #[test]
    fn many_at_once_find_one() {
        let dir = tempfile::tempdir().unwrap();
        let key = SocketKey::new(dir.path().join("socket-key"));
        let all: Vec<String> = std::thread::scope(|scope| {
            let ensure = || key.ensure().map(|key| key.expose().to_owned());
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(ensure)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
        });
        assert!(all.iter().all(|one| *one == all[0]));
    }

    #[test]
    fn one_that_is_none_opens_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let key = SocketKey::new(dir.path().join("socket-key"));
        key.ensure().unwrap();
        let text = fs::read_to_string(key.path()).unwrap();
        fs::set_permissions(key.path(), fs::Permissions::from_mode(0o640)).unwrap();
        assert!(key.read().unwrap_err().to_string().contains("open to others") && !key.is(text.trim()));
        fs::set_permissions(key.path(), fs::Permissions::from_mode(0o600)).unwrap();
        assert!(key.is(text.trim()));
        for bad in ["", "short", &"g".repeat(64), &"a".repeat(63), &"a".repeat(5000)] {
            fs::write(key.path(), bad).unwrap();
            assert!(key.read().is_err() && !key.is(bad), "{bad}");
        }
        fs::rename(key.path(), dir.path().join("real")).unwrap();
        fs::write(dir.path().join("real"), &text).unwrap();
        symlink("real", key.path()).unwrap();
        assert!(key.read().is_err() && !key.is(text.trim()));
    }

    #[test]
    fn other_schemes_show_none() {
        assert_eq!(shown_bearer("bearer  x "), Some("x"));
        assert_eq!(
            (shown_bearer("Basic x"), shown_bearer("x"), shown_bearer("Bearer")),
            (None, None, Some(""))
        );
    }
}
