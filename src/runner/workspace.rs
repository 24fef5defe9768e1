//! A job's repository on the machine that runs it: the folder before its session begins, the result after it ended. Both
//! may take minutes, so the job beats meanwhile.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::start::NoSession;
use super::{Runner, fetch};
use crate::model::SessionId;
use crate::session;
use crate::util::jitter;
use crate::wire::{Bundle, SessionStatus, Workspace, WorkspaceResult};
use crate::work::{Beat, Claim, WorkError};
use crate::workspace::{
    Changes, Kept, KeptResults, Left, Mirror, Packed, Placing, Records, Source, WorkspaceError,
};

/// How much the time between beats varies, in percent.
const SPREAD: u32 = 10;

/// Pause before Redis is asked again, and how long it may be away before the job ends without its workspace.
const AGAIN: Duration = Duration::from_secs(1);
const AWAY_MAX: Duration = Duration::from_hours(1);

/// How long it may take to see what a running job has changed so far.
const LOOK_MAX: Duration = Duration::from_secs(20);

/// Why something was not waited for.
pub enum Interrupted {
    /// The daemon stops.
    Stopped,
    /// Another runner has the job.
    Superseded,
    /// Its user does not want it any more.
    Cancelled(String),
}

impl From<Interrupted> for NoSession {
    fn from(why: Interrupted) -> Self {
        Self::Interrupted(why)
    }
}

/// Makes `folder` what the job's repository was where it was dispatched. Returns where the job begins.
pub async fn place(
    runner: &Runner,
    claim: &Claim,
    workspace: &Workspace,
    folder: PathBuf,
) -> Result<PathBuf, NoSession> {
    workspace.check().map_err(NoSession::Never)?;
    beating(runner, claim, OnCancel::Stop, async {
        let env = runner.spares.env();
        let mirrors = runner.home.join("mirrors");
        let mirror = Mirror::open(env, &mirrors, &workspace.repo, &workspace.base).await;
        let mirror = mirror.map_err(no_session)?;
        let roots = runner.config.workdirs.get(1..).unwrap_or_default();
        let placing = Placing { mirror: &mirror, workspace, folder: &folder, roots };
        if let Some(objects) = of_this_machine(runner, claim, workspace).await {
            match placing.beside(&objects).await {
                Ok(begin) => return Ok(begin),
                // The bundle has all of it, too.
                Err(error) => tracing::debug!(job = %claim.id, %error, "its repository is not used"),
            }
        }
        let bundle = &workspace.bundle;
        if bundle.is_in_redis() {
            let bytes = patiently(&claim.id, || runner.queue.bundle(bundle)).await;
            let bytes = bytes.map_err(|error| match error {
                WorkError::Invalid(why) => NoSession::Never(why),
                error => NoSession::Declined(super::Refusal(error.to_string())),
            })?;
            match placing.unpack(&bytes).await {
                Err(WorkspaceError::Lacks(_)) if bundle.at.is_some() => {}
                placed => return placed.map_err(no_session),
            }
        }
        fetch::repository(runner, claim, &placing).await.map_err(no_session)
    })
    .await?
}

fn no_session(error: WorkspaceError) -> NoSession {
    match error {
        WorkspaceError::Refused(why) => NoSession::Never(why),
        WorkspaceError::NoPeer(machine, why) => NoSession::NoPeer(machine, why),
        error => NoSession::Declined(super::Refusal(error.to_string())),
    }
}

/// Makes a folder that was just placed what it was on another machine. `None` where it stays as the job began.
pub async fn go_on(
    runner: &Runner,
    claim: &Claim,
    (workspace, folder): (&Workspace, PathBuf),
    changes: &[u8],
) -> Result<Option<PathBuf>, NoSession> {
    let gone_on = beating(runner, claim, OnCancel::Stop, async {
        let changes = Changes::from_bytes(changes)
            .ok_or_else(|| WorkspaceError::Refused("what was changed so far can't be read".to_owned()))?;
        let mirrors = runner.home.join("mirrors");
        let mirror = Mirror::open(runner.spares.env(), &mirrors, &workspace.repo, &workspace.base).await?;
        Placing { mirror: &mirror, workspace, folder: &folder, roots: &[] }.go_on(&changes).await
    });
    match gone_on.await? {
        Ok(begin) => Ok(Some(begin)),
        // It was judged before a file was touched.
        Err(WorkspaceError::Refused(why)) => {
            tracing::warn!(job = %claim.id, why, "what was changed on the lost machine is not taken over");
            Ok(None)
        }
        Err(error) => Err(no_session(error)),
    }
}

