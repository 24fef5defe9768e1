//! What this machine keeps of a repository for jobs: a bare repository that only darkmux writes. Bundles are unpacked
//! into it, the folders of jobs borrow its objects, and it is where git looks at what a job left, with settings that no job wrote.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;

use super::WorkspaceError;
use super::git::Git;
use crate::config::Environment;
use crate::store::{ensure_private_dir, open_in};
use crate::wire::is_commit;

/// Clones looked at for commits that a bundle builds upon.
const CLONES_MAX: usize = 500;

/// The file whose time says when a mirror was opened last.
const OPENED: &str = "opened";

/// Most bytes of a list of alternates that are read.
const ALTERNATES_MAX: u64 = 64 * 1024;

/// A mirror that was opened less long ago is about to be borrowed from.
const YOUNG: Duration = Duration::from_hours(1);

/// A repository of this machine's own.
#[derive(Debug, Clone)]
pub struct Mirror {
    dir: PathBuf,
    env: Environment,
}

impl Mirror {
    /// The mirror of this name below `mirrors`, made where there is none. `like` is a commit of the repository.
    pub async fn open(
        env: &Environment,
        mirrors: &Path,
        repo: &str,
        like: &str,
    ) -> Result<Self, WorkspaceError> {
        ensure_private_dir(mirrors).map_err(WorkspaceError::file(mirrors))?;
        let mirror = Self::named(env, mirrors, repo, like);
        if !mirror.dir.exists() {
            mirror.make(mirrors, like).await?;
        }
        // Says that it is in use.
        let opened = mirror.dir.join(OPENED);
        fs::write(&opened, b"\n").map_err(WorkspaceError::file(&opened))?;
        Ok(mirror)
    }

    /// The mirror of this name, where there is one.
    pub(super) fn known(env: &Environment, mirrors: &Path, repo: &str, like: &str) -> Option<Self> {
        Some(Self::named(env, mirrors, repo, like)).filter(|mirror| mirror.dir.is_dir())
    }

    fn named(env: &Environment, mirrors: &Path, repo: &str, like: &str) -> Self {
        let dir = mirrors.join(format!("{repo}{}.git", if like.len() == 64 { "-sha256" } else { "" }));
        Self { dir, env: env.clone() }
    }

    /// Made aside, so that nobody finds it half made.
    async fn make(&self, mirrors: &Path, like: &str) -> Result<(), WorkspaceError> {
        let aside = tempfile::Builder::new().prefix(".new").tempdir_in(mirrors);
        let aside = aside.map_err(WorkspaceError::file(mirrors))?;
        let git = Git::neutral(&self.env, aside.path());
        git.bytes(&["init", "-q", "--bare", "--template=", object_format(like), "it"], b"").await?;
        match fs::rename(aside.path().join("it"), &self.dir) {
            Err(error) if !self.dir.is_dir() => Err(WorkspaceError::file(&self.dir)(error)),
            // Somebody else may have been faster.
            _ => Ok(()),
        }
    }

    /// Git in the mirror.
    pub(super) fn git(&self) -> Git {
        Git::neutral(&self.env, &self.dir).var("GIT_DIR", &self.dir)
    }

    /// The environment that git gets its program from.
    pub(super) fn env(&self) -> &Environment {
        &self.env
    }

    /// Where its objects are.
    pub(super) fn objects(&self) -> PathBuf {
        self.dir.join("objects")
    }

    /// Has the objects of another repository count as its own, without copying them.
    pub(super) fn borrow(&self, objects: &Path) -> Result<(), WorkspaceError> {
        let Some(line) = objects.to_str().filter(|path| is_plain(path)) else {
            return Err(WorkspaceError::Refused(format!("git cannot borrow from {}", objects.display())));
        };
        let file = self.objects().join("info/alternates");
        let known = match fs::read_to_string(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            known => known.map_err(WorkspaceError::file(&file))?,
        };
        if known.lines().any(|known| known == line) {
            return Ok(());
        }
        let add = || {
            fs::create_dir_all(self.objects().join("info"))?;
            let mut file = fs::OpenOptions::new().create(true).append(true).open(&file)?;
            // One write: a line is whole, and one that is there twice does no harm.
            file.write_all(format!("{line}\n").as_bytes())
        };
        add().map_err(WorkspaceError::file(&file))
    }

