//! Days and streams of the whole fleet: nothing missing, nothing twice, whatever Redis does.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::flow_redis::{Writer, handles, machine, notes};
use crate::http_raw::{Event, Events, get};
use crate::support::{Daemon, Fault, FaultProxy, Home, RedisServer, wait_for};

pub fn today() -> String {
    darkmux::model::Day::of(jiff::Timestamp::now()).to_string()
}

fn handle(event: &Event) -> String {
    let record: Value = serde_json::from_str(&event.data).unwrap();
    record["handle"].as_str().unwrap_or_default().to_owned()
}

/// The notes among the records of a day.
fn array(daemon: &Daemon, query: &str) -> Vec<String> {
    let answer = get(daemon.port, &format!("/flow/{}{query}", today()));
    let records = answer.json().as_array().cloned().unwrap();
    let notes = records.iter().filter(|record| record["action"] == "note");
    notes.map(|record| record["handle"].as_str().unwrap().to_owned()).collect()
}

/// A client as a browser is one: it opens its stream again with the last id it saw.
pub struct Browser<'a> {
    daemon: &'a Daemon,
    events: Events,
    last: String,
    pub notes: Vec<String>,
    errors: usize,
    pub gaps: Vec<Value>,
}

impl<'a> Browser<'a> {
    pub fn open(daemon: &'a Daemon, last: &str) -> Self {
        let events = Self::connect(daemon, last);
        Self { daemon, events, last: last.to_owned(), notes: Vec::new(), errors: 0, gaps: Vec::new() }
    }

    fn connect(daemon: &Daemon, last: &str) -> Events {
        let id = format!("Last-Event-ID: {last}");
        Events::open(daemon.port, &format!("/flow/{}/stream", today()), &[&id])
    }

    pub fn look(&mut self) {
        let open = self.events.fill();
        let place = self.events.place();
        for event in self.events.take() {
            assert!(event.id.is_empty() || event.id > self.last, "{} after {}", event.id, self.last);
            if !event.id.is_empty() {
                self.last.clone_from(&event.id);
            }
            if event.name == "gap" {
                self.gaps.push(serde_json::from_str(&event.data).unwrap());
                continue;
            }
            let record: Value = serde_json::from_str(&event.data).unwrap();
            match record["action"].as_str() {
                Some("note") => self.notes.push(handle(&event)),
                Some("stream.error") => self.errors += 1,
                _ => {}
            }
        }
        self.last = place.filter(|place| *place > self.last).unwrap_or(std::mem::take(&mut self.last));
        if !open {
            self.events = Self::connect(self.daemon, &self.last);
        }
    }

    pub fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !done(self) {
            assert!(Instant::now() < deadline, "waited for {what}: {:?}", self.notes.len());
            self.look();
        }
    }

    /// Every note of these machines came once, each machine's in its order.
    pub fn check(&self, machines: &[&str], count: usize) {
        for name in machines {
            let seen: Vec<&String> = self.notes.iter().filter(|note| note.starts_with(name)).collect();
            assert_eq!(
                seen,
                handles(name, count).iter().collect::<Vec<_>>(),
                "{name} at {:?}: {:?}",
                self.daemon.port,
                self.gaps
            );
        }
    }
}

/// Three machines with a daemon each.
struct Fleet {
    homes: Vec<Home>,
    writers: Vec<Writer>,
    daemons: Vec<Daemon>,
}

const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];

impl Fleet {
    fn start(url: &str) -> Self {
        let homes: Vec<Home> = NAMES.iter().map(|name| machine(name, url)).collect();
        let writers = homes.iter().zip(NAMES).map(|(home, name)| Writer::of(home, name)).collect();
        let daemons = homes.iter().map(Daemon::start).collect();
        Self { homes, writers, daemons }
    }

    fn write(&mut self, numbers: std::ops::Range<usize>) {
        for n in numbers {
            for (writer, name) in self.writers.iter_mut().zip(NAMES) {
                writer.write(&format!("{name}{n}"));
            }
        }
    }
}

