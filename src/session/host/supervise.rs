//! Watching the process: its time limit, requests to end it, its end, and the rest of its output.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::signal::unix::{Signal as UnixSignal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Host;
use super::model::Model;
use crate::model::{EndReason, ExitStatus};
use crate::pty::{Child, KeptOpen, ProcessTree, Reader, Signal, Writer};
use crate::session::output::Output;
use crate::util::{BootTime, human};
use crate::wire::SessionSpec;

/// Size of the buffer the terminal is read into; one piece of output for readers.
const READ_BUFFER: usize = 64 * 1024;

/// How long the terminal may stay open after the leader's end before what holds it is ended.
const DRAIN: Duration = Duration::from_millis(300);

/// How long what is left of the session gets between TERM and KILL.
const REST_GRACE: Duration = Duration::from_millis(500);

/// Longest sleep towards a time limit: limits count the time that a machine sleeps, and timers stand still meanwhile.
const LIMIT_CHECK: Duration = Duration::from_secs(30);

/// When what does not mind TERM is told that its terminal hangs up, which ends interactive shells.
const HANG_UP_AFTER: Duration = Duration::from_secs(1);

/// Exit code of a session whose time limit was reached, that of coreutils' `timeout`.
const TIMEOUT_CODE: i32 = 124;

/// The signals that ask the host itself to end. Catching them also gives them back to the process: what the
/// caller ignores (`nohup`, `&` in a script) would stay ignored in it, and a caught signal does not.
pub(super) struct EndSignals([UnixSignal; 4]);

