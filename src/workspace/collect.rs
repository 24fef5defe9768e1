//! What a job left in its folder, as a commit upon what it began with. The job could write everything there, its repository's
//! settings and hooks included; so git runs in the mirror alone, with the mirror's settings, and of the job's repository only its
//! objects are read by git, and its `HEAD` by us.

use std::fs;
use std::path::{Path, PathBuf};

use super::git::Git;
use super::mirror::{Mirror, alternates};
use super::pack::Packed;
use super::{WorkspaceError, head, snapshot, tree};
use crate::model::SessionId;
use crate::util::visible_line;
use crate::wire::BUNDLE_MAX;

/// Most names of changed files that are told, and their longest, in characters.
const FILES_MAX: usize = 100;
const NAME_MAX: usize = 300;

/// What a job left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The commit; what the job began with where it changed nothing.
    pub commit: String,
    /// How many files it changed.
    pub changed: u64,
    /// The first of them.
    pub files: Vec<String>,
    /// What the commit adds; `None` where it adds nothing, or more than goes through Redis.
    pub packed: Option<Packed>,
    /// What is left out, in words.
    pub notes: Vec<String>,
}

/// What a folder holds.
pub(super) struct Looked {
    /// Git in the mirror, which also finds what the job committed itself.
    pub git: Git,
    /// The commit that is checked out there.
    pub head: String,
    /// A commit of everything; what the job began with where it changed nothing.
    pub commit: String,
    /// What is left out, in words.
    notes: Vec<String>,
}

impl Mirror {
    /// What the job `job` left in `folder`, which it got with `state` upon `base`.
    pub async fn collect(
        &self,
        folder: &Path,
        (base, state): (&str, &str),
        job: &SessionId,
    ) -> Result<Left, WorkspaceError> {
        let scratch = tempfile::tempdir().map_err(WorkspaceError::file(&std::env::temp_dir()))?;
        let index = scratch.path().join("index");
        let Looked { git, commit, notes, .. } = self.look(folder, (base, state), job, &index).await?;
        let args = ["diff-tree", "-r", "-z", "--name-only", "--no-renames", state, &commit];
        let listed = git.bytes(&args, b"").await?;
        let changed: Vec<&[u8]> = listed.split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
        let packed = if commit == state {
            None
        } else {
            Packed::between(&git, &[state.to_owned()], &commit, BUNDLE_MAX).await?
        };
        Ok(Left {
            changed: changed.len() as u64,
            files: changed.iter().take(FILES_MAX).map(|name| shown(name)).collect(),
            commit,
            packed,
            notes,
        })
    }

    /// What is in the folder of a job. `index` is git's for this: what it knows of an earlier look is not read again.
    pub(super) async fn look(
        &self,
        folder: &Path,
        (base, state): (&str, &str),
        job: &SessionId,
        index: &Path,
    ) -> Result<Looked, WorkspaceError> {
        let mut notes = Vec::new();
        let own = folder.join(".git");
        let mut git = self.git().var("GIT_WORK_TREE", folder);
        let mut head = base.to_owned();
        match own_objects(self, git.clone(), &own) {
            Ok(with_own) => {
                git = with_own;
                match checked_out(&git, own).await? {
                    Some(found) => head = found,
                    None => notes.push("its repository has no commit checked out any more".to_owned()),
                }
            }
            Err(why) => notes.push(format!("what it committed itself is left out: {why}")),
        }
        let git = snapshot::identity(git.var("GIT_INDEX_FILE", index));
        let all = add_all(&git, folder, state, &mut notes).await?;
        let tree_of = async |commit: &str| git.text(&["rev-parse", &format!("{commit}^{{tree}}")]).await;
        let commit = if head != base && tree_of(&head).await? == all {
            head.clone()
        } else if head == base && tree_of(state).await? == all {
            state.to_owned()
        } else {
            let parent = if head == base { state } else { head.as_str() };
            snapshot::commit(&git, &all, &[parent], &format!("What {job} left")).await?
        };
        Ok(Looked { git, head, commit, notes })
    }
}

