//! Room on the disks that hold darkmux's files.

use std::io;
use std::path::{Path, PathBuf};

use super::{Check, Finding, Machine};
use crate::util::human;

/// Below this, a warning.
const LOW: u64 = 1024 * 1024 * 1024;

/// Below this, a failure: a session's log alone may take 64 MiB.
const FULL: u64 = 100 * 1024 * 1024;

/// Disk space.
pub struct DiskSpace;

impl Check for DiskSpace {
    fn name(&self) -> &'static str {
        "disk space"
    }

    fn run(&self, machine: &Machine) -> Finding {
        let config = &machine.config;
        let folders = [Some(config.paths.home().to_owned()), Some(config.flows_dir()), config.audit_dir()];
        let mut rooms = Vec::new();
        for folder in folders.into_iter().flatten() {
            match room(&folder) {
                Ok(free) => rooms.push((free, folder)),
                Err(error) => {
                    let shown = folder.display();
                    let why = "a disk that can't be asked can't be written either";
                    return Finding::fail(format!("{shown}: {error}"), why, format!("df -h '{shown}'"));
                }
            }
        }
        rooms.sort();
        rooms
            .into_iter()
            .next()
            .map_or_else(|| Finding::pass("nothing to look at"), |(free, at)| judge(free, &at))
    }
}

/// Free bytes for this user where `folder` is or will be.
fn room(folder: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(existing(folder))?;
    // A file system without a number of files of its own (btrfs) says 0 of 0.
    let files_left = stat.f_files == 0 || stat.f_favail > 0;
    Ok(if files_left { stat.f_bavail.saturating_mul(stat.f_frsize) } else { 0 })
}

/// The folder, or the nearest one above it that is there.
pub fn existing(folder: &Path) -> PathBuf {
    let there = folder.ancestors().find(|path| path.try_exists().unwrap_or(false));
    there.unwrap_or(Path::new("/")).to_owned()
}

fn judge(free: u64, folder: &Path) -> Finding {
    let shown = folder.display();
    let finding = format!("{} free for {shown}", human::bytes(free));
    let why = "a record or a terminal's output that finds no room is refused";
    let fix = format!("du -sh '{shown}'/*, and remove what is not needed");
    match free {
        FULL..LOW => Finding::warn(finding, why, fix),
        LOW.. => Finding::pass(finding),
        _ => Finding::fail(finding, why, fix),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn little_room_warns_and_none_fails() {
        let state = |free| judge(free, Path::new("/x")).state;
        assert_eq!(state(LOW), State::Pass);
        assert_eq!(state(LOW - 1), State::Warn);
        assert_eq!(state(FULL), State::Warn);
        assert_eq!(state(FULL - 1), State::Fail);
        assert_eq!(state(0), State::Fail);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_has_its_parents_room() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(existing(&dir.path().join("a/b/c")), dir.path());
        assert!(room(&dir.path().join("a/b/c")).unwrap() > 0);
    }
}
