//! `darkmux session ls`.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::cli::printer::{BAD, BOLD, DIM, GOOD, WARN};
use crate::cli::remote::{self, Listed, On};
use crate::cli::table::{Cell, Table as Rows};
use crate::cli::{Cx, Exit, Failure, Outcome};
use crate::flow::Flow;
use crate::model::{EndReason, SessionState};
use crate::session::{self, Activity};
use crate::util::{clock, human};
use crate::wire::{SessionList, SessionStatus};

/// How long an ended session stays in the list without `--all`.
const RECENT: Duration = Duration::from_hours(24);

/// List sessions, of this machine and of those that its daemon is connected with.
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
    #[command(flatten)]
    on: On,
}

/// Runs the verb.
pub fn run(args: &LsArgs, cx: &Cx) -> Outcome {
    let now = cx.clock.now();
    let sessions = here(args, cx, now)?;
    let mut there = remote_ones(args, cx)?;
    there.retain(|session| args.all || is_recent(session.exited_at.as_ref(), now));
    if args.json {
        let generated_at_ms = clock::unix_ms(now);
        // What the command line tells of the others is all that is known of them.
        let here = SessionList { generated_at_ms, schema: 1, sessions, remote: Vec::new() };
        let remote = there.into_iter().map(|session| session.raw).collect();
        cx.printer.json(&Both { here, remote })?;
        return Ok(Exit::Ok);
    }
    if sessions.is_empty() && there.is_empty() {
        cx.printer.note("no sessions; `darkmux session new` starts one");
        return Ok(Exit::Ok);
    }
    // Who works on one machine needs no column for it.
    let own = (!there.is_empty()).then(|| cx.config()?.machine_id()).transpose()?;
    let heads = ["ID", "MACHINE", "STATE", "AGE", "RAN", "NAME", "WHAT"];
    let mut rows = match own {
        Some(_) => Rows::new(&heads),
        None => Rows::new(&[&heads[..1], &heads[2..]].concat()),
    };
    for session in &sessions {
        let mut cells = row(session, now);
        if let Some(own) = &own {
            cells.insert(1, Cell::styled(own.as_str(), DIM));
        }
        rows.row(cells);
    }
    for session in &there {
        rows.row(remote_row(session, now));
    }
    rows.print(&cx.printer)?;
    Ok(Exit::Ok)
}

/// The sessions of this machine, and those of others as they tell them.
#[derive(Debug, Serialize)]
struct Both {
    #[serde(flatten)]
    here: SessionList,
    remote: Vec<Value>,
}

/// The sessions of other machines that are asked for.
fn remote_ones(args: &LsArgs, cx: &Cx) -> Result<Vec<Listed>, Failure> {
    let machine = remote::machine(cx, &args.on)?;
    if args.on.machine.is_some() && machine.is_none() {
        return Ok(Vec::new());
    }
    let mut sessions = crate::cli::block_on(remote::known(cx, machine.as_deref()))?;
    sessions.sort_by(|a, b| a.machine().cmp(b.machine()).then_with(|| b.created_at.cmp(&a.created_at)));
    Ok(sessions)
}

/// The sessions of this machine, unless another one is asked for.
fn here(args: &LsArgs, cx: &Cx, now: Timestamp) -> Result<Vec<SessionStatus>, Failure> {
    if remote::machine(cx, &args.on)?.is_some() {
        return Ok(Vec::new());
    }
    let (config, table) = (cx.config()?, super::table(cx)?);
    session::settle(&table, &cx.clock, || Some(Flow::new(config.flow().ok()?, cx.clock.clone())))?;
    let mut sessions = table.list()?;
    sessions.retain(|session| args.all || is_recent(session.ended_at.as_ref(), now));
    Ok(sessions)
}

fn is_recent(ended: Option<&String>, now: Timestamp) -> bool {
    since(ended, now).is_none_or(|ended| ended < RECENT)
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

fn remote_row(session: &Listed, now: Timestamp) -> Vec<Cell> {
    let age = since(session.created_at.as_ref(), now).map(human::duration).unwrap_or_default();
    let end = session.exited_at.as_ref().and_then(|end| end.parse().ok()).unwrap_or(now);
    let ran = since(session.started_at.as_ref(), end).map(human::duration).unwrap_or_default();
    let what = session.what();
    vec![
        Cell::from(&session.id),
        Cell::from(session.machine()),
        remote_state(session, now),
        Cell::styled(age, DIM),
        Cell::from(ran),
        Cell::from(session.name.as_deref().unwrap_or_default()),
        if session.unread { Cell::styled(format!("* {what}"), BOLD) } else { Cell::styled(what, DIM) },
    ]
}

/// The state as its machine told it last.
fn remote_state(session: &Listed, now: Timestamp) -> Cell {
    if session.disconnected_since.is_some() {
        let age = since(session.disconnected_since.as_ref(), now).map(human::duration).unwrap_or_default();
        return Cell::styled(format!("away {age}"), WARN);
    }
    let status = session.status.as_ref();
    match (session.alive, session.shell_code()) {
        (true, _) if session.needs_you.is_some() => Cell::styled(Activity::NeedsYou.as_str(), WARN),
        (true, _) if status.is_some_and(|status| status.error) => {
            Cell::styled(Activity::Failed.as_str(), BAD)
        }
        (true, _) if status.is_some_and(|status| status.working) => {
            Cell::styled(Activity::Working.as_str(), GOOD)
        }
        (true, _) if status.is_some() => Cell::styled(Activity::Idle.as_str(), DIM),
        (true, _) => Cell::styled("running", GOOD),
        (false, _) if matches!(session.reason.as_deref(), Some("timeout" | "killed")) => {
            Cell::styled(session.reason.as_deref().unwrap_or_default(), BAD)
        }
        (false, Some(0)) => Cell::styled("exited 0", DIM),
        (false, Some(code)) => Cell::styled(format!("exited {code}"), BAD),
        (false, None) => Cell::styled("ended", WARN),
    }
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