/// What a running job has changed so far, for the machine that may have to go on with it; `None` where that is more than goes
/// along, or nothing of the kind. `index` is kept from one look to the next.
pub async fn changes_so_far(runner: &Runner, claim: &Claim, index: &Path) -> Result<Option<Vec<u8>>, String> {
    let Some(workspace) = &claim.spec.workspace else { return Ok(None) };
    let spec = session::spec_in(&runner.table.folder(&claim.id)).ok().flatten();
    let Some(folder) = spec.and_then(|spec| root_of(runner, &spec.cwd)) else { return Ok(None) };
    let mirrors = runner.home.join("mirrors");
    let look = async {
        let mirror = Mirror::open(runner.spares.env(), &mirrors, &workspace.repo, &workspace.base).await?;
        mirror.changes_so_far(&folder, (&workspace.base, &workspace.state), &claim.id, index).await
    };
    let changes = tokio::time::timeout(LOOK_MAX, look).await;
    let changes = changes.map_err(|_| format!("looking took more than {} s", LOOK_MAX.as_secs()))?;
    changes.map(|changes| changes.map(|changes| changes.to_bytes())).map_err(|error| error.to_string())
}

/// The objects of the repository, where the job was dispatched on this machine.
async fn of_this_machine(runner: &Runner, claim: &Claim, workspace: &Workspace) -> Option<PathBuf> {
    let records = Records::new(runner.home.join("workspaces"));
    let record = records.get(&claim.id).ok().flatten()?;
    if record.state != workspace.state {
        return None;
    }
    let source = Source::find(runner.spares.env(), &record.root).await.ok().flatten()?;
    source.objects().await.ok()
}

/// What the job made of its workspace, on its way to the caller; `None` for a job without one. What keeps it from
/// there is said in it.
pub async fn collect(
    runner: &Runner,
    claim: &Claim,
    status: &SessionStatus,
) -> Result<Option<WorkspaceResult>, Interrupted> {
    let Some(workspace) = &claim.spec.workspace else { return Ok(None) };
    let Some(folder) = root_of(runner, &status.cwd) else { return Ok(None) };
    let state = workspace.state.clone();
    let none =
        || WorkspaceResult { commit: state.clone(), state: state.clone(), ..WorkspaceResult::default() };
    let collected = beating(runner, claim, OnCancel::GoOn, async {
        let mirrors = runner.home.join("mirrors");
        let mirror = Mirror::open(runner.spares.env(), &mirrors, &workspace.repo, &workspace.base).await?;
        let left = mirror.collect(&folder, (&workspace.base, &state), &claim.id).await?;
        let kept = Kept {
            id: claim.id.clone(),
            repo: workspace.repo.clone(),
            state: state.clone(),
            commit: left.commit.clone(),
            folder: folder.clone(),
        };
        Ok::<_, WorkspaceError>(send(runner, claim, left, (none(), kept)).await)
    });
    let mut result = collected.await?.unwrap_or_else(|error| WorkspaceResult {
        error: Some(format!("{error}; what it left is in {}", folder.display())),
        ..none()
    });
    if let Err(error) = runner.queue.sign_workspace(&claim.id, &mut result) {
        tracing::error!(job = %claim.id, %error, "its workspace cannot be signed");
    }
    Ok(Some(result))
}

