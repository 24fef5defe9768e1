//! `darkmux session resume` and `darkmux session restart`.

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::attach::{look, on_terminal};
use super::watch::Keys;
use crate::cli::remote::{self, On, Place};
use crate::cli::{Cx, Exit, Failure, Outcome, completions};
use crate::crew::{Again, rerun};
use crate::pty;
use crate::session::life::{self, LifeError};
use crate::session::{NameError, Settling};
use crate::wire::SessionStatus;

/// Run an ended session again, in its folder and under its id.
///
/// An agent goes on with its conversation where it can; anything else runs the same command. The output goes on where
/// it ended. On a terminal you are in it at once; elsewhere it runs in the background.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Session: an id, the beginning of one, the end of one (4 characters or more), or a name
    #[arg(add = ArgValueCompleter::new(completions::ended_sessions))]
    session: String,
    /// Print the session's id and leave it running
    #[arg(short = 'd', long)]
    detach: bool,
    #[command(flatten)]
    on: On,
}

/// End a session when it runs, and run its command again from nothing.
///
/// It keeps its id, its name, its folder and its output. On a terminal you are in it at once; elsewhere it runs in the
/// background.
#[derive(Debug, Args)]
pub struct RestartArgs {
    /// Session: an id, the beginning of one, the end of one (4 characters or more), or a name
    #[arg(add = ArgValueCompleter::new(completions::sessions))]
    session: String,
    /// Print the session's id and leave it running
    #[arg(short = 'd', long)]
    detach: bool,
    #[command(flatten)]
    on: On,
}

/// Runs `resume`.
pub fn resume(args: &ResumeArgs, cx: &Cx) -> Outcome {
    again(cx, (&args.session, &args.on), args.detach, Again::GoesOn)
}

/// Runs `restart`.
pub fn restart(args: &RestartArgs, cx: &Cx) -> Outcome {
    again(cx, (&args.session, &args.on), args.detach, Again::Anew)
}

fn again(cx: &Cx, (text, on): (&str, &On), detach: bool, how: Again) -> Outcome {
    let text = match remote::place(cx, text, on)? {
        Place::There(way) => {
            let how = match how {
                Again::GoesOn => remote::Again::Resume,
                Again::Anew => remote::Again::Restart,
            };
            return remote::with(cx, &way, async |there| remote::again(cx, there, how, detach).await);
        }
        Place::Here(text) => text,
    };
    let table = super::table(cx)?;
    let verb = if how == Again::GoesOn { "resume" } else { "restart" };
    let session = super::find(cx, &table, &text, verb)?;
    super::not_itself(cx, &session)?;
    let id = &session.id;
    crate::cli::block_on(async {
        life::may_run_again(&table, id).map_err(failure)?;
        let ended = match how {
            Again::GoesOn => session.clone(),
            Again::Anew => life::end(&table, id, None).await.map_err(failure)?,
        };
        // What it said at its very end tells how it goes on.
        let mut next = rerun(&table, id, how).map_err(failure)?;
        let attach = !detach && on_terminal();
        next.size = pty::window_size(std::io::stdout()).filter(|_| attach);
        let settling = Settling { clock: cx.clock.clone(), flow: cx.config()?.flow().ok() };
        let runs = match life::rerun(&table, id, next, &cx.env, &settling).await {
            // Who restarted it at the same moment did what is asked for.
            Err(LifeError::Alive(_)) if how == Again::Anew => super::find(cx, &table, id.as_str(), verb)?,
            ran => ran.map_err(failure)?,
        };
        if attach {
            return look(cx, &table, &runs, Keys::Attached, Some(ended.output.end)).await;
        }
        told(cx, &runs, detach)
    })
}

fn told(cx: &Cx, session: &SessionStatus, detach: bool) -> Outcome {
    if !detach {
        cx.printer.note("it runs; `darkmux session tail -f` with its id shows its output");
    }
    cx.printer.line(session.id.as_str())?;
    Ok(Exit::Ok)
}

/// What keeps a session from its next run or its end, with the status that stands for it.
pub(super) fn failure(error: LifeError) -> Failure {
    match error {
        LifeError::Start(error) => super::starting::start_failure(error),
        LifeError::Name(NameError::Taken { .. }) | LifeError::NotItsName { .. } => {
            Failure::new(Exit::Usage, error)
        }
        LifeError::Alive(id) => Failure::new(
            Exit::Failed,
            format!(
                "session {id} still runs; `darkmux session attach {id}` goes into it, `darkmux session restart {id}` \
                 ends it and runs it anew"
            ),
        ),
        error => Failure::new(Exit::Failed, error),
    }
}
