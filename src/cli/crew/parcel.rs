//! The repository that a job of the queue takes along.

use std::time::Duration;

use super::args::DispatchArgs;
use crate::cli::job::{self, records, workspace_failure};
use crate::cli::{Cx, Exit, Failure};
use crate::client;
use crate::model::{MachineId, SessionId};
use crate::util::{clock, human};
use crate::wire::{BUNDLE_MAX, Bundle, JobSpec, Lane, Workspace};
use crate::work::{NOT_AFTER, Queue};
use crate::workspace::{self, Packed, Record, Source, Where, WorkspaceError};

/// How long a bundle stays after the last moment at which its job may start: a retry finds it.
const KEPT_LONGER: Duration = Duration::from_hours(24);

/// A bundle above this is worth a word, in bytes.
const WORTH_A_WORD: u64 = 1024 * 1024;

/// The repository that the job is dispatched from; `None` where it takes none along.
pub async fn source(cx: &Cx, args: &DispatchArgs) -> Result<Option<Source>, Failure> {
    if args.no_repo || args.workdir.is_some() {
        return Ok(None);
    }
    let here = std::env::current_dir()?;
    Source::find(&cx.env, &here).await.map_err(|error| workspace_failure(&error))
}

/// Keeps the job from machines that would run it without its repository.
pub fn require_workspace(lane: &mut Lane) {
    lane.require.push(workspace::LABEL.to_owned());
    lane.require.sort();
    lane.require.dedup();
}

/// What of a repository is in Redis for a job.
pub struct Parcel<'a> {
    source: &'a Source,
    record: Record,
    workspace: Workspace,
}

impl<'a> Parcel<'a> {
    /// Puts everything that is in the work tree now into Redis, and names it in the job's spec.
    pub async fn send(
        cx: &Cx,
        here: &MachineId,
        queue: &Queue,
        source: &'a Source,
        spec: &mut JobSpec,
    ) -> Result<Self, Failure> {
        let refused = |error| workspace_failure(&error);
        let snapshot = source.snapshot(&spec.id).await.map_err(refused)?;
        for note in &snapshot.notes {
            cx.printer.note(&format!("note: {note}"));
        }
        let kept = Duration::from_millis(spec.delay_ms) + NOT_AFTER + KEPT_LONGER;
        // What a peer would have to fetch is here while the daemon runs.
        let at = client::find(&cx.config()?.paths).ok().flatten().map(|_| here.clone());
        let bundle = match (source.pack(&snapshot).await, at) {
            (Ok(packed), at) => {
                let at = at.filter(|_| !packed.needs.is_empty());
                Bundle { at, ..put(queue, &spec.id, packed, kept).await? }
            }
            (Err(WorkspaceError::Refused(_)), Some(at)) => {
                let most = human::bytes(BUNDLE_MAX as u64);
                cx.printer.note(&format!(
                    "note: the repository has more than {most}; a machine that has {at} as its peer fetches it from here, while \
                     this machine is on"
                ));
                Bundle::at(at, snapshot.shallow)
            }
            (Err(WorkspaceError::Refused(why)), None) => {
                let words =
                    format!("{why}; or run `darkmux serve` here, so that peers fetch it from this machine");
                return Err(refused(WorkspaceError::Refused(words)));
            }
            (Err(error), _) => return Err(refused(error)),
        };
        if bundle.bytes >= WORTH_A_WORD {
            cx.printer.note(&format!("the repository takes {}", human::bytes(bundle.bytes)));
        }
        let workspace = Workspace {
            repo: source.name(here).await,
            base: snapshot.base,
            state: snapshot.state,
            folder: source.folder().to_owned(),
            author: source.author().await,
            bundle,
        };
        workspace
            .check()
            .map_err(|why| Failure::new(Exit::Usage, format!("{why}; --no-repo leaves it here")))?;
        spec.workspace = Some(workspace.clone());
        let record = Record {
            schema: 1,
            id: spec.id.clone(),
            root: source.root().to_owned(),
            base: workspace.base.clone(),
            state: workspace.state.clone(),
            repo: workspace.repo.clone(),
            at_ms: clock::unix_ms(cx.clock.now()),
            runs: Where::Fleet,
            result: None,
        };
        Ok(Self { source, record, workspace })
    }

