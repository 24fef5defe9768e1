//! A hub of darkmux over daemons of gmux 1.6. The names in brackets are those of the scenarios in the notes on its wire.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::Message;

use crate::support::api::{Api, data, refusal};
use crate::support::gmuxd::Gmuxd;
use crate::support::hub::{PeerLine, hub, set_peers};
use crate::support::wait_for;
use crate::support::ws::{Frame, Ws};

fn line(name: &str, spoke: &Gmuxd) -> PeerLine {
    PeerLine { token: Some(spoke.token().to_owned()), ..PeerLine::at(name, spoke.url()) }
}

/// A hub over one daemon of gmux.
fn pair() -> (Api, Gmuxd) {
    let spoke = Gmuxd::start("vm");
    let hub = hub("hub", &[line("old", &spoke)]);
    hub.peer_is("old", "connected");
    (hub, spoke)
}

/// Waits until the hub has this session, and it is so.
fn is(api: &Api, id: &str, what: impl Fn(&Value) -> bool) -> Value {
    wait_for(&format!("{id} to be so"), || {
        let answer = api.get(&format!("/v1/sessions/{id}"));
        (answer.status == 200).then(|| data(&answer)).filter(|session| what(session))
    })
}

/// P1, P7, P9, P6: what it told is shown as it told it, stays while it is away, and ends that nobody heard of are found.
#[test]
fn sessions_of_gmux_are_shown_kept_and_found_again() {
    let mut spoke = Gmuxd::start("vm");
    let (stays, goes) = (spoke.run("claude", &["claude"]), spoke.run("shell", &["bash", "--norc"]));
    let hub = hub("hub", &[PeerLine { token: Some("ab".repeat(32)), ..line("old", &spoke) }]);
    hub.peer_says("old", "authentication failed");
    set_peers(&hub.home, &[line("old", &spoke)]);
    let (stays_here, goes_here) = (format!("{stays}@old"), format!("{goes}@old"));
    hub.shows(&[&stays_here, &goes_here]);
    let (theirs, ours) = (spoke.session(&stays), hub.session(&stays_here));
    for key in ["title", "kind", "slug", "status", "alive", "command", "cwd", "created_at", "terminal_cols"] {
        assert_eq!(ours[key], theirs[key], "{key}");
    }
    assert_eq!((&ours["peer"], ours.get("socket_path"), ours.get("node_id")), (&json!("old"), None, None));
    let peer = hub.peer_is("old", "connected");
    assert_eq!((&peer["version"], &peer["launchers"][0]["id"]), (&json!("1.6.0"), &json!("shell")));

    spoke.stop();
    hub.peer_says("old", "connection refused");
    assert!(hub.session(&stays_here)["disconnected_since"].is_string());
    assert_eq!(hub.session(&goes_here)["alive"], true, "as it was told last");
    spoke.exits(&stays, 7);
    spoke.forgets(&goes);
    spoke.again();
    hub.shows(&[&stays_here]);
    let ended = is(&hub, &stays_here, |session| session["alive"] == false);
    assert_eq!((&ended["exit_code"], ended.get("disconnected_since")), (&json!(7), None));
}

