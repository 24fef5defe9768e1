//! The daemon as a process: one a home, found by its file, on loopback only; its small answers.

use serde_json::Value;

use crate::http_raw::{ask, get};
use crate::support::{Daemon, Home, describe, signal, wait_for};

#[test]
fn a_second_daemon_names_the_first() {
    let home = Home::new();
    let mut first = Daemon::start(&home);
    let second = home.run(["serve", "--port", "0"]);
    assert_eq!(second.status.code(), Some(1), "{}", describe(&second));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains(&format!("pid {}", first.process.pid())), "{said}");
    assert_eq!(get(first.port, "/health").status, 200);

    // What a killed one leaves behind holds nobody up.
    first.process.kill();
    let again = Daemon::start(&home);
    assert_ne!(again.process.pid(), first.process.pid());
}

#[test]
fn a_taken_port_and_a_foreign_address_are_refused_with_what_to_do() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = home.run(["serve", "--port", &port]);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--port 0"), "{}", describe(&output));

    for address in ["0.0.0.0", "192.168.1.7", "::"] {
        let output = home.run(["serve", "--port", "0", "--bind", address]);
        assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("plain HTTP") && said.contains("--i-know"), "{}", describe(&output));
    }
    assert!(!home.darkmux().join("daemon.json").exists());
    std::fs::create_dir_all(home.darkmux()).unwrap();
    std::fs::write(home.darkmux().join("host.toml"), "[discvoery]\n").unwrap();
    let output = home.run(["serve", "--port", "0"]);
    assert_eq!(output.status.code(), Some(2), "as a mistake in config.json: {}", describe(&output));
}

#[test]
fn two_signals_end_it_at_once() {
    let home = Home::new();
    let mut daemon = Daemon::start(&home);
    signal(daemon.process.pid(), "INT");
    signal(daemon.process.pid(), "TERM");
    let status = daemon.process.0.wait().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn the_small_answers_have_the_shapes_of_1_9() {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let health = get(daemon.port, "/health");
    assert_eq!(health.header("content-type"), Some("application/json"));
    assert_eq!(
        keys(&health.json()),
        ["darkmux_version", "flow_schema_version", "machine_id", "machine_uid", "ok"]
    );
    assert!(health.text().starts_with("{\"darkmux_version\""), "sorted keys");
    let specs = get(daemon.port, "/machine/specs").json();
    let of_1_9 = [
        "cpu_brand",
        "darkmux_version",
        "flow_schema_version",
        "generated_at_ms",
        "lms_unreachable",
        "loaded_models",
        "machine_id",
        "os",
        "ram_free_for_ai_bytes",
        "ram_total_bytes",
        "redis_url_redacted",
        "utility_model",
    ];
    let of_presence = ["arch", "boot", "cores", "machine_uid", "roles", "runner", "slots", "started_at_ms"];
    for key in of_1_9.iter().chain(&of_presence) {
        assert!(specs.get(key).is_some(), "no {key} in {specs}");
    }
    assert_eq!(specs["os"], format!("{} {}", std::env::consts::OS, std::env::consts::ARCH));
    assert_eq!((&specs["lms_unreachable"], &specs["machine_id"]), (&true.into(), &"testbox".into()));
    assert!(specs["ram_total_bytes"].as_u64() > Some(0));
    assert_eq!(get(daemon.port, "/fleet/machines/live").text(), "[]");
    assert_eq!(get(daemon.port, "/fleet/sessions/live").text(), "[]");
    assert_eq!(keys(&get(daemon.port, "/missions").json()), ["generated_at_ms", "missions"]);
    assert_eq!(keys(&get(daemon.port, "/sprints").json()), ["generated_at_ms", "sprints"]);
    assert_eq!(keys(&get(daemon.port, "/sessions").json()), ["generated_at_ms", "schema", "sessions"]);
    assert_eq!(keys(&get(daemon.port, "/flow-days").json()), ["days", "generated_at_ms"]);
    assert_eq!(get(daemon.port, "/flow-status").json(), home.json(["flow", "status", "--json"]));
}

#[test]
fn what_a_session_was_told_is_served_to_nobody() {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let id = home.ok(["crew", "dispatch", "shell", "-d", "-m", "sleep 60; echo canary"]);
    assert!(home.ok(["session", "ls", "--json"]).contains("canary"), "its owner sees it");
    let served = get(daemon.port, "/sessions");
    assert_eq!(served.json()["sessions"][0]["id"], id.trim());
    assert!(!served.text().contains("canary"), "{served:?}");
    let day = get(daemon.port, "/flow-days").json()["days"][0]["date"].as_str().unwrap().to_owned();
    let records = get(daemon.port, &format!("/flow/{day}"));
    assert!(records.text().contains(id.trim()) && !records.text().contains("canary"), "{records:?}");
}

#[test]
fn the_page_says_its_mode_and_files_are_kept_by_the_browser() {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let page = get(daemon.port, "/");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains("<head>\n<meta name=\"darkmux-mode\" content=\"live\">"));
    let play = get(daemon.port, "/play/2026-11-20").text();
    assert!(play.contains("<meta name=\"darkmux-mode\" content=\"play\">"));
    assert!(play.contains("<meta name=\"darkmux-date\" content=\"2026-11-20\">"));
    let script = get(daemon.port, "/assets/main.js");
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(script.header("cache-control"), Some("no-cache"));
    let tag = format!("If-None-Match: {}", script.header("etag").unwrap());
    let same = ask(daemon.port, "GET", "/assets/main.js", &[&tag]);
    assert_eq!((same.status, same.body.len()), (304, 0));
    assert_eq!(
        get(daemon.port, "/assets/css/base.css").header("content-type"),
        Some("text/css; charset=utf-8")
    );
    assert_eq!(get(daemon.port, "/favicon.ico").header("content-type"), Some("image/svg+xml"));
}

