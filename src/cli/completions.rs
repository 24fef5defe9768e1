//! `darkmux completions`, and the answers to the shells that its scripts make ask.
//!
//! A script calls darkmux again with `COMPLETE` set to the shell's name and the words typed so far after
//! `--`; sessions, roles and settings complete as they are at that moment. Without `COMPLETE` nothing here
//! runs. What completes a value never prints and never fails: a folder that can't be read has no candidates.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{self, EnvCompleter, Shells};

use super::{Cx, Exit, Outcome};
use crate::config::{Environment, Paths, keys};
use crate::store;
use crate::util::visible_line;
use crate::wire::SessionStatus;

/// The variable by which a script asks.
const ASK: &str = "COMPLETE";

/// Most sessions looked at for one completion.
const SESSIONS_MAX: usize = 500;

/// Largest session state read, in bytes.
const STATE_MAX: u64 = 1024 * 1024;

/// Print the completion script of a shell.
#[derive(Debug, Args)]
#[command(after_help = "Load it in your shell's startup file, as in:
  bash        source <(darkmux completions bash)
  zsh         source <(darkmux completions zsh)
  fish        darkmux completions fish | source
  elvish      eval (darkmux completions elvish | slurp)
  powershell  darkmux completions powershell | Out-String | Invoke-Expression")]
pub struct CompletionsArgs {
    /// Shell
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Elvish,
    Powershell,
}

impl Shell {
    fn completer(self) -> &'static dyn EnvCompleter {
        match self {
            Self::Bash => &env::Bash,
            Self::Zsh => &env::Zsh,
            Self::Fish => &env::Fish,
            Self::Elvish => &env::Elvish,
            Self::Powershell => &env::Powershell,
        }
    }
}

/// Runs the verb.
pub fn run(args: &CompletionsArgs, cx: &Cx) -> Outcome {
    let program = std::env::args_os().next().unwrap_or_default();
    cx.printer.bytes(&script(args.shell.completer(), &program)?)?;
    Ok(Exit::Ok)
}

fn script(shell: &dyn EnvCompleter, program: &OsStr) -> io::Result<Vec<u8>> {
    // A program that was called by a path is asked by that path from any folder.
    let program = Path::new(program);
    let program = match std::env::current_dir() {
        Ok(here) if program.components().count() > 1 => here.join(program),
        _ => program.to_owned(),
    };
    let mut script = Vec::new();
    shell.write_registration(ASK, "darkmux", "darkmux", &program.to_string_lossy(), &mut script)?;
    Ok(script)
}

/// Answers a shell that asks for completions; `None` when none asks.
pub fn answer_shell(command: fn() -> clap::Command, environment: &Environment) -> Option<ExitCode> {
    let name = environment.get(ASK)?;
    let shells = Shells::builtins();
    let shell = shells.completer(Path::new(name).file_stem()?.to_str()?)?;
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_default();
    let answer = match words.next() {
        None => script(shell, &program),
        Some(separator) if separator == "--" => candidates(shell, command(), words.collect()),
        // The variable is set for somebody else.
        Some(_) => return None,
    };
    let written = answer.and_then(|answer| io::stdout().write_all(&answer));
    Some(ExitCode::from(if written.is_ok() { Exit::Ok.code() } else { Exit::Failed.code() }))
}

fn candidates(
    shell: &dyn EnvCompleter,
    mut command: clap::Command,
    words: Vec<OsString>,
) -> io::Result<Vec<u8>> {
    command.build();
    let mut answer = Vec::new();
    shell.write_complete(&mut command, words, std::env::current_dir().ok().as_deref(), &mut answer)?;
    Ok(answer)
}

/// Completes a session by id or name, with what it is.
pub fn sessions(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Ok(paths) = Paths::from_env(&Environment::of_process()) else { return Vec::new() };
    sessions_in(&paths.sessions(), typed)
}

fn sessions_in(folder: &Path, typed: &OsStr) -> Vec<CompletionCandidate> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(SESSIONS_MAX);
    let states = entries.filter_map(|entry| {
        let text = store::read_bounded(&entry.path().join("state.json"), STATE_MAX).ok()?;
        serde_json::from_slice::<SessionStatus>(&text).ok()
    });
    let mut found = Vec::new();
    for state in states {
        let what = state.role.as_ref().map_or("", |role| role.as_str());
        let help = format!("{} {what}", state.state.as_str());
        found.push((state.id.to_string(), help.clone()));
        found.extend(state.name.map(|name| (name, help)));
    }
    matching(found, typed)
}

/// Completes a role.
pub fn roles(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Ok(paths) = Paths::from_env(&Environment::of_process()) else { return Vec::new() };
    roles_in(&paths.roles(), typed)
}

fn roles_in(folder: &Path, typed: &OsStr) -> Vec<CompletionCandidate> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let manifests =
        entries.map(|entry| entry.path()).filter(|path: &PathBuf| path.extension() == Some("json".as_ref()));
    let names = manifests.filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), String::new())));
    matching(names.collect(), typed)
}

/// Completes a setting's key.
pub fn config_keys(typed: &OsStr) -> Vec<CompletionCandidate> {
    let keys = keys::KEYS.iter().filter(|key| key.used == keys::Use::Acts);
    matching(keys.map(|key| (key.name.to_owned(), key.about.to_owned())).collect(), typed)
}

/// The candidates that start with what was typed, sorted, their help on one line.
fn matching(mut candidates: Vec<(String, String)>, typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    candidates.retain(|(name, _)| name.starts_with(&*typed) && visible_line(name) == *name);
    candidates.sort();
    let candidate = |(name, help): (String, String)| {
        let help = visible_line(help.trim()).into_owned();
        CompletionCandidate::new(name).help((!help.is_empty()).then(|| help.into()))
    };
    candidates.into_iter().map(candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(candidates: &[CompletionCandidate]) -> Vec<&str> {
        candidates.iter().filter_map(|candidate| candidate.get_value().to_str()).collect()
    }

    #[test]
    fn settings_complete_by_their_start() {
        assert_eq!(names(&config_keys("serve.".as_ref())), ["serve.bind", "serve.hosts", "serve.port"]);
        assert!(config_keys("zzz".as_ref()).is_empty());
        assert!(config_keys("redis".as_ref()).is_empty());
    }

    #[test]
    fn what_cannot_be_read_has_no_candidates() {
        let dir = tempfile::tempdir().unwrap();
        assert!(sessions_in(&dir.path().join("none"), "".as_ref()).is_empty());
        std::fs::create_dir(dir.path().join("s1")).unwrap();
        std::fs::write(dir.path().join("s1/state.json"), "{ torn").unwrap();
        assert!(sessions_in(dir.path(), "".as_ref()).is_empty());
        std::fs::write(dir.path().join("tester.json"), "{}").unwrap();
        std::fs::write(dir.path().join("bad\u{1b}.json"), "{}").unwrap();
        assert_eq!(names(&roles_in(dir.path(), "".as_ref())), ["tester"]);
    }
}
