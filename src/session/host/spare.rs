//! A session host that is started before there is a session: it has everything ready that does not depend on one,
//! and waits for the folder of the one it is to own.
//!
//! Invariants: it waits in a read, which costs nothing; without a whole order it ends, so that it never outlives who
//! keeps it; it says that it has its order before it does anything about it.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::{HostError, files, run_on, runtime, tell_failed};
use crate::config::{Config, ConfigError, Environment};
use crate::pty;
use crate::session::spare::{ORDER_MAX, TAKEN};
use crate::util::Clock;

/// Waits for the folder of a session and runs its host to its end. Whoever keeps it may end before there is one.
pub fn run_spare(env: &Environment, clock: &Clock) -> Result<(), SpareError> {
    // It is on its own from the beginning: what ends the terminal or the group of its keeper does not reach it.
    let _ = pty::detach();
    let ready = runtime()?;
    // Read once more when there is an order, for it may change; the pages that it takes are here by then.
    drop(Config::load(env.clone(), &[]));
    let Some(folder) = order(&mut io::stdin().lock())? else { return Ok(()) };
    let mut out = io::stdout();
    out.write_all(&[TAKEN]).and_then(|()| out.flush())?;
    pty::close_stdin()?;
    let path = folder.join(files::HOST_LOG);
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
    let log = log.map_err(|source| HostError::File { path, source }).inspect_err(tell_failed)?;
    pty::point_stderr_at(&log)?;
    drop(log);
    let config = Config::load(env.clone(), &[])?;
    Ok(run_on(Some(ready), &folder, &config, clock)?)
}

/// Why a spare host ended as it should not.
#[derive(Debug, thiserror::Error)]
pub enum SpareError {
    /// The system refused something.
    #[error("the spare host failed: {0}")]
    System(#[from] io::Error),
    /// What the user set is wrong by now.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// As any host.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// The folder of the session: its length in four bytes, and its path. `None`: nothing whole came.
fn order(from: &mut impl Read) -> io::Result<Option<PathBuf>> {
    let mut length = [0; 4];
    if !whole(from, &mut length)? {
        return Ok(None);
    }
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length == 0 || length > ORDER_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "an order of this length is none"));
    }
    let mut path = vec![0; length];
    Ok(whole(from, &mut path)?.then(|| PathBuf::from(std::ffi::OsString::from_vec(path))))
}

/// Fills the buffer; `false` when the other side is gone before.
fn whole(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::session::spare::order_of;

    #[test]
    fn an_order_is_whole_or_none() {
        let bytes = order_of(Path::new("/a/b c")).unwrap();
        assert_eq!(order(&mut bytes.as_slice()).unwrap().as_deref(), Some(Path::new("/a/b c")));
        for cut in 0..bytes.len() {
            assert_eq!(order(&mut &bytes[..cut]).unwrap(), None, "{cut}");
        }
        assert!(order(&mut [0_u8; 4].as_slice()).is_err());
        assert!(order(&mut [0xff_u8; 8].as_slice()).is_err());
    }
}
