//! Many sessions: what idle ones take, and how long a list of them is waited for.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Setup;
use crate::machine::{Daemon, Machine, Switches, memory, wait_for};
use crate::table::{Table, Want, quantile};

/// Idle sessions for what they take of memory.
const IDLE: usize = 100;
/// Idle sessions whose wake-ups are counted.
const WATCHED: usize = 20;
/// How long they are.
const WATCH: Duration = Duration::from_secs(10);
/// Sessions of the list.
const LISTED: usize = 1000;
/// How often it is asked for.
const ASKED: usize = 21;

fn private(pid: u32) -> f64 {
    let memory = memory(pid);
    ["Private_Clean", "Private_Dirty"].iter().filter_map(|name| memory.get(*name)).sum()
}

/// Measures and prints.
pub fn run(setup: &Setup) {
    let mut table = Table::new("Many sessions");
    for _ in 0..setup.rounds {
        idle(setup, &mut table);
        listed(setup, &mut table);
    }
    table.print();
}

fn token(machine: &Machine) -> String {
    let file = machine.path().join(".darkmux/auth-token");
    std::fs::read_to_string(file).expect("a token").trim().to_owned()
}

fn asked(daemon: &Daemon, token: &str, path: &str, more: &str) -> TcpStream {
    let mut socket = TcpStream::connect(("127.0.0.1", daemon.port)).expect("the daemon accepts");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost:{}\r\nAuthorization: Bearer {token}\r\n{more}\r\n",
        daemon.port
    );
    socket.write_all(request.as_bytes()).expect("a request");
    socket
}

fn list(daemon: &Daemon, token: &str) -> (Duration, usize) {
    let begun = Instant::now();
    let mut answer = Vec::new();
    asked(daemon, token, "/v1/sessions", "Connection: close\r\n")
        .read_to_end(&mut answer)
        .expect("an answer");
    let took = begun.elapsed();
    (took, memchr::memmem::find_iter(&answer, b"\"machine_id\"").count())
}

fn idle(setup: &Setup, table: &mut Table) {
    let machine = Machine::new(setup);
    let daemon = machine.daemon();
    let token = token(&machine);
    let mut hosts: Vec<u32> = (0..WATCHED).map(|n| machine.session(&format!("idle-{n}")).1).collect();
    wait_for(|| (list(&daemon, &token).1 == WATCHED).then_some(()));
    let _watcher = asked(&daemon, &token, "/v1/events", "");
    std::thread::sleep(Duration::from_secs(6));
    let count = || (Switches::of(&[daemon.pid()]), Switches::of(&hosts));
    let before = count();
    let few = private(daemon.pid());
    std::thread::sleep(WATCH);
    let after = count();
    table.figure(
        "wake-ups of the daemon, 20 sessions and a watcher",
        "1/s",
        Want::AtMost(2.0),
        after.0.rate_since(&before.0, WATCH),
    );
    table.figure(
        "wake-ups of 20 hosts together",
        "1/s",
        Want::AtMost(0.1),
        after.1.rate_since(&before.1, WATCH),
    );

    hosts.extend((WATCHED..WATCHED + IDLE).map(|n| machine.session(&format!("idle-{n}")).1));
    wait_for(|| (list(&daemon, &token).1 == WATCHED + IDLE).then_some(()));
    std::thread::sleep(Duration::from_secs(3));
    let each = (private(daemon.pid()) - few) * 1024.0 / IDLE as f64;
    table.figure("daemon, memory for an idle session", "KiB", Want::AtMost(100.0), each);
    let all: f64 = hosts.iter().map(|pid| private(*pid)).sum();
    table.figure("host, private, mean of 120", "MiB", Want::AtMost(2.0), all / hosts.len() as f64);
}

/// A thousand ended sessions: copies of one.
fn listed(setup: &Setup, table: &mut Table) {
    let machine = Machine::new(setup).with("DARKMUX_SESSION_KEEP", "2000");
    let ran =
        machine.darkmux(&["crew", "dispatch", "shell", "--session-id", "first", "-m", "echo hi"]).status();
    assert!(ran.is_ok_and(|status| status.success()), "a session");
    let sessions = machine.path().join(".darkmux/sessions");
    for number in 1..LISTED {
        copy(&sessions.join("first"), &sessions.join(format!("copy-{number}")));
    }
    let daemon = machine.daemon();
    let token = token(&machine);
    wait_for(|| (list(&daemon, &token).1 == LISTED).then_some(()));
    let mut times: Vec<Duration> = (0..ASKED).map(|_| list(&daemon, &token).0).collect();
    table.figure("list of 1000 sessions, median", "µs", Want::AtMost(20_000.0), quantile(&mut times, 0.5));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("a folder");
    // Its host may still be ending: other files come and go.
    for name in ["spec.json", "state.json"] {
        std::fs::copy(from.join(name), to.join(name)).expect("a copy");
    }
    let state = to.join("state.json");
    let mut told: Value = serde_json::from_slice(&std::fs::read(&state).expect("a state")).expect("JSON");
    told["id"] = to.file_name().and_then(|name| name.to_str()).expect("a name").into();
    std::fs::write(state, told.to_string()).expect("a state");
}
