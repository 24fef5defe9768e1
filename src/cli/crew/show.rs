//! `darkmux crew show`.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::failure;
use super::roles::{origin, problem_as_json};
use crate::cli::printer::{BOLD, DIM, WARN};
use crate::cli::{Cx, Exit, Outcome};
use crate::crew::{Crew, CrewError, Invocation, Prompt, Request, Role, Source};
use crate::model::{RoleFamily, SessionId};
use crate::util::{visible, visible_line};

/// What stands for the message, the folders and the id in the commands that are shown.
const STAND_INS: [&str; 3] = ["MESSAGE", "WORKDIR", "SESSION"];

/// Show one role: what it is, what it is told, and what would be started for it here.
///
/// In the commands MESSAGE stands for the message, WORKDIR for the folder it works in, and SESSION for the
/// session's own folder. Exit status 127: no such role; 2: its files are broken. A role that can't run here is
/// shown with the reason, and the status is 0.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Role
    role: String,
    /// Print JSON
    #[arg(long, conflicts_with = "prompt")]
    json: bool,
    /// Print only what the role is told besides the message, exactly
    #[arg(long)]
    prompt: bool,
}

/// Runs the verb.
pub fn run(args: &ShowArgs, cx: &Cx) -> Outcome {
    let role = Crew::open(&cx.config()?.crew()).find(&args.role).map_err(|error| failure::of(&error))?;
    if args.prompt {
        let system = role.system();
        if !system.is_empty() {
            cx.printer.bytes(format!("{system}\n").as_bytes())?;
        }
    } else if args.json {
        cx.printer.json(&as_json(&role))?;
    } else {
        for line in lines(&role) {
            cx.printer.line(&line)?;
        }
    }
    for warning in &role.warnings {
        cx.printer.note(&format!("{WARN}warning{WARN:#}: {}", visible_line(&warning.to_string())));
    }
    Ok(Exit::Ok)
}

/// What would be started, with stand-ins for what is not known yet.
fn example(role: &Role, interactive: bool) -> Result<Invocation, CrewError> {
    let [message, workdir, folder] = STAND_INS;
    let session_id = SessionId::new("session")
        .map_err(|error| CrewError::UnknownRole { name: error.to_string(), near: None })?;
    role.invocation(&Request {
        message,
        interactive,
        workdir: Path::new(workdir),
        session_id: &session_id,
        folder: Path::new(folder),
    })
}

fn family(role: &Role) -> &'static str {
    match role.manifest.role_family.unwrap_or_default() {
        RoleFamily::Specialist => "specialist",
        RoleFamily::Utility => "utility",
    }
}

fn lines(role: &Role) -> Vec<String> {
    let manifest = &role.manifest;
    let source = match &role.source {
        Source::Builtin => "builtin".to_owned(),
        Source::User(path) => path.display().to_string(),
    };
    let palette = &manifest.tool_palette;
    let mut access = manifest.tool_palette.access().as_str().to_owned();
    for (word, tools) in [("allow", &palette.allow), ("deny", &palette.deny)] {
        if !tools.is_empty() {
            access.push_str(&format!("; {word} {}", tools.join(", ")));
        }
    }
    let mut facts = vec![
        ("source", source),
        ("family", family(role).to_owned()),
        ("access", access),
        ("runtime", manifest.runtime.as_str().to_owned()),
        ("preamble", prompt_line(role.preamble.as_ref())),
        ("prompt", prompt_line(role.prompt.as_ref())),
    ];
    match example(role, false) {
        Ok(invocation) => {
            let agent = invocation.agent.as_ref().map(|agent| format!("{agent}, "));
            let program = invocation.program.display();
            facts.push(("runs by", format!("{}{program}", agent.unwrap_or_default())));
            facts.push(("command", command_line(&invocation)));
        }
        Err(error) => facts.push(("runs by", format!("nothing here: {error}"))),
    }
    if let Ok(invocation) = example(role, true) {
        facts.push(("interactive", command_line(&invocation)));
    }
    let head = format!("{BOLD}{}{BOLD:#}  {}", manifest.id, visible_line(&manifest.description));
    let fact = |(name, value): &(&str, String)| format!("  {DIM}{name:<11}{DIM:#}  {}", visible(value));
    std::iter::once(head).chain(facts.iter().map(fact)).collect()
}

fn prompt_line(prompt: Option<&Prompt>) -> String {
    let Some(prompt) = prompt else { return "none".to_owned() };
    let place = prompt.path.as_ref().map_or_else(|| "builtin".to_owned(), |path| path.display().to_string());
    format!("{place} ({} characters)", prompt.text.chars().count())
}

/// The command as one would type it.
fn command_line(invocation: &Invocation) -> String {
    let input = invocation.stdin_file.as_ref().map(|file| format!(" < {}", file.display()));
    shell_words::join(&invocation.argv) + &input.unwrap_or_default()
}

fn as_json(role: &Role) -> Value {
    let path = match &role.source {
        Source::Builtin => None,
        Source::User(path) => Some(path.to_string_lossy()),
    };
    let error = example(role, false).err().map(|error| error.to_string());
    json!({
        "schema": 1,
        "id": role.manifest.id,
        "source": origin(&role.source),
        "path": path,
        "family": family(role),
        "access": role.manifest.tool_palette.access(),
        "runtime": role.manifest.runtime.as_str(),
        "manifest": role.manifest,
        "preamble": prompt_as_json(role.preamble.as_ref()),
        "prompt": prompt_as_json(role.prompt.as_ref()),
        "state": if error.is_none() { "ready" } else { "cannot-run" },
        "reason": error,
        "invocation": example(role, false).ok().map(|invocation| invocation_as_json(&invocation)),
        "interactive": example(role, true).ok().map(|invocation| invocation_as_json(&invocation)),
        "problems": role.warnings.iter().map(problem_as_json).collect::<Vec<_>>(),
    })
}

fn prompt_as_json(prompt: Option<&Prompt>) -> Value {
    prompt.map_or(Value::Null, |prompt| {
        json!({
            "path": prompt.path.as_ref().map(|path| path.to_string_lossy()),
            "chars": prompt.text.chars().count(),
            "text": prompt.text,
        })
    })
}

fn invocation_as_json(invocation: &Invocation) -> Value {
    json!({
        "agent": invocation.agent,
        "program": invocation.program.to_string_lossy(),
        "argv": invocation.argv,
        "stdin_file": invocation.stdin_file.as_ref().map(|file| file.to_string_lossy()),
        "files": invocation.files.iter().map(|(name, _)| name.to_string_lossy()).collect::<Vec<_>>(),
        "system_chars": invocation.system_chars,
        "prompt_chars": invocation.prompt_chars,
    })
}
