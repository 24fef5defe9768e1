//! Peers that lie, flood, or say nothing: contained and named, and nobody else notices.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::api::{Api, data};
use crate::support::hub::{PeerLine, hub, machine};
use crate::support::spoke::{Answer, Spoke, answer, health, session, upsert};
use crate::support::wait_for;

const NODE: &str = "node-of-the-spoke";

fn at(name: &str, spoke: &Spoke) -> PeerLine {
    PeerLine::at(name, spoke.url())
}

/// Ids that are none, sessions of others, other shapes and sizes are left out; the good ones are shown.
#[test]
fn lies_are_left_out_and_counted() {
    let honest = Api::of(machine("honest"));
    let id = honest.launch(&["sleep", "60"]);
    let honest_node = data(&honest.get("/v1/health"))["node_id"].clone();
    let spoke = Spoke::of(NODE, &[session("good")]);
    let hub = hub("hub", &[PeerLine::of("honest", &honest), at("liar", &spoke)]);
    let shown = format!("{id}@honest");
    hub.shows(&[&shown, "good@liar"]);
    for bad in ["a/b", "..", "a\u{1b}[2J", "x@", "x@Y", "@", &"x".repeat(200)] {
        spoke.say(&upsert(bad, &session("x")));
    }
    spoke.say(&upsert("shape", &json!({ "alive": "yes" })));
    spoke.say("event: session-upsert\ndata: {]\n\n");
    spoke.say(&upsert("big", &json!({ "alive": true, "title": "x".repeat(100_000) })));
    // Sessions of another machine: by its id, by its name, and as that machine's own, further away.
    spoke.say(&format!("event: session-remove\ndata: {}\n\n", json!({ "id": shown })));
    let mut lie = session(&id);
    lie["node_path"] = json!([honest_node]);
    lie["title"] = "a lie".into();
    spoke.say(&upsert(&format!("{id}@honest"), &lie));
    spoke.say(&upsert("last", &session("last")));
    hub.shows(&[&shown, "good@liar", "last@liar"]);
    assert_ne!(hub.session(&shown)["title"], "a lie");
    let peer = hub.peer("liar");
    assert_eq!((&peer["dropped"], &peer["status"]), (&json!(10), &json!("connected")));
    assert!(peer["last_error"].as_str().unwrap().contains("left out"), "{peer}");
    // Also while the honest one is away, its place is not taken.
    let mut honest = honest;
    honest.daemon.process.kill();
    hub.peer_is("honest", "disconnected");
    spoke.say(&upsert(&format!("{id}@honest"), &{
        lie["title"] = "another lie".into();
        lie
    }));
    spoke.say(&upsert("mark", &session("mark")));
    hub.shows(&[&shown, "good@liar", "last@liar", "mark@liar"]);
}

/// Ten thousand sessions, events of many MiB and a flood of changes: bounded, said, and the hub answers.
#[test]
fn floods_are_bounded() {
    let many: Vec<Value> = (0..10_000).map(|number| session(&format!("s{number}"))).collect();
    let (crowd, flood, endless) =
        (Spoke::of(NODE, &many), Spoke::of("node-of-the-flood", &[]), Spoke::start());
    let line = upsert("x", &session("x")).repeat(100);
    let event = [b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", line.as_bytes()].concat();
    flood.on("/v1/events", Answer::Endless(event));
    endless.on("/v1/events", Answer::Endless(b"HTTP/1.1 200 OK\r\nX: ".repeat(500)));
    let good = Api::of(machine("good"));
    let id = format!("{}@good", good.launch(&["sleep", "60"]));
    let lines =
        [at("crowd", &crowd), at("flood", &flood), at("endless", &endless), PeerLine::of("good", &good)];
    let hub = hub("hub", &lines);
    let peer = hub.peer_says("crowd", "more than 4096 sessions");
    assert_eq!(peer["sessions"], 4096);
    wait_for("the good one", || hub.ids().contains(&id).then_some(()));
    assert!(hub.ids().contains(&"x@flood".to_owned()));
    wait_for("a word about the endless head", || {
        hub.peer("endless")["last_error"].as_str().map(str::to_owned)
    });
    let asked = Instant::now();
    assert_eq!(hub.get("/v1/health").status, 200);
    assert!(asked.elapsed() < Duration::from_secs(5));
    let pid = hub.daemon.process.pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let rss = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().split(' ').next()?.parse::<u64>().ok());
    assert!(rss.is_none_or(|kib| kib < 160 * 1024), "{rss:?} KiB");
}

