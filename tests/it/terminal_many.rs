//! Many sessions, and sessions that go out of their way: nothing is missing, nothing is left behind.

use serde_json::Value;

use crate::support::api::{Api, data};
use crate::support::ws::Ws;
use crate::support::{is_alive, wait_for};

fn output(api: &Api, id: &str) -> Vec<u8> {
    api.get(&format!("/v1/sessions/{id}/scrollback")).body
}

/// What session `n` puts out up to its gate, and what it puts out behind it.
fn lines(n: usize, from: usize, to: usize) -> String {
    (from..=to).fold(String::new(), |all, line| format!("{all}{n}-{line}\r\n"))
}

#[tokio::test]
async fn fifty_sessions_are_whole_after_the_daemon_was_killed() {
    let mut api = Api::start();
    let script = |n: usize| {
        let go = format!("{}/go", api.home.path().display());
        format!(
            "printf '\\033]2;title {n}\\007'; i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo {n}-$i; \
             [ $i -eq 200 ] && until [ -e {go} ]; do sleep 0.1; done; done; exit $(({n} % 7))"
        )
    };
    let ids: Vec<String> = (0..50).map(|n| api.sh(&script(n))).collect();
    for (n, id) in ids.iter().enumerate() {
        wait_for("half of its output", || {
            output(&api, id).ends_with(format!("{n}-200\r\n").as_bytes()).then_some(())
        });
    }
    api.daemon.process.kill();
    // They go on while no daemon runs.
    std::fs::write(api.home.path().join("go"), "").unwrap();
    api.again();
    for (n, id) in ids.iter().enumerate() {
        let session = api.ended(id);
        assert_eq!(
            (&session["exit_code"], &session["title"]),
            (&(n % 7).into(), &format!("title {n}").into())
        );
        let expected = format!("\x1b]2;title {n}\x07{}", lines(n, 1, 400));
        assert!(output(&api, id) == expected.as_bytes(), "{id}: {} bytes", output(&api, id).len());
    }
    assert_eq!(api.sessions().len(), 50);
    let mut ws = Ws::open(&api, &ids[49], "").await;
    let picture = String::from_utf8(ws.bytes().await).unwrap();
    assert!(picture.contains("49-1\r\n") && picture.contains("49-400"), "{picture}");
}

#[tokio::test]
async fn garbage_on_the_terminal_is_a_picture_like_any_other() {
    let api = Api::start();
    let file = api.home.path().join("garbage");
    // Every byte, in an order that a simple generator gives.
    let mut state = 0x2545_f491_u32;
    let garbage: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    })
    .take(3_000_000)
    .collect();
    std::fs::write(&file, &garbage).unwrap();
    let id =
        api.sh("stty raw -echo; cat garbage; read x; stty sane; printf '\\030\\033c\\033\\\\fine'; exec cat");
    wait_for("all of it", || (output(&api, &id) == garbage).then_some(()));
    let mut ws = Ws::open(&api, &id, "?darkmux=1").await;
    assert!(ws.bytes().await.starts_with(b"\x1b[?2026h"));
    ws.type_in("\n").await;
    ws.until("fine").await;
    let text = wait_for("a screen", || {
        let session = api.session(&id);
        let title = session["title"].as_str()?;
        (!title.chars().any(char::is_control)).then(|| title.to_owned())
    });
    assert!(text.len() < 2048, "{text:?}");
}

#[test]
fn two_hundred_grandchildren_end_with_their_session() {
    let api = Api::start();
    let script = "trap '' HUP; i=0; while [ $i -lt 200 ]; do i=$((i+1)); (trap '' HUP; echo $$; exec sleep 600) & \
                  echo $! >>pids; done; touch begun; sleep 600";
    let id = api.sh(script);
    wait_for("all of them", || api.home.path().join("begun").exists().then_some(()));
    let pids = std::fs::read_to_string(api.home.path().join("pids")).unwrap();
    let pids: Vec<i64> = pids.lines().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 200);
    assert!(is_alive(pids[0]) && is_alive(pids[199]));
    data(&api.act(&id, "kill"));
    let session: Value = api.session(&id);
    assert_eq!(session["alive"], false);
    wait_for("the last of them to go", || (!pids.iter().any(|pid| is_alive(*pid))).then_some(()));
}
