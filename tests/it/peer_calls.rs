//! Actions on sessions of other machines, by real daemons: what is asked of the hub is done where the session is, and
//! the answer is that machine's. The names in brackets are those of the scenarios in gmux' notes on its wire.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::http_raw::{Answer, ask_with, send};
use crate::support::api::{Api, data, refusal};
use crate::support::hub::{PeerLine, hub, machine};
use crate::support::{Home, PATIENCE, freeze, is_alive, signal, wait_for};

/// A hub with one spoke, `desk`.
fn pair() -> (Api, Api) {
    let spoke = Api::of(machine("desk"));
    let hub = hub("hub", &[PeerLine::of("desk", &spoke)]);
    hub.peer_is("desk", "connected");
    (hub, spoke)
}

/// Waits until the hub shows that a session is so.
fn is(api: &Api, id: &str, what: impl Fn(&Value) -> bool) -> Value {
    wait_for("the session to be so at the hub", || {
        let answer = api.get(&format!("/v1/sessions/{id}"));
        if answer.status != 200 {
            return None;
        }
        let session = data(&answer);
        what(&session).then_some(session)
    })
}

fn output(api: &Api, id: &str) -> String {
    let answer = api.get(&format!("/v1/sessions/{id}/scrollback"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

/// P2: a launch goes to the machine that is named, and the id that comes back is one that the hub knows.
#[test]
fn a_launch_starts_a_session_on_the_machine_that_is_named() {
    let (hub, spoke) = pair();
    let command = json!(["/bin/sh", "-c", "echo here is $HOME; exec cat"]);
    let body = json!({ "peer": "desk", "command": command, "name": "made", "cwd": "~", "unheard_of": [1] });
    let launched = data(&hub.post("/v1/launch", &body));
    let id = launched["session_id"].as_str().unwrap().to_owned();
    let own = id.strip_suffix("@desk").expect("the id has its machine");
    assert_eq!(spoke.session(own)["pid"], launched["pid"]);
    let session = is(&hub, &id, |session| session["alive"] == true);
    assert_eq!((&session["name"], &session["machine_id"]), (&json!("made"), &json!("desk")));
    let home = format!("here is {}", spoke.home.path().display());
    wait_for("its output", || output(&hub, &id).contains(&home).then_some(()));

    let shell = data(&hub.post("/v1/launch", &json!({ "peer": "desk" })));
    is(&hub, shell["session_id"].as_str().unwrap(), |session| session["kind"] == "shell");
    let unknown = hub.post("/v1/launch", &json!({ "peer": "nowhere" }));
    assert_eq!(refusal(&unknown), (400, "unknown_peer".to_owned()));
    let no_launcher = hub.post("/v1/launch", &json!({ "peer": "desk", "launcher_id": "none" }));
    assert_eq!(refusal(&no_launcher), (400, "launcher_unavailable".to_owned()));
    // The own name is no peer.
    let here = data(&hub.post("/v1/launch", &json!({ "peer": "hub", "command": ["true"] })));
    let here = here["session_id"].as_str().unwrap();
    assert!(!here.contains('@'));
    assert_eq!(hub.session(&format!("{here}@hub"))["id"], here);
}

/// P3: ends, kill, resume, restart, rename, read and dismiss through the hub; the id stays.
#[test]
fn a_sessions_life_goes_on_through_the_hub() {
    let (hub, spoke) = pair();
    let of = |id: &str| format!("{id}@desk");
    let seven = of(&spoke.sh("exit 7"));
    assert_eq!(is(&hub, &seven, |session| session["alive"] == false)["exit_code"], 7);
    let own = spoke.sh("echo run; exec cat");
    let id = of(&own);
    let pid = is(&hub, &id, |session| session["alive"] == true)["pid"].as_i64().unwrap();
    data(&hub.act(&id, "kill"));
    assert!(!is_alive(pid));
    data(&hub.act(&id, "kill"));
    is(&hub, &id, |session| session["alive"] == false);
    let resumed = data(&hub.act(&id, "resume"));
    assert_eq!(resumed["session_id"], *id);
    assert_eq!(refusal(&hub.act(&id, "resume")), (400, "not_resumable".to_owned()));
    is(&hub, &id, |session| session["runs"] == 2 && session["alive"] == true);
    let restarted = data(&hub.act(&id, "restart"));
    assert_ne!(restarted["pid"], resumed["pid"]);
    is(&hub, &id, |session| session["runs"] == 3);
    data(&hub.post(&format!("/v1/sessions/{id}/rename"), &json!({ "name": "two words" })));
    is(&hub, &id, |session| session["name"] == "two words");
    // By name, which has to be written as a segment of a path.
    data(&hub.type_in("two%20words@desk", "?submit=1", b"typed"));
    wait_for("an echo", || output(&hub, &id).ends_with("typed\r\n").then_some(()));
    let renamed = hub.post(&format!("/v1/sessions/{id}/rename"), &json!({ "name": "a@b" }));
    assert_eq!(refusal(&renamed), (400, "validation_error".to_owned()));
    data(&hub.act(&id, "read"));
    data(&hub.act(&id, "dismiss"));
    wait_for("it to be gone", || (hub.get(&format!("/v1/sessions/{id}")).status == 404).then_some(()));
    assert_eq!(refusal(&hub.act(&id, "dismiss")), (404, "not_found".to_owned()));
    let way = data(&hub.act(&seven, "attach"));
    assert_eq!(
        (way["ws_path"].as_str(), way.get("socket_path")),
        (Some(format!("/ws/{seven}").as_str()), None)
    );
}

/// P5: output from an offset, pasted files up to 10 MiB, and waits as long as they were asked for.
#[test]
fn output_files_and_waits_come_through_the_hub_with_their_queries() {
    let (hub, spoke) = pair();
    let id = format!("{}@desk", spoke.sh("printf 0123456789; exec cat"));
    wait_for("its output", || (output(&hub, &id) == "0123456789").then_some(()));
    let rest = hub.get(&format!("/v1/sessions/{id}/scrollback?from=7"));
    assert_eq!((rest.text().as_str(), rest.header("darkmux-output-start")), ("789", Some("7")));
    assert_eq!(rest.header("content-type"), Some("application/octet-stream"));

    let path = format!("/v1/sessions/{id}/clipboard");
    let picture = vec![7; 10 * 1024 * 1024];
    let pasted = data(&hub.ask("POST", &path, Some("image/png"), &picture));
    let pasted = pasted["path"].as_str().unwrap();
    assert!(pasted.contains("/clipboard/") && std::fs::read(pasted).unwrap() == picture, "{pasted}");
    let large = hub.ask("POST", &path, Some("image/png"), &vec![7; 10 * 1024 * 1024 + 1]);
    assert_eq!(refusal(&large), (413, "too_large".to_owned()));

    let wait = |query: &str| hub.act(&id, &format!("wait?{query}"));
    let begun = Instant::now();
    assert_eq!(refusal(&wait("for=text&text=never&timeout=1")), (408, "timeout".to_owned()));
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(refusal(&wait("for=else")), (400, "bad_request".to_owned()));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| wait("for=text&text=w%2Brd&timeout=3600"));
        // Longer than the ten seconds after which a hub of gmux gives up.
        let (ended, end) = std::sync::mpsc::channel::<()>();
        assert!(end.recv_timeout(Duration::from_secs(11)).is_err());
        drop(ended);
        data(&hub.type_in(&id, "?submit=1", b"wwwrd"));
        assert_eq!(data(&waiting.join().unwrap())["line"], "0123456789wwwrd");
    });
}