    /// Whether it has these commits; borrows from one of `roots`' clones where it has not.
    pub(super) async fn find(&self, commits: &[String], roots: &[PathBuf]) -> Result<bool, WorkspaceError> {
        if has(&self.git(), commits).await? {
            return Ok(true);
        }
        for objects in clones(roots) {
            let git = self.git().var("GIT_ALTERNATE_OBJECT_DIRECTORIES", &objects);
            if has(&git, commits).await? {
                self.borrow(&objects)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Deletes mirrors that no folder below `worktrees` borrows from. Returns those that went.
    pub fn retain(mirrors: &Path, worktrees: &Path, now: SystemTime) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(mirrors) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        // A disk that is not there now may have folders that borrow from any.
        let folders = match fs::read_dir(worktrees) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            folders => folders?,
        };
        let mut used = HashSet::new();
        for folder in folders {
            match alternates(&folder?.path().join(".git/objects")) {
                Ok(list) => used.extend(absolute(&list)),
                Err(error) if is_of_the_job(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let mut gone = Vec::new();
        for entry in entries {
            let path = entry?.path();
            // One without the file is being made.
            if !used.contains(&path.join("objects"))
                && is_old(&path, now) == Some(true)
                && put_away(&path, now)?
            {
                gone.push(path);
            }
        }
        Ok(gone)
    }
}

/// Whether nobody has opened it for a while; `None` where that is not known.
fn is_old(mirror: &Path, now: SystemTime) -> Option<bool> {
    let opened = fs::symlink_metadata(mirror.join(OPENED)).and_then(|opened| opened.modified()).ok()?;
    Some(now.duration_since(opened).unwrap_or_default() > YOUNG)
}

/// Deletes a mirror, unless somebody opens it just now.
fn put_away(mirror: &Path, now: SystemTime) -> io::Result<bool> {
    let name = mirror.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let aside = mirror.with_file_name(format!(".gone-{name}"));
    if aside.exists() {
        fs::remove_dir_all(&aside)?;
    }
    // Under another name nobody opens it any more.
    fs::rename(mirror, &aside)?;
    if is_old(&aside, now) != Some(true) {
        fs::rename(&aside, mirror)?;
        return Ok(false);
    }
    fs::remove_dir_all(&aside)?;
    Ok(true)
}

/// Whether a list can't be read because of what a job made of it, which is its own loss, and not because of the system.
fn is_of_the_job(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    let kinds =
        [Kind::NotFound, Kind::NotADirectory, Kind::InvalidInput, Kind::InvalidData, Kind::PermissionDenied];
    kinds.contains(&error.kind()) || Errno::from_io_error(error) == Some(Errno::LOOP)
}

/// Whether a path means itself in git's lists of folders.
fn is_plain(path: &str) -> bool {
    !path.contains([':', '"', '\n']) && !path.starts_with('#')
}

/// The option that makes a repository whose commits are named like this one.
pub(super) fn object_format(like: &str) -> &'static str {
    if like.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" }
}

async fn has(git: &Git, commits: &[String]) -> Result<bool, WorkspaceError> {
    let asked: Vec<&str> = commits.iter().map(String::as_str).filter(|id| is_commit(id)).collect();
    let told = git.bytes(&["cat-file", "--batch-check"], asked.join("\n").as_bytes()).await?;
    let told = String::from_utf8_lossy(&told).into_owned();
    Ok(told.lines().filter(|line| line.split(' ').nth(1) == Some("commit")).count() == commits.len())
}

/// The objects of the repositories directly below these folders. Only their objects are looked at, never their
/// settings.
fn clones(roots: &[PathBuf]) -> Vec<PathBuf> {
    let folders = roots.iter().flat_map(|root| fs::read_dir(root).into_iter().flatten().flatten());
    let objects = folders.take(CLONES_MAX).flat_map(|folder| {
        let folder = folder.path();
        [folder.join(".git/objects"), folder.join("objects")]
    });
    objects
        .filter(|objects| objects.to_str().is_some_and(is_plain) && objects.join("pack").is_dir())
        .collect()
}

/// The list of others that a repository takes objects from; a job may have put anything there.
pub(super) fn alternates(objects: &Path) -> io::Result<String> {
    let file = open_in(&objects.join("info"), "alternates")?;
    let mut text = String::new();
    file.take(ALTERNATES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Whose objects stand in that list.
pub(super) fn borrowed_by(objects: &Path) -> Vec<PathBuf> {
    alternates(objects).map(|list| absolute(&list)).unwrap_or_default()
}

fn absolute(list: &str) -> Vec<PathBuf> {
    list.lines().map(PathBuf::from).filter(|path| path.is_absolute()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_stays_while_a_folder_borrows_from_it() {
        let root = tempfile::tempdir().unwrap();
        let (mirrors, worktrees) = (root.path().join("mirrors"), root.path().join("worktrees"));
        for name in ["used.git", "unused.git"] {
            fs::create_dir_all(mirrors.join(name)).unwrap();
            fs::write(mirrors.join(name).join(OPENED), "").unwrap();
        }
        let info = worktrees.join("job/.git/objects/info");
        fs::create_dir_all(&info).unwrap();
        fs::write(info.join("alternates"), format!("{}/used.git/objects\n", mirrors.display())).unwrap();
        let now = fs::metadata(mirrors.join("used.git").join(OPENED)).unwrap().modified().unwrap();
        assert!(Mirror::retain(&mirrors, &worktrees, now).unwrap().is_empty(), "they are young");
        let later = now + YOUNG * 2;
        let away = root.path().join("away");
        assert!(Mirror::retain(&mirrors, &away, later).unwrap().is_empty(), "the folders' disk is away");
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(Mirror::retain(&mirrors, &file, later).is_err(), "they cannot be read");
        assert_eq!(Mirror::retain(&mirrors, &worktrees, later).unwrap(), [mirrors.join("unused.git")]);
        assert!(Mirror::retain(&root.path().join("none"), &worktrees, later).unwrap().is_empty());
    }
}
