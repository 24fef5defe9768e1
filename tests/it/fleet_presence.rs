//! Signs of life: several machines on one Redis, each a home and a daemon of its own.

use serde_json::{Value, json};

use crate::http_raw::get;
use crate::support::{Daemon, Home, RedisServer, describe, signal, wait_for};

/// A beat as darkmux 1.9.0 writes it.
const OLD: &str = r#"{"machine_uid":"9C5F-OLD","display_name":"oldmac","schema_version":"1.14.0","beat_ts_ms":1795304012271}"#;
const OLD_KEY: &str = "darkmux:presence:9C5F-OLD";

fn home(redis: &RedisServer, id: &str) -> Home {
    Home::new().with("DARKMUX_MACHINE_ID", id).with("DARKMUX_REDIS_URL", redis.url())
}

fn list(home: &Home) -> Value {
    home.json(["fleet", "list", "--json"])
}

/// The machine of this name in a list.
fn named<'a>(list: &'a Value, id: &str) -> Option<&'a Value> {
    list["machines"].as_array().unwrap().iter().find(|machine| machine["id"] == id)
}

/// Waits until the machine is in everybody's list, and returns it.
fn appears(home: &Home, id: &str) -> Value {
    wait_for("the machine in the list", || {
        named(&list(home), id).filter(|machine| machine["presence"] != json!([])).cloned()
    })
}

fn stop(daemon: &mut Daemon) {
    signal(daemon.process.pid(), "TERM");
    assert_eq!(daemon.process.0.wait().unwrap().code(), Some(0));
}

/// The records of this action in these homes' flows.
fn records(homes: &[&Home], action: &str) -> Vec<Value> {
    let files =
        homes.iter().flat_map(|home| std::fs::read_dir(home.darkmux().join("flows")).into_iter().flatten());
    let text = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let all: Vec<String> = text.collect();
    let lines = all.iter().flat_map(|text| text.lines());
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|one: &Value| one["action"] == action)
        .collect()
}

#[test]
fn machines_of_one_redis_know_each_other_and_one_tells_who_comes_and_goes() {
    let redis = RedisServer::start();
    let homes = ["studio", "laptop", "pi"].map(|id| home(&redis, id));
    let _first = Daemon::start(&homes[0]);
    let _second = Daemon::start(&homes[1]);
    appears(&homes[1], "studio");
    let studio = appears(&homes[0], "laptop");
    assert_eq!(studio["origin"], "presence");
    let beat = &studio["presence"][0]["beat"];
    for key in
        ["darkmux_version", "os", "arch", "cores", "ram_total_bytes", "slots", "runner", "boot", "roles"]
    {
        assert!(!beat[key].is_null(), "no {key} in {beat}");
    }
    assert!(beat["address"].is_null(), "nobody reaches a daemon on loopback");
    assert_eq!(beat["machine_id"], "laptop");
    assert!(studio["presence"][0]["skew_ms"].as_i64().unwrap().abs() < 1_000, "{studio}");

    // Both watch: each has looked at least once before the third one comes.
    let watched = || {
        let commands = redis.cli(&["INFO", "commandstats"]);
        let scans = commands.lines().find(|line| line.starts_with("cmdstat_scan"));
        let calls =
            scans.and_then(|line| line.split("calls=").nth(1)?.split(',').next()?.parse::<u32>().ok());
        calls.filter(|calls| *calls >= 4)
    };
    wait_for("looks at the fleet", watched);
    let mut third = Daemon::start(&homes[2]);
    wait_for("a record of who came", || {
        let came = records(&[&homes[0], &homes[1]], "machine.online");
        (came.iter().any(|one| one["handle"] == "pi")).then_some(())
    });
    stop(&mut third);
    assert_eq!(
        redis.cli(&["KEYS", "darkmux:presence:*"]).lines().count(),
        2,
        "a clean stop takes its key back"
    );
    let index = redis.cli(&["ZRANGE", "darkmux:machines", "0", "-1", "WITHSCORES"]);
    let now: u64 = redis.cli(&["TIME"]).lines().next().unwrap().parse().unwrap();
    let scores: Vec<u64> = index.lines().skip(1).step_by(2).map(|score| score.parse().unwrap()).collect();
    assert_eq!(scores.len(), 2, "and its place in the index: {index}");
    assert!(
        scores.iter().all(|score| (now * 1000).abs_diff(*score) < 60_000),
        "by the clock of Redis: {index}"
    );

    wait_for("a record of who went", || records(&[&homes[0], &homes[1]], "machine.offline").first().cloned());
    let both = [&homes[0], &homes[1]];
    let went = records(&both, "machine.offline");
    let came = records(&both, "machine.online").into_iter().filter(|one| one["handle"] == "pi").count();
    assert_eq!((went.len(), came), (1, 1), "{went:?}");
    assert_eq!(
        (&went[0]["machine_id"], &went[0]["source"], &went[0]["category"]),
        (&json!("pi"), &json!("presence-reconciler"), &json!("machinery"))
    );
    assert!(went[0]["machine_uid"].is_string());
}

