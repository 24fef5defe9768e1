//! The worktree of a session on this machine: the repository as it is, in a folder of its own.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::args::DispatchArgs;
use crate::cli::job::workspace_failure;
use crate::cli::session::workdir;
use crate::cli::{Cx, Exit, Failure};
use crate::config::Config;
use crate::crew::Role;
use crate::model::{Access, MachineId, Runtime, SessionId};
use crate::store::ensure_private_dir;
use crate::util::{clock, visible_line};
use crate::wire::{Bundle, Workspace};
use crate::workspace::{Mirror, Placing, Record, Records, Source, Where, WorkspaceError};

/// The repository that the role gets a worktree of: agents that may write do, in a repository, unless the user sits
/// with them or says otherwise.
pub async fn wanted(cx: &Cx, args: &DispatchArgs, role: &Role) -> Result<Option<Source>, Failure> {
    let is_command = matches!(role.manifest.runtime, Runtime::Shell | Runtime::Command(_));
    let writes = matches!(role.manifest.tool_palette.access(), Access::Write | Access::WriteExec);
    let by_itself = !is_command && writes && !args.interactive;
    if args.no_repo || args.workdir.is_some() || !(args.worktree || by_itself) {
        return Ok(None);
    }
    let here = std::env::current_dir()?;
    let found = Source::find(&cx.env, &here).await.map_err(|error| workspace_failure(&error))?;
    if found.is_none() && args.worktree {
        let words = format!("{} is in no git repository; leave --worktree out", here.display());
        return Err(Failure::new(Exit::Usage, words));
    }
    Ok(found)
}

/// The worktree's folder, and the one that the session begins in.
pub fn folder(config: &Config, source: &Source, id: &SessionId) -> (PathBuf, PathBuf) {
    let folder = config.paths.worktrees().join(id.as_str());
    let cwd = if source.folder().is_empty() { folder.clone() } else { folder.join(source.folder()) };
    (folder, cwd)
}

/// A folder that goes again unless it is kept.
struct Guard {
    folder: PathBuf,
    kept: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = fs::remove_dir_all(&self.folder)
        {
            tracing::debug!(%error, folder = %self.folder.display(), "stays until the daemon sweeps");
        }
    }
}

/// A worktree that was made. Without its session it goes again.
pub struct Placed {
    cwd: PathBuf,
    record: Record,
    guard: Guard,
}

impl Placed {
    /// Makes it.
    pub async fn make(
        cx: &Cx,
        config: &Config,
        source: &Source,
        (id, machine): (&SessionId, &MachineId),
    ) -> Result<Self, Failure> {
        let refused = |error: WorkspaceError| {
            Failure::new(Exit::Failed, format!("{error} (--no-repo works in the folder itself)"))
        };
        let (folder, cwd) = folder(config, source, id);
        let root = config.paths.worktrees();
        let make = || {
            ensure_private_dir(&root)?;
            DirBuilder::new().mode(0o700).create(&folder)
        };
        make().map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", folder.display())))?;
        let guard = Guard { folder, kept: false };
        let snapshot = source.snapshot(id).await.map_err(refused)?;
        source.keep(id, &snapshot.state).await.map_err(refused)?;
        for note in &snapshot.notes {
            cx.printer.note(&format!("note: {note}"));
        }
        let (repo, author) = (source.name(machine).await, source.author().await);
        let bundle = Bundle::at(machine.clone(), snapshot.shallow);
        let (base, state, below) = (snapshot.base, snapshot.state, source.folder().to_owned());
        let workspace = Workspace { repo, base, state, folder: below, author, bundle };
        let mirror = Mirror::open(&cx.env, &config.paths.mirrors(), &workspace.repo, &workspace.base).await;
        let mirror = mirror.map_err(refused)?;
        let placing = Placing { mirror: &mirror, workspace: &workspace, folder: &guard.folder, roots: &[] };
        placing.beside(&source.objects().await.map_err(refused)?).await.map_err(refused)?;
        // A folder without a file is in no commit.
        fs::create_dir_all(&cwd)?;
        let cwd = workdir(Some(&cwd))?;
        let record = Record {
            schema: 1,
            id: id.clone(),
            root: source.root().to_owned(),
            base: workspace.base,
            state: workspace.state,
            repo: workspace.repo,
            at_ms: clock::unix_ms(cx.clock.now()),
            runs: Where::Here(guard.folder.clone()),
            result: None,
        };
        cx.printer.note(&format!(
            "in a worktree of its own: {} (--no-repo runs here)",
            visible_line(&guard.folder.to_string_lossy())
        ));
        Ok(Self { cwd, record, guard })
    }

    /// Where the session begins.
    pub fn cwd(&self) -> &Path {
        &self.cwd
    }

    /// Its session runs: it stays. What is remembered of it.
    pub fn keep(mut self, cx: &Cx, config: &Config) -> Record {
        self.guard.kept = true;
        if let Err(error) = Records::new(config.paths.workspaces()).keep(&self.record) {
            let id = &self.record.id;
            cx.printer.warn(&format!("`darkmux job diff {id}` will not know of the worktree: {error}"));
        }
        self.record
    }
}