/// P2, P3: launch, kill, resume, restart, read, dismiss; refusals come through as they are.
#[test]
fn sessions_of_gmux_are_launched_and_ended_through_the_hub() {
    let (hub, spoke) = pair();
    let launched = data(&hub.post("/v1/launch", &json!({ "peer": "old", "command": ["cat"], "cwd": "~/x" })));
    assert!(launched["pid"].is_u64(), "{launched}");
    let own = wait_for("the session there", || spoke.ids().first().cloned());
    let id = format!("{own}@old");
    is(&hub, &id, |session| session["alive"] == true);
    let launch = |body: Value| refusal(&hub.post("/v1/launch", &body));
    assert_eq!(launch(json!({ "peer": "old", "launcher_id": "none" })).0, 400);
    assert_eq!(launch(json!({ "peer": "none" })), (400, "unknown_peer".to_owned()));
    assert_eq!(refusal(&hub.act(&id, "resume")), (400, "not_resumable".to_owned()));
    data(&hub.act(&id, "kill"));
    is(&hub, &id, |session| session["alive"] == false && session["exit_code"] == -1);
    assert_eq!(data(&hub.act(&id, "resume"))["session_id"], id.as_str());
    is(&hub, &id, |session| session["alive"] == true && session.get("exit_code").is_none());
    assert_eq!(data(&hub.act(&id, "restart"))["session_id"], id.as_str());
    spoke.change(&own, |session| session["unread"] = true.into());
    is(&hub, &id, |session| session["unread"] == true);
    data(&hub.act(&id, "read"));
    is(&hub, &id, |session| session["unread"] == false);
    data(&hub.act(&id, "dismiss"));
    hub.shows(&[]);
    assert_eq!(refusal(&hub.act(&id, "dismiss")), (404, "not_found".to_owned()));
}

/// P4, P17: a picture of nearly 4 MiB first, bytes both ways, sizes answered, text typed, two viewers, the end.
#[tokio::test]
async fn terminals_of_gmux_work_through_the_hub() {
    let (hub, spoke) = pair();
    let own = spoke.run("shell", &["bash"]);
    spoke.prints(&own, &vec![b'p'; 3_900 * 1024]);
    let id = format!("{own}@old");
    is(&hub, &id, |session| session["alive"] == true);
    let mut ws = Ws::open(&hub, &id, "").await;
    let Frame::Bytes(picture) = ws.next().await else { panic!("no picture first") };
    assert!(picture.len() > 3_900 * 1024 && picture.starts_with(b"\x1b[?2026h"), "{}", picture.len());
    ws.type_in("typed\r").await;
    ws.until("typed\r\n").await;
    ws.say("as text").await;
    ws.until("as text").await;
    let mut other = Ws::open(&hub, &id, "").await;
    other.bytes().await;
    ws.say(r#"{"type":"resize","cols":101,"rows":33}"#).await;
    for viewer in [&mut ws, &mut other] {
        let told = viewer.told().await;
        assert_eq!(
            (&told["type"], &told["cols"], &told["rows"]),
            (&json!("terminal_resize"), &json!(101), &json!(33))
        );
    }
    is(&hub, &id, |session| session["terminal_cols"] == 101);
    other.type_in("for both").await;
    ws.until("for both").await;
    drop(other);
    spoke.exits(&own, 0);
    assert!(matches!(ws.end().await.1, Frame::Cut | Frame::Closed(_)));
    is(&hub, &id, |session| session["alive"] == false);
    assert!(matches!(Ws::try_open(&hub, "/ws/sess-ffffffff@old").await.err(), Some(404)));
}

/// What gmux has no path for works by the terminal, and what it never says is gone can be put away.
#[test]
fn what_gmux_cannot_do_is_done_all_the_same() {
    let (hub, spoke) = pair();
    let own = spoke.run("shell", &["bash"]);
    let id = format!("{own}@old");
    is(&hub, &id, |session| session["alive"] == true);
    data(&hub.type_in(&id, "?submit=1", b"typed by hand"));
    let shown = || hub.get(&format!("/v1/sessions/{id}/scrollback")).body.clone();
    wait_for("what was typed", || {
        String::from_utf8_lossy(&shown()).contains("typed by hand\r\n").then_some(())
    });
    assert!(spoke.asked().iter().any(|asked| asked.contains("/input?submit=1")), "a newer one has a path");
    let ended = spoke.run("shell", &["bash"]);
    spoke.exits(&ended, 0);
    is(&hub, &format!("{ended}@old"), |session| session["alive"] == false);
    let (status, _) = refusal(&hub.type_in(&format!("{ended}@old"), "", b"x"));
    assert_eq!(status, 502);
    assert_eq!(refusal(&hub.type_in("sess-ffffffff@old", "", b"x")).0, 404);

    // What does not fit is lost, so nobody is told; its list would tell, and the next one is read in a minute.
    wait_for("its list to be read", || {
        spoke.asked().iter().any(|asked| asked == "GET /v1/sessions?").then_some(())
    });
    spoke.hold(true);
    for number in 0..100 {
        spoke.change(&own, |session| session["title"] = json!(number));
    }
    spoke.forgets(&ended);
    data(&hub.act(&format!("{ended}@old"), "dismiss"));
    assert_eq!(hub.ids(), [id]);
    spoke.hold(false);
    assert_eq!(refusal(&hub.act("sess-ffffffff@old", "dismiss")).0, 404, "it was never shown");
}

/// P5: output, pasted files, and waits with the time that was asked for.
#[test]
fn queries_and_large_bodies_reach_gmux() {
    let (hub, spoke) = pair();
    let (own, shell) = (spoke.run("claude", &["claude"]), spoke.run("shell", &["bash"]));
    let (id, shell) = (format!("{own}@old"), format!("{shell}@old"));
    spoke.change(&own, |session| session["status"] = json!({ "label": "busy", "working": true }));
    spoke.prints(&own, b"output");
    is(&hub, &id, |session| session["status"]["working"] == true);
    is(&hub, &shell, |_| true);
    assert_eq!(hub.get(&format!("/v1/sessions/{id}/scrollback")).text(), "output");
    let path = format!("/v1/sessions/{id}/clipboard");
    let pasted = data(&hub.ask("POST", &path, Some("image/png"), &vec![7; 10 * 1024 * 1024]));
    assert_eq!(pasted["path"], "/tmp/paste-10485760.bin");
    let began = Instant::now();
    assert_eq!(refusal(&hub.act(&id, "wait?timeout=1")), (408, "timeout".to_owned()));
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert!(
        spoke.asked().contains(&format!("POST /v1/sessions/{own}/wait?timeout=1")),
        "{:?}",
        spoke.asked()
    );
    assert_eq!(refusal(&hub.act(&shell, "wait?timeout=1")), (422, "no_idle_signal".to_owned()));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| data(&hub.act(&id, "wait?timeout=60")));
        wait_for("the question", || {
            spoke.asked().contains(&format!("POST /v1/sessions/{own}/wait?timeout=60")).then_some(())
        });
        spoke.change(&own, |session| session["status"] = json!({ "label": "done", "working": false }));
        assert_eq!(waiting.join().unwrap()["reason"], "idle");
    });
}

