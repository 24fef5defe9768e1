//! A session as others are told of it.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::place::{self, Place};
use super::slug;
use crate::model::{EndReason, ExitStatus, SessionId, SessionState};
use crate::session::{kind, question, socket_path, title, what};
use crate::util::{human, visible, visible_line};
use crate::wire::v1::{NoticeObject, SessionObject, StatusObject};
use crate::wire::{HOST_PROTOCOL, SessionNotice, SessionStatus};

/// Bytes of a command that are kept; a message may stand in it.
const COMMAND_MAX: usize = 16 * 1024;

/// Longest title, in characters.
const TITLE_MAX: usize = 200;

/// The slug of a session that nothing is known of.
const NAMELESS: &str = "session";

/// Longest label, in characters.
const LABEL_MAX: usize = 120;

/// Longest question or error, in characters.
const WORDS_MAX: usize = 4096;

/// A session at one moment; never changed.
#[derive(Debug)]
pub struct LiveSession {
    status: SessionStatus,
    slug: String,
    place: Arc<Place>,
    socket: String,
    dispatched: bool,
    json: OnceLock<Bytes>,
}

impl LiveSession {
    pub(super) fn new(
        status: SessionStatus,
        slug: String,
        place: Arc<Place>,
        (folder, dispatched): (&Path, bool),
    ) -> Self {
        let socket = socket_path(folder).display().to_string();
        Self { status, slug, place, socket, dispatched, json: OnceLock::new() }
    }

    /// What its host or its folder says.
    pub fn status(&self) -> &SessionStatus {
        &self.status
    }

    /// Its id.
    pub fn id(&self) -> &SessionId {
        &self.status.id
    }

    /// Its readable name.
    pub fn slug(&self) -> &str {
        &self.slug
    }

    /// Whether its program runs, or is about to.
    pub fn is_alive(&self) -> bool {
        !self.status.state.is_final()
    }

    /// Whether it is an attempt of a job of the queue's.
    pub fn is_attempt(&self) -> bool {
        self.dispatched
    }

    /// Whether it can be run again by hand. The attempts of a job are the queue's.
    pub fn is_resumable(&self) -> bool {
        !self.is_alive() && !self.status.command.is_empty() && !self.dispatched
    }

    /// Whether nothing but the amount of its output is otherwise than in `other`.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let with = |status: &SessionStatus| SessionStatus { output: other.status.output, ..status.clone() };
        self.slug == other.slug && self.place == other.place && with(&self.status) == other.status
    }

    pub(super) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Its [`SessionObject`] as JSON, on one line; made once.
    pub fn json(&self) -> Bytes {
        let made = || serde_json::to_value(self.object()).unwrap_or_default().to_string().into();
        self.json.get_or_init(made).clone()
    }

    /// What others are told.
    pub fn object(&self) -> SessionObject {
        let status = &self.status;
        let alive = self.is_alive();
        let words = |text: &str| visible(&clip(text, WORDS_MAX)).into_owned();
        let (title, what) = (one_line(&title(status), TITLE_MAX), one_line(&what(status), TITLE_MAX));
        SessionObject {
            id: status.id.to_string(),
            peer: None,
            created_at: seconds(Some(&status.created_at)),
            started_at: seconds(status.started_at.as_ref()),
            exited_at: seconds(status.ended_at.as_ref()),
            command: status.command.clone(),
            cwd: self.place.cwd.clone(),
            workspace_root: self.place.workspace_root.clone(),
            kind: kind(status).to_owned(),
            remotes: self.place.remotes.clone(),
            alive,
            pid: status.pid.filter(|_| alive),
            exit_code: exit_code(status),
            what: Some(what).filter(|what| *what != title),
            title,
            status: self.status_object(),
            unread: status.unread,
            notice: status.notice.as_ref().map(notice),
            resumable: self.is_resumable(),
            socket_path: alive.then(|| self.socket.clone()),
            terminal_cols: Some(status.size.cols),
            terminal_rows: Some(status.size.rows),
            slug: Some(self.slug.clone()),
            runner_version: format!("darkmux-host/{}", status.protocol.min(HOST_PROTOCOL)),
            machine_id: status.machine_id.to_string(),
            role: status.role.as_ref().map(ToString::to_string),
            name: status.name.as_ref().map(|name| visible_line(name).into_owned()),
            state: status.state,
            needs_you: question(status).map(words),
            runs: status.runs,
            reason: status.reason,
            exit: status.exit,
            error: status.error.as_deref().map(words),
        }
    }

    fn status_object(&self) -> Option<StatusObject> {
        let status = &self.status;
        let ended = |label: String, error| Some(StatusObject { label, working: false, error });
        match status.state {
            SessionState::Lost => ended("lost".to_owned(), true),
            SessionState::Exited => match exit_code(status) {
                Some(0) => None,
                Some(code) => ended(format!("exited ({code})"), false),
                None => ended("exited".to_owned(), false),
            },
            SessionState::Starting | SessionState::Running => {
                let report = status.report.as_ref()?;
                let label = one_line(&report.label, LABEL_MAX);
                Some(StatusObject { label, working: report.working, error: report.error })
            }
        }
    }
}

