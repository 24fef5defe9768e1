//! Terminals of other machines through the hub: the same frames, both ways, and an end that says why.

use std::time::Duration;

use serde_json::json;
use tungstenite::Message;
use tungstenite::protocol::CloseFrame;

use crate::support::api::{Api, data};
use crate::support::hub::{PeerLine, hub, machine};
use crate::support::ws::{Frame, Ws};
use crate::support::{PATIENCE, wait_for};

/// What a picture begins with.
const PICTURE: &[u8] = b"\x1b[?2026h";

/// A hub that reaches `desk` by `server`, and a session there.
fn chain(command: &str) -> (Api, Api, Api, String) {
    let dev = Api::of(machine("devbox"));
    let id = dev.sh(command);
    let server = hub("srv", &[PeerLine::of("dev", &dev)]);
    server.shows(&[&format!("{id}@dev")]);
    let hub = hub("hub", &[PeerLine::of("server", &server)]);
    let id = format!("{id}@dev@server");
    hub.shows(&[&id]);
    (hub, server, dev, id)
}

/// P4, P10: a picture first, bytes both ways, sizes answered, text typed; two viewers.
#[tokio::test]
async fn a_terminal_works_through_two_machines() {
    let (hub, _server, _dev, id) = chain("echo ready; exec cat");
    let mut ws = Ws::open(&hub, &id, "?darkmux=1&cols=90&rows=30").await;
    let Frame::Told(first) = ws.next().await else { panic!("no first word") };
    assert_eq!((&first["type"], &first["snapshot"]), (&json!("attached"), &json!(true)));
    let Frame::Bytes(picture) = ws.next().await else { panic!("no picture") };
    assert!(picture.starts_with(PICTURE));
    ws.type_in("typed by one\r").await;
    ws.until("typed by one").await;
    ws.say("as text\r").await;
    ws.until("as text").await;
    ws.say(r#"{"type":"resize","cols":101,"rows":33}"#).await;
    while ws.told().await["cols"] != 101 {}
    // A client of gmux, without our frames and with its `@` encoded.
    let mut other = Ws::open(&hub, &id.replace('@', "%40"), "").await;
    let Frame::Bytes(picture) = other.next().await else { panic!("no picture first") };
    assert!(picture.starts_with(PICTURE));
    ws.type_in("for both\r").await;
    other.until("for both").await;
    ws.send(Message::Close(Some(CloseFrame { code: 1000.into(), reason: "bye".into() }))).await;
    assert!(matches!(ws.end().await.1, Frame::Closed(Some(1000)) | Frame::Cut));
    other.type_in("alone\r").await;
    other.until("alone").await;
}

/// P4: a large picture goes through in one frame, and a client that goes on where it was gets every byte once.
#[tokio::test]
async fn a_large_picture_and_a_long_output_come_whole() {
    let long = "x".repeat(150);
    let (hub, _server, dev, id) = chain(&format!(
        "i=0; while [ $i -lt 9000 ]; do i=$((i+1)); echo \"{long} $i\"; done; echo done; exec cat"
    ));
    let own = id.split('@').next().unwrap().to_owned();
    let own = own.as_str();
    wait_for("its output", || {
        dev.get(&format!("/v1/sessions/{own}/scrollback")).text().contains("\ndone").then_some(())
    });
    let mut ws = Ws::open(&hub, &id, "?darkmux=1&cols=180&rows=50").await;
    let first = ws.told().await;
    let Frame::Bytes(picture) = ws.next().await else { panic!("no picture") };
    assert!(picture.len() > 512 * 1024 && picture.starts_with(PICTURE), "{}", picture.len());
    drop(ws);
    let whole = dev.get(&format!("/v1/sessions/{own}/scrollback")).body;
    let from = first["at"].as_u64().unwrap() - 300_000;
    let mut ws = Ws::open(&hub, &id, &format!("?darkmux=1&from={from}")).await;
    assert_eq!(ws.told().await["at"], from);
    let mut all = Vec::new();
    while all.len() < 300_000 {
        all.extend(ws.bytes().await);
    }
    assert_eq!(all, whole[usize::try_from(from).unwrap()..]);
}

/// P17: the end of the program comes through with its code; so do other ends.
#[tokio::test]
async fn an_end_is_told_with_its_code() {
    let (hub, server, dev, id) = chain("read line; exit 9");
    let mut ws = Ws::open(&hub, &id, "?darkmux=1").await;
    ws.type_in("\r").await;
    let (told, end) = ws.end().await;
    assert_eq!(told.last().unwrap()["exit_code"], 9);
    assert_eq!(end, Frame::Closed(Some(4000)));
    wait_for("the end in the list", || (hub.session(&id)["alive"] == false).then_some(()));
    // No such session: as at home.
    let none = "sess-00000000@dev@server";
    assert_eq!(Ws::open(&hub, none, "?darkmux=1").await.end().await.1, Frame::Closed(Some(4004)));
    assert_eq!(Ws::try_open(&hub, &format!("/ws/{none}")).await.err(), Some(404));

    let cat = format!("{}@dev@server", dev.launch(&["cat"]));
    let mut open = Ws::open(&hub, &cat, "?darkmux=1").await;
    open.bytes().await;
    // The machine in between is gone: the client can come back, and is told why it can't.
    drop(server);
    assert!(matches!(open.end().await.1, Frame::Cut | Frame::Closed(Some(1001))));
    for query in ["", "?darkmux=1"] {
        let mut away = Ws::open(&hub, &cat, query).await;
        match away.socket_next().await {
            Message::Close(Some(close)) => {
                assert_eq!(u16::from(close.code), 1011);
                assert_eq!(close.reason.as_str(), "peer unavailable: server: connection refused");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Who may only watch types nothing on another machine.
#[tokio::test]
async fn a_watcher_only_watches() {
    let (hub, _server, _dev, id) = chain("exec cat");
    let token = hub.home.ok(["auth", "new", "--read-only", "watcher"]).trim().to_owned();
    let mut typist = Ws::open(&hub, &id, "?darkmux=1").await;
    typist.bytes().await;
    let watcher = Api { token, ..hub };
    let mut ws = Ws::open(&watcher, &id, "?darkmux=1&read_only=0").await;
    assert_eq!(ws.told().await["read_only"], true);
    ws.say(r#"{"type":"resize","cols":33,"rows":11}"#).await;
    typist.type_in("seen\r").await;
    ws.until("seen").await;
    ws.type_in("not\r").await;
    assert_eq!(ws.end().await.1, Frame::Closed(Some(4003)));
    typist.type_in("end\r").await;
    let seen = typist.until("end").await;
    assert!(!String::from_utf8_lossy(&seen).contains("not"));
}

/// A viewer that takes nothing delays neither the session nor another viewer; nothing is heaped up for it.
#[tokio::test]
async fn a_viewer_that_takes_nothing_delays_nobody() {
    let (hub, _server, _dev, id) =
        chain("read line; yes 0123456789abcdef | head -c 40000000; echo; echo over; exec cat");
    let mut stuck = Ws::open(&hub, &id, "").await;
    stuck.bytes().await;
    let mut quick = Ws::open(&hub, &id, "?darkmux=1").await;
    quick.bytes().await;
    quick.type_in("\r").await;
    let wait = PATIENCE + Duration::from_secs(20);
    quick.until_within("over", wait).await;
    data(&hub.act(&id, "kill"));
    let (_, end) = quick.end().await;
    assert_eq!(end, Frame::Closed(Some(4000)));
}
