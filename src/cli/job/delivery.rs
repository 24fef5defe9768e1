//! What a job made of the caller's repository, taken into it as a branch. No file changes by that.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::fetch::{self, Pack};
use super::link;
use crate::cli::printer::DIM;
use crate::cli::{Cx, Exit, Failure};
use crate::model::{MachineId, SessionId};
use crate::util::visible_line;
use crate::wire::Bundle;
use crate::work::{JobView, Queue};
use crate::workspace::{BRANCH_PREFIX, Branch, Mirror, Record, Records, Source, Where, WorkspaceError};

/// Changed files that are named.
const FILES_MAX: usize = 100;

/// A failure of what has to do with the caller's repository.
pub fn workspace_failure(error: &WorkspaceError) -> Failure {
    Failure::new(Exit::Failed, format!("{error} (--no-repo leaves the repository here)"))
}

/// What came back of a repository.
pub struct Delivery {
    id: SessionId,
    came: Result<Back, String>,
}

/// A result that is in the caller's repository.
pub struct Back {
    /// The repository.
    pub source: Source,
    /// What the job began with.
    pub state: String,
    /// What it left.
    pub commit: String,
    /// The branch; `None` where nothing was changed, or the job still runs.
    pub branch: Option<Branch>,
    changed: u64,
    files: Vec<String>,
    /// What is left out.
    pub note: Option<String>,
}

/// A result before it is in the repository.
struct Sent {
    commit: String,
    way: Way,
    note: Option<String>,
}

/// How its objects come.
enum Way {
    /// They are in the repository.
    Here,
    /// As these bytes.
    Bytes(Vec<u8>),
    /// From the folder of a session of this machine.
    Folder(Mirror, PathBuf),
    /// From this machine, whose daemon is a peer of ours, or ours.
    Machine(MachineId),
}

impl Delivery {
    /// Takes in the result of a job of the queue that left this machine with a repository.
    pub async fn of_job(cx: &Cx, queue: &Queue, job: &JobView) -> Option<Self> {
        job.spec.as_ref()?.workspace.as_ref()?;
        let record = records(cx).ok()?.get(&job.id).ok().flatten()?;
        Some(Self::of(cx, Some((queue, job)), &record).await)
    }

    /// Takes in the result of a session of this machine that was dispatched into a worktree of its own.
    pub async fn of_session(cx: &Cx, id: &SessionId) -> Option<Self> {
        let record = records(cx).ok()?.get(id).ok().flatten()?;
        Some(Self::of(cx, None, &record).await)
    }

    /// Takes in the result of the job that `record` tells of: from the queue, or from its folder on this machine.
    pub async fn of(cx: &Cx, fleet: Option<(&Queue, &JobView)>, record: &Record) -> Self {
        let came = take_in(cx, fleet, record, true).await;
        Self { id: record.id.clone(), came: came.map_err(|failure| failure.words().to_owned()) }
    }

    /// For a document.
    pub fn document(&self) -> Value {
        match &self.came {
            Ok(back) => back.document(),
            Err(why) => json!({ "error": why }),
        }
    }

    /// In words, for who waited.
    pub fn tell(&self, cx: &Cx) {
        let (printer, id) = (&cx.printer, &self.id);
        let back = match &self.came {
            Ok(back) => back,
            Err(why) => {
                printer.warn(&format!("what {id} changed did not come back: {why}"));
                return;
            }
        };
        if let Some(note) = &back.note {
            printer.warn(&visible_line(note));
        }
        let files = if back.changed == 1 { "1 file".to_owned() } else { format!("{} files", back.changed) };
        match &back.branch {
            None => printer.note(&format!("{DIM}it changed nothing in the repository{DIM:#}")),
            Some(Branch::At(name)) => printer.note(&format!(
                "{files} changed · branch {name}{DIM} · darkmux job diff {id} · darkmux job apply {id}{DIM:#}"
            )),
            Some(Branch::Kept(name)) => printer.note(&format!(
                "{files} changed; the branch {name} is in use or was moved, and stays as it is: the result is commit {}",
                back.commit
            )),
        }
    }
}

