//! The guard of one command: a process between the agent and the command, which sees to it that nothing of the
//! command outlives its call.
//!
//! Invariants: what the command starts comes back to the guard when its parent ends, so all of it is known, and all
//! of it is ended before the report is sent. The guard itself is not confined, and its command can neither signal
//! nor trace it where the sandbox refuses that. When the agent is gone, the guard ends the command and itself.

use std::io;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::order::{End, Order, Report, receive, send};
use crate::agent::tools::root::Root;
use crate::model::ExitStatus;
use crate::pty::{self, Offspring, Signal};

/// How often the processes are counted.
const TICK: Duration = Duration::from_millis(250);

/// How long a process may take to end after TERM.
const GRACE: Duration = Duration::from_secs(2);

/// Time for a container's engine to end it, and how often it is looked at.
const STOP: Duration = Duration::from_secs(10);
const STOP_LOOK: Duration = Duration::from_millis(10);

/// How long a command's processes may take to be gone after KILL.
const GONE: Duration = Duration::from_secs(5);

/// How often KILL is sent: what was started meanwhile has not got it.
const AGAIN: Duration = Duration::from_millis(50);

/// What the guard waits for.
enum Event {
    /// The command ended.
    Ended(ExitStatus),
    /// No process is left.
    Empty,
    /// The agent wants it to end, or is gone.
    Stop,
}

/// Runs one command by an order from standard input, which is a socket, and reports on it.
pub fn guard() -> io::Result<()> {
    let link = UnixStream::from(rustix::stdio::stdin().as_fd().try_clone_to_owned()?);
    pty::keep_descriptors_here();
    // An error says that it leads a session already.
    let _ = pty::detach();
    let offspring = Offspring::adopt()?;
    let order: Order = receive(&link)?;
    let report = match start(&order) {
        Ok(pid) => watch(&order, pid, offspring, &link)?,
        Err(why) => Report { end: End::NotStarted(why), left: 0, stuck: 0 },
    };
    send(&link, &report)
}

/// Starts the command from a thread that was confined first; a confined thread stays so, and so does what it starts.
fn start(order: &Order) -> Result<u32, String> {
    let root = Root::open(Path::new(&order.root)).map_err(|error| format!("the work directory: {error}"))?;
    let cwd = root.folder(Path::new(&order.cwd), false).map_err(|error| format!("its folder: {error}"))?;
    rustix::process::fchdir(&cwd).map_err(|error| format!("its folder: {error}"))?;
    let core = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, core);
    pty::bound_processes(order.processes);
    let (program, args) = order.argv.split_first().ok_or("no command")?;
    let confined = || {
        if let Some(rules) = &order.landlock {
            close(rules)?;
        }
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(order.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).process_group(0);
        let child = command.spawn().map_err(|error| format!("{}: {error}", Path::new(program).display()))?;
        Ok(child.id())
    };
    std::thread::scope(|scope| scope.spawn(confined).join().map_err(|_| "its thread failed".to_owned())?)
}

#[cfg(target_os = "linux")]
use crate::agent::tools::confine::close;

#[cfg(not(target_os = "linux"))]
fn close(_: &crate::agent::tools::confine::Rules) -> Result<(), String> {
    Err("Landlock is of Linux".into())
}

fn watch(order: &Order, pid: u32, offspring: Offspring, link: &UnixStream) -> io::Result<Report> {
    let offspring = std::sync::Arc::new(offspring);
    let (tell, events) = sync_channel(16);
    let reaped = std::sync::Arc::clone(&offspring);
    let ended = tell.clone();
    std::thread::Builder::new().name("reaper".into()).spawn(move || reap(&reaped, pid, &ended))?;
    let mut agent = link.try_clone()?;
    std::thread::Builder::new().name("link".into()).spawn(move || {
        // A byte, an end and an error all say the same.
        let _ = agent.read(&mut [0]);
        let _ = tell.send(Event::Stop);
    })?;
    let deadline = Instant::now() + order.timeout;
    let end = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match events.recv_timeout(left.min(TICK)) {
            Ok(Event::Ended(ExitStatus::Code(code))) => break End::Code(code),
            Ok(Event::Ended(ExitStatus::Signal(signal))) => break End::Signal(signal),
            Ok(Event::Stop) => break End::Stopped,
            Err(RecvTimeoutError::Timeout) if left.is_zero() => break End::TimedOut,
            Err(RecvTimeoutError::Timeout) if offspring.count() > order.processes => break End::TooMany,
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Event::Empty) | Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("the command ended unseen"));
            }
        }
    };
    let by_itself = matches!(end, End::Code(_) | End::Signal(_));
    let left = if by_itself { offspring.count() } else { 0 };
    let mut stopper = None;
    if let Some((program, args)) = order.stop.as_deref().and_then(<[_]>::split_first)
        && !by_itself
    {
        let mut stop = Command::new(program);
        stop.args(args).env_clear().envs(order.env.iter().map(|(name, value)| (name, value)));
        // It is one of those that are waited for.
        let started = stop.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        stopper = started.ok().map(|child| Pid::from_child(&child));
    }
    let grace = if end == End::TooMany { Duration::ZERO } else { GRACE };
    let is_empty = stopper.is_some_and(|stopper| let_stop(&offspring, &events, stopper));
    let stuck = if is_empty { 0 } else { end_all(&offspring, &events, grace) };
    Ok(Report { end, left, stuck })
}

/// Takes every end of a process below this one, until there is none left.
fn reap(offspring: &Offspring, command: u32, tell: &SyncSender<Event>) {
    while let Ok(Some((pid, status))) = offspring.next_end() {
        if pid == command && tell.send(Event::Ended(status)).is_err() {
            return;
        }
    }
    let _ = tell.send(Event::Empty);
}

/// Gives `stopper` its time, which ends something elsewhere and is itself one of those that are to end. Whether nothing
/// is left then.
fn let_stop(offspring: &Offspring, events: &Receiver<Event>, stopper: Pid) -> bool {
    let until = Instant::now() + STOP;
    while offspring.has(stopper) && Instant::now() < until {
        if matches!(events.recv_timeout(STOP_LOOK), Ok(Event::Empty)) {
            return true;
        }
    }
    false
}

/// Ends every process that is left; says how many would not go.
fn end_all(offspring: &Offspring, events: &Receiver<Event>, grace: Duration) -> usize {
    let is_empty = |within: Duration| {
        let until = Instant::now() + within;
        loop {
            match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Event::Empty) => return true,
                Ok(_) => {}
                // Without the reaper there is nobody to tell; counting does it.
                Err(_) => return offspring.count() == 0,
            }
        }
    };
    if grace > Duration::ZERO && offspring.count() > 0 {
        offspring.signal(Signal::TERM);
        // One that is stopped ends when it goes on.
        offspring.signal(Signal::CONT);
        if is_empty(grace) {
            return 0;
        }
    }
    let until = Instant::now() + GONE;
    loop {
        offspring.signal(Signal::KILL);
        if is_empty(AGAIN) {
            return 0;
        }
        if Instant::now() >= until {
            return offspring.count();
        }
    }
}
