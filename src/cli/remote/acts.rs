//! What is done to a session of another machine.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{sleep, timeout};

use super::follow::{self, Tail};
use super::look::{look, picture};
use super::{Machines, Remote, connect, failure};
use crate::cli::session::{Keys, Typing, on_terminal};
use crate::cli::{Cx, Exit, Failure, Outcome};
use crate::client::Sent;
use crate::peer::RemoteId;
use crate::wire::WindowSize;

/// How long an action may take: longer than the daemon waits for the other machine.
const ACT_TIME: Duration = Duration::from_mins(1);

/// How long typing and small changes may take.
const QUICK_TIME: Duration = Duration::from_secs(20);

/// How long it may take until this machine hears of a change, and how often that is looked at.
const HEARD: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);

/// Ends it within this grace, or its own; with a signal only that is sent.
pub async fn kill(cx: &Cx, remote: &Remote, grace: Option<Duration>, signal: Option<&str>) -> Outcome {
    if !remote.session.alive {
        cx.printer.note(&format!("session {} has ended already", remote.session.id));
        return Ok(Exit::Ok);
    }
    let query = match (grace, signal) {
        (_, Some(signal)) => format!("kill?signal={signal}"),
        (Some(grace), None) => format!("kill?grace_ms={}", grace.as_millis()),
        (None, None) => "kill".to_owned(),
    };
    remote.client.act(&remote.path(&query), Sent::Nothing, ACT_TIME).await.map_err(failure)?;
    Ok(Exit::Ok)
}

/// Removes it. One that runs is removed only where the user says so.
pub async fn dismiss(cx: &Cx, remote: Remote, yes: bool) -> Outcome {
    let id = &remote.session.id;
    if remote.session.alive && !yes {
        let words = format!("session {id} runs; `darkmux session dismiss --yes {id}` ends and removes it");
        return Err(Failure::new(Exit::Usage, words));
    }
    remote.client.act(&remote.path("dismiss"), Sent::Nothing, ACT_TIME).await.map_err(failure)?;
    cx.printer.line(&format!("dismissed {id}"))?;
    Ok(Exit::Ok)
}

/// Gives it another name, and waits until that finds it here.
pub async fn rename(remote: Remote, name: &str) -> Outcome {
    let sent = Sent::Json(json!({ "name": name }));
    remote.client.act(&remote.path("rename"), sent, QUICK_TIME).await.map_err(failure)?;
    let heard = async {
        while remote.now().await?.is_some_and(|now| now.name.as_deref() != Some(name)) {
            sleep(LOOK).await;
        }
        Ok::<_, Failure>(())
    };
    // It has the name; a link that is slow tells of it later.
    timeout(HEARD, heard).await.unwrap_or(Ok(()))?;
    Ok(Exit::Ok)
}

/// How it is run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// It goes on.
    Resume,
    /// It begins as the first run did.
    Restart,
}

/// Runs it again, and looks into it on a terminal.
pub async fn again(cx: &Cx, remote: Remote, how: Again, detach: bool) -> Outcome {
    let action = if how == Again::Resume { "resume" } else { "restart" };
    remote.client.act(&remote.path(action), Sent::Nothing, ACT_TIME).await.map_err(failure)?;
    if !detach && on_terminal() {
        return look(cx, remote, Keys::Attached, None).await;
    }
    if !detach {
        cx.printer.note("it runs; `darkmux session tail -f` with its id shows its output");
    }
    cx.printer.line(&remote.session.id)?;
    Ok(Exit::Ok)
}

/// Types into it.
pub async fn send(remote: Remote, typed: Typing) -> Outcome {
    let id = &remote.session.id;
    if !remote.session.alive {
        let words = format!(
            "session {id} has ended; `darkmux session tail {id}` shows its output, `darkmux session resume {id}` \
             runs it again"
        );
        return Err(Failure::new(Exit::Failed, words));
    }
    let picture = if typed.asks() { picture(&remote).await?.1 } else { Vec::new() };
    for piece in typed.pieces(&picture) {
        let path = remote.path("input");
        remote.client.act(&path, Sent::Bytes(piece), QUICK_TIME).await.map_err(failure)?;
    }
    Ok(Exit::Ok)
}

/// A session that is to be started.
#[derive(Debug)]
pub struct NewThere<'a> {
    /// Where.
    pub machine: &'a str,
    /// Program and arguments; none for the shell of that machine.
    pub command: &'a [String],
    /// Its folder there; the home folder when there is none.
    pub cwd: Option<&'a Path>,
    /// Its name.
    pub name: Option<&'a str>,
    /// The first size of its terminal.
    pub size: WindowSize,
}

/// Starts a session on another machine, and shows it.
pub async fn launch(cx: &Cx, new: NewThere<'_>, detach: bool) -> Outcome {
    let client = connect(cx)?;
    let machines = Machines::settled(cx, &client, new.machine, Duration::ZERO).await?;
    // One that is away may be back, and is asked.
    if let Some(trouble) = machines.trouble(new.machine).filter(|trouble| trouble.exit() != Exit::Unreachable)
    {
        return Err(trouble);
    }
    let mut body = Map::new();
    body.insert("peer".to_owned(), new.machine.into());
    body.insert("size".to_owned(), json!(new.size));
    if !new.command.is_empty() {
        body.insert("command".to_owned(), json!(new.command));
    }
    if let Some(cwd) = new.cwd {
        let cwd = cwd.to_str().ok_or_else(|| Failure::new(Exit::Usage, "--workdir is not UTF-8"))?;
        body.insert("cwd".to_owned(), cwd.into());
    }
    if let Some(name) = new.name {
        body.insert("name".to_owned(), name.into());
    }
    let sent = Sent::Json(Value::Object(body));
    let launched = client.act("/v1/launch", sent, QUICK_TIME).await.map_err(failure)?;
    // What is none would be shown, and be part of an address.
    let Some(id) = launched["session_id"].as_str().filter(|id| RemoteId::parse(id).is_some()) else {
        let machine = new.machine;
        cx.printer.note(&format!(
            "it runs; {machine} does not say its id: `darkmux session ls --machine {machine}`"
        ));
        return Ok(Exit::Ok);
    };
    if detach {
        cx.printer.line(id)?;
        return Ok(Exit::Ok);
    }
    let session = super::Listed { id: id.to_owned(), alive: true, ..super::Listed::default() };
    let remote = Remote { client, session };
    if on_terminal() {
        return look(cx, remote, Keys::Attached, Some(0)).await;
    }
    follow::tail(cx, remote, Tail { follow: true, ..Tail::default() }).await
}
