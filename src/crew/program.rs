//! Finding a program the way `execvp` would, less its traps: an empty or relative entry of `PATH` would mean
//! the current folder, which a job's folder must not decide.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The file that `name` stands for: an absolute path itself, a bare name by the folders of `PATH` in order.
pub fn find(name: &str, path_dirs: &[PathBuf]) -> Option<PathBuf> {
    let given = Path::new(name);
    if given.is_absolute() {
        return is_executable(given).then(|| given.to_owned());
    }
    if !is_name(name) {
        return None;
    }
    path_dirs
        .iter()
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(name))
        .find(|file| is_executable(file))
}

/// The programs of `PATH`, each looked for once.
#[derive(Debug)]
pub struct Programs<'a> {
    path_dirs: &'a [PathBuf],
    found: RefCell<BTreeMap<String, Option<PathBuf>>>,
}

impl<'a> Programs<'a> {
    /// Those of these folders; none is looked for yet.
    pub fn of(path_dirs: &'a [PathBuf]) -> Self {
        Self { path_dirs, found: RefCell::default() }
    }

    /// As [`find`].
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        if let Some(known) = self.found.borrow().get(name) {
            return known.clone();
        }
        let found = find(name, self.path_dirs);
        self.found.borrow_mut().insert(name.to_owned(), found.clone());
        found
    }
}

/// Whether `name` is a bare program name, with nothing of a path in it.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && name != "." && name != ".."
}

/// Whether `file` is a regular file (links followed) that this process may execute.
pub fn is_executable(file: &Path) -> bool {
    let Ok(meta) = fs::metadata(file) else { return false };
    meta.is_file()
        && meta.permissions().mode() & 0o111 != 0
        && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn program(dir: &Path, name: &str, mode: u32) -> PathBuf {
        fs::create_dir_all(dir).unwrap();
        let file = dir.join(name);
        fs::write(&file, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn the_first_executable_regular_file_wins() {
        let root = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| root.path().join(name));
        program(&a, "tool", 0o644);
        fs::create_dir_all(b.join("tool")).unwrap();
        let real = program(&c, "tool", 0o755);
        let dirs = [root.path().join("none"), a, b, c];
        assert_eq!(find("tool", &dirs), Some(real.clone()));
        assert_eq!(find(real.to_str().unwrap(), &[]), Some(real.clone()));
        symlink(&real, root.path().join("linked")).unwrap();
        assert!(find("linked", &[root.path().to_owned()]).is_some());
    }

    #[test]
    fn nothing_relative_is_ever_found() {
        let here = [PathBuf::new(), PathBuf::from("."), PathBuf::from("src")];
        for name in ["main.rs", "./x", "a/b", "", ".", ".."] {
            assert_eq!(find(name, &here), None, "{name:?}");
        }
    }
}
