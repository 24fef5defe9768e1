//! A host's life from the start of its process to its own end.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::net::UnixListener;
use tokio::sync::mpsc;

use super::model::{self, Model};
use super::supervise::{self, EndSignals, Ended};
use super::told::{self, Told};
use super::viewers::Viewers;
use super::{
    Host, HostError, INPUT_QUEUE, LINGER, STATE_RETRY, STOP_QUEUE, end_state, expect, files, listen,
    register, socket_path, tell_starter, write_state,
};
use crate::config::{Config, ConfigError, Environment};
use crate::flow::Flow;
use crate::model::{EndReason, SessionState};
use crate::pty::{self, Command, Started};
use crate::session::last_screen::screen_after;
use crate::session::output::Output;
use crate::session::records::Records;
use crate::session::screen::Screen;
use crate::session::table;
use crate::session::{STARTED, agent_result, socket_key};
use crate::store::{Durability, bind_socket, sync_written};
use crate::util::{Clock, Shutdown, clock};
use crate::wire::{SessionSpec, SessionStatus, WindowSize};

/// Runs the session from its start to its end.
pub(super) async fn host(
    folder: &Path,
    spec: SessionSpec,
    config: &Config,
    flow: Result<Flow, ConfigError>,
    clock: &Clock,
) -> Result<(), HostError> {
    let runs = further_run(folder)?;
    let flow = flow.inspect_err(|error| tracing::error!(%error, "no flow records are written")).ok();
    // The process does not wait for the disk: see `told::sync_in_time`.
    let records = Arc::new(Mutex::new(Records::new(flow.map(Flow::synced_later), &spec)));
    let asked = EndSignals::new()?;
    let key = socket_key(folder);
    key.ensure().map_err(|source| HostError::File { path: key.path().to_owned(), source })?;
    let socket = socket_path(folder);
    let listener = bind_socket(&socket)?;
    let output = Arc::new(Output::create(folder, spec.scrollback_bytes, spec.log_bytes, runs.end)?);
    told::write_start(&records, &spec).await;
    let started = match command(folder, &spec, &socket, config).and_then(Command::spawn) {
        Ok(started) => started,
        Err(error) => {
            let _ = std::fs::remove_file(&socket);
            let message = not_started(&spec, &error, config.env());
            return failed(folder, &spec, (message, runs), &records, clock).await;
        }
    };
    let clients = Shutdown::new();
    let daemon = register::Door { socket: config.paths.daemon_socket(), key };
    let parts = Parts { output, started, listener, asked, runs, daemon };
    let (host, done) = running(folder, spec, clock, (parts, records), &clients).await;
    let ended = match done {
        Ok(ended) => ended,
        Err(error) => {
            let _ = std::fs::remove_file(&socket);
            let message = error.to_string();
            let told = move |records: &mut Records| {
                records.failed(&message);
                records.sync();
            };
            told::write_records(host.told.records(), told).await;
            return Err(error);
        }
    };
    finish(&host, &ended, &clients).await;
    let _ = std::fs::remove_file(&socket);
    Ok(())
}

/// What to start: the caller's environment as this host inherited it, and what tells the process where it is.
fn command(folder: &Path, spec: &SessionSpec, socket: &Path, config: &Config) -> io::Result<Command> {
    let mut env: Vec<(OsString, OsString)> =
        config.env().for_child().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let mut set = |key: &str, value: &std::ffi::OsStr| {
        env.retain(|(name, _)| name != key);
        env.push((key.into(), value.to_owned()));
    };
    for (key, value) in &spec.env {
        set(key, value.as_ref());
    }
    // Agents and hooks know where they are by these, also those made for gmux.
    set("GMUX", "1".as_ref());
    for name in ["DARKMUX_SESSION_ID", "GMUX_SESSION_ID"] {
        set(name, spec.id.as_str().as_ref());
    }
    for name in ["DARKMUX_SOCKET", "GMUX_SOCKET"] {
        set(name, socket.as_os_str());
    }
    set("GMUX_ADAPTER", spec.kind.as_deref().unwrap_or(SHELL).as_ref());
    set("TERM", "xterm-256color".as_ref());
    set("TERM_PROGRAM", "darkmux".as_ref());
    for name in ["TERM_PROGRAM_VERSION", "GMUX_RUNNER_VERSION"] {
        set(name, env!("CARGO_PKG_VERSION").as_ref());
    }
    set("COLORTERM", "truecolor".as_ref());
    set("PWD", spec.cwd.as_os_str());
    let stdin = spec.stdin_file.as_ref().map(|name| File::open(folder.join(name))).transpose()?;
    let meta = std::fs::metadata(&spec.cwd).map_err(|error| {
        io::Error::new(error.kind(), format!("the folder {}: {error}", spec.cwd.display()))
    })?;
    if !meta.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::NotADirectory,
            format!("{} is no folder", spec.cwd.display()),
        ));
    }
    Ok(Command { argv: spec.argv.clone(), env, cwd: spec.cwd.clone(), stdin, size: spec.size })
}

