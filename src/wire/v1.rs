//! Bodies of `/v1/*`: the shapes of gmux 1.x, and keys of our own beside them, which its hubs pass over.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::WindowSize;
use crate::model::{EndReason, ExitStatus, SessionState};

/// A session as `GET /v1/sessions` and the events tell it. What is not known is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionObject {
    /// Its id: opaque, without `/`; with `@` and the names of machines for a session of a peer.
    pub id: String,
    /// The peer it came from; absent for a session of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// When it was asked for: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// When its program started last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When its program ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exited_at: Option<String>,
    /// Program and arguments, at most 16 KiB of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Its folder, with `~` for the home folder of its machine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cwd: String,
    /// The folder of the repository that it is in, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_root: Option<String>,
    /// The adapter that knows its program: `shell`, `claude`, `codex`, …
    pub kind: String,
    /// Remotes of its repository, by name, without passwords.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub remotes: BTreeMap<String, String>,
    /// Whether its program runs.
    pub alive: bool,
    /// Its process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// How its program ended: its code, or -1 after a signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// One line about it, chosen by its machine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Ours: one line about it, to stand beside its name; absent where the title is that line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// What its program says of itself; null when it says nothing.
    pub status: Option<StatusObject>,
    /// Whether its agent ended a turn that nobody has looked at.
    pub unread: bool,
    /// Ours: the newest notice of its program that nobody has looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<NoticeObject>,
    /// Whether `resume` runs it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumable: bool,
    /// Where its host listens on its machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket_path: Option<String>,
    /// Columns of its terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal_cols: Option<u16>,
    /// Rows of its terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal_rows: Option<u16>,
    /// Its readable name in URLs, unique among those of its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    /// Version of the protocol that its host speaks.
    pub runner_version: String,
    /// Ours: the machine it runs on.
    pub machine_id: String,
    /// Ours: the role it runs, when it is a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Ours: the name the user gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Ours: where it is in its life.
    #[schema(value_type = String, pattern = "^(starting|running|exited|lost)$")]
    pub state: SessionState,
    /// Ours: what it waits for a person to say or to decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs_you: Option<String>,
    /// Ours: how often its program was started.
    pub runs: u32,
    /// Ours: why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^(exited|timeout|killed|failed)$")]
    pub reason: Option<EndReason>,
    /// Ours: how its program ended, `{"code":N}` or `{"signal":N}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub exit: Option<ExitStatus>,
    /// Ours: what went wrong, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One of `GET /v1/events`, as its lines say it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventObject {
    /// What happened.
    #[schema(pattern = "^(session-(upsert|remove|activity|snapshot|notice)|peer-status|discovery)$")]
    pub event: String,
    /// JSON; its `type` is the event's name.
    pub data: String,
    /// Ours: what a client that comes back says in `Last-Event-ID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// What a session's program wants a person to see (OSC 9, OSC 777).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoticeObject {
    /// What it is about; empty for OSC 9.
    pub title: String,
    /// What it says.
    pub body: String,
    /// When it said so.
    pub at: String,
}

/// What a session's program says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusObject {
    /// A few words.
    pub label: String,
    /// Whether it is at work, rather than waiting for somebody.
    pub working: bool,
    /// Whether something went wrong.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub error: bool,
}

/// Body of `POST /v1/sessions/{id}/rename`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RenameBody {
    /// 1 to 64 printable characters.
    pub name: String,
}

/// `POST /v1/launch`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LaunchBody {
    /// Folder to run in: absolute, or below `~`; the home folder when absent.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Program and arguments.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// One of the launchers of `/v1/health`, where there is no command.
    #[serde(default)]
    pub launcher_id: Option<String>,
    /// A peer that is to run it.
    #[serde(default)]
    pub peer: Option<String>,
    /// Ours: a name for it.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 64)]
    pub name: Option<String>,
    /// Ours: the first size of its terminal.
    #[serde(default, deserialize_with = "size")]
    pub size: Option<WindowSize>,
    /// Ours: asked again with the same key it starts nothing and tells the session of the first time, while that is
    /// kept: for who asks again because no answer came.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200)]
    pub key: Option<String>,
}

/// A size is an object. Read as it is, it could be a list as well. What is more than fits is too large, as what is just
/// beyond the bounds.
fn size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<WindowSize>, D::Error> {
    let said = Option::<BTreeMap<String, serde_json::Value>>::deserialize(from)?;
    let most = |(name, cells): (String, serde_json::Value)| {
        let is_more = cells.as_u64().is_some_and(|cells| cells > u16::MAX.into());
        (name, if is_more { u16::MAX.into() } else { cells })
    };
    let size = said.map(|said| serde_json::from_value(said.into_iter().map(most).collect()));
    size.transpose().map_err(D::Error::custom)
}

/// What `launch`, `resume` and `restart` answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Launched {
    /// The session's process; 0 when it has ended already.
    pub pid: u32,
    /// The session.
    pub session_id: String,
}

