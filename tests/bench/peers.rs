//! Sessions of other machines through a hub: keys, output, changes, and a page of a thousand of them.
//!
//! The limit of a terminal is the same terminal asked for at its own daemon; hub and spoke share this machine's cores.
//! The thousand are told by a bare spoke of this program, so that the hub's memory is that of what it holds.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Setup;
use crate::http::read_head;
use crate::machine::{Daemon, Machine, memory, wait_for};
use crate::table::{Table, Want, quantile};
use crate::terminal_client::{Place, Terminal};

/// Bytes of short lines.
const SHORT: usize = 20_000_000;
/// How often something is changed, and how often the page is asked for.
const CHANGES: usize = 50;
const ASKED: usize = 21;
/// Sessions of the bare spoke.
const MANY: usize = 1000;

/// Measures and prints.
pub fn run(setup: &Setup) {
    let spoke = Machine::new(setup);
    let at = spoke.daemon();
    spoke.session("web");
    let hub = Machine::new(setup);
    write_peer(&hub, at.port, &token(&spoke));
    let hub_at = hub.daemon();
    let page = || ask(&hub_at, &token(&hub), "GET", "/v1/sessions", "");
    wait_for(|| page().contains("web@desk").then_some(()));
    let direct = Place::Daemon(at.port, token(&spoke), "web".to_owned());
    let through = Place::Daemon(hub_at.port, token(&hub), "web@desk".to_owned());
    let mut table = Table::new("Through a hub");
    for round in 0..setup.rounds {
        let mut keys = [&direct, &through].map(|place| Terminal::attach(place).echoes());
        let [near, far] = keys.each_mut().map(|times| quantile(times, 0.5));
        table.figure("key echo, added by the hub, median", "µs", Want::AtMost(1_000.0), far - near);
        let command = format!("yes | head -c {SHORT}");
        let speed = |place: &Place, run: usize| {
            SHORT as f64 / 1e6 / Terminal::attach(place).time_of(&command, run).as_secs_f64()
        };
        let pair = (speed(&direct, 2 * round), speed(&through, 2 * round + 1));
        table.pair("yes, 20 MB", "MB/s", Want::AtLeast(0.75), pair);
        let mut changes = changes(&spoke, &at, &hub, &hub_at);
        table.figure(
            "a change, in a viewer of the hub, median",
            "µs",
            Want::AtMost(20_000.0),
            quantile(&mut changes, 0.5),
        );
        many(setup, &mut table);
    }
    table.print();
}

fn token(machine: &Machine) -> String {
    let file = machine.path().join(".darkmux/auth-token");
    std::fs::read_to_string(file).expect("a token").trim().to_owned()
}

fn write_peer(hub: &Machine, port: u16, token: &str) {
    let path = hub.path().join(".darkmux/host.toml");
    let text =
        format!("[[peers]]\nname = \"desk\"\nurl = \"http://127.0.0.1:{port}\"\ntoken = \"{token}\"\n");
    std::fs::write(&path, text).expect("host.toml");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("a private file");
}

fn asked(daemon: &Daemon, token: &str, line: &str, body: &str) -> TcpStream {
    let mut socket = TcpStream::connect(("127.0.0.1", daemon.port)).expect("the daemon accepts");
    socket.set_nodelay(true).expect("a socket");
    let request = format!(
        "{line} HTTP/1.1\r\nHost: localhost:{}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n",
        daemon.port,
        body.len()
    );
    let end = if line.contains("/v1/events") { "\r\n" } else { "Connection: close\r\n\r\n" };
    socket.write_all(format!("{request}{end}{body}").as_bytes()).expect("a request");
    socket
}

