//! From a claim to a running session.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::policy::{self, Refusal};
use super::workspace::{self, Interrupted};
use super::{Runner, checkpoint, worker};
use crate::agent::{self, Left};
use crate::crew::adapter::RESUME;
use crate::crew::{Launch, SessionFile};
use crate::model::{MachineId, SessionId, SessionState};
use crate::session::{self, HostClient, StartError, life};
use crate::util::{clock, visible_line};
use crate::wire::{Sandbox, SessionSpec, SessionStatus, WindowSize};
use crate::work::{Claim, KeptCheckpoint};

/// Terminal of a job that nobody looks at yet.
const SIZE: WindowSize = WindowSize { cols: 120, rows: 40 };

/// Longest name of a session, in characters.
const NAME_MAX: usize = 64;

/// How long an earlier attempt's session may take to end before another one starts; one whose host died before it
/// was up counts as starting for 15 s.
const EARLIER_END: Duration = Duration::from_secs(20);

/// Pause before a session, or the journal, is looked for again that the system would not let be read.
pub const UNREADABLE: Duration = Duration::from_secs(1);

/// Variables of a job that tell its attempts apart.
const ATTEMPT: &str = "DARKMUX_ATTEMPT";
const TOKEN: &str = "DARKMUX_ATTEMPT_TOKEN";

/// Why no session runs.
pub enum NoSession {
    /// Another machine may run it.
    Declined(Refusal),
    /// As above, and this one as soon as that machine is its peer and lets it in.
    NoPeer(MachineId, String),
    /// It was tried, and does not start.
    Failed(String),
    /// No machine may run it.
    Never(String),
    /// Something else came before it was started.
    Interrupted(Interrupted),
}

impl From<Refusal> for NoSession {
    fn from(refusal: Refusal) -> Self {
        Self::Declined(refusal)
    }
}

/// Starts the session of a claimed job; what runs already under its id is the job, begun before a crash.
pub async fn start(runner: &Runner, claim: &Claim) -> Result<(), NoSession> {
    let earlier = set_earlier_aside(runner, claim).await?;
    let begun = runner.table.get(&claim.id).map_err(unreadable)?.is_some_and(|status| is_attempt(&status));
    if begun && has_session(runner, claim).map_err(unreadable)? {
        return Ok(());
    }
    let (spec, files) = prepare(runner, claim, before(runner, claim, earlier).await).await?;
    match runner.spares.start(&runner.session.dir, &spec, &files).await {
        Ok(_) => Ok(()),
        // Nobody knows whether the job ran: its session tells, or is lost.
        Err(error @ (StartError::HostDied(_) | StartError::Slow(_))) => {
            tracing::warn!(job = %claim.id, %error, "it may have begun");
            Ok(())
        }
        Err(StartError::Process(why)) => Err(NoSession::Failed(why)),
        Err(error) => Err(NoSession::Declined(Refusal(error.to_string()))),
    }
}

/// What an attempt of the built-in agent goes on from.
enum Before {
    /// Nothing: it is the first, or the one before it was told.
    Nothing,
    /// An attempt on this machine, in the folder where that worked.
    Here(Left),
    /// The conversation of an attempt on another machine, and what it had changed.
    Elsewhere(KeptCheckpoint),
}

/// What the attempts before this one left: here, or in Redis, whichever is of the later one.
async fn before(runner: &Runner, claim: &Claim, earlier: Option<(PathBuf, u32)>) -> Before {
    let here = earlier.and_then(|(folder, attempt)| agent::left(&folder).map(|left| (left, attempt)));
    let known = here.as_ref().map_or(0, |(_, attempt)| *attempt);
    match (checkpoint::kept(runner, claim, known).await, here) {
        (Some(kept), _) => Before::Elsewhere(kept),
        (None, Some((left, _))) => Before::Here(left),
        (None, None) => Before::Nothing,
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

async fn prepare(
    runner: &Runner,
    claim: &Claim,
    before: Before,
) -> Result<(SessionSpec, Vec<SessionFile>), NoSession> {
    let role = policy::role(runner, claim)?;
    // An attempt of the built-in agent that was lost here is gone on with where it worked.
    let mut with_files = false;
    let mut cwd = match &before {
        Before::Here(left) => left.folder.clone(),
        Before::Elsewhere(_) | Before::Nothing => policy::workdir(runner, claim).await?,
    };
    if let (Some(brought), None, false) =
        (&claim.spec.workspace, &claim.job.workdir, matches!(before, Before::Here(_)))
    {
        let folder = cwd.clone();
        cwd = workspace::place(runner, claim, brought, cwd).await?;
        if let Before::Elsewhere(KeptCheckpoint { changes: Some(changes), .. }) = &before
            && let Some(begin) = workspace::go_on(runner, claim, (brought, folder), changes).await?
        {
            (cwd, with_files) = (begin, true);
        }
    }
    let checkpoint = match before {
        Before::Nothing => None,
        Before::Here(left) => Some(left.file),
        Before::Elsewhere(kept) => agent::moved(&kept.bytes, &cwd, with_files),
    };
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
            (ATTEMPT.to_owned(), claim.attempt.to_string()),
            (TOKEN.to_owned(), claim.token.clone()),
        ],
        inherits: runner.spares.env(),
        work: Some((claim.id.to_string(), claim.attempt)),
        sandbox: claim.job.image.clone().map_or(Sandbox::System, Sandbox::Image),
    };
    let mut ready =
        launch.prepare(&role, &runner.session).map_err(|error| NoSession::Declined(error.into()))?;
    for note in &ready.notes {
        tracing::warn!(session = %ready.spec.id, "{note}");
    }
    if let Some(file) = checkpoint.filter(|_| ready.spec.kind.as_deref() == Some(agent::KIND)) {
        ready.files.push(file);
        ready.spec.argv.push(RESUME.to_owned());
    }
    Ok((ready.spec, ready.files))
}

