//! `darkmux doctor` on the fleet: Redis in every state, peers, names, versions, clocks.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http_raw::get;
use crate::support::{Daemon, Fault, FaultProxy, Home, RedisServer, describe, free_port, wait_for};

fn report(home: &Home, fleet: bool) -> Value {
    let output =
        if fleet { home.run(["doctor", "--fleet", "--json"]) } else { home.run(["doctor", "--json"]) };
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", describe(&output)))
}

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let found = list.as_array().unwrap().iter().find(|one| one["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list:#}"))
}

fn check(home: &Home, name: &str) -> Value {
    named(&report(home, false)["checks"], name).clone()
}

fn with(url: String) -> Home {
    Home::new().with("DARKMUX_REDIS_URL", url)
}

/// The command that docs/OPERATIONS.md gives, as words.
fn acl_words(password: &str) -> Vec<String> {
    let docs = include_str!("../../docs/OPERATIONS.md");
    let line = docs
        .lines()
        .find(|line| line.trim_start().starts_with("ACL SETUSER darkmux "))
        .expect("the ACL line");
    line.split_whitespace().map(|word| word.replace("PASSWORD", password)).collect()
}

#[test]
fn a_machine_alone_has_nothing_to_mend() {
    let home = Home::new();
    for name in ["redis", "peers", "duplicate ids", "version skew", "clock skew"] {
        assert_eq!(check(&home, name)["state"], "pass", "{name}");
    }
    assert!(!home.darkmux().exists(), "looking made the home folder");
}

#[test]
fn redis_is_judged_by_how_it_keeps_what_it_has() {
    let redis = RedisServer::start();
    let home = with(redis.url());
    let found = check(&home, "redis");
    assert_eq!(found["state"], "fail", "{found}");
    assert!(found["finding"].as_str().unwrap().contains("append-only"), "{found}");
    assert!(found["fix"].as_str().unwrap().contains("CONFIG SET appendonly yes"), "{found}");
    redis.cli(&["CONFIG", "SET", "appendonly", "yes"]);
    let found = wait_for("a server that is well", || {
        Some(check(&home, "redis")).filter(|found| found["state"] == "pass")
    });
    assert!(found["finding"].as_str().unwrap().contains("noeviction"), "{found}");
    redis.cli(&["CONFIG", "SET", "maxmemory", "100mb"]);
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    assert!(check(&home, "redis")["fix"].as_str().unwrap().contains("noeviction"));
}

