//! Waiting for a session of another machine, also when a daemon on the way is started anew meanwhile.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::follow::left;
use super::heal::Heal;
use super::{Listed, Remote};
use crate::cli::session::Terminal;
use crate::cli::{Cx, Exit, Failure, FailureContext, Outcome};
use crate::client::{ClientError, Sent};
use crate::peer::encoded;
use crate::util::{reached, visible_line};

/// How long the daemons are asked to wait at a time, in seconds.
const AT_A_TIME: u64 = 3600;

/// How long an answer may take beyond that.
const BESIDE: Duration = Duration::from_secs(30);

/// A wait that lasted so long did not fail for the reason of the one before.
const LASTED: Duration = Duration::from_secs(90);

/// How long the daemon may take to hear of an end.
const TOLD_WITHIN: Duration = Duration::from_secs(3);

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitFor {
    /// Its end.
    Exit,
    /// That nothing is at work.
    Idle,
    /// A line that fits.
    Text(String),
}

impl WaitFor {
    fn query(&self) -> String {
        match self {
            Self::Exit => "for=exit".to_owned(),
            Self::Idle => "for=idle".to_owned(),
            Self::Text(text) => format!("for=text&text={}", encoded(text)),
        }
    }
}

/// Waits, at most until `until`.
pub async fn wait(cx: &Cx, remote: Remote, what: &WaitFor, until: Option<Instant>, json: bool) -> Outcome {
    let mut terminal = Terminal::open(None).or_exit(Exit::Internal)?;
    let waited = tokio::select! {
        waited = waited(cx, &remote, what, until) => waited?,
        exit = left(&mut terminal) => return Ok(exit),
        () = reached(until) => None,
    };
    let id = &remote.session.id;
    let Some(waited) = waited else {
        if json {
            cx.printer.json(&json!({ "schema": 1, "reason": "timeout", "session": null }))?;
            return Ok(Exit::TimeLimit);
        }
        let words = format!("session {id} still runs; the time to wait for it is over (nothing was ended)");
        return Err(Failure::new(Exit::TimeLimit, words));
    };
    let now = now(&remote, what).await?;
    let code = now.as_ref().and_then(Listed::shell_code);
    let code = code.or(waited["exit_code"].as_i64().and_then(|code| i32::try_from(code).ok()));
    let died = waited["reason"] == "died";
    if json {
        let session = now.map(|session| session.raw);
        if *what == WaitFor::Exit {
            cx.printer.json(&session)?;
        } else {
            let reason = if died { json!("ended") } else { waited["reason"].clone() };
            let line = &waited["line"];
            cx.printer.json(&json!({ "schema": 1, "reason": reason, "line": line, "session": session }))?;
        }
    }
    match what {
        WaitFor::Exit => Ok(code.map_or(Exit::Internal, Exit::of_shell_code)),
        _ if died && json => Ok(Exit::Failed),
        _ if died => {
            let how = code.map_or("ended".to_owned(), |code| format!("ended with exit code {code}"));
            let words =
                format!("session {id} {how} before that; `darkmux session tail {id}` shows its output");
            Err(Failure::new(Exit::Failed, words))
        }
        _ => {
            let line = waited["line"].as_str().or(waited["needs_you"].as_str()).filter(|_| !json);
            if let Some(line) = line {
                cx.printer.line(&visible_line(line))?;
            }
            Ok(Exit::Ok)
        }
    }
}

/// The session as it is now. After a break of the way the daemon may be told of an end later than we are.
async fn now(remote: &Remote, what: &WaitFor) -> Result<Option<Listed>, Failure> {
    let late = Instant::now() + TOLD_WITHIN;
    loop {
        let now = remote.now().await?;
        let is_old = *what == WaitFor::Exit && now.as_ref().is_some_and(|now| now.alive);
        if !is_old || Instant::now() >= late {
            return Ok(now);
        }
        // Asking for the machines makes links that are down try again.
        let _ = remote.client.peers().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What the machine answered; `None` when the time is over, which it looks at when it asks.
pub async fn waited(
    cx: &Cx,
    remote: &Remote,
    what: &WaitFor,
    until: Option<Instant>,
) -> Result<Option<Value>, Failure> {
    let mut heal = Heal::default();
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let seconds =
            left.map_or(AT_A_TIME, |left| left.as_secs() + u64::from(left.subsec_nanos() > 0)).min(AT_A_TIME);
        if seconds == 0 {
            return Ok(None);
        }
        let path = format!("{}?{}&timeout={seconds}", remote.path("wait"), what.query());
        let asked = remote.client.act(&path, Sent::Nothing, Duration::from_secs(seconds) + BESIDE);
        let began = Instant::now();
        match asked.await {
            Ok(answer) => return Ok(Some(answer)),
            Err(ClientError::Refused { status: 408, .. }) => heal = Heal::default(),
            Err(error) => {
                if began.elapsed() >= LASTED {
                    heal = Heal::default();
                }
                heal.wait(cx, &remote.session.id, error.into()).await?;
            }
        }
    }
}
