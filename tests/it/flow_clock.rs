//! Shipping while the machine's clock is set back.

use std::time::Duration;

use darkmux::config::{FlowConfig, Provenance};
use darkmux::flow::Flow;
use darkmux::flow::shared::SharedFlow;
use darkmux::flow::ship::{ShipStatus, ShipperConfig, start};
use darkmux::model::{Category, FlowRecord, Level, MachineId, Stage, Tier};
use darkmux::store::{Redis, RedisTarget};
use darkmux::util::{Clock, Shutdown};
use jiff::SignedDuration;
use tokio::sync::watch;

use super::flow_redis::{check_notes, handles, notes};
use crate::support::{RedisServer, wait_for};

struct Bed {
    server: RedisServer,
    dir: tempfile::TempDir,
    clock: Clock,
    writer: Flow,
    written: usize,
}

/// A shipper that runs, as the daemon runs it.
struct Ships(Shutdown, watch::Receiver<ShipStatus>);

impl Bed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual("2026-11-22T23:30:00Z".parse().unwrap());
        let writer = Flow::new(flow(&dir), clock.clone());
        Self { server: RedisServer::start(), dir, clock, writer, written: 0 }
    }

    fn write(&mut self, count: usize) {
        for handle in handles("studio", self.written + count).split_off(self.written) {
            let class = (Level::Info, Category::Work, Tier::Operator, Stage::Scope);
            self.writer.append(FlowRecord::new(class, "note", handle)).unwrap();
        }
        self.written += count;
    }

    fn step(&self, hours: i64) {
        self.clock.advance(SignedDuration::from_hours(hours));
    }

    fn ship(&self) -> Ships {
        let shared = SharedFlow {
            redis: Redis::new(RedisTarget::parse(&self.server.url()).unwrap()),
            stream: "darkmux:flow".to_owned(),
            maxlen: None,
            log: "studio-log".to_owned(),
        };
        let (flow, clock) = (flow(&self.dir), self.clock.clone());
        let shutdown = Shutdown::new();
        let status = start(ShipperConfig { shared, flow, clock, inherited: None }, &shutdown);
        Ships(shutdown, status)
    }

    fn check(&self) {
        check_notes(&self.server, "studio", self.written);
    }
}

fn flow(dir: &tempfile::TempDir) -> FlowConfig {
    let provenance = Provenance { machine_id: MachineId::new("studio").unwrap(), orchestrator: None };
    FlowConfig { dir: dir.path().join("flows"), audit_dir: None, sync_always: false, provenance }
}

impl Ships {
    async fn end(self) {
        self.0.stop();
        assert!(self.0.finish(Duration::from_secs(10)).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_over_midnight_costs_no_record() {
    let mut bed = Bed::new();
    bed.write(3);
    let ships = bed.ship();
    bed.check();
    // The clock is a day ahead, and what is written is shipped; then it is corrected.
    bed.step(24);
    bed.write(3);
    bed.check();
    bed.step(-24);
    bed.write(3);
    bed.check();
    ships.end().await;
    // Neither what is written while nobody ships is passed over.
    bed.write(3);
    let ships = bed.ship();
    bed.check();
    // Nor what is written when the clock was lost altogether, or when the day comes that it named, or the next.
    bed.step(-24 * 365 * 50);
    bed.write(3);
    bed.check();
    bed.step(24 * 365 * 50);
    for _ in 0..2 {
        bed.step(24);
        bed.write(3);
        bed.check();
    }
    ships.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_of_the_far_future_holds_nothing_up_for_ever() {
    let mut bed = Bed::new();
    bed.step(24 * 30);
    bed.write(3);
    let ships = bed.ship();
    bed.check();
    bed.step(-24 * 30);
    // What comes before the shipper notices is in the file alone.
    let first = bed.written;
    wait_for("the shipper to go on today", || {
        bed.write(1);
        let seen = notes(&bed.server).remove("studio").unwrap_or_default();
        (seen.len() > first).then_some(())
    });
    let mark = bed.server.cli(&["HGET", "darkmux:flow:hwm", "studio-log"]);
    assert!(mark.starts_with("2026-11-22:"), "{mark}");
    assert!(ships.1.borrow().error.is_none());
    let seen = notes(&bed.server).remove("studio").unwrap();
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "{seen:?}");
    ships.end().await;
}
