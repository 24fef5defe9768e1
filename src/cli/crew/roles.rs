//! `darkmux crew roles`.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::printer::{BAD, DIM, GOOD, WARN};
use crate::cli::table::{Cell, Table};
use crate::cli::{Cx, Exit, Outcome};
use crate::crew::{Availability, Crew, Problem, RoleEntry, Source};
use crate::util::visible_line;

/// List the roles.
///
/// The builtin ones and those in `~/.darkmux/roles`, which win by name.
///
/// A role whose files are broken is listed as such and reported on stderr with its place; the exit status
/// stays 0, because the others work.
#[derive(Debug, Args)]
pub struct RolesArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &RolesArgs, cx: &Cx) -> Outcome {
    let entries = Crew::open(&cx.config()?.crew()).list();
    if args.json {
        let roles: Vec<Value> = entries.iter().map(as_json).collect();
        cx.printer.json(&json!({ "schema": 1, "roles": roles }))?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["ROLE", "STATE", "RUNS BY", "FROM", "DESCRIPTION"]);
    for entry in &entries {
        table.row(row(entry));
    }
    table.print(&cx.printer)?;
    for entry in &entries {
        report(cx, entry);
    }
    Ok(Exit::Ok)
}

fn row(entry: &RoleEntry) -> Vec<Cell> {
    let (word, style) = match entry.availability {
        Availability::Ready { .. } => ("ready", GOOD),
        Availability::CannotRun(_) => ("can't run", WARN),
        Availability::Broken => ("broken", BAD),
    };
    vec![
        Cell::from(&entry.name),
        Cell::styled(word, style),
        Cell::from(runs_by(entry).unwrap_or_else(|| "-".to_owned())),
        Cell::from(origin(&entry.source)),
        Cell::styled(&entry.description, DIM),
    ]
}

/// The agent CLI, or the name of the role's own program.
fn runs_by(entry: &RoleEntry) -> Option<String> {
    let Availability::Ready { program, agent } = &entry.availability else { return None };
    let name = || program.file_name().map(|name| name.to_string_lossy().into_owned());
    agent.as_ref().map(ToString::to_string).or_else(name)
}

/// The word for where a role comes from.
pub fn origin(source: &Source) -> &'static str {
    match source {
        Source::Builtin => "builtin",
        Source::User(_) => "user",
    }
}

fn report(cx: &Cx, entry: &RoleEntry) {
    let (word, style) = match entry.availability {
        Availability::Broken => ("broken role", BAD),
        _ => ("warning", WARN),
    };
    for problem in &entry.problems {
        cx.printer.note(&format!("{style}{word}{style:#}: {}", visible_line(&problem.to_string())));
    }
}

fn as_json(entry: &RoleEntry) -> Value {
    let (state, reason, program) = match &entry.availability {
        Availability::Ready { program, .. } => ("ready", None, Some(program)),
        Availability::CannotRun(why) => ("cannot-run", Some(why.to_string()), None),
        Availability::Broken => ("broken", None, None),
    };
    let path = match &entry.source {
        Source::Builtin => None,
        Source::User(path) => Some(path.to_string_lossy()),
    };
    json!({
        "id": entry.name,
        "description": entry.description,
        "source": origin(&entry.source),
        "path": path,
        "runtime": entry.runtime,
        "agent": entry.agent,
        "state": state,
        "reason": reason,
        "runs_by": runs_by(entry),
        "program": program.map(|program| program.to_string_lossy()),
        "problems": entry.problems.iter().map(problem_as_json).collect::<Vec<_>>(),
    })
}

/// A problem with its place.
pub fn problem_as_json(problem: &Problem) -> Value {
    json!({
        "file": problem.file.to_string_lossy(),
        "line": problem.line,
        "column": problem.column,
        "reason": problem.reason,
    })
}
