//! `darkmux fleet` and the roster: real files, real daemons, peers that are none.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Daemon, Home, describe, free_port};

/// A roster as the darkmux 1.9.0 binary writes it.
const OLD: &str = include_str!("fixtures/fleet-1.9.json");

/// Something that listens and answers each request as told; ends with the test's process.
fn listener(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = std::sync::Arc::new(answer);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                while let Ok(count) = stream.read(&mut buffer) {
                    if count == 0 {
                        return;
                    }
                    request.extend_from_slice(&buffer[..count]);
                    if request.ends_with(b"\r\n\r\n") {
                        answer(&String::from_utf8_lossy(&request), &mut stream);
                        request.clear();
                    }
                }
            });
        }
    });
    port
}

fn http(stream: &mut TcpStream, status: &str, body: &str) {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

/// A daemon of darkmux 1.9: says no name in `/health`, and its specs.
fn old_daemon(id: &'static str) -> u16 {
    listener(move |request, stream| {
        let body = if request.starts_with("GET /health") {
            json!({ "darkmux_version": "1.9.0", "flow_schema_version": "1.14.0" })
        } else {
            json!({
                "darkmux_version": "1.9.0", "loaded_models": ["darkmux:qwen3-4b-instruct"], "machine_id": id,
                "os": "macos aarch64", "ram_free_for_ai_bytes": 12_u64 << 30, "ram_total_bytes": null,
            })
        };
        http(stream, "200 OK", &body.to_string());
    })
}

fn write_roster(home: &Home, peers: &[(&str, u16)]) {
    let entry = |(id, port): &(&str, u16)| {
        let entry = json!({ "id": id, "address": format!("127.0.0.1:{port}"), "added_unix_ms": 1 });
        ((*id).to_owned(), entry)
    };
    let machines: serde_json::Map<String, Value> = peers.iter().map(entry).collect();
    std::fs::create_dir_all(home.darkmux()).unwrap();
    let text = json!({ "version": "2", "machines": machines }).to_string();
    std::fs::write(home.darkmux().join("fleet.json"), text).unwrap();
}

fn status(home: &Home) -> Value {
    home.json(["fleet", "status", "--deep", "--json"])
}

fn machine<'a>(status: &'a Value, id: &str) -> &'a Value {
    let found = status["machines"].as_array().unwrap().iter().find(|machine| machine["id"] == id);
    found.unwrap_or_else(|| panic!("no {id} in {status:#}"))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_machine_is_added_listed_asked_and_removed() {
    let home = Home::new();
    let other = Home::new().with("DARKMUX_MACHINE_ID", "studio");
    let daemon = Daemon::start(&other);
    let address = format!("127.0.0.1:{}", daemon.port);
    home.ok(["fleet", "add", "studio", "--address", &address, "--description", "under the desk"]);
    let list = home.ok(["fleet", "list"]);
    assert!(list.contains("studio") && list.contains("roster") && list.contains("under the desk"), "{list}");

    let text = home.ok(["fleet", "status"]);
    assert!(text.contains("roster: ") && text.contains("local machine_id: testbox"), "{text}");
    assert!(text.contains("✓ ") && text.contains("ms"), "{text}");
    let text = home.ok(["machine", "status", "--deep"]);
    let heads: Vec<&str> = text.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(heads[..7], ["MACHINE", "ADDRESS", "PROBE", "RAM-FREE", "OS", "VERSION", "MODELS"]);
    assert!(text.contains("GiB") && text.contains(std::env::consts::ARCH), "{text}");

    let status = status(&home);
    let studio = machine(&status, "studio");
    assert_eq!(
        (&studio["reachable"], &studio["origin"], &studio["specs"]["machine_id"]),
        (&json!(true), &json!("roster"), &json!("studio"))
    );
    assert_eq!(studio["resolved_address"], address);
    for key in ["address", "description", "added_unix_ms", "probe_ms", "probe_error", "specs_auth_required"] {
        assert!(studio.get(key).is_some(), "no {key} in {studio}");
    }
    home.ok(["fleet", "remove", "studio"]);
    let again = home.run(["fleet", "remove", "studio"]);
    assert_eq!(again.status.code(), Some(2), "{}", describe(&again));
    assert_eq!(home.json(["fleet", "list", "--json"])["machines"], json!([]));
}