    /// Whether a runner gets it from this machine, which must know of it before the job is accepted.
    pub fn is_fetched(&self) -> bool {
        self.workspace.bundle.at.is_some()
    }

    /// The job was accepted: this machine remembers where its result belongs.
    pub async fn keep(&self, cx: &Cx) {
        self.remember(cx, &self.record).await;
    }

    /// As [`keep`](Self::keep), before it is accepted; whether that was done. What is known of its id may be of a job that
    /// was accepted before, and stays.
    pub async fn keep_ahead(&self, cx: &Cx) -> bool {
        let is_new = self.is_unknown(cx);
        if is_new {
            self.keep(cx).await;
        }
        is_new
    }

    async fn remember(&self, cx: &Cx, record: &Record) {
        let kept = async {
            self.source.keep(&record.id, &record.state).await?;
            records(cx)?.keep(record)?;
            Ok::<_, Failure>(())
        };
        if let Err(failure) = kept.await {
            cx.printer.warn(&format!(
                "the job runs, and its result cannot be taken into this repository: {}",
                failure.words()
            ));
        }
    }

    /// The queue has a job already that this one came to: `id`. What was sent and kept for this one goes; where it is the same
    /// one, whose answer was lost, the result belongs to the state that it was accepted with.
    pub async fn give_way(&self, cx: &Cx, queue: &Queue, (id, kept): (&SessionId, bool)) {
        // Without an answer all of it stays, until its time is over.
        let Ok(Some(job)) = queue.job(id).await else { return };
        let accepted = job.spec.and_then(|spec| spec.workspace);
        if accepted.as_ref().is_none_or(|accepted| accepted.bundle.key != self.workspace.bundle.key) {
            self.drop_bundle(queue).await;
        }
        let is_ours = *id == self.record.id;
        match accepted.filter(|_| is_ours) {
            Some(accepted) if kept || self.is_unknown(cx) => {
                let Workspace { base, state, repo, .. } = accepted;
                self.remember(cx, &Record { base, state, repo, ..self.record.clone() }).await;
            }
            None if kept => self.forget(cx).await,
            _ => {}
        }
    }

    /// The job was refused for good.
    pub async fn withdraw(&self, cx: &Cx, queue: &Queue, kept: bool) {
        self.drop_bundle(queue).await;
        if kept {
            self.forget(cx).await;
        }
    }

    fn is_unknown(&self, cx: &Cx) -> bool {
        records(cx).is_ok_and(|records| matches!(records.get(&self.record.id), Ok(None)))
    }

    async fn forget(&self, cx: &Cx) {
        let id = &self.record.id;
        if let Err(error) = self.source.release(id).await {
            tracing::debug!(job = %id, %error, "its snapshot stays");
        }
        if let Ok(records) = records(cx)
            && let Err(error) = records.forget(id)
        {
            tracing::debug!(job = %id, %error, "its record stays");
        }
    }

    async fn drop_bundle(&self, queue: &Queue) {
        if let Err(error) = queue.drop_bundle(&self.workspace.bundle).await {
            tracing::debug!(%error, "a bundle that no job needs stays until its time is over");
        }
    }
}

/// Puts a bundle into Redis.
async fn put(queue: &Queue, id: &SessionId, packed: Packed, kept: Duration) -> Result<Bundle, Failure> {
    let upon = (packed.needs, packed.shallow);
    queue.put_bundle(id, &packed.bytes, upon, kept).await.map_err(|error| {
        Failure::new(job::exit_of(&error), format!("not accepted: the repository can't be sent: {error}"))
    })
}
