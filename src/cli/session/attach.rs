//! `darkmux session attach`.

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::host;
use super::screen::{Form, Screen};
use super::watch::{Keys, Seen, Watch, watch};
use crate::cli::{Cx, Exit, Failure, Outcome, completions};
use crate::model::SessionState;
use crate::session::Table;
use crate::util::visible;
use crate::wire::SessionStatus;

/// Output of the past that is shown first, in bytes.
const PAST: u64 = 64 * 1024;

/// Look into a session and type into it; Ctrl-\ leaves it running.
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// Session: an id, the beginning of one, the end of one (4 characters or more), or a name
    #[arg(add = ArgValueCompleter::new(completions::sessions))]
    session: String,
    /// Watch only: nothing is typed, Ctrl-C stops watching
    #[arg(short, long)]
    read_only: bool,
}

/// Runs the verb.
pub fn run(args: &AttachArgs, cx: &Cx) -> Outcome {
    let table = super::table(cx)?;
    let session = super::find(&table, &args.session)?;
    super::not_itself(cx, &session)?;
    super::block_on(async {
        let end = end(&table, &session).await?;
        let keys = if args.read_only { Keys::Ignored } else { Keys::Attached };
        let how = Watch { from: Some(end.saturating_sub(PAST)), hold: false, keys, until: None };
        let screen = Screen::stdout(Form::Raw).with_past(end.min(PAST));
        match watch(cx, &table, &session.id, &how, screen).await? {
            Seen::Ended(status) | Seen::Cancelled(status) => {
                let why = status.error.as_deref().map(|why| format!(": {}", visible(why)));
                let code = status.exit_code.map(|code| format!(", exit code {code}"));
                let (code, why) = (code.unwrap_or_default(), why.unwrap_or_default());
                cx.printer.note(&format!("\r[session {} ended{code}{why}]", status.id));
                Ok(super::exit_of(&status))
            }
            seen @ (Seen::Left(_) | Seen::TimeOver) => {
                cx.printer.note(&format!("\r\n[left session {}, which runs on]", session.id));
                Ok(match seen {
                    // Leaving is what its key is for.
                    Seen::Left(exit) if exit != Exit::Interrupted => exit,
                    _ => Exit::Ok,
                })
            }
        }
    })
}

/// Where the output ends now.
async fn end(table: &Table, session: &SessionStatus) -> Result<u64, Failure> {
    // One that is still starting has put out nothing, and its host is waited for.
    if session.state != SessionState::Running {
        return Ok(session.output.end);
    }
    let Some(mut client) = host::connect(table, &session.id).await? else { return Ok(session.output.end) };
    match client.status().await {
        Ok(status) => Ok(status.output.end),
        Err(error) => host::gone_or_silent(table, &session.id, &error).map(|()| session.output.end),
    }
}