#[test]
fn a_roster_of_1_9_is_read_and_rewritten_for_1_9() {
    let home = Home::new();
    std::fs::create_dir_all(home.darkmux()).unwrap();
    let path = home.darkmux().join("fleet.json");
    std::fs::write(&path, OLD).unwrap();
    let list = home.run(["fleet", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&list.stdout).unwrap();
    let ids: Vec<&str> =
        listed["machines"].as_array().unwrap().iter().filter_map(|machine| machine["id"].as_str()).collect();
    assert_eq!(ids, ["laptop", "studio"]);
    assert!(stderr(&list).contains("Foo.local"), "{}", describe(&list));

    home.ok(["fleet", "add", "pi", "--address", "pi.local"]);
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, mut after): (Value, Value) =
        (serde_json::from_str(OLD).unwrap(), serde_json::from_str(&text).unwrap());
    let pi = after["machines"].as_object_mut().unwrap().remove("pi").unwrap();
    assert_eq!(after, before, "what was there is there");
    let mut keys: Vec<&String> = pi.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["added_unix_ms", "address", "id"]);
    assert!(!text.ends_with('\n') && text.contains("\n  \"machines\""), "{text}");
    let mode =
        |name: &str| std::fs::metadata(home.darkmux().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("fleet.json"), 0o600);
    assert_eq!(mode("fleet.json.lock") & 0o077, mode("fleet.json.lock") & 0o044);
}

#[test]
fn wrong_ids_and_addresses_are_refused_with_a_hint() {
    let home = Home::new();
    for (id, address, says) in [
        ("Bad Id", "studio", "a-z"),
        ("../x", "studio", "a-z"),
        ("studio", "http://studio:8765", "scheme"),
        ("studio", "169.254.169.254", "metadata"),
        ("studio", "0.0.0.0:1", "unspecified"),
        ("studio", "[fe80::1]:1", "link-local"),
        ("studio", "a b", "host:port"),
    ] {
        let output = home.run(["fleet", "add", id, "--address", address]);
        assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
        assert!(stderr(&output).contains(says), "{}", describe(&output));
    }
    // The name of this machine is no other's.
    let own = home.run(["fleet", "add", "testbox", "--address", "10.255.0.9"]);
    assert_eq!(own.status.code(), Some(2), "{}", describe(&own));
    assert!(stderr(&own).contains("the name of this machine"), "{}", describe(&own));
    assert!(!home.darkmux().join("fleet.json").exists());
    home.ok(["fleet", "add", "testbox", "--address", "127.0.0.1"]);
    home.ok(["fleet", "remove", "testbox"]);
    home.ok(["fleet", "add", "studio", "--address", "::1"]);
    let near = home.run(["fleet", "remove", "studo"]);
    assert!(stderr(&near).contains("did you mean studio?"), "{}", describe(&near));
    let listed = home.json(["fleet", "list", "--json"]);
    assert_eq!(machine(&listed, "studio")["address"], "[::1]:8765");
}

