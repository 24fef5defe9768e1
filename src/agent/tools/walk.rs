//! Resolving a path below a folder step by step, where the kernel can't do it in one.
//!
//! Invariant: every step opens one name of an open folder and follows no link; links are read and walked as part
//! of the path, and `..` goes back to the folder that was walked through. So the walk cannot leave its root, even
//! while somebody renames folders under it.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat, readlinkat};
use rustix::io::Errno;

/// Opens `place` below `root`. `XDEV` says that it leads out, `LOOP` that it holds more than `links` links.
pub fn open(root: &OwnedFd, place: &Path, flags: OFlags, mut links: usize) -> Result<OwnedFd, Errno> {
    let mut todo: Vec<OsString> = place.iter().rev().map(OsString::from).collect();
    if place.is_absolute() {
        return Err(Errno::XDEV);
    }
    let mut walked: Vec<OwnedFd> = Vec::new();
    let into = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    while let Some(name) = todo.pop() {
        if name.is_empty() || name == "." {
            continue;
        }
        if name == ".." {
            walked.pop().ok_or(Errno::XDEV)?;
            continue;
        }
        let here = last(root, &walked);
        match readlinkat(here, &name, Vec::new()) {
            Ok(target) => {
                links = links.checked_sub(1).ok_or(Errno::LOOP)?;
                let target = target.into_bytes();
                if target.starts_with(b"/") {
                    return Err(Errno::XDEV);
                }
                todo.extend(
                    target.split(|byte| *byte == b'/').rev().map(|part| OsString::from_vec(part.to_vec())),
                );
            }
            Err(Errno::INVAL) if todo.is_empty() => {
                return openat(here, &name, flags | OFlags::NOFOLLOW, Mode::empty());
            }
            Err(Errno::INVAL) => {
                let next = openat(here, &name, into, Mode::empty())?;
                walked.push(next);
            }
            Err(error) => return Err(error),
        }
    }
    openat(last(root, &walked), ".", flags, Mode::empty())
}

fn last<'a>(root: &'a OwnedFd, walked: &'a [OwnedFd]) -> BorrowedFd<'a> {
    walked.last().unwrap_or(root).as_fd()
}
