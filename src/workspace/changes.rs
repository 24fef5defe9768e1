//! What a job that still runs has changed so far, small enough to go along with its conversation: where its machine is
//! lost, the next attempt on another one has these files.

use std::path::{Path, PathBuf};

use super::collect::Looked;
use super::git::Git;
use super::mirror::Mirror;
use super::pack::{self, Packed};
use super::place::Placing;
use super::{WorkspaceError, tree};
use crate::model::SessionId;
use crate::wire::{CHANGES_MAX, is_commit};

/// The changes of a job, upon what it began with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The commit that was checked out in its folder.
    head: String,
    /// A commit of everything that was there.
    commit: String,
    /// What that adds; empty where nothing was changed.
    pack: Vec<u8>,
}

impl Changes {
    /// As they are sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        [format!("{}\n{}\n", self.head, self.commit).as_bytes(), &self.pack].concat()
    }

    /// From what was sent; `None` for what is none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
        let mut commit = || {
            let text = std::str::from_utf8(parts.next()?).ok()?;
            is_commit(text).then(|| text.to_owned())
        };
        let (head, commit) = (commit()?, commit()?);
        Some(Self { head, commit, pack: parts.next()?.to_vec() })
    }
}

impl Mirror {
    /// What the job `job` has changed so far in `folder`; `None` where that is more than goes along. `index` is a file that
    /// is kept from one look to the next.
    pub async fn changes_so_far(
        &self,
        folder: &Path,
        (base, state): (&str, &str),
        job: &SessionId,
        index: &Path,
    ) -> Result<Option<Changes>, WorkspaceError> {
        let Looked { git, head, commit, .. } = self.look(folder, (base, state), job, index).await?;
        if commit == state {
            return Ok(Some(Changes { head, commit, pack: Vec::new() }));
        }
        let packed = Packed::between(&git, &[state.to_owned()], &commit, CHANGES_MAX).await?;
        Ok(packed.map(|packed| Changes { head, commit, pack: packed.bytes }))
    }
}

impl Placing<'_> {
    /// Makes the folder, which was just placed, what another machine's was. Returns where the job begins. Changes that can't
    /// be taken over are [`WorkspaceError::Refused`], and the folder is as it was.
    pub async fn go_on(&self, changes: &Changes) -> Result<PathBuf, WorkspaceError> {
        let git = self.git();
        let judged = self.judge(&git, changes).await;
        judged.map_err(|error| WorkspaceError::Refused(error.to_string()))?;
        let Changes { head, commit, .. } = changes;
        let state = &self.workspace.state;
        if commit != state {
            let index = self.folder.join(".git/index");
            let before = std::fs::read(&index).map_err(WorkspaceError::file(&index))?;
            git.bytes(&["read-tree", state], b"").await?;
            let _ = git.says(&["update-index", "-q", "--refresh"], b"").await?;
            git.bytes(&["read-tree", "-m", "-u", state, commit], b"").await?;
            std::fs::write(&index, before).map_err(WorkspaceError::file(&index))?;
        }
        if *head != self.workspace.base {
            git.bytes(&["update-ref", "HEAD", head], b"").await?;
            git.bytes(&["read-tree", head], b"").await?;
        }
        let _ = git.says(&["update-index", "-q", "--refresh"], b"").await?;
        Ok(self.begin())
    }

    /// Takes the objects in, and looks whether they are whole and what a folder may hold.
    async fn judge(&self, git: &Git, changes: &Changes) -> Result<(), WorkspaceError> {
        let Changes { head, commit, pack } = changes;
        let state = &self.workspace.state;
        if commit != state {
            pack::unpack(&self.to_mirror(git), pack).await?;
            pack::check_whole(git, commit, std::slice::from_ref(state)).await?;
            tree::look(git, commit).await?;
        }
        let upon = git.says(&["merge-base", "--is-ancestor", head, commit], b"").await?;
        upon.map_err(|_| WorkspaceError::Refused("its commits are not each other's".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_as_they_were_sent_and_nothing_else_is() {
        let changes = Changes { head: "a".repeat(40), commit: "b".repeat(40), pack: b"PACK\n\0\n".to_vec() };
        assert_eq!(Changes::from_bytes(&changes.to_bytes()), Some(changes.clone()));
        let none = Changes { pack: Vec::new(), ..changes };
        assert_eq!(Changes::from_bytes(&none.to_bytes()), Some(none));
        let commit = "a".repeat(40);
        for bytes in [
            String::new(),
            commit.clone(),
            format!("{commit}\n{commit}"),
            format!("HEAD\n{commit}\n"),
            format!("{commit}\n--all\n"),
        ] {
            assert_eq!(Changes::from_bytes(bytes.as_bytes()), None, "{bytes}");
        }
    }
}
