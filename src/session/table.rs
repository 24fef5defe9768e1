//! The sessions of this machine, as their folders tell.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Fits, LogReader, STATE_MAX, few, files, life, spec_in};
use crate::model::{SessionId, SessionState};
use crate::store::{Durability, FileLock, find_in, read_open, write_atomic};
use crate::util::Clock;
use crate::wire::{OutputRange, SessionStatus};

/// How long a session may be without a host after it was asked for.
const START_PATIENCE: Duration = Duration::from_secs(15);

/// Fewest characters by which the end of an id names it.
const ENDING_MIN: usize = 4;

/// Why a text names no session.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// None.
    #[error("no session `{}`; `darkmux session ls --all` lists them", crate::util::visible_line(.0))]
    None(String),
    /// Several.
    #[error("`{}` could be {}; name it by its id", crate::util::visible_line(.text), few(.candidates))]
    Several {
        /// What was written.
        text: String,
        /// Ids it could mean, a few of them.
        candidates: Vec<String>,
    },
    /// The folder could not be read.
    #[error("{path}: {source}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads the folders of sessions.
#[derive(Debug, Clone)]
pub struct Table {
    dir: PathBuf,
    clock: Clock,
}

impl Table {
    /// The sessions below `dir`.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, clock: Clock::System }
    }

    /// The folder of one session.
    pub fn folder(&self, id: &SessionId) -> PathBuf {
        self.dir.join(id.as_str())
    }

    /// The folder of all of them.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The ids that have a folder, in no order; whether a session is in it is another question.
    pub fn ids(&self) -> io::Result<Vec<SessionId>> {
        let entries = match std::fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            ids.extend(entry?.file_name().to_str().and_then(|name| SessionId::new(name).ok()));
        }
        Ok(ids)
    }

    /// Every session, newest first. A folder that holds no readable state is left out.
    pub fn list(&self) -> io::Result<Vec<SessionStatus>> {
        let entries = match std::fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut sessions = Vec::new();
        for entry in entries {
            let folder = entry?.path();
            match self.read(&folder) {
                Ok(session) => sessions.extend(session),
                // One bad folder hides no other session.
                Err(error) => {
                    tracing::warn!(%error, folder = %folder.display(), "no session can be read there");
                }
            }
        }
        sessions.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.id.cmp(&b.id)));
        Ok(sessions)
    }

    /// One session by its id.
    pub fn get(&self, id: &SessionId) -> io::Result<Option<SessionStatus>> {
        self.read(&self.folder(id))
    }

    /// One session by its id, for who holds its lease: it has no host, and one that says it runs is lost.
    pub(in crate::session) fn held(&self, id: &SessionId) -> io::Result<Option<SessionStatus>> {
        let folder = self.folder(id);
        let status = read_state(&folder)?.filter(|_| !life::is_dismissed(&folder));
        Ok(status.map(|status| without_host(status, &folder, |_| folder.join(files::GIVEN_UP).exists())))
    }

    /// The session that `text` names: an id, else a name (one that runs before those that ended), else the only one
    /// whose id begins so, or ends so with at least [`ENDING_MIN`] characters (lists show the ends of ids).
    pub fn find(&self, text: &str) -> Result<SessionStatus, FindError> {
        let failed = |source| FindError::Io { path: self.dir.clone(), source };
        if let Ok(id) = SessionId::new(text)
            && let Some(session) = self.get(&id).map_err(failed)?
        {
            return Ok(session);
        }
        let sessions = self.list().map_err(failed)?;
        let named = sessions.iter().filter(|session| session.name.as_deref() == Some(text));
        let id_is_like = |session: &&SessionStatus| {
            let id = session.id.as_str();
            !text.is_empty() && id.starts_with(text) || text.len() >= ENDING_MIN && id.ends_with(text)
        };
        let fits = Fits::by_name(named, |session| !session.state.is_final());
        match fits.or(|| Fits::only(sessions.iter().filter(id_is_like))) {
            Fits::None => Err(FindError::None(text.chars().take(80).collect())),
            Fits::One(one) => Ok(one.clone()),
            Fits::Several(all) => Err(FindError::Several {
                text: text.chars().take(80).collect(),
                candidates: all.iter().map(|session| session.id.to_string()).collect(),
            }),
        }
    }

    /// The state in one folder. A session that should have a host and has none is lost; one that ended and is to
    /// be removed is none any more.
    fn read(&self, folder: &Path) -> io::Result<Option<SessionStatus>> {
        let Some(status) = read_state(folder)? else { return Ok(None) };
        if status.state.is_final() {
            return Ok(Some(status).filter(|_| !life::is_dismissed(folder)));
        }
        if FileLock::is_held(&folder.join(files::LEASE))? {
            return Ok(Some(with_output(status, folder)));
        }
        // It may have ended between the two looks.
        let Some(status) = read_state(folder)? else { return Ok(None) };
        Ok(Some(without_host(status, folder, |status| self.is_given_up(folder, status))))
    }

    /// Whether the host of a session that has none yet would come in vain. That is decided under the lease and written
    /// down, where the host looks once it has the lease: who acts on the loss must not see it run later.
    fn is_given_up(&self, folder: &Path, status: &SessionStatus) -> bool {
        if folder.join(files::GIVEN_UP).exists() {
            return true;
        }
        let given_up = if self.is_young(status) { Ok(false) } else { give_up(folder) };
        given_up.unwrap_or_else(|error| {
            // It may still come.
            tracing::debug!(%error, folder = %folder.display(), "its host cannot be given up");
            false
        })
    }

    fn is_young(&self, status: &SessionStatus) -> bool {
        let asked: Option<jiff::Timestamp> = status.created_at.parse().ok();
        asked.is_some_and(|asked| self.clock.now().duration_since(asked).unsigned_abs() < START_PATIENCE)
    }
}

