//! Those who publish: until they are told that it worked, and with a journal, as the command line does.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use darkmux::config::QueueConfig;
use darkmux::model::{OnLoss, Priority};
use darkmux::store::{Redis, RedisTarget};
use darkmux::util::Clock;
use darkmux::wire::{JobSpec, Lane, WorkJob};
use darkmux::work::{Journal, Published, Queue};
use tokio::sync::watch;

use super::history::Acked;
use super::nemesis::Dice;
use crate::support::queue::{job, machine, numbers};

/// How long one job is tried to be published.
const PATIENCE: Duration = Duration::from_secs(15);

/// Who publishes, and what was accepted.
pub struct Publisher {
    queue: Queue,
    journal: Journal,
    dice: Dice,
    number: u64,
    lines: String,
    /// Machines that jobs are pinned to; without any, all jobs are plain ones.
    machines: Vec<String>,
    epoch: Option<String>,
    acked: Arc<Mutex<Vec<Acked>>>,
}

impl Publisher {
    pub fn new(
        (number, seed): (u64, u64),
        url: &str,
        (dir, lines): (&Path, &Path),
        pinned: &[&str],
        acked: &Arc<Mutex<Vec<Acked>>>,
    ) -> Self {
        let config = QueueConfig { result_ttl: Duration::from_hours(24), ..numbers() };
        let queue = Queue::new(Redis::new(RedisTarget::parse(url).expect("a URL")), config, None);
        Self {
            queue,
            journal: Journal::new(&dir.join(format!("publisher-{number}")), Clock::System),
            dice: Dice(seed ^ (number + 1)),
            number,
            lines: lines.display().to_string(),
            machines: pinned.iter().map(ToString::to_string).collect(),
            epoch: None,
            acked: Arc::clone(acked),
        }
    }

    /// Publishes until `stop`, then goes on looking after what it published until the sender is gone.
    pub async fn publish(mut self, mut stop: watch::Receiver<bool>) {
        let mut count = 0;
        loop {
            self.notice_loss().await;
            if *stop.borrow() {
                if tokio::time::timeout(Duration::from_millis(200), stop.changed())
                    .await
                    .is_ok_and(|r| r.is_err())
                {
                    return;
                }
                continue;
            }
            count += 1;
            self.publish_one(count).await;
            tokio::time::sleep(self.dice.millis(50, 500)).await;
        }
    }

    /// What this publisher was told is told to a Redis that lost its newest writes.
    async fn notice_loss(&mut self) {
        let Ok(epoch) = self.queue.epoch().await else { return };
        if self.epoch.as_ref() != Some(&epoch)
            && self.journal.republish(&self.queue, &mut Vec::new()).await.is_ok()
        {
            self.epoch = Some(epoch);
        }
    }

    fn documents(&mut self, count: u64) -> (WorkJob, JobSpec) {
        let lines = &self.lines;
        let say = |what: &str| format!("echo {what} $DARKMUX_JOB_ID $DARKMUX_ATTEMPT_TOKEN >> {lines}");
        let seconds = *self.dice.pick(&["0.02", "0.1", "0.3", "0.8", "1.6"]);
        let code = u8::from(self.dice.below(10) == 0);
        let message = format!("{}; sleep {seconds}; {}; exit {code}", say("start"), say("end"));
        let (job, mut spec) = job(&format!("p{}-{count}", self.number), &message);
        spec.on_loss = if self.dice.below(5) == 0 { OnLoss::Stop } else { OnLoss::Rerun };
        if self.machines.is_empty() {
            return (job, spec);
        }
        spec.lane = match self.dice.below(8) {
            0 => Lane { priority: Priority::High, ..Lane::default() },
            1 => Lane { pin: Some(machine(self.dice.pick(&self.machines).as_str())), ..Lane::default() },
            _ => Lane::default(),
        };
        spec.delay_ms = if self.dice.below(10) == 0 { 700 } else { 0 };
        (job, spec)
    }

    async fn publish_one(&mut self, count: u64) {
        let (job, mut spec) = self.documents(count);
        let keyed = self.dice.below(4) == 0;
        spec.key = keyed.then(|| format!("key-{}-{count}", self.number));
        self.publish_until_accepted(&job, &spec).await;
        if keyed {
            // Somebody asks for the same thing once more, under another id.
            let again = format!("{}-again", spec.id);
            let (mut job, mut spec) = (job, spec.clone());
            (job.session_id, spec.id) = (again.clone(), again.parse().expect("an id"));
            self.publish_until_accepted(&job, &spec).await;
        }
        if self.dice.below(12) == 0 {
            tokio::time::sleep(self.dice.millis(1, 600)).await;
            // Whether it comes in time is not what this test is about.
            let _ = self.queue.cancel(&spec.id, "changed my mind").await;
        }
    }

    async fn publish_until_accepted(&mut self, job: &WorkJob, spec: &JobSpec) {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            match self.queue.publish(job, spec).await {
                Ok(published) => {
                    let id = match published {
                        Published::New => &spec.id,
                        Published::Before(id) => &id.clone(),
                    };
                    if *id == spec.id {
                        self.journal.published(job, spec).expect("a journal entry");
                    }
                    // So that its log counts its ends, where Redis is there for that.
                    let _ = self.queue.watch_log(id).await;
                    let once = spec.on_loss == OnLoss::Stop;
                    let acked = Acked { id: id.to_string(), key: spec.key.clone(), once };
                    self.acked.lock().expect("no panic").push(acked);
                    return;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}
