//! The caller's repository: what goes out of it, and the branch that comes back.

use std::path::{Path, PathBuf};

use super::git::{Git, Pieces, Printed};
use super::pack::{self, Packed};
use super::snapshot::{self, Snapshot};
use super::{BRANCH_PREFIX, WorkspaceError, aside, tree};
use crate::config::Environment;
use crate::model::{MachineId, SessionId};
use crate::wire::is_commit;

/// Longest part of a repository's name that is a folder's, in characters.
const NAME_MAX: usize = 64;

/// A repository of the user on this machine.
#[derive(Debug, Clone)]
pub struct Source {
    root: PathBuf,
    folder: String,
    pub(super) git: Git,
}

/// What became of the branch of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Branch {
    /// It is at the result.
    At(String),
    /// It was changed by somebody, or is checked out, and stays as it is.
    Kept(String),
}

impl Source {
    /// The repository whose work tree holds `dir`; `None` where there is none.
    pub async fn find(env: &Environment, dir: &Path) -> Result<Option<Self>, WorkspaceError> {
        // Git is not asked where it has nothing to say.
        if !dir.ancestors().any(|dir| dir.join(".git").exists()) {
            return Ok(None);
        }
        let git = Git::of_user(env, dir);
        if git.text(&["rev-parse", "--is-inside-work-tree"]).await? != "true" {
            return Ok(None);
        }
        let root = PathBuf::from(git.text(&["rev-parse", "--show-toplevel"]).await?);
        let folder = git.text(&["rev-parse", "--show-prefix"]).await?;
        let folder = folder.trim_end_matches('/').to_owned();
        if !root.is_dir() {
            let words = format!("the path of {} is not UTF-8", root.display());
            return Err(WorkspaceError::Refused(words));
        }
        Ok(Some(Self { git: Git::of_user(env, &root), root, folder }))
    }

    /// Its root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder below the root that was asked for; empty for the root.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// What runners call their copy: by where it comes from, so that clones of one repository share one.
    pub async fn name(&self, machine: &MachineId) -> String {
        let origin = self.git.text(&["config", "--get", "remote.origin.url"]).await;
        let origin = origin.unwrap_or_else(|_| format!("{machine}:{}", self.root.display()));
        let last = origin.trim_end_matches('/').trim_end_matches(".git");
        let last = last.rsplit(['/', ':']).next().unwrap_or_default();
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
        let name: String = last.chars().map(plain).take(NAME_MAX).collect();
        let hash = blake3::hash(origin.as_bytes()).to_hex();
        format!("{}-{}", name.trim_matches('-'), &hash[..8]).trim_start_matches('-').to_owned()
    }

    /// Who commits here.
    pub async fn author(&self) -> Option<(String, String)> {
        let of = async |key: &str| self.git.text(&["config", "--get", key]).await.ok();
        let plain =
            |text: &String| !text.is_empty() && text.len() < 200 && !text.chars().any(char::is_control);
        of("user.name").await.filter(plain).zip(of("user.email").await.filter(plain))
    }

    /// Where its objects are.
    pub async fn objects(&self) -> Result<PathBuf, WorkspaceError> {
        let objects = self.root.join(self.git.text(&["rev-parse", "--git-path", "objects"]).await?);
        objects.canonicalize().map_err(WorkspaceError::file(&objects))
    }

    /// Everything that is in the work tree now.
    pub async fn snapshot(&self, job: &SessionId) -> Result<Snapshot, WorkspaceError> {
        snapshot::take(&self.git, &self.root, job).await
    }

    /// Keeps the snapshot of a job from git's clean-up, until it is released.
    pub async fn keep(&self, job: &SessionId, state: &str) -> Result<(), WorkspaceError> {
        self.git.bytes(&["update-ref", &pin(job), state], b"").await.map(|_| ())
    }

    /// Lets the snapshot of a job go.
    pub async fn release(&self, job: &SessionId) -> Result<(), WorkspaceError> {
        self.git.bytes(&["update-ref", "-d", &pin(job)], b"").await.map(|_| ())
    }

    /// The snapshot of a job without its history, as a pack that comes piece by piece; `None` where it was let go.
    pub async fn stream(
        &self,
        job: &SessionId,
        base: &str,
        state: &str,
    ) -> Result<Option<Printed>, WorkspaceError> {
        let kept = self.git.text(&["rev-parse", "--verify", "--quiet", &pin(job)]).await;
        if kept.as_deref() != Ok(state) {
            return Ok(None);
        }
        pack::without_history(&self.git, base, state).await.map(Some)
    }

    /// The snapshot as a bundle.
    pub async fn pack(&self, snapshot: &Snapshot) -> Result<Packed, WorkspaceError> {
        Packed::of(&self.git, snapshot).await
    }

    /// Takes a result in: afterwards `commit` and all it leads to are there, and nothing leads to them yet.
    pub async fn receive(&self, state: &str, commit: &str, bytes: &[u8]) -> Result<(), WorkspaceError> {
        if !is_commit(commit) || !is_commit(state) {
            return Err(WorkspaceError::Refused("the result names no commit".to_owned()));
        }
        pack::unpack(&self.git, bytes).await?;
        self.check(state, commit).await
    }

    /// As [`receive`](Self::receive), of a result that comes piece by piece, as [`Mirror::changes`](super::Mirror::changes)
    /// tells it.
    pub async fn fetch(&self, state: &str, commit: &str, pieces: Pieces) -> Result<(), WorkspaceError> {
        aside::take_in(&self.git, &self.objects().await?, pieces).await?;
        self.check(state, commit).await
    }

    /// Whether a result is here, whole, and of files that a repository may have.
    pub async fn check(&self, state: &str, commit: &str) -> Result<(), WorkspaceError> {
        let there = self.git.says(&["cat-file", "-e", &format!("{commit}^{{commit}}")], b"").await?;
        there.map_err(|_| WorkspaceError::Refused(format!("the result's commit {commit} is not here")))?;
        pack::check_whole(&self.git, commit, &[state.to_owned()]).await?;
        tree::look(&self.git, commit).await.map(|_| ())
    }

    /// Puts the branch of a job at its result; one that somebody else moved stays. `before` is the result that it was
    /// put at last.
    pub async fn branch(
        &self,
        job: &SessionId,
        commit: &str,
        before: Option<&str>,
    ) -> Result<Branch, WorkspaceError> {
        let name = format!("{BRANCH_PREFIX}{job}");
        let full = format!("refs/heads/{name}");
        let now = self.git.text(&["rev-parse", "--verify", "--quiet", &full]).await.ok();
        if now.as_deref() == Some(commit) {
            return Ok(Branch::At(name));
        }
        let is_ours = now.is_none() || now.as_deref() == before;
        let out = self.git.bytes(&["worktree", "list", "--porcelain", "-z"], b"").await?;
        let used = String::from_utf8_lossy(&out).split('\0').any(|line| line == format!("branch {full}"));
        if !is_ours || used {
            return Ok(Branch::Kept(name));
        }
        // Only from what was seen, so that nobody's commit is lost.
        let old = now.unwrap_or_else(|| "0".repeat(commit.len()));
        self.git.bytes(&["update-ref", &full, commit, &old], b"").await?;
        Ok(Branch::At(name))
    }
}

/// What keeps a job's snapshot. `refs/darkmux/<job>` would be what `darkmux/<job>` means to git, before the branch.
fn pin(job: &SessionId) -> String {
    format!("refs/darkmux-jobs/{job}")
}