#[test]
fn what_is_added_at_once_is_all_there() {
    let home = Home::new();
    let ids: Vec<String> = (0..16).map(|n| format!("m{n}")).collect();
    std::thread::scope(|scope| {
        for id in &ids {
            let home = &home;
            scope.spawn(move || home.ok(["fleet", "add", id, "--address", "10.0.0.1"]));
        }
    });
    let listed = home.json(["fleet", "list", "--json"]);
    assert_eq!(listed["machines"].as_array().unwrap().len(), 16);
    let left: Vec<_> = std::fs::read_dir(home.darkmux())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".new-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_hundred_machines_of_which_half_are_dead_take_a_moment() {
    let home = Home::new();
    let alive = old_daemon("m");
    // Takes connections and never says anything.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mute_port, dead_port) = (mute.local_addr().unwrap().port(), free_port());
    let ids: Vec<String> = (0..100).map(|n| format!("m{n:02}")).collect();
    let peers: Vec<(&str, u16)> = ids
        .iter()
        .enumerate()
        .map(|(n, id)| (id.as_str(), [alive, mute_port, alive, dead_port][n % 4]))
        .collect();
    write_roster(&home, &peers);
    let began = Instant::now();
    let status = home.json(["fleet", "status", "--json"]);
    let took = began.elapsed();
    // Twice what it may take on a machine of its own and the time of a start.
    assert!(took < Duration::from_secs(3), "{took:?}");
    let count = |state: &str| {
        status["machines"].as_array().unwrap().iter().filter(|one| one["probe_state"] == state).count()
    };
    assert_eq!((count("answers"), count("timeout"), count("refused")), (50, 25, 25));
}

