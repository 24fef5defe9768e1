//! Session hosts that are started ahead: a job that comes takes one, and the next is started when the job runs.
//!
//! Invariants: a spare host is a host like any other (this binary, this environment, a kernel session of its own)
//! that has no folder yet; it ends with whoever keeps it, by the end of its pipe; one that is given a session and
//! does not take it is killed before another host gets the session, so that no session ever has two.
//!
//! Not here: what a host does with a session.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::spawn::{StartError, host_command, how_it_went, launch, own_binary, prepare};
use crate::config::Environment;
use crate::util::{Backoff, Shutdown};
use crate::wire::SessionSpec;

/// What a spare host says when it has its order.
pub(super) const TAKEN: u8 = b'.';

/// Longest order, in bytes: a path.
pub(super) const ORDER_MAX: usize = 16 * 1024;

/// Most spare hosts.
const MOST: usize = 16;

/// How long a spare host may take to take its order; one that is stopped never does.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a killed one may take to end.
const KILLED: Duration = Duration::from_secs(2);

/// Pause before another one is started in place of one that died, growing to the second figure.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_mins(1));

/// How long one must have lived to be no sign of something that is wrong.
const LIVED: Duration = Duration::from_secs(10);

/// The spare hosts of one process.
#[derive(Debug, Clone)]
pub struct Spares {
    env: Arc<Environment>,
    ready: Arc<Mutex<Vec<Ready>>>,
}

/// A host that waits for its order.
#[derive(Debug)]
struct Ready {
    id: u64,
    orders: ChildStdin,
    said: ChildStdout,
    /// To the task that keeps it. Dropped once its session has started or did not, which makes room for the next.
    keeper: oneshot::Sender<oneshot::Sender<bool>>,
}

/// What became of a session that a spare host was to own.
pub(super) enum Tried {
    /// It has it; what it says until it runs comes here.
    Took(Taken),
    /// It has nothing to do with it, and never will.
    Dead,
    /// It does not answer and does not die: it may take it any time.
    Unknown,
}

/// A spare host with a session. Kept until the session runs.
pub(super) struct Taken {
    /// What it says.
    pub said: ChildStdout,
    _keeper: oneshot::Sender<oneshot::Sender<bool>>,
}

impl Spares {
    /// Keeps `count` hosts ready that have `env`, until `shutdown`.
    pub fn keep(count: usize, env: Environment, shutdown: &Shutdown) -> Self {
        let spares = Self { env: Arc::new(env), ready: Arc::default() };
        for _ in 0..count.min(MOST) {
            drop(shutdown.spawn(keep_one(spares.clone(), shutdown.clone())));
        }
        spares
    }

    /// What the hosts have.
    pub fn env(&self) -> &Environment {
        &self.env
    }

    /// Starts a session as [`super::start`] does, by a spare host where there is one.
    pub async fn start(
        &self,
        sessions: &Path,
        spec: &SessionSpec,
        files: &[(PathBuf, Vec<u8>)],
    ) -> Result<PathBuf, StartError> {
        let folder = prepare(sessions, spec, files)?;
        let tried = match self.take() {
            Some(ready) => ready.give(&folder).await,
            None => Tried::Dead,
        };
        match tried {
            Tried::Took(Taken { said, _keeper }) => how_it_went(said, &folder).await,
            Tried::Dead => launch(&folder, &self.env).await,
            Tried::Unknown => Err(StartError::Slow(folder.join(super::files::HOST_LOG))),
        }?;
        Ok(folder)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Ready>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Ready> {
        let mut ready = self.lock();
        // The oldest has had the most time to come up.
        (!ready.is_empty()).then(|| ready.remove(0))
    }

    /// Takes a host back; `false` when somebody has it.
    fn withdraw(&self, id: u64) -> bool {
        let mut ready = self.lock();
        let before = ready.len();
        ready.retain(|one| one.id != id);
        ready.len() < before
    }
}

impl Ready {
    async fn give(mut self, folder: &Path) -> Tried {
        let order = async {
            self.orders.write_all(&order_of(folder)?).await?;
            self.orders.flush().await?;
            self.said.read_u8().await
        };
        match timeout(PATIENCE, order).await {
            Ok(Ok(TAKEN)) => return self.took(),
            Ok(Ok(_) | Err(_)) => tracing::debug!("a spare host was not there any longer"),
            Err(_) => tracing::warn!("a spare host does not answer and is killed"),
        }
        let (answer, is_dead) = oneshot::channel();
        let (told, keeper) = (self.keeper.send(answer), oneshot::channel().0);
        // Whoever kept it saw it die.
        let dead = told.is_err() || timeout(KILLED * 2, is_dead).await.is_ok_and(|dead| dead == Ok(true));
        self.keeper = keeper;
        // It may have taken it in the last moment; what it said outlives it.
        match timeout(KILLED, self.said.read_u8()).await {
            Ok(Ok(TAKEN)) => self.took(),
            Ok(_) if dead => Tried::Dead,
            _ => Tried::Unknown,
        }
    }

