//! The shipper's task.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;

use super::backfill::{self, Plan};
use super::cursor::{self, lag};
use super::send::{Load, Sent, send};
use super::status::{ShipError, ShipStatus};
use super::watch::Watcher;
use crate::config::FlowConfig;
use crate::flow::Flow;
use crate::flow::read::FlowTail;
use crate::flow::shared::SharedFlow;
use crate::model::{Category, FlowRecord, Level, Position, Stage, Tier};
use crate::store::RedisFault;
use crate::util::{Backoff, Clock, Shutdown, clock};

/// Pauses while Redis is away.
const LEAST_PAUSE: Duration = Duration::from_millis(250);
const MOST_PAUSE: Duration = Duration::from_secs(10);

/// Time between two looks whether Redis still has what it had.
const VERIFY: Duration = Duration::from_secs(15);

/// Least time between two batches when records come one after the other. The first of them does not wait.
const COLLECT: Duration = Duration::from_millis(20);

/// Marks in a row that are not ours before somebody else must be shipping under our name.
const SEEKS_MAX: u32 = 5;

/// What a shipper is made of.
#[derive(Debug)]
pub struct ShipperConfig {
    /// Where to.
    pub shared: SharedFlow,
    /// From where, and how records of its own are written.
    pub flow: FlowConfig,
    /// Where the time comes from.
    pub clock: Clock,
    /// For a home that came from another machine: the file that says where its own records begin.
    pub inherited: Option<PathBuf>,
}

/// Starts the shipper, which ends with `shutdown`. The receiver says how it is doing.
pub fn start(config: ShipperConfig, shutdown: &Shutdown) -> watch::Receiver<ShipStatus> {
    let (status, watched) = watch::channel(ShipStatus { running: true, ..ShipStatus::default() });
    let shipper = Shipper { config, shutdown: shutdown.clone(), status, at: None, seeks: 0, until: None };
    drop(shutdown.spawn(shipper.run()));
    watched
}

/// Where the shipper is.
struct At {
    /// The mark that Redis has when nothing happened behind our back.
    mark: String,
    tail: FlowTail,
    /// What is being sent; kept until it is known to be there.
    load: Load,
}

struct Shipper {
    config: ShipperConfig,
    shutdown: Shutdown,
    status: watch::Sender<ShipStatus>,
    at: Option<At>,
    seeks: u32,
    /// While a back-fill runs: where it ends.
    until: Option<Position>,
}

/// Why a round failed.
enum Failure {
    Redis(RedisFault),
    Files(io::Error),
    /// The mark says what it must not.
    Mark(String),
}

impl From<RedisFault> for Failure {
    fn from(fault: RedisFault) -> Self {
        Self::Redis(fault)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Files(error)
    }
}

impl Failure {
    fn shown(&self) -> ShipError {
        match self {
            Self::Redis(fault) => ShipError::of(fault),
            Self::Files(error) => ShipError::new(
                "files",
                format!("the day files can't be read: {error}; check the flows folder"),
            ),
            Self::Mark(what) => ShipError::new("mark", what.clone()),
        }
    }
}

impl Shipper {
    async fn run(mut self) {
        let mut watcher = Watcher::new(&self.config.flow.dir);
        let mut backoff = Backoff::new(LEAST_PAUSE, MOST_PAUSE);
        let mut verified = tokio::time::Instant::now();
        let mut sent = verified;
        let stopped = self.shutdown.stopped();
        tokio::pin!(stopped);
        loop {
            let round = tokio::select! {
                biased;
                () = &mut stopped => return,
                round = self.round(verified.elapsed() >= VERIFY) => round,
            };
            let pause = match round {
                Ok(true) => {
                    backoff.reset();
                    verified = tokio::time::Instant::now();
                    sent = verified;
                    continue;
                }
                Ok(false) => {
                    backoff.reset();
                    if verified.elapsed() >= VERIFY {
                        verified = tokio::time::Instant::now();
                    }
                    None
                }
                Err(failure) => {
                    self.failed(&failure).await;
                    Some(backoff.pause())
                }
            };
            let wait = async {
                if let Some(pause) = pause {
                    tokio::time::sleep(pause).await;
                } else {
                    let left = VERIFY.saturating_sub(verified.elapsed());
                    let _ = tokio::time::timeout(left, watcher.changed()).await;
                    tokio::time::sleep_until(sent + COLLECT).await;
                }
            };
            tokio::select! {
                biased;
                () = &mut stopped => return,
                () = wait => {}
            }
        }
    }

