//! `darkmux flow tail` of the whole fleet: this machine's files and what others shipped. A Redis that is away is
//! told once, and costs only the records of others until it is back.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;

use super::tail::{Out, POLL, follow};
use crate::cli::{Exit, Failure, Outcome};
use crate::flow::read::{DayReader, FlowTail, holds};
use crate::flow::shared::{Batch, RECORDS_MAX, SharedFlow, SharedTail, Twins, Union, Way, survey};
use crate::model::{Day, FleetAt, Position};
use crate::store::RedisFault;
use crate::util::{Backoff, Clock};

/// Pauses between tries to reach Redis.
const LEAST_PAUSE: Duration = Duration::from_millis(250);
const MOST_PAUSE: Duration = Duration::from_secs(5);

/// Batches that wait to be printed.
const WAITING: usize = 4;

/// What is tailed.
pub struct FleetTail {
    /// The fleet's flow.
    pub shared: SharedFlow,
    /// This machine's files.
    pub dir: PathBuf,
    /// Today.
    pub day: Day,
    /// Where the time comes from.
    pub clock: Clock,
    /// Whether to go on.
    pub follow: bool,
}

impl FleetTail {
    /// Prints today's records, then, if wanted, what comes until interrupted.
    pub async fn run(self, out: &mut Out<'_>) -> Outcome {
        let others = self.shared.day(self.day, RECORDS_MAX, |pos| holds(&self.dir, pos)).await;
        let is_down = others.is_err();
        let (others, at) = match others {
            Ok(others) => {
                if others.is_cut {
                    out.printer
                        .note(&format!("only the newest {RECORDS_MAX} records of other machines are shown"));
                }
                (others.records, others.at)
            }
            Err(error) => {
                out.printer.note(&format!("only this machine's records: {error}"));
                (Vec::new(), FleetAt::since_day(self.day))
            }
        };
        let end = self.today(others, out)?;
        out.flush()?;
        if !self.follow {
            return Ok(Exit::Ok);
        }
        let (sender, batches) = mpsc::channel(WAITING);
        let reading = read(self.shared.clone(), at, sender);
        tokio::select! {
            outcome = self.print(end, batches, is_down, out) => outcome,
            () = reading => Ok(Exit::Ok),
        }
    }

    /// Prints what is there now; returns where our part ended.
    fn today(&self, mut others: Vec<crate::flow::shared::Timed>, out: &mut Out<'_>) -> Result<u64, Failure> {
        let open = |end: Option<u64>| -> std::io::Result<Option<DayReader>> {
            let reader = DayReader::open(&self.dir, self.day, 0)?;
            Ok(reader.map(|reader| match end {
                Some(end) => reader.until(end),
                None => reader,
            }))
        };
        let end = open(None)?.map_or(Ok(0), |reader| reader.end())?;
        if !others.is_empty() {
            survey(open(Some(end))?, &mut others)?;
        }
        let mut union = Union::new(open(Some(end))?, others, 0);
        let mut printed = Ok(());
        while printed.is_ok() && union.next(|line| printed = out.put(line))? {}
        printed?;
        Ok(end)
    }

    async fn print(
        &self,
        end: u64,
        mut batches: mpsc::Receiver<Result<Batch, RedisFault>>,
        mut is_down: bool,
        out: &mut Out<'_>,
    ) -> Outcome {
        let from = Position { day: self.day, offset: end };
        let mut files = FlowTail::new(&self.dir, self.clock.clone(), from);
        let mut twins = Twins::default();
        loop {
            let came = tokio::time::timeout(POLL, batches.recv()).await;
            match came {
                Ok(Some(Ok(batch))) => {
                    if is_down {
                        out.printer.note("Redis is back: the records of all machines again");
                        is_down = false;
                    }
                    if let Some(missed) = batch.missed {
                        let count = missed.count;
                        out.printer
                            .note(&format!("{count} records were trimmed in Redis before they came here"));
                    }
                    for entry in batch.records {
                        let way = if entry.origin.is_some() { Way::File } else { Way::Sent };
                        if twins.is_first(&entry.record, way) {
                            out.put(&entry.record)?;
                        }
                    }
                }
                Ok(Some(Err(fault))) if !is_down => {
                    out.printer.note(&format!("only this machine's records until Redis is back: {fault}"));
                    is_down = true;
                }
                Ok(None) => return Ok(Exit::Ok),
                Ok(Some(Err(_))) | Err(_) => {}
            }
            follow(&mut files, out)?;
        }
    }
}

/// Hands on what others wrote after `at`, and each failure, for as long as somebody listens.
async fn read(shared: SharedFlow, at: FleetAt, sender: mpsc::Sender<Result<Batch, RedisFault>>) {
    let mut backoff = Backoff::new(LEAST_PAUSE, MOST_PAUSE);
    let mut tail = None;
    loop {
        let looked = match &mut tail {
            None => match SharedTail::from(shared.clone(), at).await {
                Ok(begun) => tail.insert(begun).next().await,
                Err(fault) => Err(fault),
            },
            Some(tail) => tail.next().await,
        };
        let failed = looked.is_err();
        if sender.send(looked).await.is_err() {
            return;
        }
        if failed {
            tokio::time::sleep(backoff.pause()).await;
        } else {
            backoff.reset();
        }
    }
}
