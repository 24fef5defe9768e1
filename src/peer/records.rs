//! What happens to links, as records of the flow. A task of its own writes them, so that no link waits for a disk; when the
//! daemon stops it writes what was told until then.

use serde_json::{Value, json};
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::config::FlowConfig;
use crate::flow::Flow;
use crate::model::{Category, FlowRecord, Level, Stage, Tier};
use crate::util::{Clock, Shutdown};

/// Records that wait to be written; what comes beyond is left out, and said in the log.
const QUEUE: usize = 256;

/// Hands records to the task that writes them.
#[derive(Debug, Clone)]
pub struct LinkRecords {
    records: mpsc::Sender<FlowRecord>,
}

impl LinkRecords {
    /// Starts the task.
    pub fn start(flow: FlowConfig, clock: Clock, shutdown: &Shutdown) -> Self {
        let (records, mut waiting) = mpsc::channel::<FlowRecord>(QUEUE);
        let stopped = shutdown.stopped();
        drop(shutdown.spawn(async move {
            tokio::pin!(stopped);
            let mut writer = Some(Flow::new(flow, clock));
            loop {
                let mut batch = Vec::new();
                tokio::select! {
                    count = waiting.recv_many(&mut batch, QUEUE) => if count == 0 { return },
                    () = &mut stopped, if !waiting.is_closed() => {
                        // What waits is still received, then the end.
                        waiting.close();
                        continue;
                    }
                }
                let Some(mut flow) = writer.take() else { return };
                let written = tokio::task::spawn_blocking(move || {
                    for record in batch {
                        if let Err(error) = flow.append(record) {
                            tracing::error!(%error, "a record of a peer was not kept");
                        }
                    }
                    if let Err(error) = flow.sync() {
                        tracing::error!(%error, "records of peers are not on the disk yet");
                    }
                    flow
                });
                writer = written.await.ok();
            }
        }));
        Self { records }
    }

    /// The link to a peer is up, is down, or was refused.
    pub fn tell(&self, action: &'static str, level: Level, peer: &str, payload: Value) {
        let class = (level, Category::Machinery, Tier::Local, Stage::Dispatch);
        let mut record = FlowRecord::new(class, action, peer);
        record.source = Some("peer".to_owned());
        record.payload = Some(if payload.is_null() { json!({}) } else { payload });
        // When the daemon has stopped nothing is of interest any more.
        if let Err(TrySendError::Full(_)) = self.records.try_send(record) {
            tracing::warn!(peer, action, "a record of a peer is left out: too many wait");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Config, Environment};

    #[tokio::test]
    async fn what_was_told_before_the_daemon_stops_is_written() {
        for _ in 0..20 {
            let home = tempfile::tempdir().unwrap();
            let env = Environment::of([("DARKMUX_HOME", home.path())]);
            let (flow, shutdown) = (Config::load(env, &[]).unwrap().flow().unwrap(), Shutdown::new());
            let dir = flow.dir.clone();
            let records = LinkRecords::start(flow, Clock::System, &shutdown);
            for number in 0..QUEUE {
                records.tell("peer.connected", Level::Info, &format!("desk-{number}"), Value::Null);
            }
            assert!(shutdown.finish(Duration::from_secs(20)).await);
            let day = std::fs::read_dir(dir)
                .unwrap()
                .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok());
            let day: String = day.collect();
            assert_eq!(day.matches("peer.connected").count(), QUEUE);
        }
    }
}
