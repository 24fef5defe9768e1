//! Redis: one shared connection for commands and scripts, and a connection of its own for each blocking
//! reader.
//!
//! Invariants: a request ends within a bounded time; a connection that timed out or belongs to a replica is
//! replaced before the next request; every new connection asks Sentinel (where there is one) and learns who
//! answered, so that a restarted, emptied or promoted server shows as another [`Server`]. Nothing is retried
//! here: only the caller knows what may be sent twice. No caller waits for another one to go on.
//!
//! Not here: which keys there are and what they mean (`work`, `flow`, `fleet`).

mod dial;
mod error;
mod target;

pub use dial::Server;
pub use error::{RedisClass, RedisFault};
pub use target::{RedisTarget, RedisUrlError, without_password};

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, ConnectionAddr, FromRedisValue, Pipeline, Script, ScriptInvocation};
use tokio::sync::watch;
use tokio::time::Instant;

/// How long the server may take for an answer that waits for nothing.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(2500);

/// How long a failed connection speaks for the next attempts, so that many callers don't queue up behind one
/// address that does not answer.
const FAILURE_KEPT: Duration = Duration::from_millis(250);

/// A Redis. Clones share its connection.
#[derive(Debug, Clone)]
pub struct Redis {
    inner: Arc<Inner>,
}

struct Inner {
    target: RedisTarget,
    slot: Mutex<Slot>,
    /// Connections up to this number are broken.
    broken: AtomicU64,
    server: watch::Sender<Option<Server>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.target.fmt(f)
    }
}

#[derive(Default)]
struct Slot {
    open: Option<Open>,
    dialled: u64,
    failed: Option<(Instant, RedisFault)>,
    /// There while somebody dials; brings what came of it.
    dialling: Option<watch::Receiver<Option<Dialled>>>,
}

/// What came of dialling: a connection and its number.
type Dialled = Result<(u64, MultiplexedConnection), RedisFault>;

struct Open {
    /// Which connection it is, counted from 1.
    number: u64,
    connection: MultiplexedConnection,
    addr: ConnectionAddr,
}

impl Redis {
    /// Connects at the first request.
    pub fn new(target: RedisTarget) -> Self {
        let (server, _) = watch::channel(None);
        Self { inner: Arc::new(Inner { target, slot: Mutex::default(), broken: AtomicU64::new(0), server }) }
    }

    /// The server in words, without a password.
    pub fn shown(&self) -> &str {
        self.inner.target.shown()
    }

    /// Which Redis it is.
    pub fn target(&self) -> &RedisTarget {
        &self.inner.target
    }

    /// Who answered last: changes when the server was started again or another one took its place.
    pub fn server(&self) -> watch::Receiver<Option<Server>> {
        self.inner.server.subscribe()
    }

    /// Sends one command.
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisFault> {
        self.with(async |mut connection| command.query_async(&mut connection).await).await
    }

    /// Sends several commands in one write.
    pub async fn pipeline<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, RedisFault> {
        self.with(async |mut connection| commands.query_async(&mut connection).await).await
    }

    /// Runs a script, by its hash where the server knows it.
    pub async fn script<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, RedisFault> {
        self.with(async |mut connection| call.invoke_async(&mut connection).await).await
    }

    /// Asks for nothing but an answer: the time it took.
    pub async fn ping(&self) -> Result<Duration, RedisFault> {
        self.query::<String>(&redis::cmd("PING")).await?;
        let began = Instant::now();
        self.query::<String>(&redis::cmd("PING")).await?;
        Ok(began.elapsed())
    }

    /// The folder that the server keeps its data in, by which it is told apart from any other on this machine.
    pub async fn data_dir(&self) -> Result<String, RedisFault> {
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg("dir");
        let (_, dir): (String, String) =
            self.query::<Vec<(String, String)>>(&command).await?.pop().unwrap_or_default();
        Ok(dir)
    }

    /// Has the server write down what it has, and end. It answers by closing the connection.
    pub async fn shut_down(&self) -> Result<(), RedisFault> {
        match self.query::<()>(&redis::cmd("SHUTDOWN")).await {
            Err(fault) if !matches!(fault.class(), RedisClass::Unreachable | RedisClass::Silent) => {
                Err(fault)
            }
            _ => Ok(()),
        }
    }

    /// Asks the Sentinels, where there are some, whether the connected server is still the master, and lets it
    /// go when it is not. Free otherwise.
    pub async fn follow_master(&self) {
        let target = &self.inner.target;
        if !matches!(target.place, target::Place::Sentinel { .. }) {
            return;
        }
        // Bounded by the time that a Sentinel may take; when none answers, the server that is there must do.
        let Ok(login) = dial::login(target).await else { return };
        let Ok(named) = dial::master(target, &login).await else { return };
        let mut slot = self.inner.slot();
        if slot.open.as_ref().is_some_and(|open| open.addr != named) {
            slot.open = None;
        }
    }