impl Back {
    /// For a document.
    pub fn document(&self) -> Value {
        let branch = match &self.branch {
            Some(Branch::At(name)) => Some(name),
            _ => None,
        };
        json!({
            "state": self.state,
            "commit": self.commit,
            "branch": branch,
            "changed": self.changed,
            "files": self.files,
            "error": self.note,
        })
    }
}

/// The records of this machine.
pub fn records(cx: &Cx) -> Result<Records, Failure> {
    Ok(Records::new(cx.config()?.paths.workspaces()))
}

/// Has a result in the repository that its job was dispatched from; with `branch`, as a branch too.
pub async fn take_in(
    cx: &Cx,
    fleet: Option<(&Queue, &JobView)>,
    record: &Record,
    branch: bool,
) -> Result<Back, Failure> {
    let failed = |error: WorkspaceError| Failure::new(Exit::Failed, error);
    let source = Source::find(&cx.env, &record.root).await.map_err(failed)?;
    let source = source.filter(|source| source.root() == record.root).ok_or_else(|| {
        let root = record.root.display();
        Failure::new(Exit::Failed, format!("the repository {root} that it was dispatched from is gone"))
    })?;
    let sent = match (&record.runs, fleet) {
        (Where::Fleet, Some((queue, job))) => from_fleet(&source, queue, job, record).await?,
        (Where::Fleet, None) => Sent {
            commit: record.result.clone().ok_or_else(|| {
                Failure::new(
                    Exit::Unreachable,
                    format!(
                        "the result of {} is not here, and the queue that would know it is away or empty",
                        record.id
                    ),
                )
            })?,
            way: Way::Here,
            note: None,
        },
        (Where::Here(folder), _) => from_here(cx, record, folder).await?,
    };
    let Sent { commit, way, note } = sent;
    let state = record.state.clone();
    if commit == state {
        return Ok(Back { source, state, commit, branch: None, changed: 0, files: Vec::new(), note });
    }
    match way {
        Way::Here => source.check(&state, &commit).await.map_err(failed)?,
        Way::Bytes(bytes) => source.receive(&state, &commit, &bytes).await.map_err(failed)?,
        Way::Folder(mirror, folder) => {
            let gone =
                || Failure::new(Exit::Failed, format!("what it committed in {} is gone", folder.display()));
            let pack = mirror.changes(&folder, &state, &commit).await.map_err(failed)?.ok_or_else(gone)?;
            fetch::take_in(&source, (&state, &commit), Pack::Git(pack)).await?;
        }
        Way::Machine(machine) => {
            let pack = fetch::from_machine(cx, &record.id, &machine).await?;
            fetch::take_in(&source, (&state, &commit), pack).await?;
        }
    }
    let changes = source.changes(&state, &commit).await.map_err(failed)?;
    let put = if branch {
        Some(source.branch(&record.id, &commit, record.result.as_deref()).await.map_err(failed)?)
    } else {
        None
    };
    if matches!(put, Some(Branch::At(_))) && record.result.as_ref() != Some(&commit) {
        let record = Record { result: Some(commit.clone()), ..record.clone() };
        records(cx)?.keep(&record).map_err(failed)?;
    }
    let files = changes.iter().take(FILES_MAX).map(|change| change.path.clone()).collect();
    Ok(Back { source, state, commit, branch: put, changed: changes.len() as u64, files, note })
}