#[test]
fn the_page_brings_the_newest_records_and_ends_where_it_should_whatever_they_say() {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let bad = "</script><script>alert(1)</script><!-- </body>";
    for n in 0..120 {
        home.ok(["flow", "note", "--text", &format!("{n} {bad}")]);
    }
    let day = get(daemon.port, "/flow-days").json()["days"][0]["date"].as_str().unwrap().to_owned();
    let path = format!("/flow/{day}?limit=100");
    let asked = get(daemon.port, &path);
    for page in ["/", "/fleet", "/session/job-1"] {
        // A busy machine may take longer than the page waits.
        let page = wait_for("records", || {
            Some(get(daemon.port, page).text()).filter(|page| page.contains("first-answer"))
        });
        let (_, rest) = page.split_once("id=\"first-answer\">").unwrap();
        let (first, after) = rest.split_once("</script>").unwrap();
        assert_eq!(after.trim(), "</body>\n</html>", "the element ended early");
        let first: Value = serde_json::from_str(first).unwrap();
        assert_eq!(first["path"], path.as_str());
        assert_eq!(first["body"], asked.json());
        assert_eq!(first["body"][99]["handle"], format!("119 {bad}"));
        assert_eq!(first["headers"]["darkmux-position"], asked.header("darkmux-position").unwrap());
    }
    // What shows another day, or nothing of today, does not.
    for other in ["/play/2026-11-20", "/auth/login"] {
        assert!(!get(daemon.port, other).text().contains("first-answer"), "{other}");
    }
}

#[test]
fn a_page_does_not_wait_for_records_that_are_too_many() {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let long = "x".repeat(60_000);
    for _ in 0..6 {
        home.ok(["flow", "note", "--text", &long]);
    }
    let page = get(daemon.port, "/").text();
    assert!(!page.contains("first-answer") && page.ends_with("</html>\n"), "{} bytes", page.len());
}

#[test]
fn the_viewer_comes_as_few_files_that_are_kept_for_good() {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let page = get(daemon.port, "/").text();
    let named = |before: &str| {
        let (_, rest) = page.split_once(before).unwrap_or_else(|| panic!("no {before} in {page}"));
        rest.split('"').next().unwrap().to_owned()
    };
    let script = named("<script type=\"module\" src=\"");
    for (path, kind) in
        [(&script, "text/javascript"), (&named("<link rel=\"stylesheet\" href=\""), "text/css")]
    {
        let kept = get(daemon.port, path);
        assert_eq!(kept.header("content-type"), Some(format!("{kind}; charset=utf-8").as_str()));
        assert_eq!(kept.header("cache-control"), Some("public, max-age=31536000, immutable"));
        let packed = ask(daemon.port, "GET", path, &["Accept-Encoding: gzip"]);
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        assert!(packed.body.len() * 2 < kept.body.len(), "{} of {}", packed.body.len(), kept.body.len());
    }
    // One of another version is not answered with this one.
    let other = get(daemon.port, "/assets/viewer-0000000000000000.js");
    assert_eq!((other.status, other.header("cache-control")), (404, Some("no-store")));
}

#[test]
fn model_servers_are_asked_and_may_not_delay() {
    use std::io::{Read, Write};
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    // Accepts and never answers, as a server that hangs.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Home::new()
        .with("DARKMUX_LMSTUDIO_URL", url)
        .with("DARKMUX_OLLAMA_URL", format!("http://{}", mute.local_addr().unwrap()));
    let daemon = Daemon::start(&home);
    let answering = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut socket, _) = server.accept().unwrap();
            let mut request = vec![0; 2048];
            let count = socket.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..count]).into_owned();
            let body = if request.starts_with("GET /api/v0/models") {
                r#"{"data":[{"id":"b","state":"not-loaded"},{"id":"a","state":"loaded"}]}"#
            } else {
                r#"{"data":[{"id":"b"},{"id":"a"}]}"#
            };
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            socket.write_all(format!("{head}{body}").as_bytes()).unwrap();
        }
    });
    let specs = get(daemon.port, "/machine/specs").json();
    answering.join().unwrap();
    assert_eq!(specs["loaded_models"], serde_json::json!(["a"]));
    assert_eq!(specs["lms_unreachable"], false);
}
