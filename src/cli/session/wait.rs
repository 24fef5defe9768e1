//! `darkmux session wait`.

use std::time::Duration;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use tokio::time::Instant;

use super::screen::{Form, Screen};
use super::watch::{Keys, Seen, Watch, watch};
use crate::cli::{Cx, Exit, Failure, Outcome, completions};
use crate::util::human;

/// Wait for a session's end and end with its status.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Session: an id, the beginning of one, the end of one (4 characters or more), or a name
    #[arg(add = ArgValueCompleter::new(completions::sessions))]
    session: String,
    /// Wait no longer than this; the session runs on
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration)]
    timeout: Option<Duration>,
    /// Print the session as JSON at its end
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &WaitArgs, cx: &Cx) -> Outcome {
    let table = super::table(cx)?;
    let id = super::find(&table, &args.session)?.id;
    super::block_on(async {
        let until = args.timeout.map(|timeout| Instant::now() + timeout);
        let how = Watch { from: None, hold: false, keys: Keys::Ignored, until };
        match watch(cx, &table, &id, &how, Screen::stdout(Form::Raw)).await? {
            Seen::Ended(status) | Seen::Cancelled(status) => {
                if args.json {
                    cx.printer.json(&status)?;
                } else if let (None, Some(why)) = (status.exit_code, &status.error) {
                    cx.printer.error(&format!("session {id} was lost: {}", crate::util::visible(why)));
                }
                Ok(super::exit_of(&status))
            }
            Seen::Left(exit) => Ok(exit),
            Seen::TimeOver if args.json => {
                cx.printer.json(&table.get(&id)?)?;
                Ok(Exit::TimeLimit)
            }
            Seen::TimeOver => Err(Failure::new(
                Exit::TimeLimit,
                format!("session {id} still runs; the time to wait for it is over (nothing was ended)"),
            )),
        }
    })
}