fn notice(notice: &SessionNotice) -> NoticeObject {
    let title = one_line(&notice.title, TITLE_MAX);
    NoticeObject { title, body: one_line(&notice.body, WORDS_MAX), at: notice.at.clone() }
}

/// The slug that a session would like: its program's own, else its name, else that of its folder.
pub(super) fn wanted_slug(status: &SessionStatus) -> String {
    let folder = status.cwd.file_name().map(|name| name.to_string_lossy().into_owned());
    let given = [status.slug.as_ref(), status.name.as_ref(), folder.as_ref()];
    let given = given.into_iter().flatten().find_map(|text| slug::slug(text));
    given.unwrap_or_else(|| slug::slug(kind(status)).unwrap_or_else(|| NAMELESS.to_owned()))
}

/// What is known of a place before its folder was read.
pub(super) fn unread_place(cwd: &Path, home: Option<&Path>) -> Arc<Place> {
    Arc::new(Place { cwd: place::shown(cwd, home), ..Place::default() })
}

/// Less of what a command may carry, so that a thousand sessions stay small.
pub(super) fn slim(mut status: SessionStatus) -> SessionStatus {
    let mut left = COMMAND_MAX;
    for (index, argument) in status.command.iter_mut().enumerate() {
        if argument.len() > left {
            argument.truncate(argument.floor_char_boundary(left));
            argument.push('…');
            status.command.truncate(index + 1);
            break;
        }
        left -= argument.len();
    }
    status.command.shrink_to_fit();
    status
}

/// The first line, as it can be shown.
fn one_line(text: &str, most: usize) -> String {
    visible_line(&human::headline(text, most).unwrap_or_default()).into_owned()
}

fn clip(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// How gmux tells an end: the code, or -1 after a signal. A time limit is ours and stays 124.
fn exit_code(status: &SessionStatus) -> Option<i32> {
    match status.exit {
        Some(ExitStatus::Signal(_)) if status.reason != Some(EndReason::Timeout) => Some(-1),
        _ => status.exit_code,
    }
}

/// A moment with whole seconds, as gmux writes it.
fn seconds(text: Option<&String>) -> Option<String> {
    let moment: jiff::Timestamp = text?.parse().ok()?;
    Some(crate::util::clock::seconds(moment))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MachineId;
    use crate::wire::SessionReport;

    fn session(change: impl FnOnce(&mut SessionStatus)) -> SessionObject {
        let id = SessionId::new("sess-00000001").unwrap();
        let created = "2026-01-01T00:00:00.123Z".to_owned();
        let mut status = SessionStatus::unknown(id, MachineId::new("m").unwrap(), created);
        status.cwd = "/h/work".into();
        change(&mut status);
        let slug = wanted_slug(&status);
        let place = unread_place(&status.cwd, Some(Path::new("/h")));
        LiveSession::new(slim(status), slug, place, (Path::new("/x"), false)).object()
    }

    #[test]
    fn it_has_the_shape_of_gmux() {
        let object = session(|status| {
            status.state = SessionState::Running;
            status.command = vec!["/bin/sh".to_owned()];
            let report =
                SessionReport { label: "thinking".into(), working: true, ..SessionReport::default() };
            status.report = Some(report);
        });
        let json = serde_json::to_value(&object).unwrap();
        assert_eq!(json["created_at"], "2026-01-01T00:00:00Z");
        assert_eq!(json["status"], serde_json::json!({ "label": "thinking", "working": true }));
        assert_eq!((&json["cwd"], &json["slug"]), (&"~/work".into(), &"work".into()));
        assert_eq!(
            (&json["alive"], &json["kind"], &json["title"]),
            (&true.into(), &"shell".into(), &"sh".into())
        );
        assert!(
            json.get("resumable").is_none() && json.get("peer").is_none() && json.get("exit_code").is_none()
        );
    }

    #[test]
    fn an_end_is_told_as_gmux_tells_it() {
        let ended = |exit, code| {
            session(|status| {
                status.state = SessionState::Exited;
                status.command = vec!["x".to_owned()];
                (status.exit, status.exit_code) = (Some(exit), Some(code));
            })
        };
        let good = ended(ExitStatus::Code(0), 0);
        assert_eq!((good.exit_code, &good.status, good.resumable), (Some(0), &None, true));
        let bad = ended(ExitStatus::Code(7), 7);
        assert_eq!(bad.status.unwrap().label, "exited (7)");
        assert_eq!(ended(ExitStatus::Signal(9), 137).exit_code, Some(-1));
    }

    #[test]
    fn a_long_command_and_question_are_cut() {
        let object = session(|status| {
            status.state = SessionState::Running;
            status.command = vec!["ä".repeat(1 << 20); 3];
            let needs_you = Some("q\u{1b}".repeat(1 << 20));
            status.report = Some(SessionReport { needs_you, ..SessionReport::default() });
        });
        let json = serde_json::to_vec(&object).unwrap();
        assert!(json.len() < 100_000, "{}", json.len());
        assert_eq!(object.command.len(), 1);
        assert!(!object.needs_you.unwrap().contains('\u{1b}'));
    }
}
