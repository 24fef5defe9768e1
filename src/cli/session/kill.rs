//! `darkmux session kill`.

use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use clap_complete::engine::ArgValueCompleter;

use super::host;
use super::screen::{Form, Screen};
use super::watch::{Keys, Seen, Watch, watch};
use crate::cli::remote::{self, On, Place};
use crate::cli::{Cx, Exit, Failure, Outcome, completions};
use crate::model::{SessionId, SessionState};
use crate::pty;
use crate::session::Table;
use crate::session::life::{self, Remains};
use crate::util::human;
use crate::wire::SessionStatus;

/// End a session and wait for its end.
///
/// All of its processes get TERM, then HUP, and after a grace KILL.
#[derive(Debug, Args)]
pub struct KillArgs {
    /// Session: an id, the beginning of one, the end of one (4 characters or more), or a name
    #[arg(add = ArgValueCompleter::new(completions::live_sessions))]
    session: String,
    /// Time before KILL, instead of the configured one
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration, allow_hyphen_values = true)]
    grace: Option<Duration>,
    /// KILL at once
    #[arg(long, conflicts_with = "grace")]
    now: bool,
    /// Only send this signal, and wait for nothing
    #[arg(short, long, value_name = "NAME", conflicts_with_all = ["grace", "now"])]
    #[arg(value_parser = PossibleValuesParser::new(pty::signal_names()))]
    signal: Option<String>,
    #[command(flatten)]
    on: On,
}

/// Runs the verb.
pub fn run(args: &KillArgs, cx: &Cx) -> Outcome {
    let text = match remote::place(cx, &args.session, &args.on)? {
        Place::There(way) => {
            let grace = if args.now { Some(Duration::ZERO) } else { args.grace };
            let signal = args.signal.as_deref();
            return remote::with(cx, &way, async |there| remote::kill(cx, &there, grace, signal).await);
        }
        Place::Here(text) => text,
    };
    let table = super::table(cx)?;
    let session = super::find(cx, &table, &text, "kill")?;
    let grace = if args.now { Some(Duration::ZERO) } else { args.grace };
    if session.state == SessionState::Lost && args.signal.is_none() {
        return lost(cx, &table, &session, grace);
    }
    if session.state.is_final() {
        cx.printer.note(&format!("session {} has ended already", session.id));
        return Ok(Exit::Ok);
    }
    crate::cli::block_on(async {
        ask(&table, &session.id, (args.signal.as_deref(), grace)).await?;
        if args.signal.is_some() {
            return Ok(Exit::Ok);
        }
        let how = Watch { from: None, hold: false, keys: Keys::Ignored, until: None, screen: false };
        match watch(cx, &table, &session.id, &how, Screen::stdout(Form::Raw)).await? {
            Seen::Ended(_) | Seen::Cancelled(_) => Ok(Exit::Ok),
            seen @ (Seen::Left(_) | Seen::TimeOver) => {
                let exit = if let Seen::Left(exit) = seen { exit } else { Exit::Interrupted };
                Err(Failure::new(exit, format!("session {} is being ended", session.id)))
            }
        }
    })
}

/// One whose host died: what its program was is ended by its number, where that is proved to be its own.
fn lost(cx: &Cx, table: &Table, session: &SessionStatus, grace: Option<Duration>) -> Outcome {
    let was_there = !matches!(Remains::of(session), Remains::Nothing);
    let ended = crate::cli::block_on(async { Ok(life::end(table, &session.id, grace).await) })?;
    ended.map_err(|error| Failure::new(Exit::Failed, error))?;
    let id = &session.id;
    cx.printer.note(&if was_there {
        format!("session {id} was lost with its host; its program still ran, and has ended now")
    } else {
        format!("session {id} has ended already")
    });
    Ok(Exit::Ok)
}

/// Asks the session's host to end it within this grace, or, where a signal is named, only to send that.
pub async fn ask(
    table: &Table,
    id: &SessionId,
    (signal, grace): (Option<&str>, Option<Duration>),
) -> Result<(), Failure> {
    let Some(mut client) = host::connect(table, id).await? else { return Ok(()) };
    let asked = match signal {
        Some(name) => client.signal(name).await,
        None => client.stop(grace).await,
    };
    match asked {
        Ok(()) => Ok(()),
        Err(error) => host::gone_or_silent(table, id, &error),
    }
}
