//! Where a session is, read from files alone: its folder with `~`, and the repository around it.
//!
//! Invariant: no program is started, no link is followed into a device or a pipe, what is read and kept is
//! bounded, and no password of a remote leaves this module.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::open_in;

/// Folders above a session's that are looked at.
const DEPTH_MAX: usize = 64;

/// Largest file of a repository that is read, in bytes.
const FILE_MAX: u64 = 256 * 1024;

/// Remotes that are kept of a repository.
const REMOTES_MAX: usize = 16;

/// Longest name or URL of a remote that is kept, in bytes.
const REMOTE_MAX: usize = 512;

/// Folders that are remembered.
const PLACES_MAX: usize = 512;

/// Where a session is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Its folder, links resolved, `~` for the home folder.
    pub cwd: String,
    /// The repository's folder, likewise.
    pub workspace_root: Option<String>,
    /// The repository's remotes, by name.
    pub remotes: BTreeMap<String, String>,
}

/// The places that were read, each folder once.
#[derive(Debug, Default)]
pub struct Places {
    known: HashMap<PathBuf, Arc<Place>>,
}

impl Places {
    /// What is known of a folder.
    pub fn get(&self, cwd: &Path) -> Option<Arc<Place>> {
        self.known.get(cwd).cloned()
    }

    /// Remembers it. When there are too many, all are forgotten: they are read again where they are needed.
    pub fn keep(&mut self, cwd: PathBuf, place: Arc<Place>) {
        if self.known.len() >= PLACES_MAX {
            self.known.clear();
        }
        self.known.insert(cwd, place);
    }
}

/// A folder as it is written, with `~` for `home`.
pub fn shown(path: &Path, home: Option<&Path>) -> String {
    let below = home.and_then(|home| path.strip_prefix(home).ok());
    match below {
        Some(rest) if rest.as_os_str().is_empty() => "~".to_owned(),
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    }
}

/// Reads a place. May block for as long as the disk does.
pub fn read(cwd: &Path, home: Option<&Path>) -> Place {
    let resolved = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let home = home.map(resolved);
    let cwd = resolved(cwd);
    let root =
        cwd.ancestors().take(DEPTH_MAX).find(|dir| dir.join(".jj").is_dir() || dir.join(".git").exists());
    let remotes = root.and_then(git_folder).map(|git| remotes(&git)).unwrap_or_default();
    Place {
        workspace_root: root.map(|root| shown(root, home.as_deref())),
        remotes,
        cwd: shown(&cwd, home.as_deref()),
    }
}

/// The folder with git's `config` of the repository in `root`.
fn git_folder(root: &Path) -> Option<PathBuf> {
    let jj = root.join(".jj");
    let git = if jj.is_dir() { jj_store(&jj)? } else { linked(root, ".git", "gitdir:")? };
    // A worktree of git has what all share elsewhere.
    match text(&git, "commondir") {
        Some(common) => Some(git.join(common.trim())),
        None => Some(git),
    }
}

/// Where jj keeps the repository's git folder.
fn jj_store(jj: &Path) -> Option<PathBuf> {
    let store = linked(jj, "repo", "")?.join("store");
    let target = text(&store, "git_target")?;
    Some(store.join(target.trim()))
}

/// The folder `name` in `dir`, or the one that a file of this name leads to.
fn linked(dir: &Path, name: &str, key: &str) -> Option<PathBuf> {
    let path = dir.join(name);
    if path.is_dir() {
        return Some(path);
    }
    let written = text(dir, name)?;
    Some(dir.join(written.trim().strip_prefix(key)?.trim()))
}

fn text(dir: &Path, name: &str) -> Option<String> {
    let mut bytes = Vec::new();
    open_in(dir, name).ok()?.take(FILE_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The remotes of a git folder's `config`.
fn remotes(git: &Path) -> BTreeMap<String, String> {
    let mut remotes = BTreeMap::new();
    let mut name: Option<String> = None;
    for line in text(git, "config").unwrap_or_default().lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let remote = section.strip_prefix("remote \"").and_then(|rest| rest.split('"').next());
            name = remote.filter(|name| !name.is_empty() && name.len() <= REMOTE_MAX).map(str::to_owned);
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let value = value.trim().trim_matches('"');
        if let Some(name) = &name
            && key.trim().eq_ignore_ascii_case("url")
            && !value.is_empty()
            && value.len() <= REMOTE_MAX
            && remotes.len() < REMOTES_MAX
        {
            let entry = remotes.entry(crate::util::visible_line(name).into_owned());
            entry.or_insert_with(|| crate::util::visible_line(&without_secret(value)).into_owned());
        }
    }
    remotes
}

/// A URL without what stands before its host, which may be a token; `git@host:path` keeps its user.
fn without_secret(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let Some((user, host)) = authority.rsplit_once('@') else { return url.to_owned() };
    match (scheme, user.split_once(':')) {
        ("ssh", None) => url.to_owned(),
        ("ssh", Some((user, _))) => format!("{scheme}://{user}@{host}{path}"),
        _ => format!("{scheme}://{host}{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_repository_is_found_from_below_without_its_secrets() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().canonicalize().unwrap();
        let repo = home.join("work/repo");
        fs::create_dir_all(repo.join(".git")).unwrap();
        fs::create_dir_all(repo.join("src/deep")).unwrap();
        let config = "[core]\n\turl = no\n[remote \"origin\"]\n\turl = https://me:tok3n@example.com/r.git\n\
            \tfetch = x\n[remote \"up\"]\n\tURL = git@example.com:u/r.git\n[branch \"main\"]\n\turl = no\n";
        fs::write(repo.join(".git/config"), config).unwrap();
        let place = read(&repo.join("src/deep"), Some(&home));
        assert_eq!(place.cwd, "~/work/repo/src/deep");
        assert_eq!(place.workspace_root.as_deref(), Some("~/work/repo"));
        let remote = |name: &str| place.remotes.get(name).map(String::as_str);
        assert_eq!(remote("origin"), Some("https://example.com/r.git"));
        assert_eq!((remote("up"), place.remotes.len()), (Some("git@example.com:u/r.git"), 2));
        assert_eq!(read(&home, Some(&home)).cwd, "~");
        assert_eq!(read(Path::new("/nowhere"), Some(&home)).cwd, "/nowhere");
    }

    #[test]
    fn worktrees_and_jj_lead_to_the_config_that_all_share() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path();
        fs::create_dir_all(dir.join("main/.git/worktrees/w")).unwrap();
        fs::write(dir.join("main/.git/config"), "[remote \"o\"]\nurl = https://x/y\n").unwrap();
        fs::write(dir.join("main/.git/worktrees/w/commondir"), "../..\n").unwrap();
        fs::create_dir_all(dir.join("w")).unwrap();
        fs::write(dir.join("w/.git"), "gitdir: ../main/.git/worktrees/w\n").unwrap();
        assert_eq!(read(&dir.join("w"), None).remotes["o"], "https://x/y");
        fs::create_dir_all(dir.join("j/.jj/repo/store")).unwrap();
        fs::write(dir.join("j/.jj/repo/store/git_target"), "../../../../main/.git").unwrap();
        assert_eq!(read(&dir.join("j"), None).remotes["o"], "https://x/y");
    }

    #[test]
    fn what_is_no_repository_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(".git")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", root.path().join(".git/config")).unwrap();
        assert!(read(root.path(), None).remotes.is_empty());
        let huge = tempfile::tempdir().unwrap();
        fs::write(huge.path().join(".git"), vec![b'x'; 1 << 20]).unwrap();
        assert!(read(huge.path(), None).remotes.is_empty());
    }
}
