//! `darkmux inbox`: the sessions that wait for somebody. Those of this machine are read from what their hosts keep on
//! disk, and so need no daemon; those of others are known to the daemon.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::printer::DIM;
use crate::cli::remote::{self, Listed, On};
use crate::cli::table::{Cell, Table as Rows};
use crate::cli::{Cx, Exit, Outcome, block_on};
use crate::session::{Table, kind, question, title};
use crate::util::{clock, human};
use crate::wire::SessionStatus;

/// List who waits for you, and with which question.
///
/// The sessions that said they need somebody, the oldest first; also those of the machines that this one's daemon is
/// connected with. `darkmux session send` answers,
/// `darkmux session attach` shows all of it.
#[derive(Debug, Args)]
pub struct InboxArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    on: On,
}

/// Runs the verb.
pub fn run(args: &InboxArgs, cx: &Cx) -> Outcome {
    let machine = remote::machine(cx, &args.on)?;
    let mut waiting = Vec::new();
    if machine.is_none() {
        waiting = Table::new(cx.config()?.session().dir).list()?;
    }
    let mut there = Vec::new();
    if machine.is_some() || args.on.machine.is_none() {
        there = block_on(remote::known(cx, machine.as_deref()))?;
    }
    there.retain(|session| session.needs_you.is_some());
    there.sort_by(|a, b| a.created_at.cmp(&b.created_at).then_with(|| a.id.cmp(&b.id)));
    waiting.retain(|session| question(session).is_some());
    waiting.sort_by(|a, b| a.created_at.cmp(&b.created_at).then_with(|| a.id.cmp(&b.id)));
    if args.json {
        let sessions: Vec<Value> = waiting.iter().map(entry).chain(there.iter().map(remote_entry)).collect();
        let at = clock::unix_ms(cx.clock.now());
        cx.printer.json(&json!({ "schema": 1, "generated_at_ms": at, "waiting": sessions }))?;
        return Ok(Exit::Ok);
    }
    if waiting.is_empty() && there.is_empty() {
        cx.printer.note("nobody waits for you");
        return Ok(Exit::Ok);
    }
    let mut rows = Rows::new(&["ID", "AGE", "WHERE", "WHAT", "QUESTION"]);
    for session in &waiting {
        rows.row(row(session, cx));
    }
    for session in &there {
        rows.row(remote_row(session, cx));
    }
    rows.print(&cx.printer)?;
    if cx.printer.is_tty() {
        cx.printer
            .note("`darkmux session send ID TEXT` answers, `darkmux session attach ID` shows all of it");
    }
    Ok(Exit::Ok)
}

/// Longest title in the list, in characters: the question needs the room.
const WHAT_MAX: usize = 32;

fn entry(session: &SessionStatus) -> Value {
    json!({
        "id": session.id,
        "name": session.name,
        "title": title(session),
        "question": question(session),
        "label": session.report.as_ref().map(|report| report.label.as_str()),
        "kind": kind(session),
        "role": session.role,
        "cwd": session.cwd,
        "machine_id": session.machine_id,
        "created_at": session.created_at,
    })
}

fn remote_entry(session: &Listed) -> Value {
    json!({
        "id": session.id,
        "name": session.name,
        "title": session.title,
        "question": session.needs_you,
        "label": session.status.as_ref().map(|status| status.label.as_str()),
        "kind": session.kind,
        "role": session.raw["role"],
        "cwd": session.cwd,
        "machine_id": session.raw["machine_id"],
        "created_at": session.created_at,
    })
}

fn age(created: Option<&str>, cx: &Cx) -> Cell {
    let created: Option<jiff::Timestamp> = created.and_then(|created| created.parse().ok());
    let age = created.map(|created| human::duration(cx.clock.now().duration_since(created).unsigned_abs()));
    Cell::styled(age.unwrap_or_default(), DIM)
}

fn remote_row(session: &Listed, cx: &Cx) -> Vec<Cell> {
    vec![
        Cell::from(session.id.as_str()),
        age(session.created_at.as_deref(), cx),
        Cell::from(session.cwd.as_str()),
        Cell::styled(session.title.chars().take(WHAT_MAX).collect::<String>(), DIM),
        Cell::from(session.needs_you.as_deref().unwrap_or_default()),
    ]
}

fn row(session: &SessionStatus, cx: &Cx) -> Vec<Cell> {
    let home = cx.env.home();
    let below = home.as_deref().and_then(|home| session.cwd.strip_prefix(home).ok());
    let place = match below {
        Some(below) if below.as_os_str().is_empty() => "~".to_owned(),
        Some(below) => format!("~/{}", below.display()),
        None => session.cwd.display().to_string(),
    };
    vec![
        Cell::from(session.id.as_str()),
        age(Some(&session.created_at), cx),
        Cell::from(place),
        Cell::styled(title(session).chars().take(WHAT_MAX).collect::<String>(), DIM),
        Cell::from(question(session).unwrap_or_default()),
    ]
}