/// An earlier attempt on this machine left its session under the job's id: it gets another one. The folder that it has
/// now, and its number, where that is so.
async fn set_earlier_aside(runner: &Runner, claim: &Claim) -> Result<Option<(PathBuf, u32)>, NoSession> {
    let earlier = runner.table.get(&claim.id).map_err(unreadable)?;
    let of = attempt_of(runner, &claim.id).map_err(unreadable)?;
    let (Some(earlier), Some(of)) = (earlier, of) else {
        return match life::clear_torn(&runner.table, &claim.id).await {
            Ok(true) => Ok(None),
            // Somebody's own session of this id is not the job.
            Ok(false) => Err(Refusal("another session of this id is on this machine".to_owned()).into()),
            Err(error) => Err(Refusal(format!("what a crash left of its session stays: {error}")).into()),
        };
    };
    if of.1 == claim.token {
        return Ok(None);
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
    let aside = free_name(runner, claim, &of.0);
    let moved = aside.map_err(|error| error.to_string()).and_then(|aside| {
        let moved = session::rename(&runner.table, &claim.id, &aside).map_err(|error| error.to_string());
        moved.map(|()| Some((runner.table.folder(&aside), of.0.parse().unwrap_or(0))))
    });
    moved.map_err(|why| Refusal(format!("its earlier attempt's session cannot be put aside: {why}")).into())
}

/// A name for the session of attempt `of` that no other session has: after a Redis that went back, a number comes
/// twice.
fn free_name(runner: &Runner, claim: &Claim, of: &str) -> Result<SessionId, crate::model::IdError> {
    let named = |end: String| {
        let room = crate::model::MAX_ID_LEN.saturating_sub(end.len());
        SessionId::new(format!("{}{end}", claim.id.as_str().chars().take(room).collect::<String>()))
    };
    let taken = |id: &SessionId| runner.table.folder(id).exists();
    let mut name = named(format!("-try{of}"));
    for number in 2..100 {
        if !name.as_ref().is_ok_and(taken) {
            break;
        }
        name = named(format!("-try{of}-{number}"));
    }
    name
}

/// Whether the session under the job's id is of this attempt: begun before a crash of the daemon. So is what a crash left
/// of a session, for all that anybody knows. An error says nothing.
pub fn has_session(runner: &Runner, claim: &Claim) -> io::Result<bool> {
    let folder = runner.table.folder(&claim.id);
    Ok(match session::spec_in(&folder)? {
        Some(spec) => attempt_in(&spec).is_some_and(|(_, token)| token == claim.token),
        None => folder.try_exists()?,
    })
}

/// As [`has_session`], until the system says. `None`: the daemon stops first.
pub async fn had_session(runner: &Runner, claim: &Claim) -> Option<bool> {
    loop {
        match has_session(runner, claim) {
            Ok(has) => return Some(has),
            Err(error) => {
                tracing::warn!(job = %claim.id, %error, "whether it has a session is not known yet");
            }
        }
        if !runner.shutdown.rest(UNREADABLE).await {
            return None;
        }
    }
}

/// Number and token of the attempt that the session under the job's id is.
fn attempt_of(runner: &Runner, id: &SessionId) -> io::Result<Option<(String, String)>> {
    Ok(session::spec_in(&runner.table.folder(id))?.as_ref().and_then(attempt_in))
}

fn attempt_in(spec: &SessionSpec) -> Option<(String, String)> {
    let of = |name: &str| spec.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    Some((of(ATTEMPT)?, of(TOKEN)?))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unreadable(error: io::Error) -> Refusal {
    Refusal(format!("whether a session of its id is on this machine cannot be read: {error}"))
}