/// The commit that the job's repository has checked out, where git in the mirror finds it among the objects.
async fn checked_out(git: &Git, own: PathBuf) -> Result<Option<String>, WorkspaceError> {
    let read = tokio::task::spawn_blocking(move || head::head(&own)).await;
    let Ok(Some(found)) = read else { return Ok(None) };
    let is_there = git.says(&["cat-file", "-e", &format!("{found}^{{commit}}")], b"").await?.is_ok();
    Ok(is_there.then_some(found))
}

fn shown(name: &[u8]) -> String {
    visible_line(&String::from_utf8_lossy(name)).chars().take(NAME_MAX).collect()
}

/// Git that finds what the job committed itself: its repository must still be where it was, and borrow from nowhere else.
pub(super) fn own_objects(mirror: &Mirror, git: Git, own: &Path) -> Result<Git, String> {
    for folder in [own.to_owned(), own.join("objects"), own.join("objects/info")] {
        let is_dir = fs::symlink_metadata(&folder).is_ok_and(|meta| meta.is_dir());
        if !is_dir {
            return Err("its repository is no longer there".to_owned());
        }
    }
    let lines = alternates(&own.join("objects"));
    let expected = format!("{}\n", mirror.objects().display());
    if lines.is_ok_and(|lines| lines == expected) {
        Ok(git.var("GIT_ALTERNATE_OBJECT_DIRECTORIES", own.join("objects")))
    } else {
        Err("its repository borrows from elsewhere".to_owned())
    }
}

/// The tree of everything in the folder that is not ignored. Submodules stay as they were, and repositories that the
/// job made inside of it are left out.
async fn add_all(
    git: &Git,
    folder: &Path,
    state: &str,
    notes: &mut Vec<String>,
) -> Result<String, WorkspaceError> {
    // With `-m` the index keeps what it knows of files that are as they were.
    git.bytes(&["read-tree", "-m", state], b"").await?;
    let submodules = tree::look(git, state).await?.gitlinks;
    // Not in the index: git would run in them, with their settings.
    remove(git, &submodules).await?;
    let _ = git.says(&["update-index", "-q", "--refresh"], b"").await?;
    tree::bound_loose(git, folder).await?;
    if let Err(why) = git.says(&["add", "-A", "--ignore-errors"], b"").await? {
        let why = why.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or_default();
        notes.push(format!("some files are left out: {}", visible_line(why)));
    }
    let listed = git.bytes(&["ls-files", "-s", "-z"], b"").await?;
    let inside: Vec<tree::Gitlink> = listed.split(|byte| *byte == 0).filter_map(gitlink).collect();
    remove(git, &inside).await?;
    let made = inside.iter().filter(|link| submodules.iter().all(|known| known.path != link.path)).count();
    if made > 0 {
        notes.push(format!("{made} repositories that it made inside of it are left out"));
    }
    index_info(git, &submodules, |link| format!("160000 {}\t", link.commit)).await?;
    git.text(&["write-tree"]).await
}

/// An entry of the index that is a repository.
fn gitlink(entry: &[u8]) -> Option<tree::Gitlink> {
    let tab = entry.iter().position(|byte| *byte == b'\t')?;
    let head = std::str::from_utf8(&entry[..tab]).ok()?;
    let commit = head.strip_prefix("160000 ")?.split(' ').next()?.to_owned();
    Some(tree::Gitlink { commit, path: entry[tab + 1..].to_owned() })
}

async fn remove(git: &Git, links: &[tree::Gitlink]) -> Result<(), WorkspaceError> {
    index_info(git, links, |link| format!("0 {}\t", "0".repeat(link.commit.len()))).await
}

async fn index_info(
    git: &Git,
    links: &[tree::Gitlink],
    head: impl Fn(&tree::Gitlink) -> String,
) -> Result<(), WorkspaceError> {
    if links.is_empty() {
        return Ok(());
    }
    let entries = links.iter().flat_map(|link| [head(link).as_bytes(), link.path.as_slice(), b"\0"].concat());
    let entries: Vec<u8> = entries.collect();
    git.bytes(&["update-index", "-z", "--index-info"], &entries).await.map(|_| ())
}