/// P10: hub, a server of gmux, its container: one machine is taken from the end at each hop.
#[tokio::test]
async fn a_chain_through_gmux_works() {
    let (dev, server) = (Gmuxd::start("devbox"), Gmuxd::start("srv"));
    let own = dev.run("shell", &["bash"]);
    server.add_peer("dev", &dev.url(), dev.token(), true);
    server.shows(&[&format!("{own}@dev")]);
    let hub = hub("hub", &[line("server", &server)]);
    let id = format!("{own}@dev@server");
    hub.shows(&[&id]);
    let mut ws = Ws::open(&hub, &id, "").await;
    ws.bytes().await;
    ws.type_in("deep").await;
    ws.until("deep").await;
    data(&hub.act(&id, "kill"));
    is(&hub, &id, |session| session["alive"] == false);
    data(&hub.act(&id, "resume"));
    is(&hub, &id, |session| session["alive"] == true);
    // The end of the middle, in the middle of it.
    let mut ws = Ws::open(&hub, &id, "").await;
    ws.bytes().await;
    dev.stop();
    wait_for("the link to be down", || (server.peer("dev")["status"] != "connected").then_some(()));
    let answer = hub.act(&id, "kill");
    assert_eq!((answer.status, answer.text().contains("peer unavailable")), (502, true), "{}", answer.text());
    let mut away = Ws::open(&hub, &id, "").await;
    let Message::Close(Some(close)) = away.socket_next().await else { panic!("no reason") };
    assert_eq!((u16::from(close.code), close.reason.contains("peer unavailable")), (1011, true), "{close:?}");
    assert_eq!(refusal(&hub.act(&format!("{own}@none@server"), "kill")), (404, "not_found".to_owned()));
}

