//! One call of a tool: its thread, its context, its end.

use std::time::Duration;

use clap::FromArgMatches;
use rmcp::model::JsonObject;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::result::{self, Answer};
use crate::cli::{Cli, Cx, Exit, Failure, Printer, block_on, command, run as run_verb};
use crate::config::{Config, Environment};
use crate::util::human;

/// How long a call waits where the caller names no time. Many clients give a call up after a minute of silence; those
/// that ask for progress don't while they get it.
const WAIT: Duration = Duration::from_secs(50);
const WAIT_FOLLOWED: Duration = Duration::from_mins(10);

/// Longest time to wait in one call.
const WAIT_MAX: Duration = Duration::from_hours(24);

/// The variable that says who drives this machine.
const ORCHESTRATOR: &str = "DARKMUX_ORCHESTRATOR";

/// What a call is made of.
pub struct Order {
    /// The server's environment.
    pub env: Environment,
    /// The client's name.
    pub client: Option<String>,
    /// Cancelled when the client does not want the answer any more, or has gone.
    pub cancelled: CancellationToken,
    /// Whether the client hears how it goes.
    pub is_followed: bool,
    /// Whether nothing may be changed.
    pub read_only: bool,
    /// Hears every note; what does not fit is dropped.
    pub tell: mpsc::Sender<String>,
}

/// A call that runs.
pub struct Call {
    /// The context of its verbs.
    pub cx: Cx,
    /// Whether nothing may be changed.
    pub read_only: bool,
    cancelled: CancellationToken,
    is_followed: bool,
}

/// Runs a call to its end. Blocks.
pub fn run(order: Order, work: impl FnOnce(&Call) -> Result<Answer, Failure>) -> Result<Answer, Failure> {
    let Order { env, client, cancelled, is_followed, read_only, tell } = order;
    let env = match client.filter(|client| !client.is_empty()) {
        Some(client) if !says_who_drives(&env) => env.with(ORCHESTRATOR, client),
        _ => env,
    };
    let printer = Printer::keeping(move |note| {
        // Progress is nothing that somebody waits for.
        let _ = tell.try_send(note.to_owned());
    });
    result::bounded(work(&Call { cx: Cx::with_printer(env, printer), read_only, cancelled, is_followed })?)
}

/// Whether the user said who drives this machine.
fn says_who_drives(env: &Environment) -> bool {
    let config = Config::load(env.clone(), &[]).ok();
    let flow = config.and_then(|config| config.flow().ok());
    flow.is_some_and(|flow| flow.provenance.orchestrator.is_some())
}

impl Call {
    /// Runs a line of the command line to its end; the JSON document that it prints.
    pub fn verb<T: DeserializeOwned>(&self, words: &[String]) -> Result<T, Failure> {
        self.line(words)?;
        Ok(serde_json::from_slice(&self.cx.printer.take_data())?)
    }

    /// As [`verb`](Self::verb), for one that prints nothing; its notes.
    pub fn notes(&self, words: &[String]) -> Result<Vec<String>, Failure> {
        self.line(words)?;
        Ok(self.cx.printer.take_notes())
    }

    fn line(&self, words: &[String]) -> Result<(), Failure> {
        let words = std::iter::once("darkmux").chain(words.iter().map(String::as_str));
        let parsed = command().try_get_matches_from(words);
        let cli =
            parsed.and_then(|matches| Cli::from_arg_matches(&matches)).map_err(|error| usage(&error))?;
        run_verb(cli.verb, &self.cx).map(|_| ())
    }

    /// Runs asynchronous work, unless the client cancels it.
    pub fn block_on<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        block_on(async {
            tokio::select! {
                done = work => done,
                () = self.cancelled.cancelled() => {
                    Err(Failure::new(Exit::Interrupted, "cancelled by the client; what was started goes on"))
                }
            }
        })
    }

    /// Until when to wait, where this was asked for.
    pub fn until(&self, asked: Option<&String>) -> Result<Instant, Failure> {
        Ok(Instant::now() + time_to_wait(asked, self.is_followed)?)
    }
}

/// How long to wait where this was asked for, and the client hears how it goes or does not.
fn time_to_wait(asked: Option<&String>, is_followed: bool) -> Result<Duration, Failure> {
    let default = if is_followed { WAIT_FOLLOWED } else { WAIT };
    let wait = asked.map_or(Ok(default), |text| human::parse_duration(text));
    let wait = wait.map_err(|words| Failure::new(Exit::Usage, format!("wait_for: {words}")))?;
    Ok(wait.min(WAIT_MAX))
}

/// clap's words without its hints on how to write a command line.
fn usage(error: &clap::Error) -> Failure {
    let words = error.to_string();
    let first = words.split("\n\n").next().unwrap_or_default();
    Failure::new(Exit::Usage, first.trim().trim_start_matches("error: "))
}

/// Reads what a tool was called with.
pub fn arguments<T: DeserializeOwned>(arguments: JsonObject) -> Result<T, Failure> {
    serde_json::from_value(arguments.into()).map_err(|error| {
        Failure::new(Exit::Usage, format!("arguments: {error}; the tool's inputSchema says which there are"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_short_where_nothing_is_heard_and_have_an_end() {
        let wait = |asked: Option<&str>, is_followed| {
            time_to_wait(asked.map(str::to_owned).as_ref(), is_followed).map(|wait| wait.as_secs())
        };
        // Clients give a silent call up after a minute.
        assert!((30..60).contains(&wait(None, false).unwrap()));
        assert_eq!(wait(None, true).unwrap(), 600);
        assert_eq!(wait(Some("90s"), false).unwrap(), 90);
        assert_eq!(wait(Some("300d"), false).unwrap(), 24 * 3600);
        assert!(wait(Some("soon"), true).unwrap_err().words().starts_with("wait_for: "));
    }
}
