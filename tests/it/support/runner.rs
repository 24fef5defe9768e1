//! Machines of a fleet: homes whose daemons run jobs of one Redis, and signs of life of machines that are not there.

use darkmux::model::MachineId;
use darkmux::wire::{MachineBeat, RunnerBeat, Slots};

use super::{Home, RedisServer};

/// A home whose daemon runs jobs of this Redis, with numbers that suit tests.
pub fn member(name: &str, url: &str) -> Home {
    Home::new()
        .with("DARKMUX_MACHINE_ID", name)
        .with("DARKMUX_REDIS_URL", url)
        .with("DARKMUX_RUNNER_ACCEPT", "*")
        .with("DARKMUX_QUEUE_LEASE", "1s")
        .with("DARKMUX_QUEUE_BEAT", "200ms")
        .with("DARKMUX_QUEUE_RECONCILE", "150ms")
        .with("DARKMUX_SESSION_GRACE", "1s")
}

/// A sign of life of a machine with a runner, as its daemon would write it, for an hour.
pub fn alive(server: &RedisServer, machine: &str, change: impl FnOnce(&mut MachineBeat)) {
    let mut beat = MachineBeat {
        machine_uid: format!("uid-{machine}"),
        display_name: machine.to_owned(),
        schema_version: "1.14.0".to_owned(),
        beat_ts_ms: 1,
        machine_id: MachineId::new(machine).ok().map(|id| id.to_string()),
        darkmux_version: Some("0.1.0".to_owned()),
        os: Some("linux".to_owned()),
        slots: Some(Slots { total: 2, busy: 0 }),
        runner: Some(RunnerBeat { enabled: true, draining: false }),
        accept: vec!["*".to_owned()],
        roles: vec!["shell".to_owned(), "faraway".to_owned()],
        ..MachineBeat::default()
    };
    change(&mut beat);
    let text = serde_json::to_string(&beat).expect("JSON");
    server.cli(&["SET", &format!("darkmux:presence:{}", beat.machine_uid), &text, "EX", "3600"]);
}