/// P10: one machine is taken from the end at each hop; a machine that nobody knows is an error of the one that should.
#[test]
fn a_chain_takes_one_machine_from_the_end_at_each_hop() {
    let dev = Api::of(machine("devbox"));
    let server = hub("srv", &[PeerLine::of("dev", &dev).local()]);
    let mut hub = hub("hub", &[PeerLine::of("server", &server)]);
    server.peer_is("dev", "connected");
    hub.peer_is("server", "connected");
    let body = json!({ "peer": "dev@server", "command": ["cat"] });
    let launched = data(&hub.post("/v1/launch", &body));
    let id = launched["session_id"].as_str().unwrap().to_owned();
    let own = id.strip_suffix("@dev@server").expect("the whole way back");
    assert_eq!(dev.session(own)["alive"], true);
    is(&hub, &id, |session| session["alive"] == true);
    data(&hub.type_in(&id, "?submit=1", b"deep"));
    wait_for("an echo", || output(&hub, &id).contains("deep").then_some(()));
    // The hub in the middle of it: another one goes on.
    hub.again();
    is(&hub, &id, |session| session["alive"] == true);
    data(&hub.act(&id, "kill"));
    assert_eq!(dev.session(own)["alive"], false);
    data(&hub.act(&id, "restart"));
    assert_eq!(dev.session(own)["runs"], 2);
    data(&hub.act(&id, "dismiss"));
    wait_for("it to be gone at home", || {
        (dev.get(&format!("/v1/sessions/{own}")).status == 404).then_some(())
    });
    for unknown in [format!("{own}@none@server"), format!("{own}@none")] {
        assert_eq!(refusal(&hub.act(&unknown, "kill")), (404, "not_found".to_owned()), "{unknown}");
    }
    let nowhere = hub.post("/v1/launch", &json!({ "peer": "none@server" }));
    assert_eq!(refusal(&nowhere), (400, "unknown_peer".to_owned()));
}