#[test]
fn redis_away_while_three_machines_write_costs_nobody_a_record() {
    // Once with its data kept, once with a Redis that forgets everything.
    for keep in ["no", "yes"] {
        let mut server = RedisServer::with(&["--appendonly", keep, "--appendfsync", "always", "--save", ""]);
        let mut fleet = Fleet::start(&server.url());
        assert_eq!(fleet.homes.len(), NAMES.len());
        fleet.write(0..10);
        let daemons = std::mem::take(&mut fleet.daemons);
        wait_for("all to be shipped", || {
            (notes(&server).values().map(Vec::len).sum::<usize>() == 30).then_some(())
        });
        let mut browsers: Vec<Browser<'_>> = daemons
            .iter()
            .map(|daemon| Browser::open(daemon, &format!("{}:000000000000", today())))
            .collect();
        for browser in &mut browsers {
            browser.until("the first records", |browser| browser.notes.len() == 30);
        }
        server.kill();
        fleet.write(10..60);
        for (browser, name) in browsers.iter_mut().zip(NAMES) {
            browser.until("the records of its own machine", |browser| {
                browser.notes.iter().filter(|note| note.starts_with(name)).count() == 60
            });
            browser.until("the end of the stream", |browser| browser.errors == 1);
        }
        fleet.write(60..90);
        server.restart();
        fleet.write(90..100);
        for browser in &mut browsers {
            browser.until("all records", |browser| browser.notes.len() >= 300);
            browser.check(&NAMES, 100);
            assert!(browser.gaps.is_empty(), "{:?}", browser.gaps);
        }
        for daemon in &daemons {
            let day = array(daemon, "");
            assert_eq!(day.iter().collect::<HashSet<_>>().len(), 300);
            assert_eq!(day.len(), 300);
            for name in NAMES {
                let own: Vec<&String> = day.iter().filter(|note| note.starts_with(name)).collect();
                assert_eq!(own, handles(name, 100).iter().collect::<Vec<_>>());
            }
            let records = |query| get(daemon.port, &format!("/flow/{}{query}", today())).json();
            let (all, some) = (records(""), records("?limit=7"));
            let all = all.as_array().unwrap();
            assert_eq!(some.as_array().unwrap()[..], all[all.len() - 7..]);
        }
    }
}

#[test]
fn a_client_resumes_over_the_death_of_the_daemon() {
    let server = RedisServer::start();
    let mut fleet = Fleet::start(&server.url());
    let mut last = format!("{}:000000000000", today());
    let mut seen = Vec::new();
    for round in 0..3 {
        fleet.write(round * 20..round * 20 + 20);
        let home = &fleet.homes[0];
        let daemon = &fleet.daemons[0];
        let mut browser = Browser::open(daemon, &last);
        browser.until("some records", |browser| browser.notes.len() >= 20);
        (last, seen) = (browser.last.clone(), [seen, browser.notes].concat());
        fleet.daemons[0].process.kill();
        let daemon = Daemon::start(home);
        fleet.daemons[0] = daemon;
    }
    let mut browser = Browser::open(&fleet.daemons[0], &last);
    let before = seen.len();
    browser.until("the rest", |browser| browser.notes.len() + before >= 180);
    browser.notes = [seen, std::mem::take(&mut browser.notes)].concat();
    browser.check(&NAMES, 60);
}

#[test]
fn entries_of_1_9_are_in_the_day_and_in_the_stream() {
    let server = RedisServer::start();
    let home = machine("studio", &server.url());
    let daemon = Daemon::start(&home);
    let mut browser = Browser::open(&daemon, "");
    let day = today();
    let of_1_9 = |n: usize| {
        format!(
            r#"{{"ts":"{day}T00:00:0{n}Z","level":"info","category":"work","tier":"operator","stage":"scope","action":"note","handle":"old{n}","machine_id":"laptop","orchestrator":"claude-code"}}"#
        )
    };
    let send = |record: &str| {
        server.cli(&[
            "XADD",
            "darkmux:flow",
            "MAXLEN",
            "~",
            "10000",
            "*",
            "schema",
            "1.14.0",
            "record",
            record,
        ])
    };
    // What comes after this one was asked for is streamed.
    send(&of_1_9(0));
    let first = browser.events.next(1);
    assert_eq!(handle(&first[0]), "old0");
    assert_eq!(first[0].data, of_1_9(0), "as it was sent");
    send(&of_1_9(1));
    send("no record");
    send(&of_1_9(2));
    browser.until("the others", |browser| browser.notes.len() == 2);
    assert_eq!(array(&daemon, ""), ["old0", "old1", "old2"]);
    // A 1.9 that shares our home writes the file and sends; it is shipped from the file as well.
    let file = home.darkmux().join(format!("flows/{day}.jsonl"));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, format!("{}\n", of_1_9(3))).unwrap();
    send(&of_1_9(3));
    wait_for("it to be shipped", || (notes(&server)["laptop"].len() == 5).then_some(()));
    send(&of_1_9(4));
    browser.until("the last", |browser| browser.notes.iter().any(|note| note == "old4"));
    assert_eq!(browser.notes, ["old1", "old2", "old3", "old4"]);
    assert_eq!(array(&daemon, ""), ["old0", "old1", "old2", "old3", "old4"]);
    // And on another machine, which has neither from its own files.
    let other = machine("other", &server.url());
    let daemon = Daemon::start(&other);
    assert_eq!(array(&daemon, ""), ["old0", "old1", "old2", "old3", "old4"]);
}

