//! Shipping the flow to Redis: every record once, in the order of its machine, whatever fails in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use darkmux::config::{FlowConfig, Provenance};
use darkmux::flow::Flow;
use darkmux::model::{Category, FlowRecord, Level, MachineId, Stage, Tier};
use darkmux::util::Clock;
use serde_json::Value;

use crate::support::{Daemon, Fault, FaultProxy, Home, RedisServer, wait_for};

/// A machine of the fleet.
pub fn machine(name: &str, url: &str) -> Home {
    Home::new().with("DARKMUX_MACHINE_ID", name).with("DARKMUX_REDIS_URL", url)
}

/// Writes to a machine's flow as any of its processes does.
pub struct Writer(Flow);

impl Writer {
    pub fn of(home: &Home, name: &str) -> Self {
        let dir = home.darkmux();
        // As the first command makes it.
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::set_permissions(&dir, private).unwrap();
        let provenance = Provenance { machine_id: MachineId::new(name).unwrap(), orchestrator: None };
        let config = FlowConfig { dir: dir.join("flows"), audit_dir: None, sync_always: false, provenance };
        Self(Flow::new(config, Clock::System))
    }

    pub fn write(&mut self, handle: &str) {
        let class = (Level::Info, Category::Work, Tier::Operator, Stage::Scope);
        self.0.append(FlowRecord::new(class, "note", handle)).unwrap();
    }

    pub fn write_all(&mut self, handles: &[String]) {
        for handle in handles {
            self.write(handle);
        }
    }
}

/// One entry of the stream.
#[derive(Debug, Clone)]
pub struct Shipped {
    pub fields: Vec<(String, String)>,
}

impl Shipped {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn record(&self) -> Value {
        // What a test sends by itself need not be a record.
        self.get("record").and_then(|record| serde_json::from_str(record).ok()).unwrap_or_default()
    }
}

/// Everything in the stream.
pub fn shipped(server: &RedisServer) -> Vec<Shipped> {
    let text = server.cli(&["XRANGE", "darkmux:flow", "-", "+"]);
    let is_id = |line: &str| {
        line.split_once('-').is_some_and(|(ms, seq)| {
            ms.len() == 13 && [ms, seq].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()))
        })
    };
    let mut entries: Vec<Shipped> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if is_id(line) {
            entries.push(Shipped { fields: Vec::new() });
        } else if let (Some(entry), Some(value)) = (entries.last_mut(), lines.next()) {
            entry.fields.push((line.to_owned(), value.to_owned()));
        }
    }
    entries
}

/// The handles of the notes in the stream, by machine and in the stream's order.
pub fn notes(server: &RedisServer) -> BTreeMap<String, Vec<String>> {
    let mut notes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in shipped(server) {
        let record = entry.record();
        if record["action"] == "note" {
            let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
            notes.entry(text("machine_id")).or_default().push(text("handle"));
        }
    }
    notes
}

pub fn handles(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{name}{n}")).collect()
}

/// Waits until the stream holds this many notes of a machine, and checks that it holds each once and in order.
pub fn check_notes(server: &RedisServer, name: &str, count: usize) {
    wait_for("the records to be shipped", || {
        notes(server).get(name).is_some_and(|notes| notes.len() >= count).then_some(())
    });
    assert_eq!(notes(server)[name], handles(name, count));
    let places: Vec<String> = shipped(server)
        .iter()
        .filter(|entry| entry.record()["machine_id"] == name)
        .map(|entry| entry.get("pos").unwrap().to_owned())
        .collect();
    assert!(places.is_sorted() && places.windows(2).all(|pair| pair[0] != pair[1]), "{places:?}");
}

#[test]
fn what_is_shipped_has_exactly_the_fields_of_the_format() {
    let server = RedisServer::start();
    let home = machine("studio", &server.url());
    let mut writer = Writer::of(&home, "studio");
    writer.write("before the daemon");
    let day = darkmux::model::Day::of(jiff::Timestamp::now());
    let file = home.darkmux().join(format!("flows/{day}.jsonl"));
    // A broken line and a torn one: passed over, and waited for.
    append(&file, b"no record\n{\"torn\":");
    let _daemon = Daemon::start(&home);
    let first = wait_for("the first record", || shipped(&server).first().cloned());
    let keys: Vec<&str> = first.fields.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["schema", "record", "log", "pos"]);
    assert_eq!(first.get("schema"), Some("1.14.0"));
    let line = std::fs::read_to_string(&file).unwrap().lines().nth(1).unwrap().to_owned();
    assert_eq!(first.get("record"), Some(line.as_str()));
    append(&file, b"1}\n");
    let torn = wait_for("the torn line's end", || shipped(&server).get(1).cloned());
    assert_eq!(torn.get("record"), Some("{\"torn\":1}"));
    let log = first.get("log").unwrap().to_owned();
    let mark = server.cli(&["HGET", "darkmux:flow:hwm", &log]);
    assert_eq!(Some(mark.as_str()), torn.get("pos"));
    assert_eq!(mark, format!("{day}:{:012}", std::fs::metadata(&file).unwrap().len()));
}

