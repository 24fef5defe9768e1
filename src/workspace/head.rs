//! Which commit a repository has checked out, read from its files.
//!
//! Git is not asked: it would read the settings that lie there, and settings name programs: a remote that brings missing
//! objects, a helper that knows passwords. Git before 2.45 can't be told to leave the first alone.
//!
//! Invariants: nothing is run and no link followed; every file is a regular one and read up to a bound; names lead
//! nowhere but below the repository's own `refs`.

use std::io;
use std::path::Path;

use crate::store::{open_in, read_open};
use crate::wire::is_commit;

/// Where it begins.
const HEAD: &str = "HEAD";

/// Longest `HEAD` and longest ref, in bytes.
const REF_MAX: u64 = 4096;

/// Longest list of packed refs, in bytes.
const PACKED_MAX: u64 = 64 * 1024 * 1024;

/// Most refs that name another one.
const CHAIN_MAX: usize = 5;

/// What the repository at `git_dir` has checked out: what stands for a commit there, which is not looked for. `None`
/// where nothing does, or where it keeps its refs otherwise.
pub(super) fn head(git_dir: &Path) -> Option<String> {
    let mut name = HEAD.to_owned();
    for _ in 0..CHAIN_MAX {
        if name != HEAD && !is_name(&name) {
            return None;
        }
        let text = match loose(git_dir, &name) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return packed(git_dir, &name),
            Err(_) => return None,
        };
        let text = text.trim_end();
        match text.strip_prefix("ref:") {
            Some(next) => next.trim_start().clone_into(&mut name),
            None => return is_commit(text).then(|| text.to_owned()),
        }
    }
    None
}

/// Whether it is a ref below `refs`, and nothing that a path could make of it.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0']);
    name.starts_with("refs/") && name.split('/').all(is_part)
}

/// The file of a ref. Its folders are no links, or they would lead elsewhere.
fn loose(git_dir: &Path, name: &str) -> io::Result<String> {
    let (folders, file) = name.rsplit_once('/').unwrap_or(("", name));
    let mut folder = git_dir.to_owned();
    for part in folders.split('/').filter(|part| !part.is_empty()) {
        folder.push(part);
        if !folder.symlink_metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
    }
    text(&folder, file, REF_MAX)
}

fn packed(git_dir: &Path, name: &str) -> Option<String> {
    let all = text(git_dir, "packed-refs", PACKED_MAX).ok()?;
    let mut entries = all.lines().filter_map(|line| line.split_once(' '));
    entries.find(|(id, of)| *of == name && is_commit(id)).map(|(id, _)| id.to_owned())
}

fn text(folder: &Path, file: &str, most: u64) -> io::Result<String> {
    // The names of refs are bytes; what stands for a commit is plain.
    let bytes = read_open(&open_in(folder, file)?, most)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    const ID: &str = "0123456789012345678901234567890123456789";

    #[test]
    fn a_commit_is_found_by_itself_by_a_ref_and_in_the_list() {
        let dir = tempfile::tempdir().unwrap();
        let git = dir.path().join(".git");
        fs::create_dir_all(git.join("refs/heads/a")).unwrap();
        let put = |name: &str, text: &str| fs::write(git.join(name), text).unwrap();
        assert_eq!(head(&git), None);
        put("HEAD", &format!("{ID}\n"));
        assert_eq!(head(&git).as_deref(), Some(ID));
        put("HEAD", "ref: refs/heads/a/b\n");
        assert_eq!(head(&git), None, "nothing is committed");
        let other = ID.replace('0', "f");
        put(
            "packed-refs",
            &format!("# pack-refs with: peeled\n{ID} refs/heads/a/b\n^{other}\n{other} refs/heads/c\n"),
        );
        assert_eq!(head(&git).as_deref(), Some(ID));
        put("refs/heads/a/b", &format!("{other}\n"));
        assert_eq!(head(&git), Some(other), "the file comes before the list");
    }

    #[test]
    fn what_leads_elsewhere_or_nowhere_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let git = dir.path().join(".git");
        fs::create_dir_all(git.join("refs/heads")).unwrap();
        fs::write(dir.path().join("secret"), ID).unwrap();
        symlink(dir.path(), git.join("refs/out")).unwrap();
        symlink(dir.path().join("secret"), git.join("refs/heads/link")).unwrap();
        fs::write(git.join("refs/heads/self"), "ref: refs/heads/self").unwrap();
        let pipe = std::process::Command::new("mkfifo").arg(git.join("refs/heads/pipe")).status().unwrap();
        assert!(pipe.success());
        for name in [
            "refs/../../secret",
            "refs/out/secret",
            "refs/heads/link",
            "refs/heads/self",
            "refs/heads/pipe",
            "refs/heads",
            "refs/heads/",
            "refs//x",
            "/etc/passwd",
            "secret",
            "",
        ] {
            fs::write(git.join("HEAD"), format!("ref: {name}\n")).unwrap();
            assert_eq!(head(&git), None, "{name}");
        }
        for text in ["", "main", &ID[1..], "\0\0", &"x".repeat(100_000)] {
            fs::write(git.join("HEAD"), text).unwrap();
            assert_eq!(head(&git), None, "{text:.20}");
        }
    }
}