    /// A connection of its own for reads that wait at most `block` each.
    pub async fn reader(&self, block: Duration) -> Result<Reader, RedisFault> {
        let dialled = dial::dial(&self.inner.target, block * 3 + Duration::from_secs(2)).await?;
        let dial::Dialled { connection, server, .. } = dialled;
        Ok(Reader { connection, server, shown: self.shown().to_owned(), block })
    }

    async fn with<T>(
        &self,
        request: impl AsyncFnOnce(MultiplexedConnection) -> redis::RedisResult<T>,
    ) -> Result<T, RedisFault> {
        let (dialled, connection) = self.connection().await?;
        let answer = request(connection).await;
        answer.map_err(|error| RedisFault::of(&error, self.shown())).inspect_err(|fault| {
            if fault.class().breaks_connection() {
                self.inner.broken.fetch_max(dialled, Ordering::Relaxed);
            }
        })
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), RedisFault> {
        let mut dialling = {
            let mut slot = self.inner.slot();
            let broken = self.inner.broken.load(Ordering::Relaxed);
            if let Some(open) = slot.open.as_ref().filter(|open| open.number > broken) {
                return Ok((open.number, open.connection.clone()));
            }
            if let Some((at, fault)) = &slot.failed
                && at.elapsed() < FAILURE_KEPT
            {
                return Err(fault.clone());
            }
            slot.open = None;
            // One dials at a time; who comes meanwhile waits for the same one. One that was cut off is none.
            let under_way = slot.dialling.clone().filter(|dialling| dialling.has_changed().is_ok());
            under_way.unwrap_or_else(|| slot.dialling.insert(dial_apart(&self.inner)).clone())
        };
        match dialling.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(dialled)) => dialled.clone(),
            _ => Err(RedisFault::new(RedisClass::Unreachable, self.shown(), "dialling was cut off")),
        }
    }
}

impl Inner {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the place of the connection with a new one; each dial is bounded.
    async fn dial(&self) -> Dialled {
        let dialled = dial::dial(&self.target, ANSWER_TIMEOUT).await;
        let mut slot = self.slot();
        slot.dialling = None;
        match dialled {
            Ok(dial::Dialled { connection, server, addr }) => {
                slot.dialled += 1;
                slot.failed = None;
                let number = slot.dialled;
                slot.open = Some(Open { number, connection: connection.clone(), addr });
                drop(slot);
                self.server.send_if_modified(|known| {
                    let changed = known.as_ref() != Some(&server);
                    *known = Some(server);
                    changed
                });
                Ok((number, connection))
            }
            Err(fault) => {
                slot.failed = Some((Instant::now(), fault.clone()));
                Err(fault)
            }
        }
    }
}

/// Dials in a task of its own: a caller that is not asked to go on for a while, because its task waits for something
/// else meanwhile, would hold up everybody, and that something with them.
#[allow(clippy::disallowed_methods)] // Bounded, and nothing is lost with it: no stop need wait for it.
fn dial_apart(inner: &Arc<Inner>) -> watch::Receiver<Option<Dialled>> {
    let (told, dialling) = watch::channel(None);
    let inner = Arc::clone(inner);
    drop(tokio::spawn(async move {
        let dialled = inner.dial().await;
        // Nobody may wait any longer.
        told.send_replace(Some(dialled));
    }));
    dialling
}

/// A connection for blocking reads alone. Dropping it, also in the middle of a read, closes it; the server
/// forgets the read, so that nothing is delivered to nobody.
pub struct Reader {
    connection: MultiplexedConnection,
    server: Server,
    shown: String,
    block: Duration,
}

impl Reader {
    /// Sends one command that may block for the time that the reader was made for. After an error the reader
    /// must be dropped.
    pub async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, RedisFault> {
        let answer = command.query_async(&mut self.connection).await;
        answer.map_err(|error| RedisFault::of(&error, &self.shown))
    }

    /// As [`query`](Self::query), for a caller that has a shorter patience than the connection.
    pub async fn query_within<T: FromRedisValue>(
        &mut self,
        command: &Cmd,
        limit: Duration,
    ) -> Result<T, RedisFault> {
        let answer = tokio::time::timeout(limit, command.query_async(&mut self.connection)).await;
        match answer {
            Ok(answer) => answer.map_err(|error| RedisFault::of(&error, &self.shown)),
            Err(_) => Err(RedisFault::new(RedisClass::Silent, &self.shown, "no answer in time")),
        }
    }

    /// How long a read may block.
    pub fn block(&self) -> Duration {
        self.block
    }

    /// Why a reader is given up whose server is no longer the one that requests go to.
    pub fn left_behind(&self) -> RedisFault {
        RedisFault::new(RedisClass::ReadOnly, &self.shown, "another server is the master now")
    }

    /// Who answers.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The database that its requests go to.
    pub fn db(&self) -> i64 {
        self.connection.get_db()
    }
}

/// A script from its text.
pub fn script(text: &str) -> Script {
    Script::new(text)
}