fn append(file: &std::path::Path, bytes: &[u8]) {
    use std::io::Write;
    std::fs::OpenOptions::new().append(true).open(file).unwrap().write_all(bytes).unwrap();
}

/// What darkmux 1.9 reads a record into: every key it knows, its words and nothing else, in its order.
#[test]
fn a_reader_of_1_9_takes_what_is_shipped() {
    const ORDER: &[&str] = &[
        "ts",
        "level",
        "category",
        "tier",
        "stage",
        "action",
        "handle",
        "sprint_id",
        "session_id",
        "source",
        "model",
        "reasoning",
        "mission_id",
        "machine_id",
        "machine_uid",
        "orchestrator",
        "prev_hash",
        "hash",
        "payload",
        "work_id",
        "attempt",
    ];
    const WORDS: &[(&str, &[&str])] = &[
        ("level", &["error", "warn", "info", "debug", "trace"]),
        ("category", &["work", "machinery", "audit", "review", "telemetry"]),
        ("tier", &["operator", "frontier", "local"]),
        ("stage", &["scope", "estimate", "dispatch", "review", "ship", "debrief", "tier-decision"]),
    ];
    let server = RedisServer::start();
    let home = machine("studio", &server.url());
    let _daemon = Daemon::start(&home);
    home.ok(["flow", "note", "--text", "one", "--session-id", "s1", "--source", "me"]);
    home.ok(["flow", "catch", "--text", "two"]);
    home.ok(["flow", "tier-decision", "--decision", "local", "--reasoning", "small"]);
    home.run(["crew", "dispatch", "shell", "-m", "true"]);
    let entries = wait_for("six records", || Some(shipped(&server)).filter(|all| all.len() >= 5));
    for entry in entries {
        let text = entry.get("record").unwrap();
        let record: serde_json::Map<String, Value> = serde_json::from_str(text).unwrap();
        let mut at = 0;
        for key in ORDER.iter().filter(|key| record.contains_key(**key)) {
            let found = text.find(&format!("\"{key}\":")).unwrap();
            assert!(found >= at, "{key} in {text}");
            at = found;
        }
        for (key, words) in WORDS {
            assert!(words.contains(&record[*key].as_str().unwrap()), "{key} in {text}");
        }
        for key in ["ts", "action", "handle"] {
            assert!(record[key].is_string(), "{key} in {text}");
        }
        assert_eq!(record["ts"].as_str().unwrap().len(), "2026-11-22T00:00:00Z".len());
        assert!(!record.values().any(Value::is_null), "{text}");
        let more: Vec<&String> = record.keys().filter(|key| !ORDER.contains(&key.as_str())).collect();
        assert_eq!(more, ["record_id"], "tolerated by every reader of 1.9 but the audit's");
    }
}

