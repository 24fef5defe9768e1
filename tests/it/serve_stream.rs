//! Event streams: nothing lost, nothing twice, whatever happens in between.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http_raw::{Event, Events, get};
use crate::support::{Daemon, Home, PATIENCE, signal, wait_for};

struct Flows(PathBuf);

impl Flows {
    fn of(home: &Home) -> Self {
        let dir = home.darkmux().join("flows");
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn append(&self, day: &str, numbers: std::ops::Range<u64>) {
        let path = self.0.join(format!("{day}.jsonl"));
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        for n in numbers {
            file.write_all(format!("{{\"n\":{n},\"pad\":\"{}\"}}\n", "x".repeat(200)).as_bytes()).unwrap();
        }
    }
}

/// Today in UTC; the tests below work on whichever side of midnight they run.
fn today() -> String {
    let output = std::process::Command::new("date").args(["-u", "+%F"]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn numbers(events: &[Event]) -> Vec<u64> {
    let number = |event: &Event| {
        assert_eq!(event.name, "", "{event:?}");
        let record: Value = serde_json::from_str(&event.data).unwrap();
        record["n"].as_u64().unwrap()
    };
    events.iter().map(number).collect()
}

#[test]
fn a_stream_starts_now_and_what_is_appended_comes_soon() {
    let home = Home::new();
    let flows = Flows::of(&home);
    let day = today();
    flows.append(&day, 0..3);
    let daemon = Daemon::start(&home);
    let mut events = Events::open(daemon.port, &format!("/flow/{day}/stream"), &[]);
    let mut others: Vec<Events> =
        (0..5).map(|_| Events::open(daemon.port, &format!("/flow/{day}/stream"), &[])).collect();
    let began = Instant::now();
    flows.append(&day, 3..4);
    assert_eq!(numbers(&events.next(1)), [3]);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    flows.append(&day, 4..1000);
    assert_eq!(numbers(&events.next(996)), (4..1000).collect::<Vec<_>>());
    for other in &mut others {
        assert_eq!(numbers(&other.next(997)), (3..1000).collect::<Vec<_>>());
    }
}

#[test]
fn an_array_and_its_stream_have_no_hole_between_them() {
    let home = Home::new();
    let flows = Flows::of(&home);
    let day = today();
    flows.append(&day, 0..10);
    let daemon = Daemon::start(&home);
    let array = get(daemon.port, &format!("/flow/{day}?limit=5"));
    let position = array.header("darkmux-position").unwrap();
    flows.append(&day, 10..20);
    let mut events = Events::open(daemon.port, &format!("/flow/{day}/stream?from={position}"), &[]);
    assert_eq!(numbers(&events.next(10)), (10..20).collect::<Vec<_>>());
}

/// The day of a client whose clock is ahead has not begun here; what is written until then is none of it.
#[test]
fn a_stream_after_the_array_of_a_day_to_come_tells_what_is_written_now() {
    let home = Home::new();
    let flows = Flows::of(&home);
    let day = today();
    flows.append(&day, 0..3);
    let daemon = Daemon::start(&home);
    let array = get(daemon.port, "/flow/2999-01-01?limit=10");
    assert_eq!(array.body, b"[]");
    let from = array.header("darkmux-position").unwrap().to_owned();
    let mut events = Events::open(daemon.port, &format!("/flow/2999-01-01/stream?from={from}"), &[]);
    flows.append(&day, 3..5);
    assert_eq!(numbers(&events.next(2)), [3, 4]);
}

#[test]
fn a_client_goes_on_where_it_was_after_the_daemon_is_killed() {
    let home = Home::new();
    let flows = Flows::of(&home);
    let day = today();
    let mut seen = Vec::new();
    let mut last = format!("{day}:0");
    for round in 0..4 {
        let mut daemon = Daemon::start(&home);
        // The header wins over the address that the browser repeats.
        let path = format!("/flow/{day}/stream?from={day}:000000000000");
        let mut events = Events::open(daemon.port, &path, &[&format!("Last-Event-ID: {last}")]);
        flows.append(&day, round * 100..round * 100 + 50);
        let some = events.next(30);
        last = some.last().unwrap().id.clone();
        seen.extend(numbers(&some));
        daemon.process.kill();
        flows.append(&day, round * 100 + 50..round * 100 + 100);
    }
    let daemon = Daemon::start(&home);
    let mut events =
        Events::open(daemon.port, &format!("/flow/{day}/stream"), &[&format!("Last-Event-ID: {last}")]);
    seen.extend(numbers(&events.next(400 - seen.len())));
    assert_eq!(seen, (0..400).collect::<Vec<_>>());
}

#[test]
fn a_stream_of_an_old_day_goes_on_through_the_later_ones() {
    let home = Home::new();
    let flows = Flows::of(&home);
    flows.append("2026-01-02", 0..10);
    flows.append("2026-01-05", 10..20);
    flows.append(&today(), 20..30);
    let daemon = Daemon::start(&home);
    let mut events = Events::open(daemon.port, "/flow/2026-01-02/stream?from=2026-01-02:0", &[]);
    let first = events.next(30);
    assert_eq!(numbers(&first), (0..30).collect::<Vec<_>>());
    flows.append(&today(), 30..40);
    assert_eq!(numbers(&events.next(10)), (30..40).collect::<Vec<_>>());
    // From the middle of the first day on.
    let mut later = Events::open(daemon.port, &format!("/flow/2026-01-02/stream?from={}", first[4].id), &[]);
    assert_eq!(numbers(&later.next(35)), (5..40).collect::<Vec<_>>());
}

#[test]
fn a_slow_client_misses_nothing_and_delays_nobody() {
    let home = Home::new();
    let flows = Flows::of(&home);
    let day = today();
    let daemon = Daemon::start(&home);
    let mut slow = Events::open(daemon.port, &format!("/flow/{day}/stream"), &[]);
    let mut quick = Events::open(daemon.port, &format!("/flow/{day}/stream"), &[]);
    // Several times what the ring and the sockets hold.
    let count = 60_000;
    let all: Vec<u64> = (0..count).collect();
    flows.append(&day, 0..count);
    assert_eq!(numbers(&quick.next(all.len())), all);
    // Whoever took nothing for too long was cut off, and comes back as a browser does.
    let mut seen = Vec::new();
    let mut last = String::new();
    let deadline = Instant::now() + PATIENCE * 3;
    while seen.len() < all.len() {
        assert!(Instant::now() < deadline, "{} of {} records came", seen.len(), all.len());
        let open = slow.fill();
        let some = slow.take();
        last = some.last().map_or(last, |event| event.id.clone());
        seen.extend(numbers(&some));
        if !open {
            let id = format!("Last-Event-ID: {last}");
            slow = Events::open(daemon.port, &format!("/flow/{day}/stream"), &[&id]);
        }
    }
    assert_eq!(seen, all);
}

#[test]
fn a_place_that_is_ahead_of_the_file_is_a_gap() {
    let home = Home::new();
    let flows = Flows::of(&home);
    let day = today();
    flows.append(&day, 0..3);
    let daemon = Daemon::start(&home);
    let mut events = Events::open(daemon.port, &format!("/flow/{day}/stream?from={day}:999999"), &[]);
    let seen = events.next(4);
    assert_eq!(seen[0].name, "gap");
    assert_eq!(seen[0].data, format!("{{\"from\":\"{day}:000000999999\",\"to\":\"{day}:000000000000\"}}"));
    assert_eq!(numbers(&seen[1..]), [0, 1, 2]);
    // Written anew while somebody listens.
    let path = flows.0.join(format!("{day}.jsonl"));
    std::fs::remove_file(&path).unwrap();
    flows.append(&day, 7..9);
    let seen = events.next(3);
    assert_eq!(seen[0].name, "gap");
    assert_eq!(numbers(&seen[1..]), [7, 8]);
}

#[test]
fn wrong_places_are_refused_and_streams_are_counted() {
    let home = Home::new();
    let day = today();
    let daemon = Daemon::start(&home);
    for place in ["now", "0", "2026-02-30:0", &format!("{day}:-1")] {
        let answer = get(daemon.port, &format!("/flow/{day}/stream?from={place}"));
        assert_eq!(answer.json()["error"]["code"], "bad_position", "{place}");
    }
    let mut open: Vec<Events> =
        (0..128).map(|_| Events::open(daemon.port, &format!("/flow/{day}/stream"), &[])).collect();
    let refused = get(daemon.port, &format!("/flow/{day}/stream"));
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
    assert_eq!(get(daemon.port, "/health").status, 200);
    open.truncate(10);
    wait_for("a place to be free", || {
        (get_head(daemon.port, &format!("/flow/{day}/stream")).starts_with("HTTP/1.1 200")).then_some(())
    });
}

/// The head of an answer whose body does not end.
fn get_head(port: u16, path: &str) -> String {
    use std::io::Read;
    let mut socket = crate::http_raw::connect(port);
    write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n").unwrap();
    let mut head = vec![0; 4096];
    let count = socket.read(&mut head).unwrap();
    String::from_utf8_lossy(&head[..count]).into_owned()
}

#[test]
fn the_daemon_stops_in_time_with_streams_open() {
    let home = Home::new();
    let day = today();
    for name in ["TERM", "INT"] {
        let mut daemon = Daemon::start(&home);
        let mut streams: Vec<Events> =
            (0..5).map(|_| Events::open(daemon.port, &format!("/flow/{day}/stream"), &[])).collect();
        let _idle = crate::http_raw::connect(daemon.port);
        let began = Instant::now();
        signal(daemon.process.pid(), name);
        let status = wait_for("the daemon to end", || daemon.process.0.try_wait().unwrap());
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert_eq!(status.code(), Some(0));
        for stream in &mut streams {
            wait_for("the stream to end", || (!stream.fill()).then_some(()));
        }
        assert!(!home.darkmux().join("daemon.json").exists());
    }
}
