//! The viewer before a fleet: three real daemons, one Redis, one page in a real Chromium.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::browser::script;
use crate::support::api::Api;
use crate::support::hub::{PeerLine, hub, machine, set_peers};
use crate::support::runner::member;
use crate::support::{Daemon, Home, RedisServer, Running, describe, free_port};

/// What the page asks for: that machines and Redis die and come back.
struct Fleet {
    redis: RedisServer,
    machines: Vec<(&'static str, Api)>,
}

impl Fleet {
    fn start() -> (Self, Home) {
        let redis = RedisServer::start();
        let here = |name| member(name, &redis.url()).with("DARKMUX_RUNNER_SLOTS", "2");
        let machines = vec![("studio", Api::of(here("studio"))), ("rack", Api::of(here("rack")))];
        let home = here("laptop");
        let peers: Vec<_> = machines.iter().map(|(name, api)| PeerLine::of(name, api)).collect();
        set_peers(&home, &peers);
        (Self { redis, machines }, home)
    }

    fn machine(&mut self, name: &str) -> &mut Api {
        let found = self.machines.iter_mut().find(|(one, _)| *one == name);
        &mut found.unwrap_or_else(|| panic!("no machine {name}")).1
    }

    fn obey(&mut self, order: &str) {
        match order.split(' ').collect::<Vec<_>>()[..] {
            ["kill", "redis"] => self.redis.kill(),
            ["start", "redis"] => self.redis.restart(),
            ["kill", name] => self.machine(name).daemon.process.kill(),
            ["start", name] => {
                let api = self.machine(name);
                let port = api.daemon.port.to_string();
                api.daemon = Daemon::start_with(&api.home, ["serve", "--port", &port]);
            }
            ["note", name, text] => drop(self.machine(name).home.ok(["flow", "note", "--text", text])),
            _ => panic!("what is {order:?}?"),
        }
    }
}

#[test]
fn one_page_before_three_machines_outlives_all_but_its_own() {
    let (mut fleet, home) = Fleet::start();
    let daemon = Daemon::start(&home);
    let mut page = script(&home, &daemon, "three.mjs");
    let mut page = Running(page.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    let said = BufReader::new(page.0.stdout.take().unwrap()).lines();
    for line in said.map_while(Result::ok) {
        let Some(order) = line.strip_prefix("DO ") else { continue };
        fleet.obey(order);
        writeln!(page.0.stdin.as_mut().unwrap(), "done").unwrap();
    }
    assert!(page.0.wait().unwrap().success(), "three.mjs failed; it said why above");
}

#[test]
fn a_hubs_page_shows_its_peers_and_what_is_behind_them() {
    let dev = Api::of(machine("dev"));
    let id = dev.sh("echo deep; exec cat");
    let desk = hub("desk", &[PeerLine::of("dev", &dev)]);
    desk.shows(&[&format!("{id}@dev")]);
    let nothing = format!("http://127.0.0.1:{}", free_port());
    let hub = hub("hub", &[PeerLine::of("desk", &desk), PeerLine::at("gone", nothing)]);
    hub.shows(&[&format!("{id}@dev@desk")]);
    let output = script(&hub.home, &hub.daemon, "peers.mjs").output().unwrap();
    assert!(output.status.success(), "{}", describe(&output));
}