/// What the runner sent of a job that ended.
async fn from_fleet(source: &Source, queue: &Queue, job: &JobView, record: &Record) -> Result<Sent, Failure> {
    let nothing = |why: &str| Failure::new(Exit::Failed, format!("job {} {why}", job.id));
    if !job.state.is_final() {
        return Err(nothing(&format!("has not ended: it is {}", job.state.as_str())));
    }
    let result = job.result.as_ref().and_then(|result| result.workspace.as_ref());
    let result = result.ok_or_else(|| nothing("ended without having begun in its repository"))?;
    queue.check_workspace(&job.id, result).map_err(|error| link::failure(&error))?;
    if result.state != record.state {
        return Err(nothing("was dispatched from another state of the repository than this machine knows"));
    }
    let note = result.error.as_deref().map(|error| visible_line(error).into_owned());
    let way = match &result.bundle {
        Some(_) if source.check(&result.state, &result.commit).await.is_ok() => Way::Here,
        Some(Bundle { at: Some(machine), .. }) => Way::Machine(machine.clone()),
        Some(bundle) => Way::Bytes(queue.bundle(bundle).await.map_err(|error| link::failure(&error))?),
        None if result.commit != result.state => {
            return Err(nothing(note.as_deref().unwrap_or("sent nothing")));
        }
        None => Way::Here,
    };
    Ok(Sent { commit: result.commit.clone(), way, note })
}

/// What a session of this machine has in its folder now.
async fn from_here(cx: &Cx, record: &Record, folder: &std::path::Path) -> Result<Sent, Failure> {
    let failed = |error: WorkspaceError| Failure::new(Exit::Failed, error);
    if !folder.is_dir() {
        let branch =
            record.result.as_ref().map(|commit| Sent { commit: commit.clone(), way: Way::Here, note: None });
        return branch
            .ok_or_else(|| Failure::new(Exit::Failed, format!("its worktree {} is gone", folder.display())));
    }
    let config = cx.config()?;
    let mirror = Mirror::open(&cx.env, &config.paths.mirrors(), &record.repo, &record.base).await;
    let mirror = mirror.map_err(failed)?;
    let left = mirror.collect(folder, (&record.base, &record.state), &record.id).await.map_err(failed)?;
    let note = (!left.notes.is_empty()).then(|| left.notes.join("; "));
    let way = match left.packed {
        Some(packed) => Way::Bytes(packed.bytes),
        None => Way::Folder(mirror, folder.to_owned()),
    };
    Ok(Sent { commit: left.commit, way, note })
}

/// The branch of a job.
pub fn branch_of(id: &SessionId) -> String {
    format!("{BRANCH_PREFIX}{id}")
}

/// The record that the user named, and the job in the queue where it runs in the fleet and Redis answers.
pub async fn find(cx: &Cx, text: &str) -> Result<(Record, Option<(Queue, JobView)>), Failure> {
    let records = records(cx)?;
    let ids = records.ids();
    let exact = ids.iter().find(|id| id.as_str() == text);
    let mut like = ids
        .iter()
        .filter(|id| id.as_str().starts_with(text) || text.len() >= 4 && id.as_str().ends_with(text));
    let one = exact.or_else(|| like.next().filter(|_| like.next().is_none()));
    let queue = link::queue_of(cx.config()?)?;
    let id = match (one, &queue) {
        (Some(id), _) => id.clone(),
        (None, Some(queue)) => link::find(queue, text).await?,
        (None, None) => {
            let shown: String = visible_line(text).chars().take(80).collect();
            let words = format!("no job `{shown}` was dispatched from a repository of this machine");
            return Err(Failure::new(Exit::Failed, words));
        }
    };
    let record = records.get(&id).map_err(|error| Failure::new(Exit::Failed, error))?.ok_or_else(|| {
        let words = format!(
            "job {id} was not dispatched from a repository of this machine; ask on the machine that dispatched it \
             (`darkmux job show {id}` says which)"
        );
        Failure::new(Exit::Failed, words)
    })?;
    let view = match (&record.runs, queue) {
        (Where::Fleet, Some(queue)) => match queue.job(&id).await {
            Ok(view) => view.map(|view| (queue, view)),
            // What is here already can be shown.
            Err(error) if record.result.is_some() => {
                cx.printer.warn(&format!("this is what came back before: {error}"));
                None
            }
            Err(error) => return Err(link::failure(&error)),
        },
        _ => None,
    };
    Ok((record, view))
}