async fn send(
    runner: &Runner,
    claim: &Claim,
    left: Left,
    (none, kept): (WorkspaceResult, Kept),
) -> WorkspaceResult {
    let mut notes = left.notes;
    let put = match &left.packed {
        Some(packed) => Some(put(runner, claim, packed).await),
        None => None,
    };
    let bundle = match put {
        Some(Ok(bundle)) => Some(bundle),
        None if left.commit == none.state => None,
        // It waits here, and the caller's machine fetches it.
        put => match KeptResults::new(runner.home.join("results")).keep(&kept) {
            Ok(()) => Some(Bundle::at(runner.machine.clone(), Vec::new())),
            Err(error) => {
                let why = match put {
                    Some(Err(error)) => format!("could not be sent ({error})"),
                    _ => "is too large to be sent".to_owned(),
                };
                notes.push(format!("what it changed {why} and stays in {}: {error}", kept.folder.display()));
                None
            }
        },
    };
    let error = (!notes.is_empty()).then(|| notes.join("; "));
    WorkspaceResult { commit: left.commit, changed: left.changed, files: left.files, bundle, error, ..none }
}

/// Puts the bundle into Redis.
async fn put(runner: &Runner, claim: &Claim, packed: &Packed) -> Result<Bundle, WorkError> {
    let kept = runner.queue.config().result_ttl;
    let put = || {
        let upon = (packed.needs.clone(), packed.shallow.clone());
        runner.queue.put_bundle(&claim.id, &packed.bytes, upon, kept)
    };
    patiently(&claim.id, put).await
}

/// Asks Redis; one that is away is waited for, as the job's end does.
async fn patiently<T, F>(id: &SessionId, mut ask: impl FnMut() -> F) -> Result<T, WorkError>
where
    F: Future<Output = Result<T, WorkError>>,
{
    let began = Instant::now();
    loop {
        match ask().await {
            Err(WorkError::Redis(fault)) if fault.class().is_transient() && began.elapsed() < AWAY_MAX => {
                tracing::debug!(job = %id, %fault, "its workspace waits");
            }
            answer => return answer,
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The folder of a job that begins in `cwd`.
fn root_of(runner: &Runner, cwd: &Path) -> Option<PathBuf> {
    let worktrees = runner.config.workdirs.first()?;
    let name = cwd.strip_prefix(worktrees).ok()?.components().next()?;
    Some(worktrees.join(name))
}

/// What a cancellation means for what is being done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnCancel {
    Stop,
    /// The session has ended; what it left is worth having.
    GoOn,
}

/// Does something long for a claimed job, and lets the queue know that it is still held.
async fn beating<T>(
    runner: &Runner,
    claim: &Claim,
    on_cancel: OnCancel,
    work: impl Future<Output = T>,
) -> Result<T, Interrupted> {
    let stopped = runner.shutdown.stopped();
    tokio::pin!(work, stopped);
    loop {
        tokio::select! {
            done = &mut work => return Ok(done),
            () = &mut stopped => return Err(Interrupted::Stopped),
            () = tokio::time::sleep(jitter(runner.queue.config().beat, SPREAD)) => {}
        }
        match runner.ask(claim).await {
            Ok(Beat::Lost) => return Err(Interrupted::Superseded),
            Ok(Beat::Cancel(why)) if on_cancel == OnCancel::Stop => return Err(Interrupted::Cancelled(why)),
            Ok(Beat::Cancel(_) | Beat::Held) => {}
            Err(error) => tracing::debug!(job = %claim.id, %error, "no beat"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{RedisClass, RedisFault};

    #[tokio::test(start_paused = true)]
    async fn a_redis_that_is_away_is_waited_for_and_another_fault_is_not() {
        let id = SessionId::new("job-1").unwrap();
        let fault = |class| WorkError::Redis(RedisFault::new(class, "here", "away"));
        let mut asked = 0;
        let answer = patiently(&id, || {
            asked += 1;
            std::future::ready(if asked < 600 { Err(fault(RedisClass::Unreachable)) } else { Ok(asked) })
        });
        assert_eq!(answer.await.unwrap(), 600);
        let mut asked = 0;
        let refused = patiently(&id, || {
            asked += 1;
            std::future::ready(Err::<(), _>(WorkError::Invalid("another one".to_owned())))
        });
        refused.await.unwrap_err();
        assert_eq!(asked, 1);
        let begun = Instant::now();
        let gone = patiently(&id, || std::future::ready(Err::<(), _>(fault(RedisClass::Silent))));
        gone.await.unwrap_err();
        assert_eq!(begun.elapsed(), AWAY_MAX);
    }
}