/// The process could not be started: says so everywhere.
async fn failed(
    folder: &Path,
    spec: &SessionSpec,
    (message, runs): (String, Earlier),
    records: &Arc<Mutex<Records>>,
    clock: &Clock,
) -> Result<(), HostError> {
    let status = match runs.status {
        // What ended before it stays what it is.
        Some(ended) if ended.state.is_final() => ended,
        before => {
            let mut status = SessionStatus::starting(spec);
            Earlier { status: before, ..runs }.carry_on(&mut status);
            end_state(&mut status, EndReason::Failed, clock);
            status.exit_code = Some(126);
            status.error = Some(message.clone());
            status
        }
    };
    write_state(folder, &status, Durability::Cached)?;
    let said = message.clone();
    told::write_record_first(records, move |records| records.failed(&said)).await;
    tell_starter(message.as_bytes());
    told::write_records(records, Records::sync).await;
    Ok(())
}

/// Why the program does not run.
fn not_started(spec: &SessionSpec, error: &io::Error, env: &Environment) -> String {
    let program = spec.argv.first().map_or("", String::as_str);
    if error.kind() == io::ErrorKind::NotFound && !program.contains('/') && spec.cwd.is_dir() {
        let own = spec.env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, path)| path.as_str());
        let path = own.or_else(|| env.get("PATH")).unwrap_or_default();
        return format!("{program} is not on the PATH of who asked for it: {path}");
    }
    format!("{program} could not be started: {error}")
}

/// The adapter of a session without one.
const SHELL: &str = "shell";

/// What earlier runs of the session's program left.
#[derive(Default)]
struct Earlier {
    /// What the session was; `None` when this is the first run.
    status: Option<SessionStatus>,
    /// Offset after their output.
    end: u64,
}

/// Whether the folder's session has ended before: its program is started again then.
fn further_run(folder: &Path) -> io::Result<Earlier> {
    let status = table::read_state(folder)?;
    let end = status.as_ref().map_or(0, |status| status.output.end);
    Ok(Earlier { status: status.filter(|status| status.state.is_final() || status.runs > 1), end })
}

impl Earlier {
    /// Adds what outlives a run to the state of the one that begins.
    fn carry_on(self, status: &mut SessionStatus) {
        let Some(before) = self.status else { return };
        // Whoever asked for the run may have counted it.
        status.runs = before.runs.saturating_add(u32::from(before.state.is_final()));
        status.created_at = before.created_at;
        status.name = before.name;
        status.slug = before.slug;
        status.agent_title = before.agent_title;
        status.agent_session = before.agent_session;
    }
}

/// What a running session is made of.
struct Parts {
    output: Arc<Output>,
    started: Started,
    listener: UnixListener,
    asked: EndSignals,
    runs: Earlier,
    daemon: register::Door,
}

