//! Daemons of gmux 1.6 as hubs over daemons of darkmux: what they need is there, and what they can't do is known. The
//! names in brackets are those of the scenarios in the notes on their wire.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::Message;

use crate::http_raw::{Answer, send};
use crate::support::api::{Api, data, refusal};
use crate::support::gmuxd::Gmuxd;
use crate::support::hub::{PeerLine, hub, machine};
use crate::support::ws::{Frame, Ws};
use crate::support::{Daemon, freeze, signal, wait_for};

/// A daemon of gmux, and `desk`, a spoke of it.
fn pair() -> (Gmuxd, Api) {
    let spoke = Api::of(machine("desk"));
    let hub = over(&spoke, "desk");
    (hub, spoke)
}

fn over(spoke: &Api, name: &str) -> Gmuxd {
    let hub = Gmuxd::start("vm");
    hub.add_peer(name, &spoke.daemon.url(""), &spoke.token, false);
    hub.peer_is(name, "connected");
    hub
}

/// What a client asks of the hub.
fn asks(hub: &Gmuxd, method: &str, path: &str, kind: &str, body: &[u8]) -> Answer {
    let (port, token) = (hub.port, hub.token());
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    Answer::parse(&send(port, &[head.as_bytes(), body].concat())).expect("an answer")
}

fn act(hub: &Gmuxd, id: &str, action: &str) -> Answer {
    asks(hub, "POST", &format!("/v1/sessions/{id}/{action}"), "application/json", b"")
}

fn launch(hub: &Gmuxd, body: &Value) -> Answer {
    asks(hub, "POST", "/v1/launch", "application/json", body.to_string().as_bytes())
}

fn is(hub: &Gmuxd, id: &str, what: impl Fn(&Value) -> bool) -> Value {
    wait_for(&format!("{id} to be so in gmux"), || Some(hub.session(id)).filter(&what))
}

async fn opens(hub: &Gmuxd, id: &str) -> Ws {
    let bearer = format!("Authorization: Bearer {}", hub.token());
    Ws::try_with(hub.port, &format!("/ws/{id}"), &[&bearer]).await.expect("a terminal")
}

/// P1, P9: sessions appear as they are, with what the hub needs of the health.
#[test]
fn gmux_shows_our_sessions() {
    let spoke = Api::of(machine("desk"));
    let ids = [spoke.launch(&["sleep", "60"]), spoke.sh("exit 3")];
    spoke.ended(&ids[1]);
    let hub = over(&spoke, "desk");
    for id in &ids {
        let theirs = spoke.session(id);
        let ours = is(&hub, &format!("{id}@desk"), |session| session["alive"] == theirs["alive"]);
        for key in
            ["title", "kind", "status", "alive", "command", "cwd", "created_at", "resumable", "exit_code"]
        {
            assert_eq!(ours[key], theirs[key], "{key}");
        }
        assert_eq!((&ours["peer"], ours.get("socket_path")), (&json!("desk"), None));
    }
    let peer = hub.peer("desk");
    assert!(peer["version"].is_string() && peer["default_launcher"].is_string(), "{peer}");
    assert!(peer["launchers"].as_array().is_some_and(|launchers| !launchers.is_empty()), "{peer}");
    hub.add_peer("denied", &spoke.daemon.url(""), &"ab".repeat(32), false);
    let denied = hub.peer_is("denied", "disconnected");
    assert_eq!(denied["last_error"], "authentication failed");
    // A second peer of one machine is known to show all twice there.
}

