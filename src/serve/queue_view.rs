//! What the viewers of this machine are told of the queue: read from Redis while somebody asks, and then at most
//! every [`KEPT`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::ApiError;
use crate::model::SessionId;
use crate::work::{DeadLetter, JobView, Queue, QueueStatus, WorkError};

/// How long an answer of Redis is given to others.
const KEPT: Duration = Duration::from_secs(1);

/// How long Redis may take.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Ended jobs in the list.
const ENDED: usize = 100;

/// Jobs in the list; a viewer shows no more.
const JOBS_MAX: usize = 1000;

/// Dead letters in the answer.
const DEAD: usize = 50;

/// Seconds after which a client that was refused may ask again.
const RETRY_SECONDS: u32 = 5;

/// Why it is not known; the same for everybody who asks meanwhile.
#[derive(Debug, Clone)]
pub struct Away(String);

impl From<Away> for ApiError {
    fn from(Away(why): Away) -> Self {
        Self::busy("redis_unreachable", why, RETRY_SECONDS)
    }
}

type Kept<T> = Mutex<Option<(Instant, Result<Arc<T>, Away>)>>;

/// The queue as a whole, with its dead letters.
pub type Whole = (QueueStatus, Vec<DeadLetter>);

/// The queue, for viewers.
#[derive(Debug)]
pub struct QueueView {
    queue: Queue,
    jobs: Kept<Vec<JobView>>,
    whole: Kept<Whole>,
}

impl QueueView {
    /// Asks nothing yet.
    pub fn new(queue: Queue) -> Self {
        Self { queue, jobs: Mutex::default(), whole: Mutex::default() }
    }

    /// The queue, for who does something to it.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The jobs that have not ended and the newest others, without their words.
    pub async fn jobs(&self) -> Result<Arc<Vec<JobView>>, Away> {
        let read = async {
            let mut jobs = self.queue.jobs(ENDED).await?;
            jobs.truncate(JOBS_MAX);
            Ok(jobs.into_iter().map(without_words).collect())
        };
        fresh(&self.jobs, self.bounded(read)).await
    }

    /// One job, without its words. Not kept: it is asked for by who looks at it.
    pub async fn job(&self, id: &SessionId) -> Result<Option<JobView>, Away> {
        Ok(self.bounded(self.queue.job(id)).await?.map(without_words))
    }

    /// The queue at a glance, and its newest dead letters without what they quote.
    pub async fn whole(&self) -> Result<Arc<Whole>, Away> {
        let read = async {
            let status = self.queue.status().await?;
            let mut dead = self.queue.dead(DEAD).await?;
            for letter in &mut dead {
                letter.raw = None;
            }
            Ok((status, dead))
        };
        fresh(&self.whole, self.bounded(read)).await
    }

    async fn bounded<T>(&self, read: impl Future<Output = Result<T, WorkError>>) -> Result<T, Away> {
        match timeout(PATIENCE, read).await {
            Ok(answer) => {
                answer.map_err(|error| Away(crate::util::visible_line(&error.to_string()).into_owned()))
            }
            Err(_) => Err(Away(format!("Redis at {} does not answer", self.queue.redis().shown()))),
        }
    }
}

/// A message stays on the command line, as in the list of sessions.
fn without_words(job: JobView) -> JobView {
    JobView { title: None, ..job }
}

async fn fresh<T>(kept: &Kept<T>, read: impl Future<Output = Result<T, Away>>) -> Result<Arc<T>, Away> {
    // Held while asking: however many viewers there are, Redis is asked once.
    let mut kept = kept.lock().await;
    if let Some((at, answer)) = &*kept
        && at.elapsed() < KEPT
    {
        return answer.clone();
    }
    let answer = read.await.map(Arc::new);
    *kept = Some((Instant::now(), answer.clone()));
    answer
}
