//! What this machine says of itself: in Redis, over HTTP, to whoever matches jobs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::hostile::BEAT_MAX;
use super::{Facts, FactsSource};
use crate::model::{FLOW_SCHEMA, MachineId};
use crate::util::{Clock, clock, human};
use crate::wire::{MachineBeat, RunnerBeat, Slots};

/// How long another daemon of the same identity is remembered after its last beat.
const TWIN_KEPT: Duration = Duration::from_secs(30);

/// What the runner is doing: filled by it, said by the beacon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunnerGauge {
    /// Jobs at once.
    pub slots_total: u64,
    /// Jobs that run.
    pub slots_busy: u64,
    /// No further job is claimed until it is told to go on.
    pub draining: bool,
    /// This machine claims jobs.
    pub enabled: bool,
}

/// Who says it.
#[derive(Debug)]
pub struct Identity {
    /// The machine's name.
    pub machine_id: MachineId,
    /// Its identity.
    pub uid: Uuid,
    /// Where others reach its daemon, where they can.
    pub address: Option<String>,
    /// Command and shell roles that jobs may run here.
    pub accept: Vec<String>,
}

/// Composes this machine's signs of life.
#[derive(Debug)]
pub struct Beacon {
    identity: Identity,
    facts: Arc<FactsSource>,
    runner: watch::Receiver<RunnerGauge>,
    clock: Clock,
    boot: String,
    started_at_ms: u64,
    twin: Mutex<Option<(Instant, String)>>,
}

impl Beacon {
    /// A beacon of a daemon that starts now.
    pub fn new(
        identity: Identity,
        facts: Arc<FactsSource>,
        runner: watch::Receiver<RunnerGauge>,
        clock: Clock,
    ) -> Self {
        let started_at_ms = clock::unix_ms(clock.now());
        let boot = Uuid::new_v4().simple().to_string();
        Self { identity, facts, runner, clock, boot, started_at_ms, twin: Mutex::default() }
    }

    /// The machine's identity.
    pub fn uid(&self) -> String {
        self.identity.uid.to_string()
    }

    /// The machine's name.
    pub fn machine_id(&self) -> &MachineId {
        &self.identity.machine_id
    }

    /// Made anew at each start of the daemon.
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// Where the time comes from.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What the machine is and has.
    pub fn facts(&self) -> &Arc<FactsSource> {
        &self.facts
    }

    /// Another daemon beats as this machine.
    pub(super) fn met_twin(&self, boot: &str) {
        let mut twin = self.twin.lock().unwrap_or_else(PoisonError::into_inner);
        *twin = Some((Instant::now(), boot.to_owned()));
    }

    fn twin(&self) -> Option<String> {
        let twin = self.twin.lock().unwrap_or_else(PoisonError::into_inner);
        twin.as_ref().filter(|(at, _)| at.elapsed() < TWIN_KEPT).map(|(_, boot)| boot.clone())
    }

    /// The sign of life of now.
    pub async fn beat(&self) -> MachineBeat {
        let facts = self.facts.facts().await;
        let specs = specs(&facts);
        let gauge = *self.runner.borrow();
        let Identity { machine_id, uid, address, accept } = &self.identity;
        MachineBeat {
            machine_uid: uid.to_string(),
            display_name: machine_id.to_string(),
            schema_version: FLOW_SCHEMA.to_owned(),
            beat_ts_ms: clock::unix_ms(self.clock.now()),
            specs: Some(specs),
            loaded_models: facts.models_loaded,
            machine_id: Some(machine_id.to_string()),
            darkmux_version: Some(crate::VERSION.to_owned()),
            address: address.clone(),
            os: Some(facts.os),
            arch: Some(facts.arch),
            cores: Some(facts.cores),
            ram_total_bytes: facts.ram,
            ram_free_bytes: facts.free_ram,
            load1: facts.load1,
            gpu: facts.gpu,
            ac_power: facts.ac_power,
            slots: Some(Slots { total: gauge.slots_total, busy: gauge.slots_busy }),
            runner: Some(RunnerBeat { enabled: gauge.enabled, draining: gauge.draining }),
            labels: facts.labels,
            accept: accept.clone(),
            roles: facts.roles,
            agents: facts.agents,
            models: facts.models_available,
            repos: facts.repos,
            boot: Some(self.boot.clone()),
            started_at_ms: Some(self.started_at_ms),
            twin: self.twin(),
        }
    }
}

/// One line about the hardware, as 1.9 shows it.
fn specs(facts: &Facts) -> String {
    let ram = facts.ram.map(human::bytes).unwrap_or_default();
    let parts = [format!("{} {}", facts.os, facts.arch), ram, format!("{} cores", facts.cores)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}

/// The beat as JSON that readers take: its longest lists are cut where it would be too large.
pub(super) fn written(mut beat: MachineBeat) -> Result<Vec<u8>, serde_json::Error> {
    loop {
        let text = serde_json::to_vec(&beat)?;
        let lists = [
            &mut beat.repos,
            &mut beat.models,
            &mut beat.roles,
            &mut beat.loaded_models,
            &mut beat.labels,
            &mut beat.agents,
            &mut beat.accept,
        ];
        let longest = lists.into_iter().max_by_key(|list| list.iter().map(String::len).sum::<usize>());
        match longest {
            Some(list) if text.len() > BEAT_MAX && !list.is_empty() => list.truncate(list.len() / 2),
            _ => return Ok(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hostile;
    use super::*;

    #[test]
    fn a_beat_that_is_too_large_loses_the_ends_of_its_lists() {
        let many = |count: usize| (0..count).map(|n| format!("{n:0100}")).collect::<Vec<_>>();
        let beat = MachineBeat {
            display_name: "m".into(),
            repos: many(500),
            models: many(400),
            labels: many(3),
            ..MachineBeat::default()
        };
        let text = written(beat).unwrap();
        assert!(text.len() <= BEAT_MAX, "{}", text.len());
        let read = hostile::machine("u", &text).unwrap();
        assert_eq!(read.labels.len(), 3);
        assert!(
            read.repos.len() > 50 && read.models.len() > 50,
            "{} {}",
            read.repos.len(),
            read.models.len()
        );
    }
}
