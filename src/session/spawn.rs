//! Starting a session: its folder, and the host process that lives in it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::AsyncReadExt;
use tokio::process::{ChildStdout, Command as HostCommand};

use super::name::{NameError, hold_name};
use super::{HOST_FAILED, STARTED, Table, files};
use crate::config::{Environment, SessionConfig};
use crate::model::{MachineId, SessionId};
use crate::pty;
use crate::store::ensure_private_dir;
use crate::util::clock;
use crate::wire::{AskingNotice, SESSION_SCHEMA, SessionSpec, WindowSize};

/// How long a host may take to start its process.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest message a host gives about a failed start, in bytes.
const MESSAGE_MAX: u64 = 64 * 1024;

/// Why a session did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The id is taken.
    #[error("a session `{0}` exists already; give another id")]
    Exists(SessionId),
    /// It does not get its name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A file of its folder could not be made.
    #[error("{path}: {source}{}", advice(.source))]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The host process could not be started.
    #[error("the session host could not be started: {0}")]
    Host(#[source] io::Error),
    /// The program that hosts are started from is not there.
    #[error(
        "the session host could not be started: {0} is gone, replaced or removed since this process began; restart the \
         process (for jobs, the daemon)"
    )]
    NoProgram(PathBuf),
    /// The host died before it could say how it went.
    #[error("the session host ended without a word; its log is {0}")]
    HostDied(PathBuf),
    /// The host failed, and said how.
    #[error("{message}; its log is {log}")]
    HostFailed {
        /// What it said.
        message: String,
        /// Its log.
        log: PathBuf,
    },
    /// The host took too long.
    #[error(
        "the session host did not start within 10 s; it may still: `darkmux session ls` tells. Its log is {0}"
    )]
    Slow(PathBuf),
    /// The process could not be started.
    #[error("{0}")]
    Process(String),
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; nothing was started. Make room on that disk and try again"
        }
        _ => "",
    }
}

/// A session that is no job: a program in a terminal.
#[derive(Debug, Clone)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Folder to run in.
    pub cwd: PathBuf,
    /// The name the user gave.
    pub name: Option<String>,
    /// The adapter that knows the program; `None` is `shell`.
    pub kind: Option<String>,
    /// The notices by which its agent asks.
    pub asking_notices: Vec<AskingNotice>,
    /// Variables that its process gets besides.
    pub env: Vec<(String, String)>,
    /// First size of its terminal.
    pub size: WindowSize,
}

impl Command {
    /// What a host is asked to run.
    pub fn spec(
        self,
        id: SessionId,
        keep: &SessionConfig,
        (machine_id, now): (MachineId, Timestamp),
    ) -> SessionSpec {
        SessionSpec {
            schema: SESSION_SCHEMA,
            id,
            role: None,
            name: self.name,
            title: None,
            argv: self.argv,
            cwd: self.cwd,
            stdin_file: None,
            timeout_ms: None,
            grace_ms: clock::whole_ms(keep.grace),
            scrollback_bytes: keep.scrollback_bytes,
            log_bytes: keep.log_bytes,
            size: self.size,
            machine_id,
            created_at: clock::millis(now),
            env: self.env,
            dispatch: None,
            kind: self.kind,
            asking_notices: self.asking_notices,
        }
    }
}

/// Starts the session of `spec` below the folder `sessions`, with further `files` (name and content) in its
/// folder, and returns that folder once its process runs. The host gets `env`, less darkmux's secrets. A name that it is
/// given means no other session.
pub async fn start(
    sessions: &Path,
    spec: &SessionSpec,
    files: &[(PathBuf, Vec<u8>)],
    env: &Environment,
) -> Result<PathBuf, StartError> {
    let held = match &spec.name {
        Some(name) => Some(hold_name(&Table::new(sessions.to_owned()), name, &spec.id).await?),
        None => None,
    };
    let folder = prepare(sessions, spec, files)?;
    // It is seen with its name from now on.
    drop(held);
    launch(&folder, env).await?;
    Ok(folder)
}

/// Starts a host for the session in `folder`, which has ended and whose specification may be another one now.
pub async fn start_again(folder: &Path, env: &Environment) -> Result<(), StartError> {
    launch(folder, env).await
}

