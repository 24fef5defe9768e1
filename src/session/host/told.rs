//! What the program and its agent tell of themselves, and how it spreads: into the state file, to who follows the
//! events, into the flow.
//!
//! Invariants: the state file is written at most a few times a second and always holds the last change; the final
//! state is never overwritten.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, broadcast, watch};
use tokio::time::{Instant, timeout};

use super::{Host, write_state};
use crate::session::records::Records;
use crate::session::screen::{Notice, bounded, title};
use crate::store::{Durability, SYNC_INTERVAL};
use crate::util::clock;
use crate::wire::{AskingNotice, SessionNotice, SessionReport, SessionSpec, SessionStatus};

/// Shortest time between two writes of the state file.
const SAVE_PAUSE: Duration = Duration::from_millis(300);

/// Notices that wait for a slow follower; more are lost to it.
const NOTICES: usize = 64;

/// Longest words of a report, in characters.
const LABEL_MAX: usize = 128;

/// Longest question of a report, in characters.
const QUESTION_MAX: usize = 1024;

/// How long the session's program waits for the record of its start; less than a starter waits for the program.
const RECORD_FIRST: Duration = Duration::from_secs(1);

/// A shell's command that ran this long leaves a record when it ends.
const LONG_COMMAND: Duration = Duration::from_secs(10);

/// Who reported last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Reporter {
    /// The marks of a shell's prompt, if anybody.
    #[default]
    Marks,
    /// The agent, by `PUT /status`.
    Agent,
    /// A notice, by which the agent asked.
    Notice,
    /// Nobody: what it asked was answered.
    Answer,
}

/// Who reported, and what is known of them.
#[derive(Debug, Default)]
pub(super) struct Reported {
    pub by: Reporter,
    /// Since when a shell's command runs.
    since: Option<Instant>,
    /// The agent says when it is at work, so that an end of its work is one of its turns.
    says_work: bool,
    /// Work is expected of what was typed, and nothing was said since: until when, and what was said before.
    pub expects: Option<(Instant, SessionReport)>,
}

/// Where what is told goes.
#[derive(Debug)]
pub(super) struct Told {
    changes: watch::Sender<u64>,
    notices: broadcast::Sender<Notice>,
    reported: Mutex<Reported>,
    /// Work is expected.
    entered: Notify,
    /// Somebody is asked.
    asked: Notify,
    records: Arc<Mutex<Records>>,
    /// Whether the state file holds the final state.
    ended: Mutex<bool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Told {
    /// Nothing told yet.
    pub fn new(records: Arc<Mutex<Records>>) -> Self {
        Self {
            changes: watch::Sender::new(0),
            notices: broadcast::Sender::new(NOTICES),
            reported: Mutex::default(),
            entered: Notify::new(),
            asked: Notify::new(),
            records,
            ended: Mutex::new(false),
        }
    }

    /// Counts the changes of the state.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The notices from now on.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// Who reported.
    pub fn reported(&self) -> MutexGuard<'_, Reported> {
        lock(&self.reported)
    }

    /// Work is expected of what was typed, for a while.
    pub fn entered(&self) -> &Notify {
        &self.entered
    }

    /// The session's records.
    pub fn records(&self) -> &Arc<Mutex<Records>> {
        &self.records
    }

    /// From now on the state file is written by the caller alone.
    pub fn end(&self) {
        *lock(&self.ended) = true;
    }
}

impl Host {
    /// Changes the state; whoever follows learns of it when `change` says that it is another now.
    pub(super) fn change(&self, change: impl FnOnce(&mut SessionStatus) -> bool) {
        if change(&mut self.status()) {
            self.told.changes.send_modify(|count| *count += 1);
        }
    }

    /// The program gave the terminal a title, or took it back with an empty one.
    pub(super) fn titled(&self, title: String) {
        let title = Some(title).filter(|title| !title.is_empty());
        self.change(|status| {
            let changed = status.terminal_title != title;
            status.terminal_title = title;
            changed
        });
    }

