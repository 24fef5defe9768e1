//! More output than anybody reads. These tests keep every core busy: `tests/run` runs them one at a time.

use std::time::{Duration, Instant};

use crate::support::api::Api;
use crate::support::ws::{Frame, Ws};
use crate::support::{Home, PATIENCE, wait_for};

/// Memory of a process that is its own or read from files, in KiB.
#[cfg(target_os = "linux")]
fn memory(pid: i64) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Linux only: what the processes take is read from /proc.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_that_reads_nothing_slows_nobody_and_goes_on_later() {
    let api = Api::start();
    let id = api.sh("read x; exec yes");
    let host = api.state(&id)["host_pid"].as_i64().unwrap();
    let mut stalled = Ws::open(&api, &id, "?darkmux=1").await;
    let mut at = stalled.told().await["at"].as_u64().unwrap();
    stalled.bytes().await;
    let mut alone = Ws::open(&api, &id, "?darkmux=1").await;
    alone.bytes().await;
    alone.type_in("\r").await;
    let daemon = api.daemon.process.pid();
    let before = (memory(host), memory(daemon));
    let mut bytes = 0;
    let mut longest = Duration::ZERO;
    let begun = Instant::now();
    // Longer than one that takes nothing is waited for.
    while bytes < 10_000_000 || begun.elapsed() < Duration::from_secs(25) {
        assert!(begun.elapsed() < Duration::from_secs(80), "{bytes} bytes");
        let asked = Instant::now();
        bytes += alone.bytes().await.len();
        longest = longest.max(asked.elapsed());
    }
    assert!(longest < Duration::from_secs(5), "{longest:?} without output");
    let after = (memory(host), memory(daemon));
    // Scrollback and model of a host have bounds of their own; the daemon keeps nothing.
    assert!(after.0 < before.0 + 24 * 1024, "host: {} KiB, {} before", after.0, before.0);
    assert!(after.1 < before.1 + 16 * 1024, "daemon: {} KiB, {} before", after.1, before.1);

    // The one that stood still finds what was sent to it, and goes on after that.
    loop {
        match stalled.next_within(PATIENCE).await.expect("what was on its way") {
            Frame::Bytes(bytes) => at += bytes.len() as u64,
            Frame::Told(_) => {}
            Frame::Closed(code) => break assert_eq!(code, Some(4008)),
            Frame::Cut => panic!("it is not told why"),
        }
    }
    let mut again = Ws::open(&api, &id, &format!("?darkmux=1&from={at}")).await;
    let attached = again.told().await;
    assert!(attached["snapshot"] == true || attached["at"] == at, "{attached}");
    again.until("y\r\ny\r\n").await;
    drop((alone, again));
    wait_for("it to be killed", || (api.act(&id, "kill").status == 200).then_some(()));
}

/// Bytes that a session's folder takes on the disk.
fn disk(home: &Home, id: &str) -> u64 {
    let folder = home.darkmux().join("sessions").join(id);
    let entries = walkdir::WalkDir::new(folder).into_iter().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .filter(std::fs::Metadata::is_file)
        .map(|m| m.len())
        .sum()
}

#[tokio::test]
async fn a_hundred_megabytes_leave_a_bounded_trace() {
    let api = Api::of(Home::new().with("DARKMUX_SESSION_LOG_BYTES", "4194304"));
    let id = api.sh("yes 'a line of some length, so that it does not take all day' | head -c 100000000; echo over; exec cat");
    let mut ws = Ws::open(&api, &id, "?darkmux=1").await;
    let attached = ws.told().await;
    // Who falls behind waits for a picture, which a build for tests draws slowly.
    ws.until_within("over", Duration::from_mins(1)).await;
    assert!(attached["at"].is_u64());
    ws.type_in("alive\n").await;
    ws.until("alive\r\nalive\r\n").await;
    let taken = disk(&api.home, &id);
    assert!(taken < 6 * 1024 * 1024, "{taken} bytes on the disk");
    let mut late = Ws::open(&api, &id, "?darkmux=1&from=0").await;
    assert_eq!(late.told().await["snapshot"], true, "the beginning is no longer held");
}

#[tokio::test]
async fn a_picture_of_megabytes_comes_in_one_frame() {
    let api = Api::start();
    // Each cell of a large screen in a colour of its own, and full lines above it.
    let paint = "read x; awk 'BEGIN { for (r = 0; r < 400; r++) { for (c = 0; c < 600; c++) \
        printf \"\\033[38;2;%d;%d;%dm\\033[48;2;%d;%d;%dmx\", c % 256, r % 256, 99, 255 - c % 256, 100, 200; \
        printf \"\\033[m\\r\\n\" } }'; echo painted; exec cat";
    let id = api.sh(paint);
    let mut ws = Ws::open(&api, &id, "?darkmux=1&cols=600&rows=100").await;
    ws.told().await;
    ws.type_in("\r").await;
    ws.until("painted").await;
    let mut again = Ws::open(&api, &id, "?darkmux=1").await;
    let picture = again.bytes().await;
    assert!(picture.len() > 3 * 1024 * 1024, "{}", picture.len());
    assert!(picture.len() <= 4 * 1024 * 1024 + 1024, "{}", picture.len());
    again.type_in("on\n").await;
    again.until("on\r\non\r\n").await;
}

#[tokio::test]
async fn who_falls_behind_what_is_held_gets_another_picture() {
    let held = "131072";
    let home =
        Home::new().with("DARKMUX_SESSION_SCROLLBACK_BYTES", held).with("DARKMUX_SESSION_LOG_BYTES", held);
    let all_out = home.path().join("all-out");
    let api = Api::of(home);
    // More than the sockets of both sides take in, and soon put out.
    let id = api.sh(&format!("read x; seq 1200000; touch {}; exec cat", all_out.display()));
    let mut ws = Ws::open(&api, &id, "?darkmux=1&cols=80&rows=24").await;
    assert_eq!(ws.told().await["snapshot"], true);
    ws.bytes().await;
    rustix::net::sockopt::set_socket_recv_buffer_size(ws.socket.get_ref(), 64 * 1024).unwrap();
    ws.type_in("\r").await;
    wait_for("all of its output", || all_out.exists().then_some(()));
    // One or several: it may catch up in between.
    let (mut pictures, mut end) = (0, Vec::new());
    while memchr::memmem::find(&end, b"1200000").is_none() {
        match ws.next().await {
            Frame::Told(told) if told["type"] == "attached" => {
                assert_eq!(told["snapshot"], true, "{told}");
                pictures += 1;
            }
            Frame::Told(_) => {}
            Frame::Bytes(bytes) => end = [&end[end.len().saturating_sub(8)..], &bytes].concat(),
            end => panic!("{end:?} before the end of the output"),
        }
    }
    assert!(pictures > 0, "it was never behind");
    ws.type_in("goes on\n").await;
    ws.until("goes on\r\ngoes on\r\n").await;
}