/// Starts a host for the session that is prepared in `folder`.
pub(super) async fn launch(folder: &Path, env: &Environment) -> Result<(), StartError> {
    let log = folder.join(files::HOST_LOG);
    let log_file = open_log(&log)?;
    let program = own_binary().map_err(StartError::Host)?;
    let mut host = host_command(&program, env)
        .arg("host-session")
        .arg(folder)
        .stdin(Stdio::null())
        .stderr(log_file)
        .spawn()
        .map_err(|error| not_spawned(error, program))?;
    match host.stdout.take() {
        Some(out) => how_it_went(out, folder).await,
        None => Err(StartError::HostDied(log)),
    }
}

/// The program of a host, with this environment, less darkmux's secrets. What it says comes by its stdout.
pub(super) fn host_command(program: &Path, env: &Environment) -> HostCommand {
    pty::keep_descriptors_here();
    let mut host = HostCommand::new(program);
    host.arg0("darkmux").env_clear().envs(env.for_child()).current_dir("/").stdout(Stdio::piped());
    host
}

fn not_spawned(error: io::Error, program: PathBuf) -> StartError {
    match error.kind() {
        io::ErrorKind::NotFound => StartError::NoProgram(program),
        _ => StartError::Host(error),
    }
}

/// What a host says about the start of its session in `folder`.
pub(super) async fn how_it_went(out: ChildStdout, folder: &Path) -> Result<(), StartError> {
    let log = folder.join(files::HOST_LOG);
    let mut said = String::new();
    let mut out = out.take(MESSAGE_MAX);
    match tokio::time::timeout(START_TIMEOUT, out.read_to_string(&mut said)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(StartError::Host(error)),
        Err(_) => return Err(StartError::Slow(log)),
    }
    match said.as_str() {
        STARTED => Ok(()),
        "" => Err(StartError::HostDied(log)),
        message => Err(match message.strip_prefix(HOST_FAILED) {
            Some(message) => StartError::HostFailed { message: message.to_owned(), log },
            None => StartError::Process(message.to_owned()),
        }),
    }
}

/// What hosts are started from. On Linux this very binary, also when its file was replaced or removed meanwhile, so that
/// caller and host are of one version. Elsewhere whatever stands at its path by now: after an upgrade, hosts of the new
/// version, until the caller is restarted.
pub(super) fn own_binary() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    std::env::current_exe()
}

/// Makes the folder of a session and fills it.
pub(super) fn prepare(
    sessions: &Path,
    spec: &SessionSpec,
    files: &[(PathBuf, Vec<u8>)],
) -> Result<PathBuf, StartError> {
    let folder = sessions.join(spec.id.as_str());
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| StartError::File { path, source }
    };
    ensure_private_dir(sessions).map_err(failed(sessions))?;
    DirBuilder::new().mode(0o700).create(&folder).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => StartError::Exists(spec.id.clone()),
        _ => StartError::File { path: folder.clone(), source },
    })?;
    let written = fill(&folder, spec, files);
    if written.is_err() {
        // Half a session is none.
        let _ = std::fs::remove_dir_all(&folder);
    }
    written.map(|()| folder)
}

fn fill(folder: &Path, spec: &SessionSpec, files: &[(PathBuf, Vec<u8>)]) -> Result<(), StartError> {
    for (name, content) in files {
        write_once(folder.join(name), Ok(content))?;
    }
    // The last one: without a whole one there is no session yet.
    write_once(folder.join(files::SPEC), serde_json::to_vec(spec))
}

/// Writes a file that nobody reads before the session is there.
fn write_once(path: PathBuf, content: Result<impl AsRef<[u8]>, serde_json::Error>) -> Result<(), StartError> {
    let written = content.map_err(io::Error::from).and_then(|content| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(content.as_ref())
    });
    written.map_err(|source| StartError::File { path, source })
}

/// The host's log; a session that runs again has one already.
fn open_log(path: &Path) -> Result<File, StartError> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| StartError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_said_with_what_to_do() {
        let said = |kind: io::ErrorKind| {
            StartError::File { path: PathBuf::from("/full/script"), source: kind.into() }.to_string()
        };
        assert!(said(io::ErrorKind::StorageFull).ends_with("Make room on that disk and try again"));
        assert!(!said(io::ErrorKind::NotFound).contains("room"));
    }

    #[tokio::test]
    async fn a_program_that_is_gone_is_said_with_what_to_do() {
        let env = Environment::default();
        let gone = PathBuf::from("/nowhere/darkmux");
        let error = host_command(&gone, &env).spawn().map_err(|error| not_spawned(error, gone)).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("/nowhere/darkmux") && said.contains("restart"), "{said}");
    }
}