#[test]
fn every_record_arrives_once_over_kills_of_the_daemon_and_of_redis_and_lost_replies() {
    const COUNT: usize = 1500;
    let mut server = RedisServer::with(&["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
    let proxy = FaultProxy::before(server.port());
    let home = machine("studio", &proxy.url());
    let mut writer = Writer::of(&home, "studio");
    let over = Arc::new(AtomicBool::new(false));
    let writing = std::thread::spawn({
        let over = Arc::clone(&over);
        move || {
            for handle in handles("studio", COUNT) {
                writer.write(&handle);
                std::thread::sleep(Duration::from_millis(4));
            }
            over.store(true, Ordering::SeqCst);
        }
    });
    let mut daemon = Daemon::start(&home);
    let mut round = 0;
    while !over.load(Ordering::SeqCst) {
        let before = notes(&server).get("studio").map_or(0, Vec::len);
        match round % 5 {
            0 => {
                daemon.process.kill();
                daemon = Daemon::start(&home);
            }
            1 => {
                proxy.set(Fault::DropReplies);
                std::thread::sleep(Duration::from_millis(300));
                proxy.set(Fault::None);
            }
            2 => {
                server.kill();
                server.restart();
            }
            3 => {
                server.freeze();
                std::thread::sleep(Duration::from_millis(200));
                server.thaw();
                server.cli(&["SCRIPT", "FLUSH"]);
            }
            _ => {
                proxy.set(Fault::Reset);
                std::thread::sleep(Duration::from_millis(100));
                proxy.set(Fault::None);
            }
        }
        round += 1;
        // Each fault meets a shipper at work.
        let deadline = Instant::now() + Duration::from_secs(5);
        while notes(&server).get("studio").map_or(0, Vec::len) == before && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    writing.join().unwrap();
    assert!(round >= 5, "every fault was caused: {round}");
    check_notes(&server, "studio", COUNT);
}

/// A client that repeats an XADD whose reply it did not get puts the record into the stream twice.
#[test]
fn trap_20_a_lost_reply_does_not_send_a_record_twice() {
    let server = RedisServer::start();
    let proxy = FaultProxy::before(server.port());
    let home = machine("studio", &proxy.url());
    let mut writer = Writer::of(&home, "studio");
    let _daemon = Daemon::start(&home);
    writer.write("studio0");
    check_notes(&server, "studio", 1);
    proxy.set(Fault::DropReplies);
    writer.write("studio1");
    wait_for("the record whose reply is lost", || (notes(&server)["studio"].len() == 2).then_some(()));
    proxy.set(Fault::None);
    writer.write("studio2");
    check_notes(&server, "studio", 3);
}

/// A server that was started again, or whose scripts were flushed, answers NOSCRIPT.
#[test]
fn trap_14_flushed_scripts_are_sent_again() {
    let server = RedisServer::start();
    let home = machine("studio", &server.url());
    let mut writer = Writer::of(&home, "studio");
    let _daemon = Daemon::start(&home);
    for count in 0..3 {
        writer.write(&format!("studio{count}"));
        check_notes(&server, "studio", count + 1);
        server.cli(&["SCRIPT", "FLUSH"]);
    }
}

#[test]
fn an_emptied_redis_gets_everything_again_and_the_flow_says_so() {
    let server = RedisServer::start();
    let home = machine("studio", &server.url());
    let mut writer = Writer::of(&home, "studio");
    let _daemon = Daemon::start(&home);
    writer.write_all(&handles("studio", 40));
    check_notes(&server, "studio", 40);
    server.cli(&["FLUSHALL"]);
    writer.write("studio40");
    check_notes(&server, "studio", 41);
    let told = wait_for("the record of it", || {
        shipped(&server).iter().map(Shipped::record).find(|record| record["action"] == "flow.backfill")
    });
    assert_eq!((&told["category"], &told["payload"]["records"]), (&"machinery".into(), &41.into()));
    // Also when nothing is written: it is looked at now and then.
    server.cli(&["FLUSHALL"]);
    check_notes(&server, "studio", 41);
}

#[test]
fn a_redis_that_was_rolled_back_gets_what_it_lost() {
    let mut server = RedisServer::start();
    let home = machine("studio", &server.url());
    let mut writer = Writer::of(&home, "studio");
    let mut daemon = Daemon::start(&home);
    let all = handles("studio", 60);
    writer.write_all(&all[..20]);
    check_notes(&server, "studio", 20);
    server.cli(&["SAVE"]);
    writer.write_all(&all[20..40]);
    check_notes(&server, "studio", 40);
    server.kill();
    server.restart();
    writer.write_all(&all[40..50]);
    check_notes(&server, "studio", 50);
    // The same while no daemon runs.
    daemon.process.kill();
    server.kill();
    server.restart();
    writer.write_all(&all[50..]);
    assert_eq!(notes(&server)["studio"].len(), 20);
    let _daemon = Daemon::start(&home);
    check_notes(&server, "studio", 60);
}

#[test]
fn a_bounded_stream_is_trimmed_and_an_unbounded_one_is_not() {
    for (maxlen, kept) in [("100", 100..300), ("0", 1000..1001)] {
        let server = RedisServer::start();
        let home = machine("studio", &server.url()).with("DARKMUX_REDIS_MAXLEN", maxlen);
        let mut writer = Writer::of(&home, "studio");
        writer.write_all(&handles("studio", 1000));
        let _daemon = Daemon::start(&home);
        wait_for("the last record", || {
            notes(&server).get("studio")?.last().is_some_and(|last| last == "studio999").then_some(())
        });
        let length = notes(&server)["studio"].len();
        assert!(kept.contains(&length), "{length} of {maxlen}");
    }
}

#[test]
fn a_copied_home_ships_only_what_is_written_after_it_came() {
    let server = RedisServer::start();
    let home = machine("studio", &server.url());
    let mut writer = Writer::of(&home, "studio");
    writer.write("of the other machine");
    let uid = uuid::Uuid::new_v4();
    let text = format!("{{\"schema\":1,\"uid\":\"{uid}\",\"hardware\":null,\"inherited\":true}}");
    std::fs::write(home.darkmux().join("machine-uid"), text).unwrap();
    let _daemon = Daemon::start(&home);
    wait_for("the place to be kept", || home.darkmux().join("flow-origin.json").exists().then_some(()));
    writer.write("studio0");
    check_notes(&server, "studio", 1);
    server.cli(&["FLUSHALL"]);
    writer.write("studio1");
    check_notes(&server, "studio", 2);
}