    fn took(self) -> Tried {
        Tried::Took(Taken { said: self.said, _keeper: self.keeper })
    }
}

/// An order: the length of the session's folder in four bytes, and its path.
pub(super) fn order_of(folder: &Path) -> io::Result<Vec<u8>> {
    let path = folder.as_os_str().as_bytes();
    let length = u32::try_from(path.len()).ok().filter(|_| path.len() <= ORDER_MAX);
    let length = length.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
    Ok([&length.to_be_bytes(), path].concat())
}

/// Keeps one host ready.
async fn keep_one(spares: Spares, shutdown: Shutdown) {
    let stopped = shutdown.stopped();
    tokio::pin!(stopped);
    let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
    loop {
        let began = Instant::now();
        let kept = match begin(&spares) {
            Ok((id, mut host, mut taken)) => tokio::select! {
                () = &mut stopped => {
                    if !spares.withdraw(id) {
                        hand_over(host, taken).await;
                    }
                    return;
                }
                asked = &mut taken => {
                    settle(host, asked).await;
                    true
                }
                ended = host.wait() => {
                    tracing::warn!(?ended, "a spare host ended; another is started");
                    spares.withdraw(id);
                    began.elapsed() >= LIVED
                }
            },
            Err(error) => {
                tracing::warn!(%error, "no spare host can be started; jobs start their own");
                false
            }
        };
        if kept {
            backoff.reset();
            continue;
        }
        if !shutdown.rest(backoff.pause()).await {
            return;
        }
    }
}

type Kept = (u64, Child, oneshot::Receiver<oneshot::Sender<bool>>);

/// Starts a host and offers it.
fn begin(spares: &Spares) -> io::Result<Kept> {
    let mut host = host_command(&own_binary()?, &spares.env)
        .arg("spare-host")
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (Some(orders), Some(said), Some(id)) = (host.stdin.take(), host.stdout.take(), host.id()) else {
        return Err(io::Error::other("it has no pipes"));
    };
    let (keeper, taken) = oneshot::channel();
    let id = u64::from(id);
    spares.lock().push(Ready { id, orders, said, keeper });
    Ok((id, host, taken))
}

/// The host was taken: it is on its own, unless whoever took it wants it dead.
async fn settle(mut host: Child, asked: Result<oneshot::Sender<bool>, oneshot::error::RecvError>) {
    let Ok(answer) = asked else { return };
    let dead = host.start_kill().is_ok() && timeout(KILLED, host.wait()).await.is_ok_and(|end| end.is_ok());
    let _ = answer.send(dead);
}

/// The daemon stops while somebody has the host.
async fn hand_over(host: Child, taken: oneshot::Receiver<oneshot::Sender<bool>>) {
    if let Ok(asked) = timeout(PATIENCE * 2, taken).await {
        settle(host, asked).await;
    }
}
