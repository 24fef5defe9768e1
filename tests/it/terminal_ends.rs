//! How a terminal's WebSocket ends, and clients that stand still.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::api::Api;
use crate::support::ws::{Frame, Ws};
use crate::support::{Daemon, signal};

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    memchr::memmem::find(bytes, what).is_some()
}

#[tokio::test]
async fn a_session_that_ends_while_it_is_watched_says_how() {
    let api = Api::start();
    let id = api.sh("read x; echo last words; exit 7");
    let mut ours = Ws::open(&api, &id, "?darkmux=1").await;
    let mut other = Ws::open(&api, &id, "").await;
    assert_eq!(ours.told().await["type"], "attached");
    assert_eq!(ours.told().await["type"], "terminal_resize");
    ours.type_in("\r").await;
    ours.until("last words\r\n").await;
    assert_eq!(ours.end().await, (vec![json!({"type": "exit", "exit_code": 7})], Frame::Closed(Some(4000))));
    other.until("last words\r\n").await;
    assert_eq!(other.end().await.1, Frame::Closed(Some(4000)));

    // Who comes later sees what there was.
    for query in ["?darkmux=1", "?darkmux=1&from=300"] {
        let mut late = Ws::open(&api, &id, query).await;
        let attached = late.told().await;
        assert_eq!((&attached["snapshot"], &attached["at"]), (&json!(true), &attached["end"]));
        assert!(contains(&late.bytes().await, b"last words"));
        assert_eq!(
            late.end().await,
            (vec![json!({"type": "exit", "exit_code": 7})], Frame::Closed(Some(4000)))
        );
    }
    let mut late = Ws::open(&api, &id, "").await;
    assert!(contains(&late.bytes().await, b"last words"));
    assert_eq!(late.end().await, (Vec::new(), Frame::Closed(Some(4000))));

    // Who goes on gets the rest, and no picture.
    let all = b"\r\nlast words\r\n";
    for from in [0, 3, all.len()] {
        let mut on = Ws::open(&api, &id, &format!("?darkmux=1&from={from}")).await;
        let attached = on.told().await;
        assert_eq!(
            (&attached["snapshot"], &attached["at"], &attached["end"]),
            (&json!(false), &json!(from), &json!(all.len()))
        );
        let mut rest = Vec::new();
        while let Frame::Bytes(bytes) = on.next().await {
            rest.extend(bytes);
        }
        assert_eq!(rest, &all[from..]);
        assert_eq!(on.next().await, Frame::Closed(Some(4000)));
    }
}

#[tokio::test]
async fn sessions_that_end_while_somebody_comes_always_answer() {
    let api = Api::start();
    for round in 0..12 {
        let id = api.sh(&format!("sleep 0.0{round}; echo gone-{round}; exit {round}"));
        let mut all = Vec::new();
        let mut ws = Ws::open(&api, &id, "?darkmux=1").await;
        let code = loop {
            match ws.next().await {
                Frame::Bytes(bytes) => all.extend(bytes),
                Frame::Told(told) if told["type"] == "exit" => break told["exit_code"].clone(),
                Frame::Told(_) => {}
                end => panic!("{end:?} in round {round}"),
            }
        };
        assert_eq!(code, round);
        assert_eq!(ws.next().await, Frame::Closed(Some(4000)));
        assert!(contains(&all, format!("gone-{round}").as_bytes()), "round {round}");
    }
}

#[tokio::test]
async fn no_session_no_terminal() {
    let api = Api::start();
    assert_eq!(Ws::try_open(&api, "/ws/sess-00000000").await.err(), Some(404));
    let mut ws = Ws::try_open(&api, "/ws/sess-00000000?darkmux=1").await.ok().unwrap();
    assert_eq!(ws.end().await, (Vec::new(), Frame::Closed(Some(4004))));
}

#[tokio::test]
async fn a_killed_host_ends_the_terminal_and_the_session_is_lost() {
    let api = Api::start();
    let id = api.sh("echo before; exec cat");
    let mut ws = Ws::open(&api, &id, "?darkmux=1").await;
    ws.bytes().await;
    ws.type_in("x\n").await;
    ws.until("x\r\nx\r\n").await;
    signal(api.state(&id)["host_pid"].as_i64().unwrap(), "KILL");
    assert_eq!(ws.end().await, (Vec::new(), Frame::Closed(Some(4004))));
    assert_eq!(api.ended(&id)["state"], "lost");
    let mut late = Ws::open(&api, &id, "?darkmux=1").await;
    assert!(contains(&late.bytes().await, b"before"), "what it had shown is kept");
    let exit = json!({"type": "exit", "exit_code": api.session(&id)["exit_code"]});
    assert_eq!(late.end().await, (vec![exit], Frame::Closed(Some(4000))));
}