/// A machine that is away is said to be, by name and with the reason, and nothing else waits for it.
#[test]
fn a_machine_that_is_away_is_said_to_be() {
    let (hub, spoke) = pair();
    let id = format!("{}@desk", spoke.launch(&["cat"]));
    let here = hub.launch(&["cat"]);
    is(&hub, &id, |session| session["alive"] == true);
    let pid = spoke.daemon.process.pid();
    freeze(pid);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| hub.act(&id, "read"));
        let begun = Instant::now();
        data(&hub.act(&here, "kill"));
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
        let slow = slow.join().unwrap();
        assert_eq!(refusal(&slow), (502, "peer_unavailable".to_owned()));
        assert!(slow.text().contains("`desk`") && slow.text().contains("timed out"), "{}", slow.text());
    });
    signal(pid, "CONT");
    data(&hub.act(&id, "read"));
    drop(spoke);
    for action in ["kill", "scrollback", "wait?timeout=5"] {
        let method = if action == "scrollback" { "GET" } else { "POST" };
        let answer = hub.ask(method, &format!("/v1/sessions/{id}/{action}"), None, b"");
        assert_eq!(refusal(&answer), (502, "peer_unavailable".to_owned()), "{action}");
        assert!(answer.text().contains("connection refused"), "{}", answer.text());
    }
}

/// Output that is being taken, slowly, by who holds this token.
pub struct Taking(TcpStream);

impl Taking {
    pub fn begin(api: &Api, path: &str, token: &str) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // What the kernel takes in advance is a small part of it.
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        let port = api.daemon.port;
        socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        )
        .unwrap();
        let mut head = String::new();
        while !head.contains("\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(char::from(byte[0]));
        }
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        Self(stream)
    }

    /// Takes the rest: how much it was, and whether it is said that this is all.
    pub fn end(mut self) -> (usize, bool) {
        let mut rest = Vec::new();
        let ended = self.0.read_to_end(&mut rest);
        (rest.len(), ended.is_ok() && rest.ends_with(b"\r\n0\r\n\r\n"))
    }
}

/// Output is broken off with the token that asked for it, here and through the hub; who holds another gets it all.
#[test]
fn output_ends_with_the_token_that_asked_for_it() {
    const BYTES: usize = 24 * 1024 * 1024;
    let (hub, spoke) = pair();
    let own = spoke.sh(&format!("head -c {BYTES} /dev/zero | tr '\\0' x"));
    spoke.ended(&own);
    let id = format!("{own}@desk");
    is(&hub, &id, |session| session["alive"] == false);
    for (api, id) in [(&spoke, &own), (&hub, &id)] {
        let watcher = api.home.ok(["auth", "new", "--read-only", "watcher"]).trim().to_owned();
        let path = format!("/v1/sessions/{id}/scrollback");
        let (taking, other) = (Taking::begin(api, &path, &watcher), Taking::begin(api, &path, &api.token));
        api.home.ok(["auth", "revoke", "watcher"]);
        let (count, whole) = taking.end();
        assert!(!whole && count < BYTES / 2, "{id}: {count} bytes came after the token was revoked");
        let (count, whole) = other.end();
        assert!(whole && count > BYTES - 1024, "{id}: {count} bytes");
    }
}