fn ask(daemon: &Daemon, token: &str, method: &str, path: &str, body: &str) -> String {
    let mut answer = Vec::new();
    asked(daemon, token, &format!("{method} {path}"), body).read_to_end(&mut answer).expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

/// From before a rename at the spoke until the hub's viewer has it.
fn changes(spoke: &Machine, at: &Daemon, hub: &Machine, hub_at: &Daemon) -> Vec<Duration> {
    let stream = asked(hub_at, &token(hub), "GET /v1/events?scope=all", "");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let mut lines = BufReader::new(stream);
    let mut until = |text: &str| {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(lines.read_line(&mut line).expect("an event in time") > 0, "the stream ended");
        }
    };
    until("web@desk");
    let names = (0..CHANGES).map(|number| format!("name-{number}-{}", std::process::id()));
    let times = names.map(|name| {
        // A host tells of two states with a pause of 50 ms between; a change alone is what is measured.
        std::thread::sleep(Duration::from_millis(100));
        let body = json!({ "name": name }).to_string();
        let begun = Instant::now();
        let mut answer = asked(at, &token(spoke), "POST /v1/sessions/web/rename", &body);
        until(&name);
        let took = begun.elapsed();
        let (head, _) = read_head(&mut answer).expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        took
    });
    times.collect()
}

/// A thousand sessions of a bare spoke: what they take, and how long the page waits for them.
fn many(setup: &Setup, table: &mut Table) {
    let port = bare_spoke();
    let hub = Machine::new(setup);
    let at = hub.daemon();
    let token = token(&hub);
    let count = || {
        let answer = ask(&at, &token, "GET", "/v1/sessions", "");
        answer.matches("\"peer\":\"desk\"").count()
    };
    // Everything that the first answers need is there before.
    assert_eq!(count(), 0);
    let private = || {
        let memory = memory(at.pid());
        ["Private_Clean", "Private_Dirty"].iter().filter_map(|name| memory.get(*name)).sum::<f64>()
    };
    let before = private();
    write_peer(&hub, port, &"f".repeat(64));
    wait_for(|| {
        let health = ask(&at, &token, "GET", "/v1/health", "");
        health.contains(&format!("\"sessions\":{MANY}")).then_some(())
    });
    table.figure(
        "1000 sessions: each",
        "KiB",
        Want::AtMost(4.0),
        (private() - before) * 1024.0 / MANY as f64,
    );
    let mut times: Vec<Duration> = (0..ASKED)
        .map(|_| {
            let begun = Instant::now();
            assert_eq!(count(), MANY);
            begun.elapsed()
        })
        .collect();
    table.figure(
        "1000 sessions: page state, median",
        "µs",
        Want::AtMost(100_000.0),
        quantile(&mut times, 0.5),
    );
}

/// Tells of its sessions, says that this is all, and then nothing.
fn bare_spoke() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("a port").port();
    let session = |number: usize| -> Value {
        json!({ "id": format!("sess-{number:08x}"), "alive": true, "kind": "shell", "title": "bash --norc", "status": null,
            "created_at": "2026-01-01T00:00:00Z", "started_at": "2026-01-01T00:00:00Z", "command": ["bash", "--norc"],
            "cwd": "~/work/project", "unread": false, "slug": format!("project-{number}"), "pid": 1000 + number,
            "terminal_cols": 80, "terminal_rows": 24, "state": "running", "runner_version": "1", "machine_id": "desk" })
    };
    let told = |number: usize| {
        let session = session(number);
        format!("event: session-upsert\ndata: {}\n\n", json!({ "id": session["id"], "session": session }))
    };
    let events: String = (0..MANY).map(told).collect();
    std::thread::spawn(move || {
        let mut streams = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let Ok((head, _)) = read_head(&mut stream) else { continue };
            let body = if head.starts_with("GET /v1/events") {
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{events}event: session-snapshot\ndata: {{}}\n\n"
                )
            } else {
                let said = json!({ "ok": true, "data": { "version": "1", "node_id": "node-of-desk", "machine_id": "desk" } });
                let said = said.to_string();
                format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{said}",
                    said.len()
                )
            };
            // A hub that has gone needs no answer.
            let _ = stream.write_all(body.as_bytes());
            if head.starts_with("GET /v1/events") {
                streams.push(stream);
            }
        }
    });
    port
}