#[tokio::test]
async fn a_daemon_that_stops_says_so_and_its_clients_go_on_with_the_next() {
    let mut api = Api::start();
    let id = api.sh("stty -echo; exec cat");
    let mut ws = Ws::open(&api, &id, "?darkmux=1").await;
    let mut at = ws.told().await["at"].as_u64().unwrap();
    ws.bytes().await;
    ws.type_in("one\n").await;
    at += ws.until("one\r\n").await.len() as u64;
    signal(api.daemon.process.pid(), "TERM");
    assert_eq!(ws.end().await, (Vec::new(), Frame::Closed(Some(1001))));
    assert!(api.daemon.process.0.wait().unwrap().success());

    // It goes on while no daemon runs.
    api.home.ok(["session", "send", &id, "two"]);
    api.daemon = Daemon::start(&api.home);
    let mut ws = Ws::open(&api, &id, &format!("?darkmux=1&from={at}")).await;
    assert_eq!(ws.told().await["snapshot"], false);
    let got = ws.until("two\r\n").await;
    api.daemon.process.kill();
    // The session's host has the socket, and sees that nobody answers for its client any more.
    assert_eq!(ws.end().await, (Vec::new(), Frame::Closed(Some(1001))));
    api.home.ok(["session", "send", &id, "three"]);
    api.daemon = Daemon::start(&api.home);
    let at = at + got.len() as u64;
    let mut ws = Ws::open(&api, &id, &format!("?darkmux=1&from={at}")).await;
    let rest = ws.until("three\r\n").await;
    let whole = api.get(&format!("/v1/sessions/{id}/scrollback")).body;
    assert!(whole.ends_with(&[got, rest].concat()), "{:?}", String::from_utf8_lossy(&whole));
}

#[tokio::test]
async fn a_new_token_ends_the_terminals_of_the_old_one() {
    let api = Api::start();
    let id = api.launch(&["cat"]);
    let mut ws = Ws::open(&api, &id, "?darkmux=1").await;
    ws.bytes().await;
    api.home.ok(["auth", "rotate"]);
    assert_eq!(ws.end().await.1, Frame::Closed(Some(4001)));
    assert_eq!(Ws::try_open(&api, &format!("/ws/{id}")).await.err(), Some(401));
}

/// An upgraded connection whose client never answers anything.
async fn deaf(api: &Api, id: &str) -> TcpStream {
    let (port, token) = (api.daemon.port, &api.token);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!(
        "GET /ws/{id}?darkmux=1 HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_quiet_terminal_stays_open_and_one_that_answers_nothing_does_not() {
    let api = Api::start();
    let id = api.launch(&["cat"]);
    let mut quiet = Ws::open(&api, &id, "?darkmux=1").await;
    let begun = Instant::now();
    let mut deaf = deaf(&api, &id).await;
    let mut heard = Vec::new();
    let ends = tokio::time::timeout(Duration::from_mins(1), deaf.read_to_end(&mut heard));
    let reads = async {
        // Longer than a connection may be idle; reading answers the pings.
        while let Some(frame) =
            quiet.next_within(Duration::from_secs(66).saturating_sub(begun.elapsed())).await
        {
            assert!(matches!(frame, Frame::Told(_) | Frame::Bytes(_)), "{frame:?}");
        }
        assert!(begun.elapsed() >= Duration::from_secs(66));
    };
    let (ended, ()) = tokio::join!(
        async {
            let ended = ends.await;
            (ended, begun.elapsed())
        },
        reads
    );
    ended.0.expect("it is cut").unwrap();
    assert!(ended.1 >= Duration::from_secs(29), "{:?}", ended.1);
    assert!(contains(&heard, &[0x89, 0]), "it was asked first");
    assert!(contains(&heard, &[&4008_u16.to_be_bytes()[..], b"too slow"].concat()));
    quiet.type_in("still\n").await;
    quiet.until("still\r\nstill\r\n").await;
}
