//! From a claim to a running session.

use std::time::Duration;

use super::policy::{self, Refusal};
use super::{Runner, worker};
use crate::crew::{Launch, SessionFile};
use crate::model::{SessionId, SessionState};
use crate::session::{self, HostClient, StartError};
use crate::util::{clock, visible_line};
use crate::wire::{SessionSpec, SessionStatus, WindowSize};
use crate::work::Claim;

/// Terminal of a job that nobody looks at yet.
const SIZE: WindowSize = WindowSize { cols: 120, rows: 40 };

/// Longest name of a session, in characters.
const NAME_MAX: usize = 64;

/// How long an earlier attempt's session may take to end before another one starts.
const EARLIER_END: Duration = Duration::from_secs(10);

/// Why no session runs.
pub enum NoSession {
    /// Another machine may run it.
    Declined(Refusal),
    /// It was tried, and does not start.
    Failed(String),
}

impl From<Refusal> for NoSession {
    fn from(refusal: Refusal) -> Self {
        Self::Declined(refusal)
    }
}

/// Starts the session of a claimed job; what runs already under its id is the job, begun before a crash.
pub async fn start(runner: &Runner, claim: &Claim) -> Result<(), NoSession> {
    set_earlier_aside(runner, claim).await?;
    if runner.table.get(&claim.id).ok().flatten().is_some_and(|status| is_attempt(&status)) {
        return Ok(());
    }
    let (spec, files) = prepare(runner, claim)?;
    let env = policy::child_env(&runner.env, &runner.config.env);
    match session::start(&runner.session.dir, &spec, &files, &env).await {
        Ok(_) => Ok(()),
        Err(StartError::Process(why)) => Err(NoSession::Failed(why)),
        Err(error) => Err(NoSession::Declined(Refusal(error.to_string()))),
    }
}

/// Whether it was ever started.
fn is_attempt(status: &SessionStatus) -> bool {
    status.state != SessionState::Lost || status.started_at.is_some()
}

/// Whether a name that came with a job is one that a user could have given here.
fn is_plain(name: &str) -> bool {
    let count = name.chars().count();
    (1..=NAME_MAX).contains(&count) && visible_line(name) == name && name.trim() == name
}

fn prepare(runner: &Runner, claim: &Claim) -> Result<(SessionSpec, Vec<SessionFile>), NoSession> {
    let role = policy::role(runner, claim)?;
    let cwd = policy::workdir(runner, claim)?;
    let launch = Launch {
        id: claim.id.clone(),
        message: &claim.job.message,
        interactive: false,
        cwd,
        name: claim.spec.name.clone().filter(|name| is_plain(name)),
        timeout: claim.spec.timeout_ms.map(Duration::from_millis),
        size: SIZE,
        machine_id: runner.machine.clone(),
        created_at: clock::millis(runner.clock.now()),
        env: vec![
            ("DARKMUX_JOB_ID".to_owned(), claim.id.to_string()),
            ("DARKMUX_ATTEMPT".to_owned(), claim.attempt.to_string()),
            ("DARKMUX_ATTEMPT_TOKEN".to_owned(), claim.token.clone()),
        ],
        work: Some((claim.id.to_string(), claim.attempt)),
    };
    launch.prepare(&role, &runner.session).map_err(|error| NoSession::Declined(error.into()))
}

/// An earlier attempt on this machine left its session under the job's id: it gets another one.
async fn set_earlier_aside(runner: &Runner, claim: &Claim) -> Result<(), NoSession> {
    let Ok(Some(earlier)) = runner.table.get(&claim.id) else { return Ok(()) };
    let of_this = session_attempt(runner, &claim.id);
    if of_this == Some(claim.attempt) || of_this.is_none() && claim.attempt == 1 {
        return Ok(());
    }
    if !earlier.state.is_final() {
        let folder = runner.table.folder(&claim.id);
        if let Ok(mut host) = HostClient::connect(&folder).await {
            let _ = host.stop(None).await;
        }
        let ended = async {
            while runner.table.get(&claim.id).is_ok_and(|now| now.is_some_and(|now| !now.state.is_final())) {
                tokio::time::sleep(worker::LOOK).await;
            }
        };
        if tokio::time::timeout(EARLIER_END, ended).await.is_err() {
            return Err(Refusal("its earlier attempt still runs on this machine".to_owned()).into());
        }
    }
    let name = format!("{}-try{}", claim.id, of_this.unwrap_or(claim.attempt - 1));
    let aside = SessionId::new(name.chars().take(crate::model::MAX_ID_LEN).collect::<String>());
    let moved = aside.map_err(|error| error.to_string()).and_then(|aside| {
        session::rename(&runner.table, &claim.id, &aside).map_err(|error| error.to_string())
    });
    moved.map_err(|why| Refusal(format!("its earlier attempt's session cannot be put aside: {why}")).into())
}

/// Which attempt the session under the job's id is.
fn session_attempt(runner: &Runner, id: &SessionId) -> Option<u32> {
    session::spec_in(&runner.table.folder(id)).ok().flatten()?.dispatch?.attempt
}