/// P13: a spoke without a head, one whose health hangs, one that answers otherwise: each has its words.
#[test]
fn every_failure_has_its_words() {
    let hangs = Spoke::of(NODE, &[session("x")]);
    hangs.on("/v1/health", Answer::Mute);
    let (mute, page, moved, closed) = (Spoke::start(), Spoke::start(), Spoke::start(), Spoke::start());
    mute.on("/v1/events", Answer::Mute);
    page.on("/v1/events", Answer::Bytes(answer(&json!({}))));
    moved.on(
        "/v1/events",
        Answer::Bytes(
            b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n".to_vec(),
        ),
    );
    closed.on("/v1/events", Answer::Bytes(Vec::new()));
    let free = crate::support::free_port();
    let lines = [
        at("hangs", &hangs),
        at("mute", &mute),
        at("page", &page),
        at("moved", &moved),
        at("closed", &closed),
        PeerLine::at("none", format!("http://127.0.0.1:{free}")),
        PeerLine::at("nowhere", "http://no-such-name.invalid".to_owned()),
        PeerLine::at("metadata", "http://169.254.169.254".to_owned()),
        PeerLine::at("missing", Spoke::start().url()),
    ];
    let hub = hub("hub", &lines);
    for (name, says) in [
        ("page", "no events"),
        ("moved", "sends elsewhere"),
        ("closed", "connection lost"),
        ("none", "connection refused"),
        ("nowhere", "host not found"),
        ("metadata", "metadata service"),
        ("missing", "404"),
    ] {
        let peer = hub.peer_says(name, says);
        assert_eq!(peer["status"], "disconnected");
    }
    assert_eq!(hub.peer("mute")["status"], "connecting");
    // Its sessions are shown all the same, when its time is over.
    hub.shows(&["x@hangs"]);
}

/// P14, P18, against a daemon of gmux: no end of the first part, large lines, and events that it lost.
#[test]
fn what_gmux_does_not_tell_is_found_in_its_list() {
    let gmux = Spoke::start();
    let body = json!({ "data": { "service": "gmuxd", "version": "1.6.0", "node_id": "node-local", "hostname": "vm" }, "ok": true });
    gmux.on("/v1/health", Answer::Bytes(answer(&body)));
    let mut ended = session("two");
    (ended["alive"], ended["slug"]) = (false.into(), "one".into());
    let mut container = session("three@box");
    container["peer"] = "box".into();
    let mut large = session("large");
    large["command"] = json!(["x".repeat(50_000)]);
    let told: String = [session("one"), session("ghost"), container.clone(), large.clone()]
        .iter()
        .map(|session| upsert(session["id"].as_str().unwrap(), session))
        .collect();
    gmux.on("/v1/events", Answer::Stream(told.into_bytes()));
    let mut network = session("far@net");
    network["peer"] = "net".into();
    let list = json!({ "data": [session("one"), ended, container, large, network], "ok": true });
    gmux.on("/v1/sessions", Answer::Bytes(answer(&list)));
    let hub = hub("hub", &[at("old", &gmux)]);
    // Two sessions may have one slug; a ghost goes; what the list alone has of its own comes.
    hub.shows(&["one@old", "two@old", "three@box@old", "large@old"]);
    assert_eq!(hub.session("two@old")["alive"], false);
    let asked = gmux.asked();
    let events = asked.iter().find(|asked| asked.line.contains("/v1/events")).unwrap();
    assert!(events.headers.contains_key("darkmux-via") && !events.headers.contains_key("authorization"));
}

/// The pauses between tries grow; somebody who looks makes them short.
#[test]
fn tries_are_further_apart_each_time_and_at_once_when_somebody_looks() {
    let spoke = Spoke::start();
    let hub = hub("hub", &[at("desk", &spoke)]);
    let tries = || spoke.asked().iter().filter(|asked| asked.line.contains("/v1/events")).count();
    wait_for("three tries", || (tries() >= 3).then_some(()));
    // The next pause is at least two seconds long.
    spoke.on("/v1/health", Answer::Bytes(health(NODE)));
    spoke.on("/v1/events", Answer::Stream(upsert("x", &session("x")).into_bytes()));
    let looked = Instant::now();
    let _stream = hub.events_with("", &[]);
    hub.peer_is("desk", "connected");
    assert!(looked.elapsed() < Duration::from_secs(2), "{:?}", looked.elapsed());
    hub.shows(&["x@desk"]);
    // Resumed after a cut by the id of the last event.
    spoke.say(&format!("id: e-1\n{}", upsert("y", &session("y"))));
    hub.shows(&["x@desk", "y@desk"]);
    spoke.hang_up();
    wait_for("the next try", || {
        let asked = spoke.asked();
        let last = asked.iter().rfind(|asked| asked.line.contains("/v1/events"))?;
        (last.headers.get("last-event-id").map(String::as_str) == Some("e-1")).then_some(())
    });
}
