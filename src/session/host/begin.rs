//! A host's life from the start of its process to its own end.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::net::UnixListener;
use tokio::sync::mpsc;

use super::supervise::{self, EndSignals, Ended};
use super::{
    Host, HostError, INPUT_QUEUE, LINGER, STATE_RETRY, STOP_QUEUE, end_state, files, listen, socket_path,
    tell_starter, write_state,
};
use crate::config::{Config, ConfigError};
use crate::flow::Flow;
use crate::model::{EndReason, SessionState};
use crate::pty::{Command, Started};
use crate::session::STARTED;
use crate::session::output::Output;
use crate::session::records::Records;
use crate::store::{Durability, sync_written};
use crate::util::{Clock, Shutdown, clock};
use crate::wire::{SessionSpec, SessionStatus};

/// Runs the session from its start to its end.
pub(super) async fn host(
    folder: &Path,
    spec: SessionSpec,
    config: &Config,
    flow: Result<Flow, ConfigError>,
    clock: &Clock,
) -> Result<(), HostError> {
    let flow = flow.inspect_err(|error| tracing::error!(%error, "no flow records are written")).ok();
    let records = Records::new(flow.map(Flow::synced_on_request), &spec);
    let asked = EndSignals::new()?;
    let socket = socket_path(folder);
    let listener = listen::bind(&socket)?;
    let output = Arc::new(Output::create(folder, spec.scrollback_bytes, spec.log_bytes)?);
    records.start(&spec);
    // The process does not wait for the disk; what has ended by then goes there with its end.
    let clients = Shutdown::new();
    let syncing = clients.spawn(records.clone().sync_in_time());
    let started = match command(folder, &spec, &socket, config).and_then(Command::spawn) {
        Ok(started) => started,
        Err(error) => {
            let _ = std::fs::remove_file(&socket);
            return failed(folder, &spec, &error, &records, clock);
        }
    };
    let parts = Parts { output, started, listener, asked };
    let (host, ended) = match running(folder, spec, clock, parts, &clients).await {
        Ok(ran) => ran,
        Err(error) => {
            let _ = std::fs::remove_file(&socket);
            records.failed(&error.to_string());
            records.sync();
            return Err(error);
        }
    };
    syncing.abort();
    finish(&host, &ended, &records, &clients).await;
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
    set("DARKMUX_SESSION_ID", spec.id.as_str().as_ref());
    set("DARKMUX_SOCKET", socket.as_os_str());
    set("TERM", "xterm-256color".as_ref());
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
fn failed(
    folder: &Path,
    spec: &SessionSpec,
    error: &io::Error,
    records: &Records,
    clock: &Clock,
) -> Result<(), HostError> {
    let program = spec.argv.first().map_or("", String::as_str);
    let message = format!("{program} could not be started: {error}");
    let mut status = SessionStatus::starting(spec);
    end_state(&mut status, EndReason::Failed, clock);
    status.exit_code = Some(126);
    status.error = Some(message.clone());
    write_state(folder, &status, Durability::Cached)?;
    records.failed(&message);
    tell_starter(message.as_bytes());
    records.sync();
    Ok(())
}

/// What a running session is made of.
struct Parts {
    output: Arc<Output>,
    started: Started,
    listener: UnixListener,
    asked: EndSignals,
}

/// Lets the process run until it has ended and its output is complete.
async fn running(
    folder: &Path,
    spec: SessionSpec,
    clock: &Clock,
    Parts { output, started, listener, asked }: Parts,
    clients: &Shutdown,
) -> Result<(Arc<Host>, Ended), HostError> {
    let Started { mut child, reader, writer, window, kept_open } = started;
    let (input, typed) = mpsc::channel(INPUT_QUEUE);
    let (stop, stops) = mpsc::channel(STOP_QUEUE);
    let mut status = SessionStatus::starting(&spec);
    status.state = SessionState::Running;
    status.started_at = Some(clock::millis(clock.now()));
    status.pid = Some(child.pid());
    status.host_pid = Some(std::process::id());
    if let Err(error) = write_state(folder, &status, Durability::Cached) {
        // A session that nobody can find must not run.
        supervise::end_tree(child.tree()).await;
        let _ = child.wait().await;
        return Err(error.into());
    }
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
    });
    clients.spawn(listen::accept(Arc::clone(&host), listener, clients.clone()));
    let typing = clients.spawn(supervise::type_into(writer, typed));
    let showing = clients.spawn(supervise::show(reader, Arc::clone(&output)));
    tell_starter(STARTED.as_bytes());
    let ended = supervise::supervise(&host, (child, kept_open), (stops, asked), showing).await?;
    typing.abort();
    Ok((host, ended))
}

/// Makes the end known: state, records, clients, disk, in this order.
async fn finish(host: &Host, ended: &Ended, records: &Records, clients: &Shutdown) {
    let mut status = {
        let mut status = host.status();
        end_state(&mut status, ended.reason, &host.clock);
        status.exit = Some(ended.exit);
        status.exit_code = Some(ended.exit_code());
        status.error = ended.message(&host.spec);
        drop(status);
        host.snapshot()
    };
    let kept = write_state(&host.folder, &status, Durability::Cached);
    if let Err(error) = &kept {
        let told = format!("the end is not on the disk: {error}; make room, it is tried again for 5 min");
        tracing::error!("{told}");
        host.status().error.get_or_insert(told);
    }
    records.end(&status);
    if let (None, Some(refused)) = (&status.error, records.refused()) {
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
    records.sync();
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