    /// The program wants somebody to see something, also one that no adapter knows. Where nobody looks, it waits for
    /// somebody.
    pub(super) fn notice(self: &Arc<Self>, notice: Notice) {
        let asked = self.asked(&notice);
        if !self.viewers.attended() {
            let Notice { title, body } = notice.clone();
            // A bell says nothing, and takes the place of no words; a question stands elsewhere.
            let words = (!asked && notice != Notice::default()).then(|| SessionNotice {
                title,
                body,
                at: clock::millis(self.clock.now()),
            });
            self.change(|status| {
                let changed = !status.unread || words.is_some();
                status.unread = true;
                status.notice = words.or(status.notice.take());
                changed
            });
        }
        // Nobody may be listening.
        let _ = self.told.notices.send(notice);
    }

    /// A shell's prompt says whether a command runs. An agent that reports itself knows better.
    pub(super) fn marked(self: &Arc<Self>, working: bool) {
        let mut reported = self.told.reported();
        if reported.by != Reporter::Marks {
            return;
        }
        let long = reported.since.is_some_and(|since| since.elapsed() >= LONG_COMMAND);
        reported.since = working.then(Instant::now);
        reported.expects = None;
        drop(reported);
        let report = SessionReport { working, ..SessionReport::default() };
        self.take_report(Some(report), long);
    }

    /// Takes a notice by which the agent asks for its question; `false` where it is another.
    fn asked(self: &Arc<Self>, notice: &Notice) -> bool {
        let asks = |known: &&AskingNotice| notice.title.is_empty() && notice.body.starts_with(&known.begins);
        let Some(AskingNotice { label, .. }) = self.spec.asking_notices.iter().find(asks) else {
            return false;
        };
        let by_agent = self.told.reported().by == Reporter::Agent;
        let is_asked = |report: &SessionReport| report.needs_you.is_some() && report.label == *label;
        // What the agent asks by a hook says more than the notice that follows.
        if by_agent && self.status().report.as_ref().is_some_and(is_asked) {
            return true;
        }
        let needs_you = Some(notice.body.clone());
        let report = SessionReport { label: label.clone(), needs_you, ..SessionReport::default() };
        self.take(Reporter::Notice, Some(report));
        true
    }

    /// The agent says how it is; `None` takes back what it said.
    pub(super) fn reported(self: &Arc<Self>, report: Option<SessionReport>) {
        self.take(if report.is_some() { Reporter::Agent } else { Reporter::Marks }, report);
    }

    fn take(self: &Arc<Self>, by: Reporter, report: Option<SessionReport>) {
        let mut reported = self.told.reported();
        let says_work = reported.says_work || report.as_ref().is_some_and(|report| report.working);
        *reported = Reported { by, since: None, says_work, expects: None };
        drop(reported);
        // One line each: they stand in tables.
        let line = |text: &str, most| bounded(&text.split_whitespace().collect::<Vec<_>>().join(" "), most);
        let report = report.map(|report| SessionReport {
            label: line(&report.label, LABEL_MAX),
            needs_you: report.needs_you.map(|question| line(&question, QUESTION_MAX)),
            // A turn whose work was told of ends with the work.
            turn_ended: report.turn_ended && !says_work,
            ..report
        });
        self.take_report(report, true);
    }

    pub(super) fn take_report(self: &Arc<Self>, mut report: Option<SessionReport>, worth_a_record: bool) {
        let turn_ended = report.as_mut().is_some_and(|report| std::mem::take(&mut report.turn_ended));
        let attended = self.viewers.attended();
        let mut idle = false;
        let mut question = None;
        self.change(|status| {
            let before = std::mem::replace(&mut status.report, report);
            let now = status.report.as_ref();
            let works = |report: Option<&SessionReport>| report.is_some_and(|report| report.working);
            idle = (turn_ended || works(before.as_ref())) && !works(now) && !status.state.is_final();
            let asks = now.and_then(|report| report.needs_you.clone());
            question = asks
                .filter(|asks| before.as_ref().and_then(|report| report.needs_you.as_ref()) != Some(asks));
            let unread = status.unread || worth_a_record && !attended && (idle || question.is_some());
            let changed = before.as_ref() != status.report.as_ref() || unread != status.unread;
            status.unread = unread;
            changed
        });
        if let Some(question) = question {
            self.told.asked.notify_one();
            self.record(move |records| records.needs_you(&question));
        }
        if idle && worth_a_record {
            self.record(Records::idle);
        }
    }