/// P2, P3, P12: launch, kill, resume, restart, read, dismiss; changes arrive by themselves.
#[test]
fn gmux_launches_and_ends_our_sessions() {
    let (hub, spoke) = pair();
    data(&launch(
        &hub,
        &json!({ "peer": "desk", "command": ["/bin/sh", "-c", "read x; exit 7"], "unknown": 1 }),
    ));
    let own = wait_for("the session", || Some(spoke.ids()).filter(|ids| ids.len() == 1))[0].clone();
    let id = format!("{own}@desk");
    let run = is(&hub, &id, |session| session["alive"] == true);
    data(&spoke.type_in(&own, "?submit=1", b"x"));
    let ended = is(&hub, &id, |session| session["alive"] == false);
    assert_eq!((&ended["exit_code"], &ended["resumable"]), (&json!(7), &json!(true)));
    assert_eq!(data(&act(&hub, &id, "resume"))["session_id"], own.as_str());
    let resumed = is(&hub, &id, |session| session["alive"] == true);
    assert_eq!(resumed["created_at"], run["created_at"]);
    assert_ne!(resumed["pid"], run["pid"]);
    data(&act(&hub, &id, "restart"));
    is(&hub, &id, |session| session["alive"] == true && session["pid"] != resumed["pid"]);
    data(&act(&hub, &id, "read"));
    data(&act(&hub, &id, "kill"));
    is(&hub, &id, |session| session["alive"] == false);
    data(&act(&hub, &id, "dismiss"));
    hub.shows(&[]);
    assert_eq!(refusal(&act(&hub, &id, "dismiss")), (404, "not_found".to_owned()));
    assert_eq!(refusal(&launch(&hub, &json!({ "peer": "none" }))), (400, "unknown_peer".to_owned()));
    assert_eq!(act(&hub, &id, "no-such-action").status, 404);
}