/// Lets the process run until it has ended and its output is complete.
async fn running(
    folder: &Path,
    spec: SessionSpec,
    clock: &Clock,
    (Parts { output, started, listener, asked, runs, daemon }, records): (Parts, Arc<Mutex<Records>>),
    clients: &Shutdown,
) -> (Arc<Host>, Result<Ended, HostError>) {
    let Started { mut child, reader, writer, window, kept_open } = started;
    let (input, typed) = mpsc::channel(INPUT_QUEUE);
    let (stop, stops) = mpsc::channel(STOP_QUEUE);
    let mut status = SessionStatus::starting(&spec);
    status.state = SessionState::Running;
    status.started_at = Some(clock::millis(clock.now()));
    status.pid = Some(child.pid());
    status.process_birth = pty::birth(child.pid());
    status.host_pid = Some(std::process::id());
    let screen = screen(folder, status.size, runs.end > 0).await;
    runs.carry_on(&mut status);
    let written = write_state(folder, &status, Durability::Cached);
    let size = status.size;
    let host = Arc::new(Host {
        folder: folder.to_owned(),
        spec,
        clock: clock.clone(),
        output: Arc::clone(&output),
        status: Mutex::new(status),
        window,
        tree: child.tree(),
        input,
        stop,
        viewers: Viewers::new(size),
        model: Arc::new(Model::new(Arc::clone(&output), screen)),
        told: Told::new(records),
    });
    if let Err(error) = written {
        // A session that nobody can find must not run.
        supervise::end_tree(child.tree()).await;
        let _ = child.wait().await;
        return (host, Err(error.into()));
    }
    clients.spawn(listen::accept(Arc::clone(&host), listener, clients.clone()));
    let typing = clients.spawn(supervise::type_into(writer, typed));
    let showing = clients.spawn(supervise::show(reader, Arc::clone(&output), Arc::clone(&host.model)));
    tell_starter(STARTED.as_bytes());
    let beside = [
        clients.spawn(model::follow(Arc::clone(&host))),
        clients.spawn(told::save(Arc::clone(&host))),
        clients.spawn(expect::confirm(Arc::clone(&host))),
        clients.spawn(told::sync_in_time(Arc::clone(&host))),
        clients.spawn(register::register(daemon, host.spec.id.clone())),
    ];
    let ended = supervise::supervise(&host, (child, kept_open), (stops, asked), showing).await;
    typing.abort();
    model::settle(&host).await;
    for task in beside {
        task.abort();
    }
    (host, ended.map_err(HostError::from))
}

/// What a run's program begins on: a blank screen, or what earlier runs showed.
async fn screen(folder: &Path, size: WindowSize, further: bool) -> Screen {
    if further {
        let folder = folder.to_owned();
        match tokio::task::spawn_blocking(move || screen_after(&folder, size)).await {
            Ok(Ok(screen)) => return screen,
            Ok(Err(error)) => tracing::warn!(%error, "what earlier runs showed cannot be read"),
            Err(_) => {}
        }
    }
    Screen::new(size)
}

/// Makes the end known: state, records, clients, disk, in this order.
async fn finish(host: &Host, ended: &Ended, clients: &Shutdown) {
    host.told.end();
    let mut status = {
        let mut status = host.status();
        end_state(&mut status, ended.reason, &host.clock);
        status.exit = Some(ended.exit);
        status.exit_code = Some(ended.exit_code());
        status.error = ended.message(&host.spec);
        drop(status);
        host.status_now()
    };
    let kept = write_state(&host.folder, &status, Durability::Cached);
    if let Err(error) = &kept {
        let told = format!("the end is not on the disk: {error}; make room, it is tried again for 5 min");
        tracing::error!("{told}");
        host.status().error.get_or_insert(told);
    }
    let (last, folder) = (status.clone(), host.folder.clone());
    let told = move |records: &mut Records| {
        records.end(&last, agent_result(&folder).as_ref());
        records.refused().map(str::to_owned)
    };
    let refused = told::write_records(host.told.records(), told).await.flatten();
    if let (None, Some(refused)) = (&status.error, refused) {
        status.error = Some(refused);
        host.status().error.clone_from(&status.error);
        // For who comes too late to be told; it is written once more below.
        let _ = write_state(&host.folder, &status, Durability::Cached);
    }
    host.output.close();
    if kept.is_err() {
        keep_state(host, &status).await;
    }
    clients.finish(LINGER).await;
    // What it left running in the background ends with it.
    supervise::end_tree(ended.tree).await;
    told::write_records(host.told.records(), Records::sync).await;
    if let Err(error) = sync_written(&host.folder.join(files::STATE)) {
        tracing::warn!(%error, "the state is not on the disk yet");
    }
}

/// Writes the final state that the disk refused, waiting for it to have room. Who asks meanwhile is answered.
async fn keep_state(host: &Host, status: &SessionStatus) {
    let (pause, tries) = STATE_RETRY;
    for _ in 0..tries {
        tokio::time::sleep(pause).await;
        if write_state(&host.folder, status, Durability::Cached).is_ok() {
            return;
        }
    }
}
