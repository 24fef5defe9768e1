//! From a role and a message to what is started: a program, its arguments, and the files that carry the texts.
//!
//! Invariants: the message is one piece, unchanged, at one place; no shell ever parses it, except where it is
//! the shell's script.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::adapter::RUN_AGENT;
use super::agent::Agent;
use super::error::{BadMessage, CannotRun, CrewError};
use super::role::{Launcher, Role};
use super::template::{self, ARGUMENT_MAX, Values};
use crate::model::{Access, AccessArgs, CommandRuntime, RoleId, Runtime, SessionId};
use crate::wire::{AGENT_SCHEMA, AgentTask, Sandbox, TASK_FILE};

/// Largest message, in bytes.
pub const MESSAGE_MAX: usize = 256 * 1024;

/// The message's file, where a file carries it.
const MESSAGE_FILE: &str = "message.txt";
/// The prompt's file.
const PROMPT_FILE: &str = "prompt.md";
/// The shell's script.
const SCRIPT_FILE: &str = "script";
/// Between a role's prompt and the message, where one text carries both.
const DIVIDER: &str = "\n\n---\n\n";

/// What is asked of a role.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The message, as the user gave it.
    pub message: &'a str,
    /// Whether a person goes on with the session: the message is the first prompt and the program stays.
    pub interactive: bool,
    /// Where the role works.
    pub workdir: &'a Path,
    /// The session it runs in.
    pub session_id: &'a SessionId,
    /// The session's own folder (0700), for the files of the invocation.
    pub folder: &'a Path,
    /// How commands of the built-in agent are confined.
    pub sandbox: &'a Sandbox,
}

/// What to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The program's file.
    pub program: PathBuf,
    /// Every argument; the first is the program.
    pub argv: Vec<String>,
    /// Files that the caller writes (0600) into [`Request::folder`] before the start: name and content.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// The full path of the file that is the program's standard input; `None` leaves it the terminal.
    pub stdin_file: Option<PathBuf>,
    /// The agent CLI that runs the role, when it runs by one.
    pub agent: Option<RoleId>,
    /// Characters of preamble and prompt.
    pub system_chars: usize,
    /// Characters of the message.
    pub prompt_chars: usize,
}

/// Whether any role can take this message.
pub fn check_message(message: &str) -> Result<(), BadMessage> {
    if message.len() > MESSAGE_MAX {
        return Err(BadMessage::TooLarge(message.len()));
    }
    if let Some(at) = memchr::memchr(0, message.as_bytes()) {
        return Err(BadMessage::Nul(at));
    }
    if message.trim().is_empty() {
        return Err(BadMessage::Empty);
    }
    Ok(())
}

/// The invocation of `role` for `request`.
pub fn build(role: &Role, request: &Request<'_>) -> Result<Invocation, CrewError> {
    check_message(request.message)?;
    let Launcher { program, agent } = role.launcher().map_err(|why| role.cannot_run(why))?;
    let system = role.system();
    let system_chars = system.chars().count();
    let prompt_chars = request.message.chars().count();
    let command = match (&role.manifest.runtime, &agent) {
        (Runtime::Command(command), _) => command,
        (_, Some(agent)) => match &agent.command {
            Some(command) => command,
            None => return builtin(role, request, (system, agent)),
        },
        (_, None) => return script(role, request, program, prompt_chars),
    };
    let form = Form::of(command, request.interactive);
    let built = form.build(role, request, command, &system)?;
    let mut argv = built.argv;
    if let Some(first) = argv.first_mut() {
        *first = program.to_string_lossy().into_owned();
    }
    Ok(Invocation {
        program,
        argv,
        files: built.files,
        stdin_file: built.stdin.then(|| request.folder.join(MESSAGE_FILE)),
        agent: agent.map(|agent| agent.role),
        system_chars,
        prompt_chars,
    })
}

/// The shell's invocation: the message is its script, in a file, so that the terminal stays its input.
fn script(
    role: &Role,
    request: &Request<'_>,
    program: PathBuf,
    prompt_chars: usize,
) -> Result<Invocation, CrewError> {
    let file = text_of(role, &request.folder.join(SCRIPT_FILE))?;
    Ok(Invocation {
        argv: vec![program.to_string_lossy().into_owned(), file],
        program,
        files: vec![(PathBuf::from(SCRIPT_FILE), request.message.as_bytes().to_vec())],
        stdin_file: None,
        agent: None,
        system_chars: 0,
        prompt_chars,
    })
}

/// The built-in agent's invocation: everything that it is told stands in one file.
fn builtin(
    role: &Role,
    request: &Request<'_>,
    (system, agent): (String, &Agent),
) -> Result<Invocation, CrewError> {
    let manifest = &role.manifest;
    let folder = text_of(role, request.folder)?;
    let system_chars = system.chars().count();
    let task = AgentTask {
        schema: AGENT_SCHEMA,
        role: manifest.id.clone(),
        system,
        message: request.message.to_owned(),
        interactive: request.interactive,
        model: manifest.model.clone(),
        palette: manifest.tool_palette.clone(),
        escalation: manifest.escalation_contract.clone(),
        bail_after_compactions: manifest.bail_after_compactions,
        feedback: manifest.feedback_templates.clone(),
        sandbox: request.sandbox.clone(),
    };
    let text = serde_json::to_vec(&task).unwrap_or_default();
    let program = text_of(role, &agent.program)?;
    Ok(Invocation {
        program: agent.program.clone(),
        argv: vec![program, RUN_AGENT.to_owned(), folder],
        files: vec![(PathBuf::from(TASK_FILE), text)],
        stdin_file: None,
        agent: Some(agent.role.clone()),
        system_chars,
        prompt_chars: request.message.chars().count(),
    })
}