impl EndSignals {
    /// From now on.
    pub fn new() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::quit())?,
        ]))
    }

    /// The next of them. Can be dropped while it waits.
    async fn next(&mut self) {
        poll_fn(|cx| {
            let came = self.0.iter_mut().any(|signal| signal.poll_recv(cx).is_ready());
            if came { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// How the process ended.
pub(super) struct Ended {
    pub exit: ExitStatus,
    pub reason: EndReason,
    pub tree: ProcessTree,
}

impl Ended {
    /// The code a shell would report.
    pub fn exit_code(&self) -> i32 {
        if self.reason == EndReason::Timeout { TIMEOUT_CODE } else { self.exit.shell_code() }
    }

    /// What to say about an end that was not the process's own.
    pub fn message(&self, spec: &SessionSpec) -> Option<String> {
        match self.reason {
            EndReason::Timeout => {
                let limit = Duration::from_millis(spec.timeout_ms.unwrap_or(0));
                Some(format!(
                    "the time limit of {} was reached and the session was ended",
                    human::duration(limit)
                ))
            }
            EndReason::Killed => Some("the session was ended on request".to_owned()),
            EndReason::Exited | EndReason::Failed => None,
        }
    }
}

/// Puts out what the terminal shows until nobody has it open any longer.
pub(super) async fn show(mut reader: Reader, output: Arc<Output>, model: Arc<Model>) {
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        output.room().await;
        match reader.read(&mut buffer).await {
            Ok(0) => return,
            Ok(count) => {
                output.push(&buffer[..count]).await;
                model.saw(&buffer[..count]);
            }
            Err(error) => {
                tracing::warn!(%error, "the terminal cannot be read any longer");
                return;
            }
        }
    }
}

/// Types what clients send, piece by piece.
pub(super) async fn type_into(mut writer: Writer, mut typed: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = typed.recv().await {
        if let Err(error) = writer.write(&bytes).await {
            tracing::debug!(%error, "the terminal takes no input");
        }
    }
}

/// Waits for the end of the process and of its output.
pub(super) async fn supervise(
    host: &Host,
    (mut child, kept_open): (Child, KeptOpen),
    (mut stops, mut asked): (mpsc::Receiver<Duration>, EndSignals),
    mut showing: JoinHandle<()>,
) -> io::Result<Ended> {
    let tree = child.tree();
    let (exit, reason) = wait(host, &mut child, &mut stops, &mut asked).await?;
    drop(kept_open);
    host.output.hurry();
    let drained = tokio::time::timeout(DRAIN, &mut showing).await.is_ok();
    if !drained || reason != EndReason::Exited {
        end_tree(tree).await;
    }
    if !drained && tokio::time::timeout(DRAIN, &mut showing).await.is_err() {
        // A process that left the session holds the terminal; what it still says belongs to nobody.
        showing.abort();
    }
    Ok(Ended { exit, reason, tree })
}

async fn wait(
    host: &Host,
    child: &mut Child,
    stops: &mut mpsc::Receiver<Duration>,
    asked: &mut EndSignals,
) -> io::Result<(ExitStatus, EndReason)> {
    let (began, limit) = (BootTime::now(), host.spec.timeout_ms.map(Duration::from_millis));
    let mut reason = EndReason::Exited;
    let mut ending = Ending::default();
    loop {
        let (why, grace) = tokio::select! {
            exit = child.wait() => return Ok((exit?, reason)),
            () = reached(began, limit), if reason == EndReason::Exited => {
                (EndReason::Timeout, Duration::from_millis(host.spec.grace_ms))
            }
            Some(grace) = stops.recv() => (EndReason::Killed, grace),
            () = asked.next() => (EndReason::Killed, Duration::from_millis(host.spec.grace_ms)),
            signal = ending.next() => {
                child.tree().signal(signal);
                continue;
            }
        };
        if reason == EndReason::Exited {
            reason = why;
        }
        ask_to_end(child.tree());
        ending.within(grace);
    }
}

/// The harder signals that follow when the polite ones were asked for.
#[derive(Default)]
struct Ending {
    hang_up: Option<Instant>,
    kill: Option<Instant>,
}

impl Ending {
    /// Plans the signals; a shorter grace than before wins.
    fn within(&mut self, grace: Duration) {
        let now = Instant::now();
        let earlier = |planned: Option<Instant>, at| Some(planned.map_or(at, |planned| planned.min(at)));
        self.hang_up = earlier(self.hang_up, now + HANG_UP_AFTER.min(grace / 2));
        self.kill = earlier(self.kill, now + grace);
    }

    /// The next signal at its time; never when none is planned.
    async fn next(&mut self) -> Signal {
        let (moment, signal) = match (self.hang_up, self.kill) {
            (Some(hang_up), Some(kill)) if hang_up < kill => (hang_up, Signal::HUP),
            (_, Some(kill)) => (kill, Signal::KILL),
            _ => return std::future::pending().await,
        };
        tokio::time::sleep_until(moment).await;
        if signal == Signal::HUP {
            self.hang_up = None;
        } else {
            self.kill = Some(moment + REST_GRACE);
        }
        signal
    }
}

/// The polite signals: TERM, and CONT so that a stopped process can act on it.
fn ask_to_end(tree: ProcessTree) {
    for polite in [Signal::TERM, Signal::CONT] {
        tree.signal(polite);
    }
}

/// Ends what is left of a session whose leader has ended.
pub(super) async fn end_tree(tree: ProcessTree) {
    if !tree.is_alive() {
        return;
    }
    ask_to_end(tree);
    let until = Instant::now() + REST_GRACE;
    while Instant::now() < until {
        tokio::time::sleep(REST_GRACE / 20).await;
        if !tree.is_alive() {
            return;
        }
    }
    tree.signal(Signal::KILL);
}

/// Resolves when `limit` has passed since `began`, however the clock on the wall was set; never without one.
async fn reached(began: BootTime, limit: Option<Duration>) {
    let Some(limit) = limit else { return std::future::pending().await };
    loop {
        match limit.checked_sub(began.elapsed()) {
            Some(left) if !left.is_zero() => tokio::time::sleep(left.min(LIMIT_CHECK)).await,
            _ => return,
        }
    }
}
