//! `darkmux crew show`.

use std::path::Path;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use serde_json::{Value, json};

use super::failure;
use super::roles::{origin, problem_as_json};
use crate::cli::printer::{BOLD, DIM, WARN};
use crate::cli::{Cx, Exit, Outcome, completions};
use crate::crew::{Crew, CrewError, Invocation, Prompt, Request, Role, Source};
use crate::model::{IdError, RoleFamily, SessionId, ToolPalette};
use crate::util::{visible, visible_line};
use crate::wire::Sandbox;

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
    #[arg(add = ArgValueCompleter::new(completions::roles))]
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
    } else {
        let shown = Shown::of(&role)?;
        if args.json {
            cx.printer.json(&as_json(&shown))?;
        } else {
            for line in lines(&shown) {
                cx.printer.line(&line)?;
            }
        }
    }
    for warning in &role.warnings {
        cx.printer.note(&format!("{WARN}warning{WARN:#}: {}", visible_line(&warning.to_string())));
    }
    Ok(Exit::Ok)
}

/// A role with what would be started for it here, stand-ins in the place of what is not known yet.
struct Shown<'a> {
    role: &'a Role,
    command: Result<Invocation, CrewError>,
    interactive: Option<Invocation>,
}

impl<'a> Shown<'a> {
    fn of(role: &'a Role) -> Result<Self, IdError> {
        let [message, workdir, folder] = STAND_INS;
        let session_id = SessionId::new(folder.to_ascii_lowercase())?;
        let request = Request {
            message,
            interactive: false,
            workdir: Path::new(workdir),
            session_id: &session_id,
            folder: Path::new(folder),
            sandbox: &Sandbox::System,
        };
        let command = role.invocation(&request);
        let interactive = role.invocation(&Request { interactive: true, ..request }).ok();
        Ok(Self { role, command, interactive })
    }
}

fn family(role: &Role) -> &'static str {
    match role.manifest.role_family.unwrap_or_default() {
        RoleFamily::Specialist => "specialist",
        RoleFamily::Utility => "utility",
    }
}

fn lines(shown: &Shown<'_>) -> Vec<String> {
    let role = shown.role;
    let source = match &role.source {
        Source::Builtin => "builtin".to_owned(),
        Source::User(path) => path.display().to_string(),
    };
    let mut facts = vec![
        ("source", source),
        ("family", family(role).to_owned()),
        ("access", access(&role.manifest.tool_palette)),
        ("runtime", role.manifest.runtime.as_str().to_owned()),
        ("preamble", prompt_line(role.preamble.as_ref())),
        ("prompt", prompt_line(role.prompt.as_ref())),
    ];
    match &shown.command {
        Ok(command) => {
            let agent = command.agent.as_ref().map(|agent| format!("{agent}, "));
            facts.push(("runs by", agent.unwrap_or_default() + &command.program.to_string_lossy()));
            facts.push(("command", command_line(command)));
        }
        Err(error) => facts.push(("runs by", format!("nothing here: {error}"))),
    }
    facts.extend(shown.interactive.as_ref().map(|command| ("interactive", command_line(command))));
    let head = format!("{BOLD}{}{BOLD:#}  {}", role.manifest.id, visible_line(&role.manifest.description));
    let fact = |(name, value): &(&str, String)| {
        // What has several lines stands below its first.
        let value = visible(value).replace('\n', &format!("\n{:15}", ""));
        format!("  {DIM}{name:<11}{DIM:#}  {value}")
    };
    std::iter::once(head).chain(facts.iter().map(fact)).collect()
}

/// What the role may do, and the words that say so.
fn access(palette: &ToolPalette) -> String {
    let mut said = vec![palette.access().as_str().to_owned()];
    for (word, tools) in [("allow", &palette.allow), ("deny", &palette.deny)] {
        if !tools.is_empty() {
            said.push(format!("{word} {}", tools.join(", ")));
        }
    }
    said.join("; ")
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

fn as_json(shown: &Shown<'_>) -> Value {
    let role = shown.role;
    let path = match &role.source {
        Source::Builtin => None,
        Source::User(path) => Some(path.to_string_lossy()),
    };
    let error = shown.command.as_ref().err().map(ToString::to_string);
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
        "invocation": shown.command.as_ref().ok().map(invocation_as_json),
        "interactive": shown.interactive.as_ref().map(invocation_as_json),
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