#[test]
fn redis_that_is_away_mute_or_closed_is_said_in_time_and_without_the_password() {
    let away = with(format!("redis://:canary-pw@127.0.0.1:{}", free_port()));
    let redis = RedisServer::with(&["--requirepass", "the-canary", "--save", ""]);
    let proxy = FaultProxy::before(redis.port());
    proxy.set(Fault::BlackHole);
    let mute = with(proxy.url().replace("redis://", "redis://:canary-pw@"));
    let closed = with(redis.url());
    let wrong = with(redis.url().replace("redis://", "redis://:canary-pw@"));
    for (home, says) in
        [(away, "reached"), (mute, "answer"), (closed, "asks for a password"), (wrong, "WRONGPASS")]
    {
        let began = Instant::now();
        let output = home.run(["doctor"]);
        assert!(began.elapsed() < Duration::from_secs(10));
        let text = describe(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        let line = text.lines().find(|line| line.contains("✗ redis")).unwrap_or_else(|| panic!("{text}"));
        assert!(line.contains(says), "{line}");
        assert!(!text.contains("canary"), "{text}");
        assert_eq!(text.matches('✗').count(), 1, "told once: {text}");
    }
}

#[test]
fn the_user_of_the_docs_may_do_what_the_fleet_needs_and_nothing_more() {
    let redis = RedisServer::with(&["--appendonly", "yes"]);
    let words = acl_words("s3cret");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert_eq!(redis.cli(&words), "OK");
    let url = redis.url().replace("redis://", "redis://darkmux:s3cret@");
    let (studio, laptop) = (with(url.clone()).with("DARKMUX_MACHINE_ID", "studio"), with(url));
    let _daemon = Daemon::start(&studio);
    let other = Daemon::start(&laptop);
    let live = wait_for("both to be alive", || {
        let live = get(other.port, "/fleet/machines/live").json();
        (live.as_array()?.len() == 2).then_some(live)
    });
    assert!(live[0]["slots"].is_object(), "{live}");
    let log = std::fs::read_to_string(laptop.path().join("serve.log")).unwrap();
    assert!(!log.contains("WARN"), "{log}");
    for name in ["redis", "duplicate ids", "version skew", "clock skew"] {
        let found = check(&laptop, name);
        assert_eq!(found["state"], "pass", "{found}");
    }
    let denied: [&[&str]; 5] =
        [&["FLUSHALL"], &["KEYS", "*"], &["CONFIG", "GET", "dir"], &["GET", "foreign"], &["DEBUG", "JMAP"]];
    for denied in denied {
        let mut args = vec!["--user", "darkmux", "--pass", "s3cret", "--no-auth-warning"];
        args.extend(denied);
        let reply = redis.cli(&args);
        assert!(reply.contains("NOPERM") || reply.contains("permission"), "{denied:?}: {reply}");
    }
}

#[test]
fn names_versions_and_clocks_of_the_others_are_compared() {
    let redis = RedisServer::with(&["--appendonly", "yes"]);
    let home = with(redis.url());
    let now: i64 = redis.cli(&["TIME"]).lines().next().unwrap().parse().unwrap();
    let beat = |uid: &str, name: &str, version: Value, ahead: i64| {
        let ms = now * 1000 + ahead;
        let value = json!({
            "machine_uid": uid, "display_name": name, "schema_version": "1.14.0", "beat_ts_ms": ms,
            "darkmux_version": version,
        });
        redis.cli(&["SET", &format!("darkmux:presence:{uid}"), &value.to_string(), "PX", "15000"]);
    };
    beat("u1", "studio", json!("99.0.0 (abc)"), 0);
    beat("u2", "studio", Value::Null, 0);
    beat("u3", "pi", json!("99.0.0"), 3_600_000);
    let report = report(&home, true);
    let checks = &report["checks"];
    let found = named(checks, "duplicate ids");
    assert_eq!(found["state"], "fail", "{found}");
    assert!(found["fix"].as_str().unwrap().contains("config set machine_id"), "{found}");
    let found = named(checks, "version skew");
    assert_eq!(found["state"], "warn", "{found}");
    assert!(found["finding"].as_str().unwrap().contains("99.0.0 on pi, studio"), "{found}");
    let found = named(checks, "clock skew");
    assert_eq!(found["state"], "warn", "{found}");
    assert!(found["finding"].as_str().unwrap().contains("pi's is"), "{found}");
    let fleet = &report["fleet"];
    assert_eq!(named(fleet, "studio")["state"], "fail");
    assert_eq!(named(fleet, "pi")["state"], "warn");
}

#[test]
fn every_machine_of_the_fleet_has_a_line() {
    let redis = RedisServer::with(&["--appendonly", "yes"]);
    let home = with(redis.url());
    let studio = with(redis.url()).with("DARKMUX_MACHINE_ID", "studio");
    let daemon = Daemon::start(&studio);
    home.ok(["fleet", "add", "studio", "--address", &format!("127.0.0.1:{}", daemon.port)]);
    home.ok(["fleet", "add", "laptop", "--address", &format!("127.0.0.1:{}", free_port())]);
    wait_for("studio's first beat", || {
        let listed = home.json(["fleet", "list", "--json"]);
        listed["machines"].as_array()?.iter().any(|one| one["origin"] == "both").then_some(())
    });
    let output = home.run(["doctor", "--fleet"]);
    let text = describe(&output);
    assert!(text.contains("fleet: 2 machines") && text.contains("✓ studio"), "{text}");
    assert!(text.contains("⚠ laptop") && text.contains("→ start `darkmux serve` on laptop"), "{text}");
    let peers = check(&home, "peers");
    assert_eq!(peers["state"], "warn", "{peers}");
    assert!(peers["finding"].as_str().unwrap().contains("1 of 2 answer"), "{peers}");
}
