//! `darkmux hook`: what agents call to say what they do. It passes that on to the host of the session it runs in.
//!
//! Invariants: it never disturbs the agent. It ends with 0 whatever happens, within a second, and prints nothing:
//! agents read a hook's output as an instruction and its status as a veto.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::{Cx, Exit, Outcome};
use crate::crew::adapter::{Adapter, HOOK_MAX, Said};
use crate::session::AgentSide;

/// How long all of it may take.
const LIMIT: Duration = Duration::from_millis(950);

/// Tell the session's host what an agent said by one of its hooks.
#[derive(Debug, Args)]
#[command(disable_help_flag = false)]
pub struct HookArgs {
    /// Agent, then the event, or the event's JSON where the agent gives it as an argument
    // All in one, so that no call can be wrong.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "AGENT [EVENT|JSON]")]
    words: Vec<OsString>,
}

/// Runs the verb.
#[allow(clippy::unnecessary_wraps)] // As every verb.
pub fn run(args: &HookArgs, cx: &Cx) -> Outcome {
    let Some(socket) = cx.env.raw("DARKMUX_SOCKET").map(PathBuf::from) else { return Ok(Exit::Ok) };
    let words: Vec<String> = args.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let (done, ended) = mpsc::channel::<()>();
    // What waits there for an agent or a host that is slow ends with the process.
    let started = std::thread::Builder::new().name("hook".to_owned()).spawn(move || {
        tell(&words, &socket);
        drop(done);
    });
    if started.is_ok() {
        let _ = ended.recv_timeout(LIMIT);
    }
    Ok(Exit::Ok)
}

/// Reads what the agent says and passes it on; what fails is lost, and the next word of the agent mends it.
fn tell(words: &[String], socket: &Path) {
    let Some((adapter, rest)) =
        words.split_first().and_then(|(name, rest)| Some((Adapter::named(name)?, rest)))
    else {
        return;
    };
    let Some(hook) = hook(rest) else { return };
    let said = adapter.said(&hook);
    let _ = pass_on(&said, &AgentSide::new(socket));
}

/// The hook's input: the last word where it is JSON, else standard input. The event that the call names stands in
/// for a text that is missing, broken or too long.
fn hook(words: &[String]) -> Option<Value> {
    if let Some(given) = words.last().filter(|word| word.trim_start().starts_with('{')) {
        return serde_json::from_str(given).ok();
    }
    let event = words.first().map(|event| Adapter::bare_hook(event));
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return event;
    }
    let mut text = Vec::new();
    let read = stdin.lock().take(HOOK_MAX + 1).read_to_end(&mut text);
    if text.len() as u64 > HOOK_MAX {
        // The rest is taken as well: an agent that can't write it might say so.
        let _ = io::copy(&mut stdin.lock(), &mut io::sink());
        return event;
    }
    read.ok().and_then(|_| serde_json::from_slice(&text).ok()).filter(Value::is_object).or(event)
}

fn pass_on(said: &Said, host: &AgentSide) -> io::Result<()> {
    if let Some(report) = &said.report {
        let is_asked =
            || host.status().is_ok_and(|status| status.report.is_some_and(|now| now.needs_you.is_some()));
        if !(said.keeps_question && is_asked()) {
            host.put("/status", report)?;
        }
    }
    let mut agent = json!({});
    for (key, value) in [("session", &said.conversation), ("title", &said.title)] {
        if let Some(value) = value {
            agent[key] = json!(value);
        }
    }
    if agent.as_object().is_some_and(|agent| !agent.is_empty()) {
        host.put("/agent", &agent)?;
    }
    Ok(())
}