    /// Sends one batch; `false` when there is nothing to send now.
    async fn round(&mut self, verify: bool) -> Result<bool, Failure> {
        let mut at = if let Some(at) = self.at.take() {
            at
        } else {
            let mark = self.config.shared.mark().await?.unwrap_or_default();
            self.locate(mark, None).await?
        };
        if at.load.records.is_empty() {
            at = self.blocking(move || cursor::load(&mut at.tail).map(|load| At { load, ..at })).await?;
        }
        if at.load.records.is_empty() {
            if verify || at.tail.is_stranded() {
                let mark = match self.config.shared.mark().await {
                    Ok(mark) => mark.unwrap_or_default(),
                    Err(fault) => {
                        self.at = Some(at);
                        return Err(fault.into());
                    }
                };
                let was = (mark != at.mark).then(|| at.tail.position());
                if was.is_some() || at.tail.is_stranded() {
                    self.at = Some(self.locate(mark, was).await?);
                    return Ok(true);
                }
            }
            self.caught_up(&at);
            self.at = Some(at);
            return Ok(false);
        }
        // Kept while it is sent: whatever becomes of the reply, the same batch is sent again.
        let sent = send(&self.config.shared, &at.mark, &at.load).await;
        match sent {
            Ok(Sent::Kept) => {
                self.seeks = 0;
                self.kept(&mut at);
                self.at = Some(at);
            }
            Ok(Sent::Seek(mark)) => {
                self.seeks += 1;
                let was = at.load.end;
                if self.seeks > SEEKS_MAX {
                    self.seeks = 0;
                    let what = "another daemon ships under this machine's identity; is this home a copy of \
                                another one on this machine? remove the file machine-uid from one of them";
                    return Err(Failure::Mark(what.to_owned()));
                }
                self.at = Some(self.locate(mark, was).await?);
            }
            Err(fault) => {
                self.at = Some(at);
                return Err(fault.into());
            }
        }
        Ok(true)
    }

    /// Goes to a mark that Redis named. `was` is where we thought to be.
    async fn locate(&mut self, mark: String, was: Option<Position>) -> Result<At, Failure> {
        let (dir, clock) = (self.config.flow.dir.clone(), self.config.clock.clone());
        if mark.is_empty() {
            let (path, log) = (self.config.inherited.clone(), self.config.shared.log.clone());
            let plan = self
                .blocking(move || {
                    let origin = path.map(|path| backfill::origin(&path, &log, &dir, &clock)).transpose()?;
                    backfill::plan(&dir, &clock, origin, backfill::RECORDS)
                })
                .await?;
            self.tell(plan, was).await?;
            return Ok(self.at(mark, plan.from));
        }
        let parsed: Result<Position, _> = mark.parse();
        let Ok(mut from) = parsed else {
            let shown = crate::util::visible_line(&mark).chars().take(80).collect::<String>();
            let marks = self.config.shared.marks();
            return Err(Failure::Mark(format!(
                "the mark of this machine in `{marks}` is `{shown}`, which is no place; something else writes there"
            )));
        };
        let now = self.blocking(move || FlowTail::now(&dir, &clock)).await?;
        if from.day > now.day {
            tracing::warn!(
                mark,
                "the clock went back by more than two days; what is written from now on is shipped"
            );
            from = now;
        }
        if was.is_some_and(|was| from < was) {
            let (dir, origin) = (self.config.flow.dir.clone(), from);
            let left = self.blocking(move || lag(&dir, origin)).await?;
            tracing::info!(%from, bytes = left, "Redis went back; what it lost is shipped again");
            self.until = was;
        }
        Ok(self.at(mark, from))
    }

