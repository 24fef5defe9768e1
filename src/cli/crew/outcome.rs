//! What a dispatch says at its end.

use serde_json::json;

use crate::cli::job::Delivery;
use crate::cli::printer::{BAD, DIM, GOOD};
use crate::cli::session::{Screen, Seen, exit_of, show_log, tell_gap, viewer_url};
use crate::cli::{Cx, Exit, Failure, Outcome};
use crate::config::Config;
use crate::model::{EndReason, ExitStatus, SessionId, SessionState};
use crate::session::{LogReader, Table, agent_result, files};
use crate::util::{human, visible};
use crate::wire::SessionStatus;

/// Output in a JSON document, in bytes; the end of it counts.
const OUTPUT_MAX: u64 = 1024 * 1024;

/// How a session ended that did what it was to do.
const WELL: &str = "ended well";

/// `-d`: the id alone, so that a script can take it.
pub fn detached(cx: &Cx, table: &Table, id: &SessionId, as_document: bool) -> Outcome {
    if as_document {
        cx.printer.json(&json!({ "schema": 1, "session": table.get(id)? }))?;
    } else {
        cx.printer.line(id.as_str())?;
    }
    Ok(Exit::Ok)
}

/// The reader of the output has gone, which is no failure; the session does not know of it.
pub fn unread(cx: &Cx, id: &SessionId) -> Exit {
    cx.printer.note(&format!(
        "nobody reads the output any longer; session {id} runs on (darkmux session kill {id} ends it)"
    ));
    Exit::Ok
}

/// How watching ended, in words or, as `how` says, as a document with what came back of the repository; and as the exit
/// status.
pub fn report(
    cx: &Cx,
    config: &Config,
    table: &Table,
    (seen, id): (Seen, &SessionId),
    how: (bool, Option<&Delivery>),
) -> Outcome {
    match seen {
        Seen::Ended(status) => told(cx, config, table, &status, how).map(|()| exit_of(&status)),
        Seen::Cancelled(status) => told(cx, config, table, &status, how).map(|()| Exit::Interrupted),
        seen @ (Seen::Left(_) | Seen::TimeOver) => {
            cx.printer.note(&format!("session {id} runs on; `darkmux session attach {id}` comes back to it"));
            Ok(if let Seen::Left(exit) = seen { exit } else { Exit::Interrupted })
        }
    }
}

/// Tells the end, as a document or as the last line.
fn told(
    cx: &Cx,
    config: &Config,
    table: &Table,
    status: &SessionStatus,
    (as_document, back): (bool, Option<&Delivery>),
) -> Result<(), Failure> {
    if as_document {
        let mut document = document(cx, table, status)?;
        if let Some(back) = back {
            document["workspace"] = back.document();
        }
        cx.printer.json(&document)?;
    } else {
        last_line(cx, config, status);
    }
    Ok(())
}

/// The JSON document of a session and the end of its output.
pub fn document(cx: &Cx, table: &Table, status: &SessionStatus) -> Result<serde_json::Value, Failure> {
    let mut log = LogReader::new(table.folder(&status.id).join(files::OUTPUT));
    let (start, end) = log.range()?;
    let from = end.saturating_sub(OUTPUT_MAX).max(start);
    let mut bytes = Vec::new();
    let mut screen = Screen::collect(&mut bytes);
    show_log(&mut log, from, &mut screen, |from, to| tell_gap(cx, from, to))?;
    screen.end()?;
    drop(screen);
    Ok(json!({
        "schema": 1,
        "session": status,
        "output": String::from_utf8_lossy(&bytes),
        "output_truncated": from > 0,
        "result": agent_result(&table.folder(&status.id)),
    }))
}

/// How it ended, such as `ended with exit code 3`.
pub fn how(status: &SessionStatus) -> String {
    match (status.state, status.reason, status.exit_code) {
        (SessionState::Lost, ..) => "was lost".to_owned(),
        (_, Some(EndReason::Timeout), _) => "reached its time limit".to_owned(),
        (_, Some(EndReason::Killed), _) => "was ended".to_owned(),
        (_, _, Some(0)) => WELL.to_owned(),
        (_, _, Some(code)) if matches!(status.exit, Some(ExitStatus::Signal(_))) => {
            format!("ended by signal {}", code - 128)
        }
        (_, _, code) => format!("ended with exit code {}", code.unwrap_or(-1)),
    }
}

/// The last line on stderr: the session, how it ended, how long it took, where to see it again.
fn last_line(cx: &Cx, config: &Config, status: &SessionStatus) {
    let word = how(status);
    // Who ended it knows why, and the line below says that a limit was reached.
    let is_said = |why: &str| why.starts_with("the time limit of ") && why.ends_with(" was ended");
    let why = status.error.as_ref().filter(|why| status.reason != Some(EndReason::Killed) && !is_said(why));
    if let Some(why) = why {
        cx.printer.error(&visible(why));
    }
    let style = if word == WELL { GOOD } else { BAD };
    let ran =
        status.ran().map(|ran| format!(" after {}", human::duration(ran.unsigned_abs()))).unwrap_or_default();
    let page = viewer_url(config).map(|url| format!(" · {url}")).unwrap_or_default();
    let id = &status.id;
    cx.printer.note(&format!(
        "{style}{word}{style:#}{DIM}{ran} · session {id} · darkmux session tail {id}{page}{DIM:#}"
    ));
}
