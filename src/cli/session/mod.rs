//! `darkmux session`: start sessions, look at them, type into them, wait for them, end them, run them again.

mod again;
mod attach;
mod boxed;
mod detach;
mod dismiss;
mod host;
mod json_lines;
mod keys;
mod kill;
mod ls;
mod modes;
mod named;
mod new;
mod open;
mod rename;
mod replay;
mod screen;
mod send;
mod shown;
mod sized;
mod starting;
mod styles;
mod tail;
mod terminal;
mod wait;
mod waits;
mod watch;
mod watcher;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Cx, Exit, Failure, FailureContext, Outcome, logging};
use crate::config::Config;
use crate::session::{self, OldHost, ScreenFormat, Table};
use crate::wire::SessionStatus;

use named::find;

pub use attach::on_terminal;
pub use detach::Detach;
pub use kill::ask as ask_to_end;
pub use screen::{Form, Screen};
pub use send::{Typing, type_into};
pub use sized::Sizes;
pub use starting::{start_failure, workdir};
pub use tail::{Tail, tail_session};
pub use terminal::{Happening, Terminal};
pub use wait::{Waited, until_happens};
pub use watch::{Keys, Seen, Watch, show_log, tell_gap, watch};

/// Terminals that outlive the terminal they were started from.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)] // A verb's doc comment is on its arguments: it is the help text.
pub enum SessionVerb {
    New(new::NewArgs),
    #[command(visible_alias = "list")]
    Ls(ls::LsArgs),
    Attach(attach::AttachArgs),
    Open(open::OpenArgs),
    Tail(tail::TailArgs),
    Send(send::SendArgs),
    Wait(wait::WaitArgs),
    Kill(kill::KillArgs),
    Resume(again::ResumeArgs),
    Restart(again::RestartArgs),
    Rename(rename::RenameArgs),
    Dismiss(dismiss::DismissArgs),
}

/// Runs the verb.
pub fn run(verb: SessionVerb, cx: &Cx) -> Outcome {
    match verb {
        SessionVerb::Ls(args) => ls::run(&args, cx),
        SessionVerb::Attach(args) => attach::run(&args, cx),
        SessionVerb::Open(args) => open::run(&args, cx),
        SessionVerb::Tail(args) => tail::run(&args, cx),
        SessionVerb::Send(args) => send::run(&args, cx),
        SessionVerb::Wait(args) => wait::run(&args, cx),
        SessionVerb::Kill(args) => kill::run(&args, cx),
        SessionVerb::New(args) => new::run(&args, cx),
        SessionVerb::Resume(args) => again::resume(&args, cx),
        SessionVerb::Restart(args) => again::restart(&args, cx),
        SessionVerb::Rename(args) => rename::run(&args, cx),
        SessionVerb::Dismiss(args) => dismiss::run(&args, cx),
    }
}

/// Arguments of a session host.
#[derive(Debug, Args)]
pub struct HostArgs {
    /// The session's folder
    folder: PathBuf,
}

/// Runs a session host.
pub fn run_host(args: &HostArgs, cx: &Cx) -> Outcome {
    logging::init(&cx.env);
    session::run_host(&args.folder, cx.config()?, &cx.clock).or_exit(Exit::Internal)?;
    Ok(Exit::Ok)
}

/// Runs a session host that waits for its session.
pub fn run_spare(cx: &Cx) -> Outcome {
    logging::init(&cx.env);
    session::run_spare(&cx.env, &cx.clock).or_exit(Exit::Internal)?;
    Ok(Exit::Ok)
}

/// The sessions of this machine.
fn table(cx: &Cx) -> Result<Table, Failure> {
    Ok(Table::new(cx.config()?.session().dir))
}

/// Refuses to show a session its own output, which would have no end.
fn not_itself(cx: &Cx, session: &SessionStatus) -> Result<(), Failure> {
    if cx.env.get("DARKMUX_SESSION_ID") == Some(session.id.as_str()) {
        let words = format!("this is session {} itself; look at it from another terminal", session.id);
        return Err(Failure::new(Exit::Usage, words));
    }
    Ok(())
}

/// The rows of a session's screen: as it is now, or as it was last.
pub async fn screen_text(table: &Table, session: &SessionStatus) -> Result<String, Failure> {
    if !session.state.is_final()
        && let Some(mut client) = host::connect(table, &session.id).await?
    {
        match client.screen(ScreenFormat::Text).await {
            Ok(rows) => return Ok(String::from_utf8_lossy(&rows).into_owned()),
            Err(error) if OldHost::is(&error) => {
                return Err(Failure::new(Exit::Failed, format!("session {}: {error}", session.id)));
            }
            Err(error) => host::gone_or_silent(table, &session.id, &error)?,
        }
    }
    Ok(session::last_rows(&table.folder(&session.id), session)?.join("\n"))
}

/// The status with which a command that waited for a session ends.
pub fn exit_of(status: &SessionStatus) -> Exit {
    status.exit_code.map_or(Exit::Internal, Exit::of_shell_code)
}

/// The daemon's page, when a daemon runs on this machine.
pub fn viewer_url(config: &Config) -> Option<String> {
    crate::client::find(&config.paths).ok().flatten().map(|daemon| daemon.url())
}
