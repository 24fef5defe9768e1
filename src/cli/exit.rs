//! Exit statuses and failures.

use std::fmt;
use std::io;
use std::process::ExitCode;

use tokio::signal::unix::SignalKind;

use super::Cx;
use crate::config::ConfigError;
use crate::util::visible;

/// The table of exit statuses, shown by `--help`.
pub const HELP: &str = "\
Exit status:
  0      ok
  1      the operation failed
  2      wrong usage or configuration
  3      the daemon or Redis can't be reached
  124    a time limit was reached
  125    darkmux itself failed, or the job was lost
  126    the role is known and can't run here, or a machine refused the job
  127    unknown role
  128+N  ended by signal N
  130    interrupted, or the job was cancelled
A command that waits for a session or a job ends with its status.";

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Ok,
    /// The operation failed.
    Failed,
    /// Wrong words on the command line, or a wrong configuration.
    Usage,
    /// The daemon or Redis can't be reached.
    Unreachable,
    /// A time limit was reached.
    TimeLimit,
    /// darkmux itself failed.
    Internal,
    /// The role is known but can't run here.
    CannotRun,
    /// No such role.
    UnknownRole,
    /// Interrupted by the user.
    Interrupted,
    /// The session's own status.
    Child(u8),
}

impl Exit {
    /// The number the process ends with.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::TimeLimit => 124,
            Self::Internal => 125,
            Self::CannotRun => 126,
            Self::UnknownRole => 127,
            Self::Interrupted => 130,
            Self::Child(code) => code,
        }
    }

    /// The status of a command that this signal ended.
    pub fn of_signal(signal: SignalKind) -> Self {
        Self::of_shell_code(128 + signal.as_raw_value())
    }

    /// The status for a session that ended with this shell code.
    pub fn of_shell_code(code: i32) -> Self {
        Self::Child(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
    }
}

/// What a verb comes to.
pub type Outcome = Result<Exit, Failure>;

/// Why a verb failed: the status and the message. No message means that all was said already.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: Option<String>,
}

impl Failure {
    /// A failure with a message that says what failed, why, and what to do.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: Some(message.to_string()) }
    }

    /// The status.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The message, to be quoted in a note.
    pub fn words(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }

    /// Whether there is nothing to say.
    pub fn is_silent(&self) -> bool {
        self.message.is_none()
    }

    /// A failure whose reader has gone away or already knows.
    pub fn silent(exit: Exit) -> Self {
        Self { exit, message: None }
    }
}

impl<E> From<E> for Failure
where
    E: Into<anyhow::Error>,
{
    /// Status by what failed: a wrong configuration is 2, a reader that went away is a quiet 0, the rest is 1.
    fn from(error: E) -> Self {
        let error = error.into();
        let broken_pipe = |cause: &(dyn std::error::Error + 'static)| {
            cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe)
        };
        if error.chain().any(broken_pipe) {
            return Self::silent(Exit::Ok);
        }
        let config = error.chain().filter_map(|cause| cause.downcast_ref::<ConfigError>());
        let config = config.into_iter().any(ConfigError::is_a_mistake);
        Self::new(if config { Exit::Usage } else { Exit::Failed }, in_words(&error))
    }
}

/// The error and its causes; a cause that a message above it quotes already is not said twice.
fn in_words(error: &anyhow::Error) -> String {
    let mut words = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !words.contains(&cause) {
            words = format!("{words}: {cause}");
        }
    }
    words
}

/// Gives an error the exit status it stands for.
pub trait FailureContext<T> {
    /// The value, or a failure with this status.
    fn or_exit(self, exit: Exit) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> FailureContext<T> for Result<T, E> {
    fn or_exit(self, exit: Exit) -> Result<T, Failure> {
        self.map_err(|error| {
            let mut failure = Failure::from(error);
            if failure.message.is_some() {
                failure.exit = exit;
            }
            failure
        })
    }
}

/// Prints clap's own message; help and version are no failure.
#[allow(clippy::exit)]
pub fn usage(error: &clap::Error) -> ExitCode {
    // A closed stdout is the reader's choice.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { Exit::Usage.code() } else { 0 })
}

/// Reports a failure and gives the process its status.
pub fn report(outcome: Outcome, cx: &Cx) -> ExitCode {
    match outcome {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(failure) => {
            if let Some(message) = &failure.message {
                cx.printer.error(&visible(message));
            }
            ExitCode::from(failure.exit.code())
        }
    }
}
