//! The folder of a job: the repository as it was where the job was dispatched, with what was not committed there.

use std::fs;
use std::path::{Path, PathBuf};

use super::git::{Git, Pieces};
use super::mirror::{Mirror, object_format};
use super::{BRANCH_PREFIX, WorkspaceError, aside, pack, tree};
use crate::wire::Workspace;

/// What becomes a job's folder.
#[derive(Debug)]
pub struct Placing<'a> {
    /// The machine's copy of the repository.
    pub mirror: &'a Mirror,
    /// The repository and the commits.
    pub workspace: &'a Workspace,
    /// The folder, which is the job's alone; what is in it goes.
    pub folder: &'a Path,
    /// Folders whose clones may have what the bundle builds upon.
    pub roots: &'a [PathBuf],
}

impl Placing<'_> {
    /// Makes the folder from a repository of this machine, without copying its objects.
    pub async fn beside(&self, objects: &Path) -> Result<PathBuf, WorkspaceError> {
        self.mirror.borrow(objects)?;
        let git = self.begin_with(&self.workspace.bundle.shallow).await?;
        self.finish(&git, &self.workspace.bundle.needs).await
    }

    /// Makes the folder from a pack of everything but the history, which comes piece by piece.
    pub async fn fetch(&self, pieces: Pieces) -> Result<PathBuf, WorkspaceError> {
        let git = self.begin_with(std::slice::from_ref(&self.workspace.base)).await?;
        aside::take_in(&git, &self.mirror.objects(), pieces).await?;
        self.finish(&git, &[]).await
    }

    /// Makes the folder from the bundle's bytes. Returns where the job begins.
    pub async fn unpack(&self, bytes: &[u8]) -> Result<PathBuf, WorkspaceError> {
        let needs = &self.workspace.bundle.needs;
        if !needs.is_empty() && !self.mirror.find(needs, self.roots).await? {
            let short: String = needs[0].chars().take(12).collect();
            return Err(WorkspaceError::Lacks(format!(
                "the bundle of its repository builds upon commit {short}, which no clone in the folders of runner.workdirs has"
            )));
        }
        let git = self.begin_with(&self.workspace.bundle.shallow).await?;
        pack::unpack(&self.to_mirror(&git), bytes).await?;
        self.finish(&git, needs).await
    }

    /// Git in the folder that puts objects into the mirror.
    pub(super) fn to_mirror(&self, git: &Git) -> Git {
        git.clone().var("GIT_OBJECT_DIRECTORY", self.mirror.objects())
    }

    /// An empty repository whose history ends at these commits.
    async fn begin_with(&self, shallow: &[String]) -> Result<Git, WorkspaceError> {
        self.empty()?;
        self.init(shallow).await
    }

    /// Checks what is there now, which builds upon `needs`, and checks it out.
    async fn finish(&self, git: &Git, needs: &[String]) -> Result<PathBuf, WorkspaceError> {
        let Workspace { base, state, .. } = self.workspace;
        let first = if base == state { state.clone() } else { format!("{state}^1") };
        let found = git.text(&["rev-parse", "--verify", "--quiet", &format!("{first}^{{commit}}")]).await;
        if found.as_ref() != Ok(base) {
            let words = "the commits of its workspace are not in its bundle, or not each other's".to_owned();
            return Err(WorkspaceError::Refused(words));
        }
        pack::check_whole(git, state, needs).await?;
        tree::look(git, state).await?;
        git.bytes(&["update-ref", "HEAD", base], b"").await?;
        git.bytes(&["read-tree", "--reset", "-u", state], b"").await?;
        let staged = git.text(&["rev-parse", "--verify", "--quiet", &format!("{state}^2^{{tree}}")]).await;
        git.bytes(&["read-tree", staged.as_deref().unwrap_or(base)], b"").await?;
        // It says which files are changed, which is no failure.
        let _ = git.says(&["update-index", "-q", "--refresh"], b"").await?;
        if let Some((name, mail)) = &self.workspace.author {
            git.bytes(&["config", "user.name", name], b"").await?;
            git.bytes(&["config", "user.email", mail], b"").await?;
        }
        Ok(self.begin())
    }

    /// What an attempt of the same token left half made goes.
    fn empty(&self) -> Result<(), WorkspaceError> {
        let failed = |error| WorkspaceError::file(self.folder)(error);
        for entry in fs::read_dir(self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_dir = entry.file_type().map_err(failed)?.is_dir();
            let removed =
                if is_dir { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
            removed.map_err(WorkspaceError::file(&entry.path()))?;
        }
        Ok(())
    }

    /// An empty repository that borrows from the mirror, on a branch of its own.
    async fn init(&self, shallow: &[String]) -> Result<Git, WorkspaceError> {
        let name = self.folder.file_name().unwrap_or_default().to_string_lossy();
        let branch = format!("{BRANCH_PREFIX}{name}");
        let own = self.folder.join(".git");
        let outside = Git::neutral(self.mirror.env(), self.folder);
        let format = object_format(&self.workspace.base);
        outside.bytes(&["init", "-q", "--template=", "-b", &branch, format, "."], b"").await?;
        let info = own.join("objects/info");
        let alternates = format!("{}\n", self.mirror.objects().display());
        let written = fs::create_dir_all(&info).and_then(|()| fs::write(info.join("alternates"), alternates));
        written.map_err(WorkspaceError::file(&info))?;
        if !shallow.is_empty() {
            let file = own.join("shallow");
            fs::write(&file, shallow.join("\n") + "\n").map_err(WorkspaceError::file(&file))?;
        }
        Ok(self.git())
    }

    /// Git in the folder's repository.
    pub(super) fn git(&self) -> Git {
        let git = Git::neutral(self.mirror.env(), self.folder);
        git.var("GIT_DIR", self.folder.join(".git")).var("GIT_WORK_TREE", self.folder)
    }

    /// The folder that the caller was in, where it is there and is no way out.
    pub(super) fn begin(&self) -> PathBuf {
        let wanted = self.folder.join(&self.workspace.folder);
        let real = |path: &Path| path.canonicalize().ok();
        let inside =
            real(&wanted).zip(real(self.folder)).is_some_and(|(wanted, root)| wanted.starts_with(root));
        if inside && wanted.is_dir() && !self.workspace.folder.is_empty() {
            wanted
        } else {
            self.folder.to_owned()
        }
    }
}