    fn at(&self, mark: String, from: Position) -> At {
        let tail = FlowTail::new(&self.config.flow.dir, self.config.clock.clone(), from);
        At { mark, tail, load: Load::default() }
    }

    /// Says that Redis knew nothing of us, and what it will get: in the log, and in the flow.
    async fn tell(&mut self, plan: Plan, was: Option<Position>) -> Result<(), Failure> {
        if plan.records == 0 && plan.left_out_bytes == 0 {
            return Ok(());
        }
        let Plan { from, records, left_out_bytes } = plan;
        tracing::info!(%from, records, left_out_bytes, "Redis has none of this machine's records; sending the newest");
        if left_out_bytes == 0 && was.is_none() {
            // The first records of a machine, or those written while no daemon ran: nothing is amiss.
            return Ok(());
        }
        let level = if left_out_bytes == 0 { Level::Info } else { Level::Warn };
        let class = (level, Category::Machinery, Tier::Local, Stage::Ship);
        let machine = self.config.flow.provenance.machine_id.to_string();
        let mut record = FlowRecord::new(class, "flow.backfill", machine);
        record.source = Some("flow-shipper".to_owned());
        record.reasoning = Some(if was.is_some() {
            "Redis lost this machine's records".to_owned()
        } else {
            "Redis had none of this machine's records".to_owned()
        });
        record.payload =
            Some(json!({ "from": from.to_string(), "records": records, "left_out_bytes": left_out_bytes }));
        let (flow, clock) = (self.config.flow.clone(), self.config.clock.clone());
        let told = self
            .blocking(move || {
                Flow::new(flow, clock).append(record).map_err(|error| io::Error::other(error.to_string()))
            })
            .await;
        if let Ok(after) = told {
            self.until = Some(after);
        } else {
            tracing::warn!("the back-fill could not be recorded in the flow");
        }
        Ok(())
    }

    fn kept(&mut self, at: &mut At) {
        let load = std::mem::take(&mut at.load);
        let Some(end) = load.end else { return };
        at.mark = end.to_string();
        if self.until.is_some_and(|until| end >= until) {
            tracing::info!(mark = at.mark, "the back-fill is done");
            self.until = None;
        }
        let bad = at.tail.bad();
        let (mark, backfilling) = (at.mark.clone(), self.until.is_some());
        let lag = lag(&self.config.flow.dir, end).unwrap_or(0);
        let now = clock::millis(self.config.clock.now());
        self.recovered();
        self.status.send_modify(|status| {
            status.shipped += load.records.len() as u64;
            status.last_shipped_at = Some(now);
            status.mark = Some(mark);
            status.lag_bytes = lag;
            status.backfilling = backfilling;
            status.bad = bad;
        });
    }

    fn caught_up(&self, at: &At) {
        self.recovered();
        let mark = (!at.mark.is_empty()).then(|| at.mark.clone());
        let bad = at.tail.bad();
        self.status.send_if_modified(|status| {
            let now = ShipStatus { lag_bytes: 0, mark, bad, backfilling: false, ..status.clone() };
            let changed = *status != now;
            *status = now;
            changed
        });
    }

    fn recovered(&self) {
        self.status.send_if_modified(|status| {
            let was = status.error.take();
            if was.is_some() {
                tracing::info!("records are shipped again");
            }
            was.is_some()
        });
    }

    async fn failed(&mut self, failure: &Failure) {
        let error = failure.shown();
        let mark = self.at.as_ref().and_then(|at| at.mark.parse().ok());
        let dir = self.config.flow.dir.clone();
        let behind = match mark {
            Some(mark) => self.blocking(move || lag(&dir, mark)).await.ok(),
            None => None,
        };
        self.status.send_modify(|status| {
            // Told once a failure, not once a try.
            if status.error.as_ref().map(|error| &error.class) != Some(&error.class) {
                tracing::warn!(
                    class = error.class,
                    "records are kept here until they can be shipped: {}",
                    error.message
                );
            }
            status.error = Some(error);
            status.lag_bytes = behind.unwrap_or(status.lag_bytes);
        });
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let done = self.shutdown.spawn_blocking(work).await;
        done.map_err(io::Error::other)?.map_err(Failure::Files)
    }
}
