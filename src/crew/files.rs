//! Reading a role's files: regular ones, of a bounded size, links allowed (people keep their roles elsewhere).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::store::read_open;

/// Reads a regular file of at most `bound` bytes; `None` when there is none. A pipe or a device that stands
/// there is an error and is never waited for.
pub fn read(path: &Path, bound: usize) -> io::Result<Option<Vec<u8>>> {
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = match File::options().read(true).custom_flags(nonblock).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !dangles(path) => return Ok(None),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    read_open(&file, bound as u64).map(Some)
}

/// Whether a link stands at `path` that leads nowhere: somebody meant a file to be there.
fn dangles(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
