//! The terminal's WebSocket: what comes over it, whose size counts, who may do what.

use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::Message;

use crate::http_raw::Answer;
use crate::support::api::{Api, data};
use crate::support::ws::{Frame, Ws};
use crate::support::{Door, Home, PATIENCE, wait_for};

const PICTURE: &[u8] = b"\x1b[?2026h";

/// Counts slowly enough for somebody to come and go, then waits.
const COUNT: &str = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo \"n $i\"; done; echo done; exec cat";

fn raw(api: &Api, id: &str) -> Vec<u8> {
    let answer: Answer = api.get(&format!("/v1/sessions/{id}/scrollback"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.body
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().expect("a number")).unwrap()
}

/// Takes bytes up to `text` or so many; where they end, and whether the text came.
async fn take(ws: &mut Ws, most: usize, text: &[u8], all: &mut Vec<u8>) -> bool {
    let begun = all.len();
    while all.len() - begun < most {
        let Some(Frame::Bytes(bytes)) = ws.next_within(PATIENCE).await else { continue };
        all.extend(bytes);
        let from = begun.max(all.len().saturating_sub(128 * 1024));
        if memchr::memmem::find(&all[from..], text).is_some() {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn every_byte_comes_once_through_picture_detaching_and_going_on() {
    let api = Api::start();
    let id = api.sh(COUNT);
    let mut ws = Ws::open(&api, &id, "?darkmux=1&cols=80&rows=24").await;
    let Frame::Told(first) = ws.next().await else { panic!("no first word") };
    assert_eq!(
        (&first["type"], &first["snapshot"], &first["read_only"]),
        (&json!("attached"), &json!(true), &json!(false))
    );
    let begin = number(&first["at"]);
    assert!(number(&first["end"]) >= begin, "{first}");
    let Frame::Bytes(picture) = ws.next().await else { panic!("no picture") };
    assert!(picture.starts_with(PICTURE));
    let Frame::Told(size) = ws.next().await else { panic!("no size") };
    assert_eq!((&size["type"], &size["owner"]), (&json!("terminal_resize"), &json!(true)));
    let mut all = Vec::new();
    let mut seen = false;
    let mut times = 0;
    while !seen {
        seen = take(&mut ws, 9_000, b"done\r\n", &mut all).await;
        drop(ws);
        let at = begin + all.len();
        ws = Ws::open(&api, &id, &format!("?darkmux=1&from={at}")).await;
        let Frame::Told(again) = ws.next().await else { panic!("no first word") };
        assert_eq!((number(&again["at"]), &again["snapshot"]), (at, &json!(false)), "{again}");
        times += 1;
    }
    assert!(times > 1, "nobody came and went");
    ws.type_in("after\n").await;
    all.extend(ws.until("after\r\nafter\r\n").await);
    // An echo is shown before it is on the disk.
    let held = |end: usize| {
        wait_for("all of it on the disk", || Some(raw(&api, &id)).filter(|all| all.len() >= end))
    };
    let whole = held(begin + all.len());
    assert_eq!(whole.len(), begin + all.len());
    assert!(whole[begin..] == all, "other bytes than there were");

    // A picture taken now and the rest show what everything shows.
    let mut ws = Ws::open(&api, &id, "?darkmux=1").await;
    let mut terminal = vt100::Parser::new(24.try_into().unwrap(), 80.try_into().unwrap(), 0);
    terminal.process(&ws.bytes().await);
    ws.type_in("more\n").await;
    let more = ws.until("more\r\nmore\r\n").await;
    terminal.process(&more);
    let mut reference = vt100::Parser::new(24.try_into().unwrap(), 80.try_into().unwrap(), 0);
    reference.process(&held(whole.len() + more.len()));
    assert_eq!(terminal.screen().contents_formatted(), reference.screen().contents_formatted());
}

#[tokio::test]
async fn a_client_of_gmux_gets_the_frames_of_gmux() {
    let api = Api::start();
    let id = api.sh("stty -echo; echo ready; exec cat");
    wait_for("it to be ready", || (raw(&api, &id) == b"ready\r\n").then_some(()));
    let mut ws = Ws::open(&api, &id, "").await;
    let Frame::Bytes(picture) = ws.next().await else { panic!("no picture") };
    assert!(picture.starts_with(PICTURE) && picture.ends_with(b"\x1b[?2026l"), "{picture:?}");
    assert!(memchr::memmem::find(&picture, b"ready").is_some());
    let Frame::Told(size) = ws.next().await else { panic!("no size") };
    assert_eq!(size["type"], "terminal_resize");
    for (said, cols, rows) in [
        (r#"{"type":"resize","cols":90,"rows":20,"source":"cli","pixelWidth":1}"#, 90, 20),
        (r#"{"type":"resize","cols":90,"rows":20}"#, 90, 20),
        (r#"{"type":"resize","cols":100,"rows":30}"#, 100, 30),
    ] {
        ws.say(said).await;
        let told = ws.told().await;
        let expected = json!({"type": "terminal_resize", "cols": cols, "rows": rows,
            "source": "web_client", "owner": true});
        assert_eq!(told, expected, "{said}");
    }
    wait_for("the size in the session's record", || {
        let session = api.session(&id);
        (session["terminal_cols"] == 100 && session["terminal_rows"] == 30).then_some(())
    });
    // Zero is no size; what is no size is typed as it is.
    ws.say(r#"{"type":"resize","cols":0,"rows":20}"#).await;
    ws.say("{\"type\":\"other\"}\n").await;
    assert_eq!(ws.next().await, Frame::Bytes(b"{\"type\":\"other\"}\r\n".to_vec()));
    ws.type_in("typed\n").await;
    assert_eq!(ws.next().await, Frame::Bytes(b"typed\r\n".to_vec()));
    ws.type_in("\u{4}").await;
    assert_eq!(ws.end().await, (Vec::new(), Frame::Closed(Some(4000))), "no frame that gmux has not");
}

#[tokio::test]
async fn the_size_is_that_of_the_socket_that_typed_or_took_it_last() {
    let api = Api::start();
    let id = api.launch(&["cat"]);
    let size = |told: &Value| (told["cols"].as_u64(), told["rows"].as_u64(), told["owner"].as_bool());
    let of = |cols, rows, owner| (Some(cols), Some(rows), Some(owner));
    let mut first = Ws::open(&api, &id, "?cols=90&rows=20").await;
    assert_eq!(size(&first.told().await), of(90, 20, true));
    let mut second = Ws::open(&api, &id, "?cols=70&rows=12").await;
    assert_eq!(size(&second.told().await), of(90, 20, false));
    second.say(r#"{"type":"resize","cols":60,"rows":11,"claim":false}"#).await;
    assert_eq!(size(&second.told().await), of(90, 20, false), "it only says how large it is");
    second.type_in("x").await;
    assert_eq!(size(&second.told().await), of(60, 11, true));
    assert_eq!(size(&first.told().await), of(60, 11, false));
    first.say(r#"{"type":"resize","cols":95,"rows":21}"#).await;
    assert_eq!(size(&first.told().await), of(95, 21, true));
    assert_eq!(size(&second.told().await), of(95, 21, false));
    drop(first);
    // Nobody decides: the size stays, and whoever says one has it.
    assert_eq!(size(&second.told().await), of(95, 21, true));
    second.say(r#"{"type":"resize","cols":61,"rows":12,"claim":false}"#).await;
    assert_eq!(size(&second.told().await), of(61, 12, true));
}

#[tokio::test]
async fn who_may_only_watch_changes_nothing_and_is_told() {
    let door = Door::new();
    let api = Api { home: door.home, daemon: door.daemon, token: door.token };
    let id = api.launch(&["cat"]);
    let mut owner = Ws::open(&api, &id, "?darkmux=1&cols=90&rows=20").await;
    wait_for("the size of the owner", || (api.session(&id)["terminal_cols"] == 90).then_some(()));
    let watcher = format!("Authorization: Bearer {}", door.read_only);
    let own = format!("Authorization: Bearer {}", api.token);
    for (bearer, query) in [(&watcher, ""), (&own, "&read_only=1")] {
        for typed in [Message::Binary(b"evil".to_vec().into()), Message::text("evil")] {
            let path = format!("/ws/{id}?darkmux=1&cols=40&rows=10{query}");
            let mut ws = Ws::try_with(api.daemon.port, &path, &[bearer]).await.ok().unwrap();
            assert_eq!(ws.told().await["read_only"], true);
            assert_eq!(ws.told().await["cols"], 90);
            for size in [r#""cols":50,"rows":10"#, r#""cols":50,"rows":10,"claim":false"#] {
                ws.say(&format!(r#"{{"type":"resize",{size}}}"#)).await;
                let told = ws.told().await;
                assert_eq!((&told["type"], &told["cols"]), (&json!("terminal_resize"), &json!(90)));
            }
            owner.type_in("o").await;
            ws.until("o").await;
            ws.send(typed).await;
            assert_eq!(ws.end().await.1, Frame::Closed(Some(4003)));
        }
    }
    owner.type_in("wner\n").await;
    owner.until("oooowner\r\noooowner\r\n").await;
    wait_for("nothing else on the disk", || (raw(&api, &id) == b"oooowner\r\noooowner\r\n").then_some(()));
    wait_for("the size in the list", || (api.session(&id)["terminal_cols"] == 90).then_some(()));
}

#[tokio::test]
async fn a_socket_is_opened_to_those_who_may_and_to_nobody_else() {
    let door = Door::new();
    let (own, port) = (door.own(), door.daemon.port);
    let signed = door.sign_in(&door.token);
    let bearer = format!("Authorization: Bearer {}", door.token);
    let watcher = format!("Authorization: Bearer {}", door.read_only);
    let (foreign, forged) = ("Origin: http://evil.example", format!("Authorization: Bearer {:064}", 7));
    let api = Api { home: door.home, daemon: door.daemon, token: door.token };
    let id = api.launch(&["cat"]);
    let path = format!("/ws/{id}");
    let same = "Sec-Fetch-Site: same-origin";
    let cross = "Sec-Fetch-Site: cross-site";
    let cases: [(&[&str], Option<&[u16]>); 11] = [
        (&[], Some(&[401])),
        (&[&forged], Some(&[401])),
        (&["Cookie: darkmux=x"], Some(&[401])),
        (&[&signed], Some(&[401, 403])),
        (&[&signed, foreign], Some(&[401, 403])),
        (&[&signed, foreign, same], Some(&[401, 403])),
        (&[&signed, &own, cross], Some(&[401, 403])),
        // Who shows a token is no page that tricked a browser.
        (&[&bearer, foreign], None),
        (&[&signed, &own], None),
        (&[&signed, &own, same], None),
        (&[&watcher], None),
    ];
    for (headers, refused) in cases {
        let opened = Ws::try_with(port, &path, headers).await;
        match refused {
            Some(with) => assert!(opened.as_ref().is_err_and(|s| with.contains(s)), "{headers:?}"),
            None => assert!(opened.is_ok(), "{headers:?} {:?}", opened.err()),
        }
    }
    assert!(Ws::try_with(port, &path, &["Host: evil.example", &bearer]).await.is_err());
    let plain = api.get(&path);
    assert_eq!((plain.status, plain.json()["error"].is_null()), (426, false));
}

#[tokio::test]
async fn a_session_is_found_by_a_name_with_signs_in_it() {
    let api = Api::start();
    let body = json!({ "command": ["cat"], "name": "build: box" });
    let id = data(&api.post("/v1/launch", &body))["session_id"].as_str().unwrap().to_owned();
    for name in ["build%3A%20box", "build:%20box", &id[..id.len() - 1]] {
        let mut ws = Ws::open(&api, name, "").await;
        assert!(ws.bytes().await.starts_with(PICTURE), "{name}");
    }
    assert_eq!(Ws::try_open(&api, "/ws/none%40box").await.err(), Some(404));
    assert_eq!(Ws::try_open(&api, "/ws/%ff?darkmux=1").await.err(), Some(400));
    assert_eq!(Ws::try_open(&api, &format!("/ws/{id}?cols=x")).await.err(), Some(400));
}

#[tokio::test]
async fn what_is_no_frame_or_too_large_is_told_and_harms_nobody() {
    let api = Api::start();
    let id = api.launch(&["cat"]);
    let mut other = Ws::open(&api, &id, "?darkmux=1").await;
    let mut ws = Ws::open(&api, &id, "?darkmux=1").await;
    ws.send(Message::Binary(vec![b'x'; 256 * 1024 + 1].into())).await;
    assert_eq!(ws.end().await.1, Frame::Closed(Some(1009)));
    for garbage in [&[0xff_u8; 64][..], &[0x81, 0x01, b'x'], &[0x81, 0x81, 0, 0, 0, 0, 0xff]] {
        let mut ws = Ws::open(&api, &id, "?darkmux=1").await;
        ws.told().await;
        tokio::io::AsyncWriteExt::write_all(ws.socket.get_mut(), garbage).await.unwrap();
        assert_eq!(ws.end().await.1, Frame::Closed(Some(1002)), "{garbage:?}");
    }
    other.type_in("fine\n").await;
    other.until("fine\r\nfine\r\n").await;
    wait_for("nothing else on the disk", || (raw(&api, &id) == b"fine\r\nfine\r\n").then_some(()));
}

#[tokio::test]
async fn more_terminals_than_there_are_places_are_refused_until_one_is_free() {
    let api = Api::start();
    let id = api.launch(&["cat"]);
    let mut open = Vec::new();
    for _ in 0..64 {
        let mut ws = Ws::open(&api, &id, "").await;
        ws.bytes().await;
        open.push(ws);
    }
    assert_eq!(Ws::try_open(&api, &format!("/ws/{id}")).await.err(), Some(503));
    open.pop();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while Ws::try_open(&api, &format!("/ws/{id}")).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "no place becomes free");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    open[0].type_in("all\n").await;
    for ws in &mut open {
        ws.until("all\r\nall\r\n").await;
    }
}

#[tokio::test]
async fn ten_thousand_lines_are_pasted_whole() {
    let api = Api::of(Home::new());
    let id = api.sh("stty -echo; echo ready; while read line; do [ \"$line\" = end ] && break; echo \"$line\"; done >got; echo taken; exec cat");
    let mut ws = Ws::open(&api, &id, "?darkmux=1").await;
    ws.until("ready").await;
    let paste = "one of the lines that are pasted here\n".repeat(10_000);
    for piece in paste.as_bytes().chunks(200_000) {
        ws.send(Message::Binary(piece.to_vec().into())).await;
    }
    ws.type_in("end\n").await;
    ws.until("taken").await;
    assert!(std::fs::read_to_string(api.home.path().join("got")).unwrap() == paste);
}
