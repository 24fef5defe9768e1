//! `darkmux session ls`.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use crate::cli::printer::{BAD, BOLD, DIM, GOOD, WARN};
use crate::cli::table::{Cell, Table as Rows};
use crate::cli::{Cx, Exit, Outcome};
use crate::flow::Flow;
use crate::model::{EndReason, SessionState};
use crate::session::{self, Activity};
use crate::util::{clock, human};
use crate::wire::{SessionList, SessionStatus};

/// How long an ended session stays in the list without `--all`.
const RECENT: Duration = Duration::from_hours(24);

/// List sessions.
///
/// `*` before what a session is about: its agent ended a turn that nobody has looked at.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// Also those that ended more than a day ago
    #[arg(short, long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &LsArgs, cx: &Cx) -> Outcome {
    let now = cx.clock.now();
    let (config, table) = (cx.config()?, super::table(cx)?);
    session::settle(&table, &cx.clock, || Some(Flow::new(config.flow().ok()?, cx.clock.clone())))?;
    let mut sessions = table.list()?;
    sessions.retain(|session| args.all || is_recent(session, now));
    if args.json {
        let remote = Vec::new();
        cx.printer.json(&SessionList {
            generated_at_ms: clock::unix_ms(now),
            schema: 1,
            sessions,
            remote,
        })?;
        return Ok(Exit::Ok);
    }
    if sessions.is_empty() {
        cx.printer.note("no sessions; `darkmux session new` starts one");
        return Ok(Exit::Ok);
    }
    let mut rows = Rows::new(&["ID", "STATE", "AGE", "RAN", "NAME", "WHAT"]);
    for session in &sessions {
        rows.row(row(session, now));
    }
    rows.print(&cx.printer)?;
    Ok(Exit::Ok)
}

fn is_recent(session: &SessionStatus, now: Timestamp) -> bool {
    since(session.ended_at.as_ref(), now).is_none_or(|ended| ended < RECENT)
}

/// How long ago a moment was.
fn since(moment: Option<&String>, now: Timestamp) -> Option<Duration> {
    let moment: Timestamp = moment?.parse().ok()?;
    Some(now.duration_since(moment).unsigned_abs())
}

fn row(session: &SessionStatus, now: Timestamp) -> Vec<Cell> {
    let age = since(Some(&session.created_at), now).map(human::duration).unwrap_or_default();
    let end = session.ended_at.as_ref().and_then(|end| end.parse().ok()).unwrap_or(now);
    let ran = since(session.started_at.as_ref(), end).filter(|_| session.state != SessionState::Lost);
    vec![
        Cell::from(session.id.as_str()),
        state(session),
        Cell::styled(age, DIM),
        Cell::from(ran.map(human::duration).unwrap_or_default()),
        Cell::from(session.name.as_deref().unwrap_or_default()),
        what(session),
    ]
}

/// What it is about, with a mark when its agent ended a turn that nobody has looked at.
fn what(session: &SessionStatus) -> Cell {
    let what = session::what(session);
    if session.unread { Cell::styled(format!("* {what}"), BOLD) } else { Cell::styled(what, DIM) }
}

fn state(session: &SessionStatus) -> Cell {
    if let Some(activity) = Activity::of(session) {
        let style = match activity {
            Activity::NeedsYou => WARN,
            Activity::Failed => BAD,
            Activity::Working => GOOD,
            Activity::Idle => DIM,
        };
        return Cell::styled(activity.as_str(), style);
    }
    match (session.state, session.exit_code) {
        (SessionState::Exited, _) if session.reason == Some(EndReason::Timeout) => {
            Cell::styled("timeout", BAD)
        }
        (SessionState::Exited, _) if session.reason == Some(EndReason::Killed) => Cell::styled("killed", BAD),
        (SessionState::Exited, Some(0)) => Cell::styled("exited 0", DIM),
        (SessionState::Exited, Some(code)) => Cell::styled(format!("exited {code}"), BAD),
        (SessionState::Running, _) => Cell::styled("running", GOOD),
        (state, _) => Cell::styled(state.as_str(), WARN),
    }
}