#[test]
fn a_machine_of_1_9_is_shown_and_its_end_is_told() {
    let redis = RedisServer::start();
    let studio = home(&redis, "studio");
    redis.cli(&["SET", OLD_KEY, OLD, "PX", "60000"]);
    let daemon = Daemon::start(&studio);
    let old = appears(&studio, "oldmac");
    assert_eq!(old["presence"][0]["beat"]["machine_uid"], "9C5F-OLD");
    let live = wait_for("both in the live list", || {
        let live = get(daemon.port, "/fleet/machines/live").json();
        (live.as_array().unwrap().len() == 2).then_some(live)
    });
    let old = &live[0];
    assert_eq!(
        (&old["display_name"], &old["machine_uid"], &old["beat_ts_ms"], &old["origin"]),
        (&json!("oldmac"), &json!("9C5F-OLD"), &json!(1_795_304_012_271_u64), &json!("presence"))
    );
    studio.ok(["fleet", "add", "oldmac", "--address", "127.0.0.1:9"]);
    assert_eq!(appears(&studio, "oldmac")["origin"], "both");
    let table = studio.run(["fleet", "status"]);
    assert!(describe(&table).contains("it beats in Redis"), "{}", describe(&table));

    redis.cli(&["DEL", OLD_KEY]);
    let went = wait_for("its end", || records(&[&studio], "machine.offline").first().cloned());
    assert_eq!((&went["handle"], &went["machine_uid"]), (&json!("oldmac"), &json!("9C5F-OLD")));
    assert_eq!(redis.cli(&["EXISTS", "darkmux:edge-claim:machine-offline:9C5F-OLD"]), "1");
}

#[test]
fn an_end_that_another_machine_tells_is_not_told_twice() {
    let redis = RedisServer::start();
    let studio = home(&redis, "studio");
    redis.cli(&["SET", OLD_KEY, OLD, "PX", "60000"]);
    redis.cli(&["SET", "darkmux:presence:SECOND", &OLD.replace("oldmac", "second"), "PX", "60000"]);
    let _daemon = Daemon::start(&studio);
    wait_for("a look", || redis.cli(&["INFO", "commandstats"]).contains("cmdstat_scan").then_some(()));
    appears(&studio, "oldmac");
    redis.cli(&["SET", "darkmux:edge-claim:machine-offline:9C5F-OLD", "1", "EX", "60"]);
    redis.cli(&["DEL", OLD_KEY, "darkmux:presence:SECOND"]);
    wait_for("the other's end", || records(&[&studio], "machine.offline").first().cloned());
    let told = records(&[&studio], "machine.offline");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["handle"], "second");
}

#[test]
fn two_machines_of_one_name_and_two_daemons_of_one_identity_are_named() {
    let redis = RedisServer::start();
    let homes = [home(&redis, "studio"), home(&redis, "studio")];
    let first = Daemon::start(&homes[0]);
    let mut second = Daemon::start(&homes[1]);
    wait_for("the clash", || {
        let list = list(&homes[0]);
        named(&list, "studio")?["clash"].as_str().filter(|text| text.contains("2 machines")).map(drop)
    });
    for verb in ["list", "status"] {
        let output = homes[0].run(["fleet", verb]);
        let text = describe(&output);
        assert!(text.contains("clash") && text.contains("config set machine_id"), "{text}");
        assert_eq!(output.status.code(), Some(0), "{text}");
    }
    let live = wait_for("the clash for the viewer", || {
        let live = get(first.port, "/fleet/machines/live").json();
        (live.as_array()?.len() == 2).then_some(live)
    });
    assert!(live[0]["clash"].is_string() && live[1]["clash"].is_string(), "{live}");

    stop(&mut second);
    std::fs::copy(homes[0].darkmux().join("machine-uid"), homes[1].darkmux().join("machine-uid")).unwrap();
    let _copied = Daemon::start(&homes[1]);
    wait_for("the copied identity", || {
        let list = list(&homes[0]);
        named(&list, "studio")?["clash"].as_str().filter(|text| text.contains("one identity")).map(drop)
    });
}

