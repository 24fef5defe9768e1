//! `darkmux completions`, and the answers to the shells that its scripts make ask.
//!
//! A script calls darkmux again with `COMPLETE` set to the shell's name and the words typed so far after
//! `--`; sessions, roles and settings complete as they are at that moment. Without `COMPLETE` nothing here
//! runs. What completes a value never prints and never fails: a folder that can't be read has no candidates.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{self, EnvCompleter, Shells};

use super::{Cx, Exit, Outcome};
use crate::config::{Config, Environment, keys};
use crate::crew::{Availability, Crew};
use crate::fleet::RosterFile;
use crate::model::SessionState;
use crate::session::Table;
use crate::store::Redis;
use crate::util::visible_line;
use crate::work::{JobView, Queue};

/// The variable by which a script asks.
const ASK: &str = "COMPLETE";

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
    config().map_or_else(Vec::new, |config| sessions_of(&config, typed, |_| true))
}

/// As [`sessions`], those that run.
pub fn live_sessions(typed: &OsStr) -> Vec<CompletionCandidate> {
    config().map_or_else(Vec::new, |config| sessions_of(&config, typed, |state| !state.is_final()))
}

/// As [`sessions`], those that have ended.
pub fn ended_sessions(typed: &OsStr) -> Vec<CompletionCandidate> {
    config().map_or_else(Vec::new, |config| sessions_of(&config, typed, SessionState::is_final))
}

fn sessions_of(
    config: &Config,
    typed: &OsStr,
    wanted: impl Fn(SessionState) -> bool,
) -> Vec<CompletionCandidate> {
    let mut found = Vec::new();
    let sessions = Table::new(config.session().dir).list().unwrap_or_default();
    for session in sessions.into_iter().filter(|session| wanted(session.state)) {
        let what = session.role.as_ref().map_or("", |role| role.as_str());
        let help = format!("{} {what}", session.state.as_str());
        found.push((session.id.to_string(), help.clone()));
        found.extend(session.name.map(|name| (name, help)));
    }
    matching(found, typed)
}

/// Completes a machine of the roster.
pub fn machines(typed: &OsStr) -> Vec<CompletionCandidate> {
    config().map_or_else(Vec::new, |config| machines_of(&config, typed))
}

fn machines_of(config: &Config, typed: &OsStr) -> Vec<CompletionCandidate> {
    let roster = RosterFile::new(config.fleet_file()).read().unwrap_or_default();
    let found = roster.peers.into_iter().map(|peer| {
        let about = peer.description.unwrap_or_else(|| peer.address.to_string());
        (peer.id.to_string(), about)
    });
    matching(found.collect(), typed)
}

/// How long Redis may take to say which jobs there are: somebody sits before the shell and waits.
const JOBS_PATIENCE: Duration = Duration::from_millis(300);

/// Ended jobs among the candidates.
const JOBS_ENDED: usize = 50;

/// Completes a job by id or name, with what it is; nothing where Redis is away.
pub fn jobs(typed: &OsStr) -> Vec<CompletionCandidate> {
    let asked = || -> Option<Vec<JobView>> {
        let config = config()?;
        let redis = config.redis().ok()??;
        let queue = Queue::new(Redis::new(redis.target), config.queue(), None);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let jobs = runtime
            .block_on(async { tokio::time::timeout(JOBS_PATIENCE, queue.jobs(JOBS_ENDED)).await.ok()?.ok() });
        runtime.shutdown_background();
        jobs
    };
    let mut found = Vec::new();
    for job in asked().unwrap_or_default() {
        let help = format!("{} {}", job.state.as_str(), job.role.unwrap_or_default());
        found.push((job.id.to_string(), help.clone()));
        found.extend(job.name.map(|name| (name, help)));
    }
    matching(found, typed)
}

/// Completes a role.
pub fn roles(typed: &OsStr) -> Vec<CompletionCandidate> {
    config().map_or_else(Vec::new, |config| roles_of(&config, typed))
}

fn roles_of(config: &Config, typed: &OsStr) -> Vec<CompletionCandidate> {
    let entries = Crew::open(&config.crew()).list();
    let whole = entries.into_iter().filter(|entry| entry.availability != Availability::Broken);
    matching(whole.map(|entry| (entry.name, entry.description)).collect(), typed)
}

/// A shell gives no context but its environment. A broken config.json keeps nobody from completing.
fn config() -> Option<Config> {
    Config::load_or_defaults(Environment::of_process()).ok().map(|(config, _)| config)
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
        assert_eq!(
            names(&config_keys("serve.".as_ref())),
            ["serve.bind", "serve.hosts", "serve.port", "serve.require_token", "serve.streams"]
        );
        assert!(config_keys("zzz".as_ref()).is_empty());
        assert!(config_keys("runtime.check_updates".as_ref()).is_empty(), "it does nothing");
    }

    #[test]
    fn roles_and_sessions_complete_from_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let env = Environment::of([("HOME", dir.path())]);
        let config = Config::load(env, &[]).unwrap();
        assert!(sessions_of(&config, "".as_ref(), |_| true).is_empty());
        assert_eq!(names(&roles_of(&config, "she".as_ref())), ["shell"]);
        assert!(machines_of(&config, "".as_ref()).is_empty());

        std::fs::create_dir_all(config.paths.home()).unwrap();
        let roster = r#"{"machines":{"studio":{"address":"a"},"Bad":{"address":"b"}}}"#;
        std::fs::write(config.fleet_file(), roster).unwrap();
        assert_eq!(names(&machines_of(&config, "st".as_ref())), ["studio"]);

        let session = config.paths.sessions().join("s1");
        std::fs::create_dir_all(&session).unwrap();
        std::fs::write(session.join("state.json"), "{ torn").unwrap();
        assert!(sessions_of(&config, "".as_ref(), |_| true).is_empty());
        let roles = config.paths.roles();
        std::fs::create_dir_all(&roles).unwrap();
        std::fs::write(roles.join("sherlock.json"), "{ torn").unwrap();
        assert_eq!(names(&roles_of(&config, "she".as_ref())), ["shell"]);
    }

    #[test]
    fn a_name_that_is_not_printable_is_no_candidate() {
        let found = vec![("a\u{1b}b".to_owned(), String::new()), ("ab".to_owned(), "x\ny".to_owned())];
        let found = matching(found, "a".as_ref());
        assert_eq!(names(&found), ["ab"]);
        assert_eq!(found[0].get_help().map(ToString::to_string).as_deref(), Some("x\\u{a}y"));
    }
}