/// P11, P12: mutual peers show each session once, though gmux lists those of all its peers; changes come at once.
#[test]
fn mutual_peers_of_both_kinds_show_nothing_twice() {
    let (hub, spoke) = pair();
    let theirs = spoke.run("shell", &["bash"]);
    let ours = hub.launch(&["cat"]);
    spoke.add_peer("new", &hub.daemon.url(""), &hub.token, false);
    spoke.shows(&[&theirs, &format!("{ours}@new")]);
    let id = format!("{theirs}@old");
    hub.shows(&[&id, &ours]);
    wait_for("the list to be read", || spoke.asked().contains(&"GET /v1/sessions?".to_owned()).then_some(()));
    // Another connection, with everything known on both sides: its list names our own session.
    set_peers(&hub.home, &[]);
    hub.shows(&[&ours]);
    let lists = || spoke.asked().iter().filter(|line| *line == "GET /v1/sessions?").count();
    let before = lists();
    set_peers(&hub.home, &[line("old", &spoke)]);
    wait_for("the list to be read again", || (lists() > before).then_some(()));
    let mut stream = hub.events_with("?scope=all", &[]);
    spoke.change(&theirs, |session| session["title"] = "another".into());
    wait_for("the change", || {
        stream.fill();
        stream
            .take()
            .iter()
            .any(|event| event.data.contains("another") && event.data.contains(&id))
            .then_some(())
    });
    hub.shows(&[&id, &ours]);
    spoke.shows(&[&theirs, &format!("{ours}@new")]);
}

/// P14, P18: what does not fit into its queue is found in its list; large sessions and equal slugs break no link.
#[test]
fn what_gmux_loses_is_found_and_nothing_breaks_the_link() {
    let spoke = Gmuxd::start("vm");
    let first = spoke.run("shell", &["bash"]);
    let hub = hub("hub", &[line("old", &spoke)]);
    wait_for("the hub to listen", || (spoke.listeners() == 1).then_some(()));
    spoke.hold(true);
    let mut expected: Vec<String> =
        (0..300).map(|_| format!("{}@old", spoke.run("shell", &["bash"]))).collect();
    spoke.forgets(&first);
    spoke.hold(false);
    let last = expected.last().unwrap().clone();
    spoke.change(last.trim_end_matches("@old"), |session| session["slug"] = "same".into());
    let dead = expected[0].clone();
    spoke.change(dead.trim_end_matches("@old"), |session| session["slug"] = "same".into());
    spoke.exits(dead.trim_end_matches("@old"), 3);
    // Read again each minute; the link was up for less, so the first list has it all or the second does.
    let by = Instant::now() + Duration::from_secs(75);
    expected.sort();
    while hub.ids() != expected {
        assert!(Instant::now() < by, "{} of {}", hub.ids().len(), expected.len());
        std::thread::sleep(Duration::from_millis(50));
    }
    let ended = is(&hub, &dead, |session| session["alive"] == false);
    assert_eq!((&ended["slug"], &ended["exit_code"]), (&json!("same"), &json!(3)));
    let before = spoke.asked().iter().filter(|line| line.contains("/v1/events")).count();
    let large = spoke.run("shell", &["bash", &"x".repeat(300 * 1024)]);
    let mark = spoke.run("shell", &["mark"]);
    is(&hub, &format!("{mark}@old"), |_| true);
    assert_eq!(hub.peer_is("old", "connected")["dropped"], 1, "{large} is too large to be kept, and counted");
    assert_eq!(spoke.asked().iter().filter(|line| line.contains("/v1/events")).count(), before);
}