#[test]
fn without_redis_the_roster_is_shown_and_no_secret_is() {
    let redis = RedisServer::with(&["--requirepass", "canary-pw", "--save", ""]);
    let port = redis.port();
    drop(redis);
    let url = format!("redis://default:canary-pw@127.0.0.1:{port}");
    let home = Home::new().with("DARKMUX_REDIS_URL", url);
    home.ok(["fleet", "add", "studio", "--address", "127.0.0.1:9"]);
    let daemon = Daemon::start(&home);
    for args in [["fleet", "list"], ["fleet", "status"]] {
        let output = home.run(args);
        let text = describe(&output);
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("studio"), "{text}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(said.matches("can't be reached").count(), 1, "{text}");
        assert!(!text.contains("canary"), "{text}");
    }
    let json = home.json(["fleet", "status", "--json"]);
    assert_eq!(json["redis"]["reachable"], false);
    let live = get(daemon.port, "/fleet/machines/live");
    assert_eq!((live.status, &live.json()["error"]["code"]), (503, &json!("redis_unreachable")));
    let sessions = get(daemon.port, "/fleet/sessions/live");
    assert_eq!((sessions.status, sessions.header("darkmux-partial")), (200, Some("redis")));
    let specs = get(daemon.port, "/machine/specs");
    assert!(specs.text().contains("default:***@"), "{}", specs.text());
    let log = std::fs::read_to_string(home.path().join("serve.log")).unwrap();
    assert!(log.contains("signs of life don't arrive"), "{log}");
    for text in [live.text(), specs.text(), sessions.text(), log, describe(&home.run(["doctor"]))] {
        assert!(!text.contains("canary"), "{text}");
    }
}

#[test]
fn values_of_any_kind_hide_no_machine() {
    let redis = RedisServer::start();
    let studio = home(&redis, "studio");
    redis.cli(&["SET", "darkmux:presence:garbage", "\u{1b}[2J{"]);
    redis.cli(&["SET", "darkmux:presence:empty", "{}"]);
    redis.cli(&["RPUSH", "darkmux:presence:list", "x"]);
    redis.cli(&["EVAL", "redis.call('SET','darkmux:presence:huge',string.rep('x',50000000))", "0"]);
    redis.cli(&["EVAL", "for i=1,3000 do redis.call('SET','darkmux:presence:m'..i,'{') end", "0"]);
    redis.cli(&["SET", "darkmux:machines", "no sorted set"]);
    redis.cli(&[
        "SET",
        "darkmux:presence:evil",
        r#"{"display_name":"ev\u001b[2Jil\u202e","beat_ts_ms":"x"}"#,
    ]);
    let list = studio.run(["fleet", "list"]);
    let text = describe(&list);
    assert_eq!(list.status.code(), Some(0), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
    redis.cli(&["EVAL", "for i=1,3000 do redis.call('DEL','darkmux:presence:m'..i) end", "0"]);
    let text = studio.ok(["fleet", "list"]);
    assert!(text.contains("ev\\u{1b}[2Jil\\u{202e}"), "{text}");
}

#[test]
fn running_sessions_are_alive_for_others_until_they_end() {
    let redis = RedisServer::start();
    let (studio, laptop) = (home(&redis, "studio"), home(&redis, "laptop"));
    let _here = Daemon::start(&studio);
    let there = Daemon::start(&laptop);
    let id = studio.ok(["crew", "dispatch", "shell", "-d", "--message", "sleep 1000"]).trim().to_owned();
    let key = format!("darkmux:session-presence:{id}");
    let beat = wait_for("the session on the other machine", || {
        let live = get(there.port, "/fleet/sessions/live").json();
        live.as_array()?.iter().find(|beat| beat["session_id"] == id.as_str()).cloned()
    });
    assert_eq!((&beat["display_name"], &beat["role"]), (&json!("studio"), &json!("shell")));
    assert!(beat["machine_uid"].is_null() && beat["owner_uid"].is_string(), "{beat}");
    assert!(!redis.cli(&["GET", &key]).contains("sleep"), "the message is given away");
    studio.ok(["session", "kill", "--now", &id]);
    wait_for("the end of its beats", || (redis.cli(&["EXISTS", &key]) == "0").then_some(()));
    assert_eq!(redis.cli(&["EXISTS", &format!("darkmux:edge-claim:session-end:{id}")]), "1");
}

#[test]
fn after_a_restart_of_redis_everybody_is_back_and_nobody_went() {
    let mut redis = RedisServer::start();
    let (studio, laptop) = (home(&redis, "studio"), home(&redis, "laptop"));
    let _here = Daemon::start(&studio);
    let _there = Daemon::start(&laptop);
    appears(&studio, "laptop");
    appears(&laptop, "studio");
    redis.kill();
    redis.restart();
    appears(&studio, "laptop");
    appears(&laptop, "studio");
    // Both have looked at the new server, twice.
    wait_for("looks at the new server", || {
        let stats = redis.cli(&["INFO", "commandstats"]);
        let calls = stats.lines().find(|line| line.starts_with("cmdstat_time"))?;
        let calls: u32 = calls.split("calls=").nth(1)?.split(',').next()?.parse().ok()?;
        (calls >= 8).then_some(())
    });
    let both = [&studio, &laptop];
    assert_eq!(records(&both, "machine.offline"), Vec::<Value>::new());
    assert_eq!(records(&both, "machine.online"), Vec::<Value>::new());
}