fn text_of(role: &Role, path: &Path) -> Result<String, CrewError> {
    let not_utf8 = || role.cannot_run(CannotRun::PathNotUtf8(path.display().to_string()));
    path.to_str().map(str::to_owned).ok_or_else(not_utf8)
}

/// One way of calling a command.
struct Form<'a> {
    argv: &'a [String],
    access: &'a AccessArgs,
    interactive: bool,
}

/// What a form comes to.
struct Built {
    argv: Vec<String>,
    files: Vec<(PathBuf, Vec<u8>)>,
    stdin: bool,
}

/// The paths that arguments may name.
struct Paths {
    message: String,
    prompt: String,
    workdir: String,
}

impl Paths {
    fn values<'a>(&'a self, request: &'a Request<'_>, system: &'a str) -> Values<'a> {
        Values {
            message: request.message,
            message_file: &self.message,
            prompt: system,
            prompt_file: &self.prompt,
            workdir: &self.workdir,
            session_id: request.session_id.as_str(),
        }
    }
}

impl<'a> Form<'a> {
    /// The wished form; a command without an interactive one has only the other.
    fn of(command: &'a CommandRuntime, interactive: bool) -> Self {
        match command.interactive.as_ref().filter(|_| interactive) {
            Some(form) => Self { argv: &form.argv, access: &form.access, interactive: true },
            None => Self { argv: &command.argv, access: &command.access, interactive: false },
        }
    }

    fn build(
        &self,
        role: &Role,
        request: &Request<'_>,
        command: &CommandRuntime,
        system: &str,
    ) -> Result<Built, CrewError> {
        let paths = self.paths(role, request, command)?;
        let values = paths.values(request, system);
        let apart = self.system_arguments(command, &values);
        let has_place = template::uses(self.argv, "prompt") || template::uses(self.argv, "prompt_file");
        let message = if apart.is_some() || has_place || system.is_empty() {
            Cow::Borrowed(request.message)
        } else {
            Cow::Owned(format!("{system}{DIVIDER}{}", request.message))
        };
        let values = Values { message: &message, ..values };
        let argv = self.expand(role.manifest.tool_palette.access(), &apart.unwrap_or_default(), &values);
        if let Some(long) = argv.iter().find(|argument| argument.len() > ARGUMENT_MAX) {
            return Err(BadMessage::TooLargeForArgument(long.len()).into());
        }
        let by_file = template::uses(self.argv, "message_file");
        let stdin = !self.interactive && !by_file && !template::uses(self.argv, "message");
        let file = |name: &str, text: &str| (PathBuf::from(name), text.as_bytes().to_vec());
        let mut files = Vec::new();
        files.extend((by_file || stdin).then(|| file(MESSAGE_FILE, &message)));
        let names_prompt = |argument: &String| argument.contains(&paths.prompt);
        files.extend(
            (!paths.prompt.is_empty() && argv.iter().any(names_prompt)).then(|| file(PROMPT_FILE, system)),
        );
        Ok(Built { argv, files, stdin })
    }

    /// The paths that the arguments name; those that none names are empty, and need not be UTF-8.
    fn paths(
        &self,
        role: &Role,
        request: &Request<'_>,
        command: &CommandRuntime,
    ) -> Result<Paths, CrewError> {
        let used = |name| template::uses(self.argv, name) || template::uses(&command.system, name);
        let path = |name, path: &Path| if used(name) { text_of(role, path) } else { Ok(String::new()) };
        Ok(Paths {
            message: path("message_file", &request.folder.join(MESSAGE_FILE))?,
            prompt: path("prompt_file", &request.folder.join(PROMPT_FILE))?,
            workdir: path("workdir", request.workdir)?,
        })
    }

    /// The arguments that carry the prompt; `None` when the form has no place for them, when there is no
    /// prompt, or when it is too long for an argument.
    fn system_arguments(&self, command: &CommandRuntime, values: &Values<'_>) -> Option<Vec<String>> {
        let has_place = self.argv.iter().any(|argument| argument == template::SYSTEM);
        if !has_place || command.system.is_empty() || values.prompt.is_empty() {
            return None;
        }
        let filled: Vec<String> = command.system.iter().map(|part| template::fill(part, values)).collect();
        filled.iter().all(|argument| argument.len() <= ARGUMENT_MAX).then_some(filled)
    }

    fn expand(&self, access: Access, system: &[String], values: &Values<'_>) -> Vec<String> {
        let mut argv = Vec::with_capacity(self.argv.len() + 8);
        for argument in self.argv {
            match argument.as_str() {
                template::SYSTEM => argv.extend_from_slice(system),
                template::ACCESS => argv.extend_from_slice(self.access.of(access).unwrap_or_default()),
                _ => argv.push(template::fill(argument, values)),
            }
        }
        argv
    }
}