/// So is a day of the flow, as a file and as an array.
#[test]
fn a_day_ends_with_the_token_that_asked_for_it() {
    const LINES: usize = 24 * 1024;
    let api = Api::of(machine("desk"));
    let line = format!(
        "{{\"ts\":\"2020-01-01T00:00:00Z\",\"action\":\"note\",\"handle\":\"{}\"}}\n",
        "x".repeat(1000)
    );
    let (folder, bytes) = (api.home.darkmux().join("flows"), LINES * line.len());
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("2020-01-01.jsonl"), line.repeat(LINES)).unwrap();
    for path in ["/flow/2020-01-01.jsonl", "/flow/2020-01-01"] {
        let watcher = api.home.ok(["auth", "new", "--read-only", "watcher"]).trim().to_owned();
        let (taking, other) = (Taking::begin(&api, path, &watcher), Taking::begin(&api, path, &api.token));
        api.home.ok(["auth", "revoke", "watcher"]);
        let host = format!("Host: localhost:{}", api.daemon.port);
        let bearer = format!("Authorization: Bearer {watcher}");
        let status = || ask_with(api.daemon.port, "GET", "/v1/sessions", &[&host, &bearer], "").status;
        wait_for("the token to be refused", || (status() == 401).then_some(()));
        let (count, _) = taking.end();
        assert!(count < bytes / 2, "{path}: {count} bytes came after the token was revoked");
        let (count, _) = other.end();
        assert!(count >= bytes, "{path}: {count} bytes");
    }
}

/// A way in a circle ends: it would hold a call at each of its machines.
#[test]
fn a_way_has_an_end() {
    let (hub, _spoke) = pair();
    let far = "desk@hub@desk@hub@desk";
    let refused = hub.post("/v1/launch", &json!({ "peer": far, "command": ["true"] }));
    assert_eq!(refusal(&refused), (400, "unknown_peer".to_owned()));
    assert!(refused.text().contains("names no machine"), "{}", refused.text());
    let long = "a@".repeat(100_000) + "desk";
    assert_eq!(refusal(&hub.post("/v1/launch", &json!({ "peer": long }))), (400, "unknown_peer".to_owned()));
}

/// Who may only watch acts on no other machine either, and a wrong token at the other one is not the caller's.
#[test]
fn what_one_may_do_here_one_may_do_there() {
    let (hub, spoke) = pair();
    let id = format!("{}@desk", spoke.launch(&["cat"]));
    let watcher = hub.home.ok(["auth", "new", "--read-only", "watcher"]).trim().to_owned();
    let watching = Api { token: watcher, ..hub };
    assert_eq!(output(&watching, &id), "");
    for action in ["kill", "dismiss", "restart"] {
        assert_eq!(refusal(&watching.act(&id, action)), (403, "read_only".to_owned()));
    }
    let launch = watching.post("/v1/launch", &json!({ "peer": "desk" }));
    assert_eq!(refusal(&launch), (403, "read_only".to_owned()));
    let denied = crate::support::hub::hub(
        "other",
        &[PeerLine { token: Some("f".repeat(64)), ..PeerLine::of("desk", &spoke) }],
    );
    denied.peer_says("desk", "authentication failed");
    let answer = denied.act(&id, "kill");
    assert_eq!(refusal(&answer), (502, "peer_unavailable".to_owned()));
    assert!(answer.text().contains("authentication failed"), "{}", answer.text());
    assert_eq!(spoke.session(id.trim_end_matches("@desk"))["alive"], true);
}

/// A hub of gmux sends every body in chunks, and names its kind only where its client did.
#[test]
fn bodies_in_chunks_are_taken_as_hubs_of_gmux_send_them() {
    let spoke = Api::of(Home::new());
    let ask = |path: &str, kind: &str, body: &str| {
        let (port, token) = (spoke.daemon.port, &spoke.token);
        let body = if body.is_empty() { String::new() } else { format!("{:x}\r\n{body}\r\n", body.len()) };
        let text = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             {kind}Transfer-Encoding: chunked\r\n\r\n{body}0\r\n\r\n"
        );
        Answer::parse(&send(port, text.as_bytes())).expect("an answer")
    };
    let launched = data(&ask("/v1/launch", "Content-Type: application/json\r\n", r#"{"command":["cat"]}"#));
    let id = launched["session_id"].as_str().unwrap();
    data(&ask(&format!("/v1/sessions/{id}/read"), "", ""));
    data(&ask(&format!("/v1/sessions/{id}/kill"), "", ""));
    assert_eq!(spoke.session(id)["alive"], false);
}