/// Gives the host of the session in `folder` up, unless it has come.
fn give_up(folder: &Path) -> io::Result<bool> {
    let Ok(_lease) = FileLock::try_take(&folder.join(files::LEASE))? else { return Ok(false) };
    let has_none = read_state(folder)?.is_some_and(|now| now.state == SessionState::Starting);
    if has_none {
        write_atomic(&folder.join(files::GIVEN_UP), b"", Durability::Cached)?;
    }
    Ok(has_none)
}

/// The state of a session that has no host: one that may still get it is left as it is.
fn without_host(
    mut status: SessionStatus,
    folder: &Path,
    is_given_up: impl FnOnce(&SessionStatus) -> bool,
) -> SessionStatus {
    let may_come = status.state == SessionState::Starting && !is_given_up(&status);
    if !status.state.is_final() && !may_come {
        status.state = SessionState::Lost;
        status.error = Some("its host died, and with it its terminal".to_owned());
    }
    with_output(status, folder)
}

/// The state of a session whose host did not tell its end, with the output that is on the disk now; its state file tells of
/// that at its last change. No host is asked: one that hangs would keep the others from being listed.
fn with_output(status: SessionStatus, folder: &Path) -> SessionStatus {
    match LogReader::new(folder.join(files::OUTPUT)).range() {
        Ok((start, end)) if end > status.output.end => {
            SessionStatus { output: OutputRange { start, end }, ..status }
        }
        _ => status,
    }
}