    /// Writes a record beside the runtime's thread: the flow's file may be locked by another.
    fn record(self: &Arc<Self>, write: impl FnOnce(&mut Records) + Send + 'static) {
        let records = Arc::clone(&self.told.records);
        tokio::task::spawn_blocking(move || write(&mut lock(&records)));
    }

    /// The agent's own title and conversation; what is `None` stays.
    pub(super) fn agent(&self, agent_title: Option<&str>, session: Option<&str>) {
        self.change(|status| {
            let before = (status.agent_title.clone(), status.agent_session.clone());
            if let Some(text) = agent_title {
                status.agent_title = title(text);
            }
            if let Some(session) = session {
                status.agent_session =
                    Some(bounded(session, LABEL_MAX)).filter(|session| !session.is_empty());
            }
            before != (status.agent_title.clone(), status.agent_session.clone())
        });
    }

    /// The user gives the session a name, which is in the state file afterwards; `false` once the session has ended.
    pub(super) async fn named(self: &Arc<Self>, name: String) -> std::io::Result<bool> {
        let host = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || {
            // The final state is made of what was known before.
            let ended = lock(&host.told.ended);
            if *ended {
                return Ok(false);
            }
            host.change(|status| {
                let changed = status.name.as_ref() != Some(&name);
                status.name = Some(name);
                changed
            });
            let status = host.status_now();
            write_state(&host.folder, &status, Durability::Cached).map(|()| true)
        });
        written.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
    }

    /// The session's readable name in URLs.
    pub(super) fn slug(&self, slug: Option<String>) {
        self.change(|status| {
            let changed = status.slug != slug;
            status.slug = slug;
            changed
        });
    }

    /// Somebody looks at it.
    pub(super) fn read(&self) {
        self.change(|status| std::mem::take(&mut status.unread) | status.notice.take().is_some());
    }
}

/// Lets `write` have the session's records, after what was begun with them before, beside the runtime's thread: the flow's
/// file may be locked by another, and clients are answered meanwhile.
pub(super) async fn write_records<T: Send + 'static>(
    records: &Arc<Mutex<Records>>,
    write: impl FnOnce(&mut Records) -> T + Send + 'static,
) -> Option<T> {
    let records = Arc::clone(records);
    tokio::task::spawn_blocking(move || write(&mut lock(&records))).await.ok()
}

/// Writes the record of a job's start before its process is there.
pub(super) async fn write_start(records: &Arc<Mutex<Records>>, spec: &SessionSpec) {
    // Mostly nobody has to be waited for, and another thread would take longer to wake up than to write it.
    if !lock(records).start_at_once(spec) {
        let spec = spec.clone();
        write_record_first(records, move |records| records.start(&spec)).await;
    }
}

/// Writes a record before the session goes on, unless that takes long: then it is written when the flow's file can be had.
pub(super) async fn write_record_first(
    records: &Arc<Mutex<Records>>,
    write: impl FnOnce(&mut Records) + Send + 'static,
) {
    if timeout(RECORD_FIRST, write_records(records, write)).await.is_err() {
        tracing::warn!("the flow's file is locked; the session does not wait for its record");
    }
}

/// Brings the record of the start to the disk, unless the session ended before it must be there.
pub(super) async fn sync_in_time(host: Arc<Host>) {
    tokio::time::sleep(SYNC_INTERVAL).await;
    let _ = write_records(host.told.records(), Records::sync).await;
}

/// Brings changes of the state to the disk, a few times a second at most, a question at once, until the final state is
/// written there.
pub(super) async fn save(host: Arc<Host>) {
    let mut changes = host.told.changes();
    while changes.changed().await.is_ok() {
        changes.mark_unchanged();
        let saved = Arc::clone(&host);
        let written = tokio::task::spawn_blocking(move || {
            let ended = lock(&saved.told.ended);
            let status = saved.status_now();
            (!*ended).then(|| write_state(&saved.folder, &status, Durability::Cached))
        });
        match written.await {
            Ok(Some(Ok(()))) => {}
            Ok(Some(Err(error))) => tracing::warn!(%error, "the state file does not tell the newest state"),
            Ok(None) | Err(_) => return,
        }
        let _ = timeout(SAVE_PAUSE, host.told.asked.notified()).await;
    }
}
