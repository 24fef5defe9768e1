//! Sessions of other machines: the same answers as of this machine's, from what the daemon brings.

use tokio::time::Instant;

use super::super::call::Call;
use super::super::result;
use super::outcome::Outcome;
use crate::cli::remote::{self, Listed, Remote, WaitFor};
use crate::cli::{Exit, Failure};
use crate::util::visible_line;

/// Output asked for, in bytes: what `logs` may answer, and room for what plain text leaves out.
const OUTPUT_MAX: usize = 1024 * 1024;

/// How it stands, in words.
pub fn in_words(session: &Listed) -> String {
    let away = session.disconnected_since.is_some();
    match (session.alive, session.shell_code()) {
        (true, _) if away => "was running when its machine was heard of last".to_owned(),
        (true, _) => "is running".to_owned(),
        (false, Some(0)) => "ended well".to_owned(),
        (false, Some(code)) => format!("ended with exit code {code}"),
        (false, None) => "ended".to_owned(),
    }
}

/// Where it stands, as an answer.
pub fn outcome(session: &Listed, reason: &'static str) -> Outcome {
    let ended = !session.alive;
    let exit = || session.shell_code().map_or(Exit::Internal, Exit::of_shell_code);
    Outcome {
        id: session.id.clone(),
        kind: "session",
        state: session.state().as_str(),
        ended,
        exit_code: ended.then(|| exit().code()),
        machine: Some(session.machine().to_owned()),
        reason,
        ..Outcome::default()
    }
}

/// The end of its output as plain text, and whether there is more.
pub async fn output(remote: &Remote, asked: Option<u32>) -> Result<(String, bool), Failure> {
    let (bytes, is_cut) = remote::newest_output(remote, OUTPUT_MAX).await?;
    let (text, cut) = result::output(&String::from_utf8_lossy(&bytes), asked);
    Ok((text, is_cut || cut))
}

/// Ends it and waits for that.
pub async fn kill(call: &Call, remote: &Remote) -> Result<(Outcome, String), Failure> {
    remote::kill(&call.cx, remote, None, None).await?;
    let now = now(remote).await?;
    // The list may be a moment behind what its machine said of the end.
    let now = Listed { alive: false, ..now };
    Ok(outcome(&now, "ended").told(call, &in_words(&now)))
}

/// Waits until then for what is asked for; its end is an answer in any case.
pub async fn wait(
    call: &Call,
    remote: &Remote,
    (what, until): (&WaitFor, Instant),
    output_bytes: Option<u32>,
) -> Result<(Outcome, String), Failure> {
    let waited = remote::waited(&call.cx, remote, what, Some(until));
    let waited = tokio::time::timeout_at(until, waited).await.unwrap_or(Ok(None))?;
    let now = now(remote).await?;
    let Some(waited) = waited else {
        let words = format!("{}; the time to wait is over and it goes on", in_words(&now));
        return Ok(outcome(&now, "time_over").told(call, &words));
    };
    if *what == WaitFor::Exit || waited["reason"] == "died" {
        let told = waited["exit_code"].as_i64().and_then(|code| i32::try_from(code).ok());
        let now = Listed { alive: false, exit_code: now.exit_code.or(told), ..now };
        let ended = outcome(&now, "ended").with_output(output(remote, output_bytes).await?);
        return Ok(ended.told(call, &in_words(&now)));
    }
    let line = waited["line"].as_str().or(waited["needs_you"].as_str());
    let line = line.map(|line| visible_line(line).into_owned());
    let reason = if matches!(what, WaitFor::Text(_)) { "text" } else { "idle" };
    Ok(Outcome { line, ..outcome(&now, reason) }.told(call, &in_words(&now)))
}

async fn now(remote: &Remote) -> Result<Listed, Failure> {
    let gone = || Failure::new(Exit::Failed, format!("session {} was dismissed", remote.session.id));
    remote.now().await?.ok_or_else(gone)
}