/// A roster of everything that may listen at an address.
fn every_kind(home: &Home) {
    let talker = listener(|_, stream| {
        let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
    });
    let website = listener(|_, stream| http(stream, "200 OK", "<html>hello</html>"));
    let huge = listener(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        let chunk = vec![b' '; 1 << 16];
        while stream.write_all(&chunk).is_ok() {}
    });
    let dripping = listener(|_, stream| {
        for byte in b"HTTP/1.1 200 OK\r\nX: ".iter().chain(std::iter::repeat(&b'x')) {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let away = listener(|_, stream| {
        let target = "http://169.254.169.254/";
        let head = format!("HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n");
        let _ = stream.write_all(head.as_bytes());
    });
    let closed = listener(|request, stream| {
        if request.starts_with("GET /health") {
            http(stream, "200 OK", r#"{"darkmux_version":"1.9.0"}"#);
        } else {
            http(stream, "401 Unauthorized", "who are you");
        }
    });
    let broken = listener(|request, stream| {
        if request.starts_with("GET /health") {
            http(stream, "200 OK", r#"{"darkmux_version":"1.9.0\u001b[2J"}"#);
        } else {
            http(stream, "500 Oh", "");
        }
    });
    write_roster(
        home,
        &[
            ("away", away),
            ("broken", broken),
            ("closed", closed),
            ("dripping", dripping),
            ("huge", huge),
            ("old", old_daemon("old")),
            ("other", old_daemon("somebody-else")),
            ("refused", free_port()),
            ("talker", talker),
            ("website", website),
        ],
    );
}

#[test]
fn peers_of_every_kind_are_told_apart_and_fail_nothing() {
    let home = Home::new();
    every_kind(&home);
    home.ok(["fleet", "add", "nowhere", "--address", "no-such-name.invalid"]);
    let began = Instant::now();
    let status = status(&home);
    assert!(began.elapsed() < Duration::from_secs(5));
    for (id, state, reachable) in [
        ("away", "not_darkmux", false),
        ("broken", "answers", true),
        ("closed", "answers", true),
        ("dripping", "timeout", false),
        ("huge", "not_darkmux", false),
        ("old", "answers", true),
        ("other", "other_machine", false),
        ("refused", "refused", false),
        ("talker", "not_darkmux", false),
        ("website", "not_darkmux", false),
    ] {
        let machine = machine(&status, id);
        assert_eq!(machine["probe_state"], state, "{machine}");
        assert_eq!(machine["reachable"], reachable, "{machine}");
        assert_eq!(machine["probe_error"].is_string(), !reachable, "{machine}");
    }
    // A name server that does not answer is as good as one that knows no such name.
    let nowhere = machine(&status, "nowhere")["probe_state"].as_str().unwrap();
    assert!(["no_such_name", "timeout"].contains(&nowhere), "{nowhere}");
    assert_eq!(machine(&status, "closed")["specs_auth_required"], true);
    assert_eq!(machine(&status, "other")["other_machine_id"], "somebody-else");
    let output = home.run(["fleet", "status", "--deep"]);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    let text = describe(&output);
    for cell in ["✗ not darkmux", "≠ somebody-else", "✗ timeout", "✗ refused", "auth?", "specs?", "12.0 GiB"]
    {
        assert!(text.contains(cell), "no {cell} in {text}");
    }
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn a_token_goes_to_its_own_machine_and_is_shown_nowhere() {
    let home = Home::new();
    let gate = |request: &str| request.to_lowercase().contains("authorization: bearer canary-token\r\n");
    let wanting = listener(move |request, stream| {
        if gate(request) {
            http(stream, "200 OK", r#"{"darkmux_version":"1.9.0","machine_id":"wanting"}"#);
        } else {
            http(stream, "401 Unauthorized", "");
        }
    });
    let other = listener(move |request, stream| {
        if request.to_lowercase().contains("authorization") {
            http(stream, "500 Told", "");
        } else {
            http(stream, "200 OK", r#"{"darkmux_version":"1.9.0"}"#);
        }
    });
    let file = home.path().join("token");
    std::fs::write(&file, "canary-token\n").unwrap();
    let (file, wanting) = (file.to_str().unwrap(), format!("127.0.0.1:{wanting}"));
    let open = home.run(["fleet", "add", "wanting", "--address", &wanting, "--token-file", file]);
    assert_eq!(open.status.code(), Some(2), "{}", describe(&open));
    assert!(stderr(&open).contains("chmod 600"), "{}", describe(&open));

    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    home.ok(["fleet", "add", "other", "--address", &format!("127.0.0.1:{other}")]);
    home.ok(["fleet", "add", "wanting", "--address", &wanting]);
    assert_eq!(machine(&status(&home), "wanting")["probe_state"], "auth");
    home.ok(["fleet", "add", "wanting", "--address", &wanting, "--token-file", file]);
    let output = home.run(["fleet", "status", "--json"]);
    assert!(!describe(&output).contains("canary"), "{}", describe(&output));
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(machine(&status, "wanting")["probe_state"], "answers");
    assert_eq!(machine(&status, "other")["probe_state"], "answers");
    assert!(!std::fs::read_to_string(home.darkmux().join("fleet.json")).unwrap().contains("canary"));
}

#[test]
fn a_daemon_that_does_not_know_the_name_says_how_to_mend_it() {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    home.ok(["fleet", "add", "testbox", "--address", &format!("localhost:{}", daemon.port)]);
    assert_eq!(machine(&status(&home), "testbox")["probe_state"], "answers");
    let refusing = listener(|_, stream| {
        http(stream, "421 Misdirected", r#"{"error":{"code":"wrong_host","message":"x"}}"#);
    });
    home.ok(["fleet", "add", "testbox", "--address", &format!("127.0.0.1:{refusing}")]);
    let status = status(&home);
    let found = machine(&status, "testbox");
    assert_eq!(found["probe_state"], "wrong_host");
    assert!(found["probe_error"].as_str().unwrap().contains("serve.hosts"), "{found}");
}

#[test]
fn a_roster_that_is_none_is_said_and_left_as_it_is() {
    let home = Home::new();
    std::fs::create_dir_all(home.darkmux()).unwrap();
    let path = home.darkmux().join("fleet.json");
    std::fs::write(&path, "{ torn").unwrap();
    let output = home.run(["fleet", "add", "a", "--address", "b"]);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert!(
        stderr(&output).contains("fleet.json") && stderr(&output).contains("mend it"),
        "{}",
        describe(&output)
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{ torn");
}