/// P4, P17: a picture below what it takes, bytes both ways, sizes answered, text typed, the end.
#[tokio::test]
async fn gmux_shows_our_terminals() {
    let (hub, spoke) = pair();
    let long = "x".repeat(150);
    let own = spoke.sh(&format!(
        "i=0; while [ $i -lt 9000 ]; do i=$((i+1)); echo \"{long} $i\"; done; echo done; read x; exec cat"
    ));
    wait_for("its output", || {
        spoke.get(&format!("/v1/sessions/{own}/scrollback")).text().contains("\ndone").then_some(())
    });
    let id = format!("{own}@desk");
    is(&hub, &id, |session| session["alive"] == true);
    let mut ws = opens(&hub, &id).await;
    let Frame::Bytes(picture) = ws.next().await else { panic!("no picture first") };
    assert!(picture.starts_with(b"\x1b[?2026h") && picture.ends_with(b"\x1b[?2026l"), "{}", picture.len());
    assert!((256 * 1024..4 * 1024 * 1024).contains(&picture.len()), "{}", picture.len());
    ws.say(r#"{"type":"resize","cols":101,"rows":33}"#).await;
    while ws.told().await["cols"] != 101 {}
    ws.type_in("\r").await;
    ws.say("as text\r").await;
    ws.until("as text").await;
    let mut other = opens(&hub, &id).await;
    other.bytes().await;
    ws.type_in("for both\r").await;
    other.until("for both").await;
    drop(other);
    data(&act(&hub, &id, "kill"));
    assert!(matches!(ws.end().await.1, Frame::Cut | Frame::Closed(_)));
    is(&hub, &id, |session| session["alive"] == false);
    let mut none = opens(&hub, &id).await;
    assert!(matches!(none.end().await.1, Frame::Cut | Frame::Closed(_)), "it has ended");
}

/// P5, P13: output and pasted files; a wait loses its query on the way, and the hub gives up after ten seconds, both of
/// which is known.
#[test]
fn gmux_passes_output_and_files_and_gives_up_on_waits() {
    let (hub, spoke) = pair();
    let own = spoke.sh("printf 0123456789; exec cat");
    let id = format!("{own}@desk");
    is(&hub, &id, |session| session["alive"] == true);
    let output = || asks(&hub, "GET", &format!("/v1/sessions/{id}/scrollback"), "", b"");
    wait_for("its output", || (output().text() == "0123456789").then_some(()));
    assert_eq!(output().header("content-type"), Some("application/octet-stream"));
    let path = format!("/v1/sessions/{id}/clipboard");
    let picture = vec![7; 10 * 1024 * 1024];
    let pasted = data(&asks(&hub, "POST", &path, "image/png", &picture));
    assert!(std::fs::read(pasted["path"].as_str().unwrap()).unwrap() == picture, "{pasted}");
    // For its end; that is asked for in the query.
    assert_eq!(refusal(&act(&hub, &id, "wait?for=exit&timeout=1")), (422, "no_idle_signal".to_owned()));
    let pid = spoke.daemon.process.pid();
    freeze(pid);
    let began = Instant::now();
    let given_up = act(&hub, &id, "read");
    signal(pid, "CONT");
    assert_eq!((given_up.status, given_up.text().as_str()), (502, "peer unavailable\n"));
    assert!(began.elapsed() >= Duration::from_secs(9), "{:?}", began.elapsed());
    data(&act(&hub, &id, "read"));
}

/// P6, P7: our daemon goes and comes back; what ended meanwhile is told. What was dismissed meanwhile stays there.
#[test]
fn gmux_is_told_what_ended_while_it_was_away() {
    let (hub, mut spoke) = pair();
    let (stays, goes) = (spoke.launch(&["sleep", "60"]), spoke.launch(&["sleep", "60"]));
    let (stays_there, goes_there) = (format!("{stays}@desk"), format!("{goes}@desk"));
    hub.shows(&[&stays_there, &goes_there]);
    let port = spoke.daemon.port.to_string();
    spoke.daemon.process.kill();
    let gone = wait_for("it to be refused", || {
        Some(hub.peer("desk")).filter(|peer| peer["last_error"] == "connection refused")
    });
    assert!(gone["tries"].as_u64().unwrap() >= 2, "{gone}");
    spoke.home.ok(["session", "kill", &stays]);
    spoke.home.ok(["session", "kill", &goes]);
    spoke.home.ok(["session", "dismiss", &goes]);
    spoke.daemon = Daemon::start_with(&spoke.home, ["serve", "--port", &port]);
    hub.peer_is("desk", "connected");
    is(&hub, &stays_there, |session| session["alive"] == false);
    // What it is not told of it keeps, which is known: dismissing it there says that it is gone.
    let new = spoke.launch(&["sleep", "60"]);
    is(&hub, &format!("{new}@desk"), |session| session["alive"] == true);
    hub.shows(&[&stays_there, &goes_there, &format!("{new}@desk")]);
    assert_eq!(refusal(&act(&hub, &goes_there, "dismiss")), (404, "not_found".to_owned()));
}

/// P10, P11: only what is local goes on to it, each hop takes one machine from the end, and mutual peers echo nothing.
#[tokio::test]
async fn gmux_reaches_our_containers_and_nothing_else() {
    let (dev, far) = (Api::of(machine("devbox")), Api::of(machine("far")));
    let own = dev.sh("echo ready; exec cat");
    far.launch(&["sleep", "60"]);
    let server = hub("srv", &[PeerLine::of("dev", &dev).local(), PeerLine::of("far", &far)]);
    let here = server.launch(&["sleep", "60"]);
    wait_for("all three", || (server.ids().len() == 3).then_some(()));
    let hub = over(&server, "server");
    let id = format!("{own}@dev@server");
    hub.shows(&[&id, &format!("{here}@server")]);
    let mut ws = opens(&hub, &id).await;
    ws.bytes().await;
    ws.type_in("deep\r").await;
    ws.until("deep").await;
    data(&act(&hub, &id, "kill"));
    is(&hub, &id, |session| session["alive"] == false);
    assert_eq!(refusal(&act(&hub, &format!("{own}@none@server"), "kill")), (404, "not_found".to_owned()));
    data(&act(&hub, &id, "dismiss"));
    hub.shows(&[&format!("{here}@server")]);
    // The middle is killed in the middle of it.
    let again = format!("{}@dev@server", dev.launch(&["cat"]));
    is(&hub, &again, |session| session["alive"] == true);
    let mut open = opens(&hub, &again).await;
    open.bytes().await;
    drop(server);
    assert!(matches!(open.end().await.1, Frame::Cut | Frame::Closed(_)));
    let mut away = opens(&hub, &again).await;
    let Message::Close(Some(close)) = away.socket_next().await else { panic!("no reason") };
    assert_eq!((u16::from(close.code), close.reason.as_str()), (1011, "peer unavailable"));
    assert_eq!(act(&hub, &again, "kill").status, 502);
}

/// P14: no line of ours is longer than it takes, bursts reach it, and its link stays up.
#[test]
fn gmux_never_gets_a_line_that_breaks_its_link() {
    let spoke = Api::of(machine("desk"));
    let word = "x".repeat(100 * 1024);
    let script = "exec sleep 60";
    let large = spoke.home.ok(["session", "new", "-d", "--", "sh", "-c", script, &word, &word, &word]);
    let hub = over(&spoke, "desk");
    let many: Vec<String> = (0..20).map(|_| spoke.launch(&["true"])).collect();
    for id in &many {
        is(&hub, &format!("{id}@desk"), |session| session["alive"] == false);
    }
    let peer = hub.peer("desk");
    assert_eq!((&peer["status"], &peer["tries"]), (&json!("connected"), &json!(1)), "{large}");
}
