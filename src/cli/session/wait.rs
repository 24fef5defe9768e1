//! `darkmux session wait`.

use std::time::Duration;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use serde_json::json;
use tokio::time::Instant;

use super::screen::{Form, Screen};
use super::terminal::{Happening, Terminal};
use super::waits;
use super::watch::{Keys, Seen, Watch, watch};
use crate::cli::remote::{self, On, Place, WaitFor};
use crate::cli::{Cx, Exit, Failure, FailureContext, Outcome, completions};
use crate::model::SessionId;
use crate::session::{Table, question};
use crate::util::{human, visible, visible_line};
use crate::wire::SessionStatus;

/// Wait for a session: for its end, until it is idle, or until it shows something.
#[derive(Debug, Args)]
#[command(after_help = "Exit status:
  --exit (or nothing): the session's own; 125 when it was lost.
  --idle, --text: 0 it happened; 1 the session ended before, or cannot say whether it is idle.
  124 the time of --timeout is over: nothing was ended. 130 interrupted.")]
pub struct WaitArgs {
    /// Session: an id, the beginning of one, the end of one (4 characters or more), or a name
    #[arg(add = ArgValueCompleter::new(completions::sessions))]
    session: String,
    /// Until it ends (the default); end with its status
    #[arg(long, conflicts_with_all = ["idle", "text"])]
    exit: bool,
    /// Until its agent or its shell's prompt says that nothing is at work; also when it asks you something
    #[arg(long, conflicts_with = "text")]
    idle: bool,
    /// Until a line of its screen, or of what it puts out later, fits this regular expression
    #[arg(long, value_name = "RE", allow_hyphen_values = true)]
    text: Option<String>,
    /// Wait no longer than this; the session runs on
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration, allow_hyphen_values = true)]
    timeout: Option<Duration>,
    /// Print the session as JSON at its end; with --idle and --text, what happened
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    on: On,
}

/// What a wait that is not for the end came to.
pub enum Waited {
    /// What was waited for; with the line that fits.
    Happened(Box<SessionStatus>, Option<String>),
    /// The session ended before.
    Ended(Box<SessionStatus>),
}

/// Runs the verb.
pub fn run(args: &WaitArgs, cx: &Cx) -> Outcome {
    let until = args.timeout.map(|timeout| Instant::now() + timeout);
    let text = match remote::place(cx, &args.session, &args.on)? {
        Place::There(way) => {
            let what = match &args.text {
                Some(text) => WaitFor::Text(text.clone()),
                None if args.idle => WaitFor::Idle,
                None => WaitFor::Exit,
            };
            return remote::with(cx, &way, async |there| {
                remote::wait(cx, there, &what, until, args.json).await
            });
        }
        Place::Here(text) => text,
    };
    let table = super::table(cx)?;
    let id = super::find(cx, &table, &text, "wait")?.id;
    crate::cli::block_on(async {
        match &args.text {
            None if !args.idle => exit(args, cx, (&table, &id), until).await,
            text => happening(args, cx, &id, (until_happens(&table, &id, text.as_deref()), until)).await,
        }
    })
}

/// Waits until a line fits the pattern, or without one until nothing is at work; or until the session's end.
pub async fn until_happens(table: &Table, id: &SessionId, pattern: Option<&str>) -> Result<Waited, Failure> {
    match pattern {
        Some(pattern) => waits::text(table, id, pattern).await,
        None => waits::idle(table, id).await,
    }
}

/// Waits for the end.
async fn exit(
    args: &WaitArgs,
    cx: &Cx,
    (table, id): (&Table, &SessionId),
    until: Option<Instant>,
) -> Outcome {
    let how = Watch { from: None, hold: false, keys: Keys::Ignored, until, screen: false };
    match watch(cx, table, id, &how, Screen::stdout(Form::Raw)).await? {
        Seen::Ended(status) | Seen::Cancelled(status) => {
            if args.json {
                cx.printer.json(&status)?;
            } else if let (None, Some(why)) = (status.exit_code, &status.error) {
                cx.printer.error(&format!("session {id} was lost: {}", visible(why)));
            }
            Ok(super::exit_of(&status))
        }
        Seen::Left(exit) => Ok(exit),
        Seen::TimeOver if args.json => {
            cx.printer.json(&table.get(id)?)?;
            Ok(Exit::TimeLimit)
        }
        Seen::TimeOver => Err(over(id)),
    }
}

fn over(id: &SessionId) -> Failure {
    let words = format!("session {id} still runs; the time to wait for it is over (nothing was ended)");
    Failure::new(Exit::TimeLimit, words)
}

/// Waits for what the session says or shows, as long as the user wants.
async fn happening(
    args: &WaitArgs,
    cx: &Cx,
    id: &SessionId,
    (waits, until): (impl Future<Output = Result<Waited, Failure>>, Option<Instant>),
) -> Outcome {
    let mut terminal = Terminal::open(None).or_exit(Exit::Internal)?;
    let time_over = async {
        match until {
            Some(moment) => tokio::time::sleep_until(moment).await,
            None => std::future::pending().await,
        }
    };
    let left = async {
        loop {
            match terminal.next(false).await {
                Happening::Interrupt => return Exit::Interrupted,
                Happening::End(exit) => return exit,
                Happening::Typed(_) | Happening::Resized(_) => {}
            }
        }
    };
    let waited = tokio::select! {
        waited = waits => waited?,
        exit = left => return Ok(exit),
        () = time_over => {
            if args.json {
                cx.printer.json(&json!({ "schema": 1, "reason": "timeout", "session": null }))?;
                return Ok(Exit::TimeLimit);
            }
            return Err(over(id));
        }
    };
    told(args, cx, waited)
}

fn told(args: &WaitArgs, cx: &Cx, waited: Waited) -> Outcome {
    let (reason, status, line) = match waited {
        Waited::Happened(status, line) => (if args.idle { "idle" } else { "text" }, status, line),
        Waited::Ended(status) => ("ended", status, None),
    };
    if args.json {
        let document = json!({ "schema": 1, "reason": reason, "line": line, "session": status });
        cx.printer.json(&document)?;
        return Ok(if reason == "ended" { Exit::Failed } else { Exit::Ok });
    }
    if reason == "ended" {
        let id = &status.id;
        let how = match (status.exit_code, &status.error) {
            (Some(code), _) => format!("ended with exit code {code}"),
            (None, Some(why)) => format!("was lost: {}", visible_line(why)),
            (None, None) => "was lost".to_owned(),
        };
        let words = format!("session {id} {how} before that; `darkmux session tail {id}` shows its output");
        return Err(Failure::new(Exit::Failed, words));
    }
    match (line, question(&status)) {
        (Some(line), _) => cx.printer.line(&visible_line(&line))?,
        (None, Some(question)) => cx.printer.line(&visible_line(question))?,
        (None, None) => {}
    }
    Ok(Exit::Ok)
}
