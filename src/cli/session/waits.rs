//! Waiting for what a session says and shows, rather than for its end.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::host;
use super::wait::Waited;
use crate::cli::{Exit, Failure};
use crate::model::SessionId;
use crate::session::{
    Event, HostClient, HostEvent, LogReader, OldHost, ScreenFormat, Table, TextFinder, files, kind,
};
use crate::util::{reached, visible_line};
use crate::wire::SessionStatus;

/// How long a host that should be there may not answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// Pause between two tries to reach a host.
const RETRY: Duration = Duration::from_millis(50);

/// Between output and the next look at the screen: drawing is not done at its first byte.
const DRAWN: Duration = Duration::from_millis(150);

/// Output of an ended session that is looked at, in bytes.
const LAST: u64 = 64 * 1024;

/// Waits until the session's program or agent says that it does nothing.
pub(super) async fn idle(table: &Table, id: &SessionId) -> Result<Waited, Failure> {
    let mut heard = Instant::now();
    loop {
        let Some(now) = running(table, id)? else { return ended(table, id) };
        let asked = async { HostClient::connect(&table.folder(id)).await?.events().await };
        let error = match asked.await {
            Err(error) if OldHost::is(&error) => return Err(old(id)),
            Err(error) => error,
            Ok(mut events) => loop {
                heard = Instant::now();
                match events.next().await {
                    Ok(Some(HostEvent::Status { status })) => {
                        if let Some(done) = is_idle(*status)? {
                            return Ok(done);
                        }
                    }
                    Ok(Some(HostEvent::Activity | HostEvent::Notice { .. })) => {}
                    Ok(None) => break io::ErrorKind::UnexpectedEof.into(),
                    Err(error) => break error,
                }
            },
        };
        if heard.elapsed() >= PATIENCE {
            return Err(host::silent(table, &now.id, &error));
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn is_idle(status: SessionStatus) -> Result<Option<Waited>, Failure> {
    if status.state.is_final() {
        return Ok(Some(Waited::Ended(Box::new(status))));
    }
    match &status.report {
        Some(report) if !report.working => Ok(Some(Waited::Happened(Box::new(status), None))),
        // Its adapter will say so.
        None if status.kind.is_none() => Err(Failure::new(
            Exit::Failed,
            format!(
                "session {} is of kind `{}`, which does not say when it is idle; wait with --text RE or --exit",
                status.id,
                visible_line(kind(&status))
            ),
        )),
        _ => Ok(None),
    }
}

/// Waits until a line fits the pattern: one that stands on the screen, or one that is put out later.
pub(super) async fn text(table: &Table, id: &SessionId, pattern: &str) -> Result<Waited, Failure> {
    let finder = || {
        let bad = |words: String| Failure::new(Exit::Usage, format!("--text is no pattern: {words}"));
        TextFinder::new(pattern).map_err(bad)
    };
    finder()?;
    let (mut heard, mut from) = (Instant::now(), None);
    loop {
        let Some(now) = running(table, id)? else {
            let found = on_disk(table, id, (finder()?, from))?;
            return match (found, table.get(id)?) {
                (Some(line), Some(status)) => Ok(Waited::Happened(Box::new(status), Some(line))),
                _ => ended(table, id),
            };
        };
        let looked = look(table, id, (&finder, &mut from), &mut heard).await;
        let error = match looked {
            Ok(Some(line)) => {
                return Ok(Waited::Happened(Box::new(table.get(id)?.unwrap_or(now)), Some(line)));
            }
            // It has ended: what it said last is on the disk.
            Ok(None) => io::ErrorKind::UnexpectedEof.into(),
            Err(Looked::Failed(failure)) => return Err(failure),
            Err(Looked::Broke(error)) => error,
        };
        if heard.elapsed() >= PATIENCE {
            return Err(host::silent(table, id, &error));
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Why looking broke off.
enum Looked {
    Broke(io::Error),
    Failed(Failure),
}

impl From<io::Error> for Looked {
    fn from(error: io::Error) -> Self {
        Self::Broke(error)
    }
}

impl From<Failure> for Looked {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Looks through one connection; `None` when the session ended without the line. `from` is where to go on.
async fn look(
    table: &Table,
    id: &SessionId,
    (finder, from): (&impl Fn() -> Result<TextFinder, Failure>, &mut Option<u64>),
    heard: &mut Instant,
) -> Result<Option<String>, Looked> {
    let folder = table.folder(id);
    let mut screens = HostClient::connect(&folder).await?;
    let end = screens.status().await?.output.end;
    let mut has_screen = true;
    // Without a screen the last output stands for it.
    let mut at = from.unwrap_or(end);
    if let Some(line) = on_screen(&mut screens, finder()?, &mut has_screen).await? {
        return Ok(Some(line));
    }
    if !has_screen {
        at = from.unwrap_or_else(|| end.saturating_sub(LAST));
    }
    let mut events = HostClient::connect(&folder).await?.attach(Some(at), false).await?.events;
    let mut lines = finder()?;
    let mut drawn: Option<Instant> = None;
    loop {
        let due = drawn.filter(|_| has_screen);
        let event = tokio::select! {
            event = events.next() => event?,
            () = reached(due) => {
                drawn = None;
                if let Some(line) = on_screen(&mut screens, finder()?, &mut has_screen).await? {
                    return Ok(Some(line));
                }
                continue;
            }
        };
        *heard = Instant::now();
        match event {
            Some(Event::Output(bytes)) => {
                at += bytes.len() as u64;
                *from = Some(at);
                if let Some(line) = lines.push(&bytes) {
                    return Ok(Some(line));
                }
                drawn = drawn.or_else(|| Some(Instant::now() + DRAWN));
            }
            Some(Event::Gap(_, to)) => {
                at = to;
                lines.gap();
            }
            Some(Event::Snapshot { .. } | Event::Size { .. }) => {}
            Some(Event::End(_)) => return Ok(None),
            None => return Err(Looked::Broke(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

async fn on_screen(
    host: &mut HostClient,
    mut finder: TextFinder,
    has_screen: &mut bool,
) -> io::Result<Option<String>> {
    match host.screen(ScreenFormat::Text).await {
        Ok(rows) => Ok(finder.push(&rows)),
        Err(error) if OldHost::is(&error) => {
            *has_screen = false;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Looks at the last output of an ended session, from where it was not looked at yet.
fn on_disk(
    table: &Table,
    id: &SessionId,
    (mut finder, from): (TextFinder, Option<u64>),
) -> io::Result<Option<String>> {
    let mut log = LogReader::new(table.folder(id).join(files::OUTPUT));
    let (start, end) = log.range()?;
    let mut at = from.unwrap_or(0).max(start).max(end.saturating_sub(LAST));
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let (from, count) = log.read_at(at, &mut buffer)?;
        if count == 0 {
            return Ok(None);
        }
        if let Some(line) = finder.push(&buffer[..count]) {
            return Ok(Some(line));
        }
        at = from + count as u64;
    }
}

/// The session while it runs.
fn running(table: &Table, id: &SessionId) -> Result<Option<SessionStatus>, Failure> {
    Ok(table.get(id)?.filter(|status| !status.state.is_final()))
}

fn ended(table: &Table, id: &SessionId) -> Result<Waited, Failure> {
    match table.get(id)? {
        Some(status) => Ok(Waited::Ended(Box::new(status))),
        None => Err(Failure::new(Exit::Failed, format!("session {id} was dismissed"))),
    }
}

fn old(id: &SessionId) -> Failure {
    Failure::new(Exit::Failed, format!("session {id}: {OldHost}"))
}