/// `GET /v1/health`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct V1Health {
    /// `gmuxd`: the API that is spoken here, by which hubs know it.
    pub service: String,
    /// The daemon's version.
    pub version: String,
    /// Who this machine is; kept, and the same whatever it is called.
    pub node_id: String,
    /// `ready`.
    pub status: String,
    /// The machine's name in its network.
    pub hostname: String,
    /// Where the daemon listens.
    pub listen: String,
    /// The launcher that is taken when none is named.
    pub default_launcher: String,
    /// What can be launched here.
    pub launchers: Vec<Launcher>,
    /// How many sessions there are.
    pub sessions: SessionCounts,
    /// The peers, by name.
    #[serde(default)]
    pub peers: Vec<PeerStatus>,
    /// Ours: the name that the operator gave the machine.
    pub machine_id: String,
}

/// A peer, and how the link to it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PeerStatus {
    /// Its name, which ids of its sessions end with.
    pub name: String,
    /// Where its daemon is.
    pub url: String,
    /// How the link is.
    pub status: LinkState,
    /// How many of its sessions run.
    pub session_count: usize,
    /// Why the link is down, or what of its sessions is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Its version, once it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The launcher that it takes when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_launcher: Option<String>,
    /// What can be launched there.
    #[serde(default)]
    pub launchers: Vec<Launcher>,
    /// Ours: how it came to be a peer: `host.toml`, `roster`, `tailscale`, `devcontainer`.
    pub origin: String,
    /// Ours: whether its sessions count as this machine's own.
    #[serde(default)]
    pub local: bool,
    /// Ours: since when the link is so: RFC 3339, UTC.
    pub since: String,
    /// Ours: which machine it is, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// Ours: the name that its operator gave it, where it says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// Ours: how many sessions it has, ended ones too.
    #[serde(default)]
    pub sessions: usize,
    /// Ours: how much of what it sent was not taken.
    #[serde(default)]
    pub dropped: u64,
}

/// How the link to a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// It is tried for the first time.
    Connecting,
    /// It is up.
    Connected,
    /// It is down, and tried again.
    Disconnected,
    /// The machine is known to be off.
    Offline,
}

/// `GET /v1/discovery`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Discovered {
    /// The machines, by name.
    pub machines: Vec<FoundMachine>,
    /// Whether the tailnet can be looked at.
    pub tailscale: Looking,
    /// Whether the containers can be looked at.
    pub devcontainers: Looking,
}

/// Whether machines can be looked for in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Looking {
    /// `on`, `starting`, `away` or `off`.
    pub state: String,
    /// Why it is `away`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Looking {
    /// This state.
    pub fn new(state: &str, reason: Option<String>) -> Self {
        Self { state: state.to_owned(), reason }
    }

    /// Switched off.
    pub fn off() -> Self {
        Self::new("off", None)
    }
}

/// A machine that nobody added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundMachine {
    /// Its name.
    pub name: String,
    /// Where its daemon answers.
    pub url: String,
    /// `darkmux` or `gmux`.
    pub kind: String,
    /// Who it is, where it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// `tailscale` or `devcontainer`.
    pub origin: String,
    /// Its name in the tailnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The container's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The folder on this machine that the container was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Whether it is connected now.
    pub online: bool,
    /// What opens it: `identity` and `token` need nothing more, a `suggestion` has to be joined, and `joined` was; one that is
    /// `taken` has a name that means another machine here.
    pub access: String,
    /// Why it is not connected to, where its name is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<String>,
    /// Whether it counts as a part of this machine.
    pub local: bool,
    /// How to join it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<String>,
}

/// Something that can be launched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Launcher {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub label: String,
    /// Program and arguments; null for the user's shell.
    pub command: Option<Vec<String>>,
    /// A few words.
    pub description: String,
    /// Whether its program is here.
    pub available: bool,
}

/// How many sessions there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionCounts {
    /// Of this machine, running.
    pub local_alive: usize,
    /// Of other machines, running.
    pub remote_alive: usize,
    /// Ended.
    pub dead: usize,
}

/// `POST /v1/sessions/{id}/attach`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttachObject {
    /// `websocket`.
    pub transport: String,
    /// Path of the terminal's WebSocket.
    pub ws_path: String,
    /// Where its host listens on its machine; absent when it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket_path: Option<String>,
}

/// `POST /v1/sessions/{id}/wait`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Waited {
    /// `idle`, `exited`, `text`, or `died` for a session that ended otherwise than waited for.
    pub reason: String,
    /// How its program ended, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The line that was waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// What the program waits for a person to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs_you: Option<String>,
}

/// `POST /v1/sessions/{id}/clipboard`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pasted {
    /// The file on the session's machine.
    pub path: String,
}

/// `POST /v1/register` and `/v1/deregister`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RegisterBody {
    /// The session.
    #[schema(pattern = "^[a-z0-9_-]{1,64}$")]
    pub session_id: String,
}

/// What a refusal says, below `error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorObject {
    /// A word that never changes.
    pub code: String,
    /// What to do about it.
    pub message: String,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refusal {
    /// `false`.
    pub ok: bool,
    /// What and why.
    pub error: ErrorObject,
}
