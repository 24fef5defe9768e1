//! Private folders, and opening files in them without following links.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

/// Makes `dir` (and what is missing above it) with mode 0700. A folder that exists must be ours; its mode is
/// tightened to 0700. A link to a folder of ours is the user's own wish (a home on another disk).
pub fn ensure_private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    tighten(dir, &fs::metadata(dir)?)
}

/// As [`ensure_private_dir`], where everybody may make links: one is nobody's wish there, and is refused.
pub(super) fn ensure_private_dir_unlinked(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    tighten(dir, &fs::symlink_metadata(dir)?)
}

fn tighten(dir: &Path, meta: &fs::Metadata) -> io::Result<()> {
    if !meta.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{} is no folder", dir.display())));
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "{} belongs to another user; darkmux keeps its state only in a folder of yours",
                dir.display()
            ),
        ));
    }
    if meta.mode() & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Opens the regular file `name` in `dir` for reading; never through a link, never a device or a pipe.
pub fn open_in(dir: &Path, name: &str) -> io::Result<File> {
    let folder = rustix::fs::openat(CWD, dir, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // NONBLOCK: opening a pipe that somebody put there must not hang.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    regular(File::from(rustix::fs::openat(&folder, name, flags, Mode::empty())?), name)
}

/// As [`open_in`]; `None` where there is no regular file of that name. That the system refuses to open one, as it does
/// to a process with too many open files, is an error: it says nothing of the file.
pub fn find_in(dir: &Path, name: &str) -> io::Result<Option<File>> {
    let is_none = |error: &io::Error| {
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        error.kind() == io::ErrorKind::InvalidInput
            // The last two are what sockets answer, on Linux and on macOS.
            || matches!(errno, Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::OPNOTSUPP))
    };
    match open_in(dir, name) {
        Err(error) if is_none(&error) => Ok(None),
        opened => opened.map(Some),
    }
}

fn regular(file: File, name: &str) -> io::Result<File> {
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is no regular file")))
    }
}

/// As [`open_in`], where it may not block. `None` says only that [`open_in`] has to do it: the system would have
/// to ask the disk, can't tell, or refuses.
#[cfg(target_os = "linux")]
pub fn open_in_at_hand(dir: &Path, name: &str) -> Option<File> {
    use rustix::fs::{ResolveFlags, openat2};
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = openat2(CWD, dir, flags, Mode::empty(), ResolveFlags::CACHED).ok()?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::CACHED | ResolveFlags::BENEATH;
    let file = File::from(openat2(&folder, name, flags, Mode::empty(), resolve).ok()?);
    regular(file, name).ok()
}

/// As [`open_in`], where it may not block; this system can't tell.
#[cfg(not(target_os = "linux"))]
pub fn open_in_at_hand(_dir: &Path, _name: &str) -> Option<File> {
    None
}

/// Reads a file of at most `bound` bytes; a larger one is an error.
pub fn read_bounded(path: &Path, bound: u64) -> io::Result<Vec<u8>> {
    read_open(&File::open(path)?, bound).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => io::Error::new(error.kind(), format!("{} is {error}", path.display())),
        _ => error,
    })
}

/// As [`read_bounded`], of a file that is open.
pub fn read_open(file: &File, bound: u64) -> io::Result<Vec<u8>> {
    // In one read, where its length is what it says.
    let length = file.metadata()?.len().min(bound) + 1;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.take(bound + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bound {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {bound} bytes")));
    }
    Ok(bytes)
}

/// As [`read_bounded`]; `None` when the file does not exist. Whose it is, and who else may read it, is not looked at.
pub fn read_if_there(path: &Path, bound: u64) -> io::Result<Option<Vec<u8>>> {
    match read_bounded(path, bound) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn folders_are_tightened() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("a/b");
        ensure_private_dir(&dir).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        ensure_private_dir(&dir).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn where_everybody_may_make_links_one_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let (dir, link) = (root.path().join("a"), root.path().join("link"));
        for _ in 0..2 {
            ensure_private_dir_unlinked(&dir).unwrap();
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        }
        symlink(&dir, &link).unwrap();
        assert!(ensure_private_dir_unlinked(&link).is_err());
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o755, "what it leads to is left alone");
        ensure_private_dir(&link).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_not_taken_for_none() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("real"), "x").unwrap();
        symlink("real", root.path().join("link")).unwrap();
        fs::create_dir(root.path().join("dir")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
        assert!(find_in(root.path(), "real").unwrap().is_some());
        for name in ["none", "link", "dir", "socket", "real/x"] {
            assert!(find_in(root.path(), name).unwrap().is_none(), "{name}");
        }
        assert!(find_in(&root.path().join("real"), "x").unwrap().is_none());
        // Any other reason, here one that needs no limits of this whole process.
        assert!(find_in(root.path(), &"x".repeat(300)).is_err());
    }

    #[test]
    fn links_and_folders_are_not_opened() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("real"), "x").unwrap();
        symlink("real", root.path().join("link")).unwrap();
        fs::create_dir(root.path().join("dir")).unwrap();
        assert!(open_in(root.path(), "real").is_ok());
        assert!(open_in(root.path(), "link").is_err());
        assert!(open_in(root.path(), "dir").is_err());
        for name in ["link", "dir", "none", "../x"] {
            assert!(open_in_at_hand(root.path(), name).is_none(), "{name}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_was_just_written_is_at_hand() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("real"), "x").unwrap();
        assert!(open_in_at_hand(root.path(), "real").is_some());
    }

    #[test]
    fn a_bound_is_a_bound() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("f");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap(), b"12345");
        assert_eq!(read_bounded(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(read_if_there(&root.path().join("none"), 4).unwrap().is_none());
    }
}
