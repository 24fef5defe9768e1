//! What the viewers of this machine are told of the fleet: read from Redis while somebody asks, and then at most
//! every [`KEPT`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::{Presence, PresenceReader};
use crate::store::{Redis, RedisFault};
use crate::wire::SessionBeat;

/// How long an answer of Redis is given to others.
const KEPT: Duration = Duration::from_secs(2);

/// How long Redis may take.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Why it is not known what is alive.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LiveError {
    /// Redis did not answer in time.
    #[error("Redis at {0} does not answer")]
    Late(String),
    /// It refused, or can't be reached.
    #[error(transparent)]
    Redis(#[from] RedisFault),
}

type Kept<T> = Mutex<Option<(Instant, Result<Arc<T>, LiveError>)>>;

/// What is alive in the fleet.
#[derive(Debug)]
pub struct Live {
    reader: Option<PresenceReader>,
    machines: Kept<Presence>,
    sessions: Kept<Vec<SessionBeat>>,
}

impl Live {
    /// Asks nothing yet; without Redis nobody is known to be alive.
    pub fn new(redis: Option<Redis>) -> Self {
        let reader = redis.map(PresenceReader::new);
        Self { reader, machines: Mutex::default(), sessions: Mutex::default() }
    }

    /// The machines; `None` without Redis.
    pub async fn machines(&self) -> Option<Result<Arc<Presence>, LiveError>> {
        let reader = self.reader.as_ref()?;
        Some(fresh(&self.machines, reader, reader.machines()).await)
    }

    /// The sessions; `None` without Redis.
    pub async fn sessions(&self) -> Option<Result<Arc<Vec<SessionBeat>>, LiveError>> {
        let reader = self.reader.as_ref()?;
        Some(fresh(&self.sessions, reader, reader.sessions()).await)
    }
}

async fn fresh<T>(
    kept: &Kept<T>,
    reader: &PresenceReader,
    read: impl Future<Output = Result<T, RedisFault>>,
) -> Result<Arc<T>, LiveError> {
    // Held while asking: however many viewers there are, Redis is asked once.
    let mut kept = kept.lock().await;
    if let Some((at, answer)) = &*kept
        && at.elapsed() < KEPT
    {
        return answer.clone();
    }
    let answer = match timeout(PATIENCE, read).await {
        Ok(answer) => answer.map(Arc::new).map_err(LiveError::from),
        Err(_) => Err(LiveError::Late(reader.shown().to_owned())),
    };
    *kept = Some((Instant::now(), answer.clone()));
    answer
}
