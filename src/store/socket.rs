//! Unix sockets for this user alone.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::ensure_private_dir;
use super::private::ensure_private_dir_unlinked;

/// Longest path of a unix socket that every system takes, in bytes (macOS: 104 with the final zero).
const PATH_MAX: usize = 100;

/// `direct`, or, where that path is too long for a socket, one in a private folder below the system's temporary
/// one, under a name made from `named`.
pub fn socket_path(direct: PathBuf, named: &Path) -> PathBuf {
    if direct.as_os_str().len() <= PATH_MAX {
        return direct;
    }
    let name = blake3::hash(named.as_os_str().as_encoded_bytes()).to_hex();
    shared_dir().join(format!("{}.sock", &name[..24]))
}

/// This user's folder below the one that everybody may write in.
fn shared_dir() -> PathBuf {
    PathBuf::from(format!("/tmp/darkmux-{}", rustix::process::geteuid().as_raw()))
}

/// Binds the socket, 0600, in a folder of mode 0700. The caller holds a lock that makes it the only one here, so
/// whatever is there is left over.
pub fn bind_socket(socket: &Path) -> io::Result<UnixListener> {
    match socket.parent() {
        Some(dir) if dir == shared_dir() => ensure_private_dir_unlinked(dir)?,
        Some(dir) => ensure_private_dir(dir)?,
        None => {}
    }
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Whether who is at the other end, connected or listening, is this user.
pub fn is_ours(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == rustix::process::geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_long_path_moves_and_stays_the_same() {
        let short = PathBuf::from("/h/daemon.sock");
        assert_eq!(socket_path(short.clone(), Path::new("/h")), short);
        let home = PathBuf::from(format!("/{}", "x".repeat(100)));
        let moved = socket_path(home.join("daemon.sock"), &home);
        assert!(moved.starts_with("/tmp") && moved.as_os_str().len() < PATH_MAX, "{}", moved.display());
        assert_eq!(moved, socket_path(home.join("daemon.sock"), &home));
    }

    #[tokio::test]
    async fn a_socket_is_for_us_alone_and_takes_the_place_of_a_stale_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        drop(bind_socket(&path).unwrap());
        assert!(path.exists(), "left over");
        let listener = bind_socket(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let (_client, accepted) = tokio::join!(UnixStream::connect(&path), listener.accept());
        assert!(is_ours(&accepted.unwrap().0));
    }
}