/// The state as the host wrote it last; `None` when there is none or it is of no use, such as another
/// session's, or something that is no regular file. A session whose host has not written it yet is starting.
pub(super) fn read_state(folder: &Path) -> io::Result<Option<SessionStatus>> {
    let Some(file) = find_in(folder, files::STATE)? else {
        let spec = spec_in(folder)?.filter(|spec| folder.file_name() == Some(spec.id.as_str().as_ref()));
        return Ok(spec.as_ref().map(SessionStatus::starting));
    };
    let bytes = match read_open(&file, STATE_MAX) {
        Err(error) if error.kind() != io::ErrorKind::FileTooLarge => return Err(error),
        bytes => bytes.unwrap_or_default(),
    };
    let status: Option<SessionStatus> = serde_json::from_slice(&bytes).ok();
    Ok(status.filter(|status| folder.file_name() == Some(status.id.as_str().as_ref())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn status(id: &str) -> String {
        let nulls = ["role", "name", "pid", "host_pid", "started_at", "ended_at", "exit", "reason", "error"];
        let mut value = serde_json::json!({
            "schema": 1, "protocol": 1, "id": id, "state": "exited", "machine_id": "m", "command": ["x"],
            "cwd": "/", "created_at": "2026-01-01T00:00:00.000Z", "exit_code": 0,
            "size": { "cols": 80, "rows": 24 }, "output": { "start": 0, "end": 0 },
        });
        for null in nulls {
            value[null] = serde_json::Value::Null;
        }
        value.to_string()
    }

    #[test]
    fn a_session_that_cannot_be_looked_for_is_not_taken_for_none() {
        let id = SessionId::new("good").unwrap();
        // An error that needs no limits of this whole process: the path is too long for the system.
        let table = Table::new(PathBuf::from("x/".repeat(4096)));
        assert!(table.get(&id).is_err());
        assert!(Table::new(PathBuf::from("/nowhere")).get(&id).unwrap().is_none());
    }

    #[test]
    fn a_host_is_given_up_only_while_nobody_has_the_lease() {
        let root = tempfile::tempdir().unwrap();
        let table = Table::new(root.path().to_owned());
        let id = SessionId::new("late").unwrap();
        let folder = table.folder(&id);
        fs::create_dir(&folder).unwrap();
        let text = status("late").replace("exited", "starting");
        fs::write(folder.join(files::STATE), &text).unwrap();
        let lease = FileLock::try_take(&folder.join(files::LEASE)).unwrap().unwrap();
        assert!(!give_up(&folder).unwrap());
        assert_eq!(table.get(&id).unwrap().unwrap().state, SessionState::Starting);
        drop(lease);
        assert_eq!(table.get(&id).unwrap().unwrap().state, SessionState::Lost);
        assert!(folder.join(files::GIVEN_UP).exists());
        // Also when the clock says that it was asked for just now.
        let now = crate::util::clock::millis(Clock::System.now());
        fs::write(folder.join(files::STATE), text.replace("2026-01-01T00:00:00.000Z", &now)).unwrap();
        assert_eq!(table.get(&id).unwrap().unwrap().state, SessionState::Lost);
    }

    #[test]
    fn a_session_whose_host_has_written_nothing_yet_is_starting_or_lost() {
        let root = tempfile::tempdir().unwrap();
        let table = Table::new(root.path().to_owned());
        let ask = |id: &str, named: &str, created_at: &str| {
            let spec = serde_json::json!({
                "schema": 1, "id": named, "argv": ["x"], "cwd": "/", "grace_ms": 1, "scrollback_bytes": 1,
                "log_bytes": 1, "size": { "cols": 80, "rows": 24 }, "machine_id": "m",
                "created_at": created_at,
            });
            fs::create_dir(root.path().join(id)).unwrap();
            fs::write(root.path().join(id).join(files::SPEC), spec.to_string()).unwrap();
            SessionId::new(id).unwrap()
        };
        let now = crate::util::clock::millis(Clock::System.now());
        let young = ask("young", "young", &now);
        let old = ask("old", "old", "2026-01-01T00:00:00.000Z");
        let other = ask("other", "another", &now);
        assert_eq!(table.get(&young).unwrap().unwrap().state, SessionState::Starting);
        assert_eq!(table.get(&old).unwrap().unwrap().state, SessionState::Lost);
        assert!(table.folder(&old).join(files::GIVEN_UP).exists());
        assert!(table.get(&other).unwrap().is_none());
        // A part of a spec is no session yet.
        fs::write(table.folder(&young).join(files::SPEC), "{\"schema\":1,").unwrap();
        assert!(table.get(&young).unwrap().is_none());
    }

    #[test]
    fn a_name_that_several_have_finds_the_one_that_runs_or_none() {
        let root = tempfile::tempdir().unwrap();
        let table = Table::new(root.path().to_owned());
        let put = |id: &str, runs: bool| {
            let folder = root.path().join(id);
            fs::create_dir_all(&folder).unwrap();
            let text = status(id).replace("\"name\":null", "\"name\":\"build\"");
            let text = if runs { text.replace("exited", "running") } else { text };
            fs::write(folder.join(files::STATE), text).unwrap();
            runs.then(|| FileLock::try_take(&folder.join(files::LEASE)).unwrap().unwrap())
        };
        let several = |ids: [&str; 2]| match table.find("build") {
            Err(error @ FindError::Several { .. }) => {
                let said = error.to_string();
                assert!(ids.iter().all(|id| said.contains(id)), "{said}");
            }
            found => panic!("{found:?}"),
        };
        put("one", false);
        assert_eq!(table.find("build").unwrap().id.as_str(), "one");
        put("two", false);
        several(["one", "two"]);
        let _three = put("three", true);
        assert_eq!(table.find("build").unwrap().id.as_str(), "three");
        let _four = put("four", true);
        several(["three", "four"]);
    }

    #[test]
    fn a_folder_with_garbage_hides_no_session() {
        let root = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let folder = root.path().join(name);
            fs::create_dir(&folder).unwrap();
            folder.join(files::STATE)
        };
        fs::write(folder("good"), status("good")).unwrap();
        fs::write(folder("torn"), "{\"schema\":1,").unwrap();
        fs::write(folder("empty"), "").unwrap();
        fs::write(folder("other"), status("good")).unwrap();
        fs::create_dir(folder("folder")).unwrap();
        std::os::unix::fs::symlink("state.json", folder("loop")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", folder("device")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(folder("pipe")).status().unwrap().success());
        fs::File::create(folder("huge")).unwrap().set_len(1 << 40).unwrap();
        fs::write(root.path().join("file"), "x").unwrap();
        let table = Table::new(root.path().to_owned());
        let ids: Vec<String> = table.list().unwrap().iter().map(|session| session.id.to_string()).collect();
        assert_eq!(ids, ["good"]);
        assert_eq!(table.find("go").unwrap().id.as_str(), "good");
        assert!(matches!(table.find("folder"), Err(FindError::None(_))));
    }
}