/// A stream that trims what nobody has read yet reports no error anywhere.
#[test]
fn trap_6_what_was_trimmed_is_told_to_who_comes_back() {
    let server = RedisServer::start();
    let (home, other) = (machine("studio", &server.url()), machine("other", &server.url()));
    let mut writer = Writer::of(&other, "other");
    let daemon = Daemon::start(&home);
    let _other = Daemon::start(&other);
    let mut browser = Browser::open(&daemon, "");
    writer.write("other0");
    browser.until("the first record", |browser| browser.notes.len() == 1);
    let last = browser.last.clone();
    drop(browser);
    writer.write_all(&handles("other", 30)[1..]);
    wait_for("all to be shipped", || (notes(&server)["other"].len() == 30).then_some(()));
    server.cli(&["XTRIM", "darkmux:flow", "MAXLEN", "=", "5"]);
    let mut browser = Browser::open(&daemon, &last);
    browser.until("the newest record", |browser| browser.notes.last().is_some_and(|note| note == "other29"));
    // The ring may still have had them; who is behind it is told.
    if browser.notes.len() < 29 {
        assert_eq!(browser.gaps.len(), 1, "{:?}", browser.notes);
    }
    drop(browser);
    drop(daemon);
    let daemon = Daemon::start(&home);
    let mut browser = Browser::open(&daemon, &last);
    browser.until("the newest record", |browser| browser.notes.last().is_some_and(|note| note == "other29"));
    assert_eq!(browser.notes, handles("other", 30)[25..]);
    assert_eq!(browser.gaps.len(), 1);
    assert_eq!(browser.gaps[0]["from"], last.as_str());
    assert!(browser.gaps[0]["to"].as_str().unwrap() > last.as_str());
}

