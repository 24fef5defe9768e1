//! Everything that a work tree holds, as one commit: what is committed, staged, changed, deleted or new, and not ignored.

use std::path::Path;

use super::git::Git;
use super::{WorkspaceError, tree};
use crate::model::SessionId;

/// A work tree as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The commit that was checked out.
    pub base: String,
    /// A commit of everything; its second parent, where there is one, holds what was staged. `base` where nothing
    /// was changed.
    pub state: String,
    /// Commits at which the repository's own history is cut.
    pub shallow: Vec<String>,
    /// What does not travel, in words.
    pub notes: Vec<String>,
}

/// Takes the snapshot of a work tree of the user, whose index and files stay as they are.
pub async fn take(git: &Git, root: &Path, job: &SessionId) -> Result<Snapshot, WorkspaceError> {
    let head = git.text(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]).await;
    let base = head.map_err(|_| {
        WorkspaceError::Refused(format!("the repository {} has no commit yet; make one", root.display()))
    })?;
    let scratch = tempfile::tempdir().map_err(WorkspaceError::file(&std::env::temp_dir()))?;
    let index = scratch.path().join("index");
    let own = root.join(git.text(&["rev-parse", "--git-path", "index"]).await?);
    if own.exists() {
        copy_index(&own, &index).map_err(WorkspaceError::file(&own))?;
    }
    let git = git.clone().var("GIT_INDEX_FILE", &index);
    tree::bound_loose(&git, root).await?;
    let mut notes = Vec::new();
    let base_tree = git.text(&["rev-parse", &format!("{base}^{{tree}}")]).await?;
    // Conflicts cannot be written; the files with their marks can.
    let staged = git.text(&["write-tree"]).await.ok();
    if staged.is_none() {
        notes
            .push("a merge with conflicts is going on: its files travel, what is staged does not".to_owned());
    }
    git.bytes(&["add", "-A"], b"").await?;
    let all = git.text(&["write-tree"]).await?;
    let staged = staged.filter(|staged| *staged != base_tree);
    let state = if all == base_tree && staged.is_none() {
        base.clone()
    } else {
        let git = identity(git.clone());
        let index = match staged {
            Some(staged) => {
                Some(commit(&git, &staged, &[&base], &format!("What was staged for {job}")).await?)
            }
            None => None,
        };
        let parents: Vec<&str> = std::iter::once(base.as_str()).chain(index.as_deref()).collect();
        commit(&git, &all, &parents, &format!("What was not committed when {job} began")).await?
    };
    let found = tree::look(&git, &state).await?;
    if !found.gitlinks.is_empty() {
        let count = found.gitlinks.len();
        notes.push(format!("{count} submodules or repositories inside of it stay empty there"));
    }
    if found.has_lfs {
        notes.push("files of Git LFS travel as pointers, without their content".to_owned());
    }
    Ok(Snapshot { base, state, shallow: shallow(&git, root).await?, notes })
}

/// With its time: by that git knows which files may have changed since without looking it.
fn copy_index(own: &Path, copy: &Path) -> std::io::Result<()> {
    let modified = std::fs::metadata(own)?.modified()?;
    std::fs::copy(own, copy)?;
    std::fs::OpenOptions::new().write(true).open(copy)?.set_modified(modified)
}

/// Makes a commit of a tree.
pub async fn commit(
    git: &Git,
    tree: &str,
    parents: &[&str],
    message: &str,
) -> Result<String, WorkspaceError> {
    let mut args = vec!["commit-tree", tree, "-m", message];
    for parent in parents {
        args.extend(["-p", parent]);
    }
    git.text(&args).await
}

/// Who commits what nobody committed.
pub fn identity(git: Git) -> Git {
    let (name, mail) = ("darkmux", "darkmux@localhost");
    git.var("GIT_AUTHOR_NAME", name)
        .var("GIT_AUTHOR_EMAIL", mail)
        .var("GIT_COMMITTER_NAME", name)
        .var("GIT_COMMITTER_EMAIL", mail)
}

async fn shallow(git: &Git, root: &Path) -> Result<Vec<String>, WorkspaceError> {
    let file = root.join(git.text(&["rev-parse", "--git-path", "shallow"]).await?);
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(WorkspaceError::file(&file)(error)),
    }
}