/// The client library gives up on an answer after 500 ms unless told otherwise, and a read that waits for longer
/// is lost with what comes to it.
#[test]
fn trap_16_a_read_that_waits_for_long_is_not_given_up() {
    let server = RedisServer::start();
    let home = machine("studio", &server.url());
    let daemon = Daemon::start(&home);
    let mut events = Events::open(daemon.port, &format!("/flow/{}/stream", today()), &[]);
    let clients = || {
        server
            .cli(&["INFO", "stats"])
            .lines()
            .find_map(|line| line.strip_prefix("total_connections_received:")?.trim().parse::<u64>().ok())
    };
    let before = clients().unwrap();
    std::thread::sleep(Duration::from_secs(5));
    // One for each look of ours.
    assert!(clients().unwrap() - before <= 2, "connections are kept");
    let began = Instant::now();
    let record = format!(r#"{{"ts":"{}T00:00:00Z","action":"note","handle":"late"}}"#, today());
    server.cli(&["XADD", "darkmux:flow", "*", "record", &record]);
    assert_eq!(handle(&events.next(1)[0]), "late");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

/// Without a limit of its own, a read over a connection that died without a word waits for ever.
#[test]
fn trap_11_a_connection_that_died_silently_is_replaced() {
    let server = RedisServer::start();
    let proxy = FaultProxy::before(server.port());
    let home = machine("studio", &proxy.url());
    let daemon = Daemon::start(&home);
    let from = get(daemon.port, &format!("/flow/{}", today())).header("darkmux-position").unwrap().to_owned();
    let mut browser = Browser::open(&daemon, &from);
    proxy.set(Fault::BlackHole);
    browser.until("the end of the stream", |browser| browser.errors == 1);
    proxy.set(Fault::Reset);
    proxy.set(Fault::None);
    let record = format!(r#"{{"ts":"{}T00:00:00Z","action":"note","handle":"late"}}"#, today());
    server.cli(&["XADD", "darkmux:flow", "*", "record", &record]);
    browser.until("the record", |browser| browser.notes == ["late"]);
}

#[test]
fn without_redis_a_day_and_a_stream_are_those_of_this_machine_and_say_so() {
    let mut server = RedisServer::start();
    let home = machine("studio", &server.url());
    let mut writer = Writer::of(&home, "studio");
    writer.write("studio0");
    let daemon = Daemon::start(&home);
    let path = format!("/flow/{}", today());
    let source = || get(daemon.port, &path).header("x-darkmux-source").unwrap_or_default().to_owned();
    assert_eq!(source(), "fleet");
    let state = |key: &str| get(daemon.port, "/flow-status").json()["redis"][key].clone();
    assert_eq!(state("reachable"), true);
    server.freeze();
    let began = Instant::now();
    assert_eq!(source(), "local");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(array(&daemon, ""), ["studio0"]);
    server.thaw();
    wait_for("Redis to be asked again", || (source() == "fleet").then_some(()));
    server.kill();
    assert_eq!(source(), "local");
    assert_eq!(state("reachable"), false);
    // Who comes while it is away is not closed, and gets the others' records when it is back.
    let from = get(daemon.port, &path).header("darkmux-position").unwrap().to_owned();
    let mut browser = Browser::open(&daemon, &from);
    writer.write("studio1");
    browser.until("the record of this machine", |browser| browser.notes == ["studio1"]);
    server.restart();
    let record = format!(r#"{{"ts":"{}T00:00:00Z","action":"note","handle":"other"}}"#, today());
    server.cli(&["XADD", "darkmux:flow", "*", "record", &record]);
    browser.until("the record of another", |browser| browser.notes == ["studio1", "other"]);
}

#[test]
fn a_slow_client_gets_everything_from_redis_at_its_own_pace() {
    let server = RedisServer::start();
    let home = machine("studio", &server.url()).with("DARKMUX_REDIS_MAXLEN", "0");
    let daemon = Daemon::start(&home);
    let mut slow = Browser::open(&daemon, "");
    let mut quick = Browser::open(&daemon, "");
    let count = 20_000;
    // Several times what the ring and the sockets hold.
    let script = format!(
        "for i=0,{} do redis.call('XADD','darkmux:flow','*','record','{{\"ts\":\"{}T00:00:00Z\",\"action\":\"note\",\"handle\":\"n'..i..'\",\"pad\":\"{}\"}}') end",
        count - 1,
        today(),
        "x".repeat(1000)
    );
    server.cli(&["EVAL", &script, "0"]);
    quick.until("all records", |quick| quick.notes.len() >= count);
    quick.check(&["n"], count);
    slow.until("all records", |slow| slow.notes.len() >= count);
    slow.check(&["n"], count);
    let clients = server.cli(&["CLIENT", "LIST"]);
    assert!(clients.lines().count() <= 4, "one connection for all streams: {clients}");
}

#[test]
fn an_id_of_redis_and_one_that_is_ahead_of_it_are_places() {
    let server = RedisServer::start();
    let (home, other) = (machine("studio", &server.url()), machine("other", &server.url()));
    let (mut ours, mut theirs) = (Writer::of(&home, "studio"), Writer::of(&other, "other"));
    let daemon = Daemon::start(&home);
    let _other = Daemon::start(&other);
    for n in 0..5 {
        ours.write(&format!("studio{n}"));
        theirs.write(&format!("other{n}"));
        wait_for("both to be shipped", || {
            (notes(&server).values().map(Vec::len).sum::<usize>() == 2 * n + 2).then_some(())
        });
    }
    let ids = server.cli(&["XRANGE", "darkmux:flow", "-", "+", "COUNT", "4"]);
    let is_id = |line: &&str| line.len() < 24 && line.split_once('-').is_some_and(|(ms, _)| ms.len() == 13);
    let ids: Vec<&str> = ids.lines().filter(is_id).collect();
    let mut events = Events::open(daemon.port, &format!("/flow/{}/stream?from={}", today(), ids[3]), &[]);
    let seen: HashSet<String> = events.next(6).iter().map(handle).collect();
    let wanted: HashSet<String> = (2..5).flat_map(|n| [format!("studio{n}"), format!("other{n}")]).collect();
    assert_eq!(seen, wanted);
    // An id that the stream cannot have given: it was emptied while the client was away.
    let end = get(daemon.port, &format!("/flow/{}", today())).header("darkmux-position").unwrap().to_owned();
    let (local, _) = end.split_once('~').unwrap();
    let ahead = format!("{local}~9999999999999-000000");
    let mut events = Events::open(daemon.port, &format!("/flow/{}/stream?from={ahead}", today()), &[]);
    assert_eq!(events.next(1)[0].name, "gap");
    theirs.write("other5");
    assert_eq!(handle(&events.next(1)[0]), "other5");
}

#[test]
fn as_many_streams_are_open_as_are_configured() {
    let server = RedisServer::start();
    let home = machine("studio", &server.url()).with("DARKMUX_SERVE_STREAMS", "300");
    let daemon = Daemon::start(&home);
    let path = format!("/flow/{}/stream", today());
    let mut open: Vec<Events> = (0..300).map(|_| Events::open(daemon.port, &path, &[])).collect();
    assert_eq!(get(daemon.port, &path).status, 503);
    let record = format!(r#"{{"ts":"{}T00:00:00Z","action":"note","handle":"all"}}"#, today());
    server.cli(&["XADD", "darkmux:flow", "*", "record", &record]);
    for events in &mut open {
        assert_eq!(handle(&events.next(1)[0]), "all");
    }
}
