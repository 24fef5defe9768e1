//! The viewer in a real Chromium, against a real daemon. The scripts are in `tests/browser`; what they need
//! is installed by `tests/run`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::model_server::{ModelServer, Reply};
use crate::support::runner::member;
use crate::support::{BIN, Daemon, Home, RedisServer, Running, describe};

/// A browser script that is to run against `daemon`.
pub fn script(home: &Home, daemon: &Daemon, name: &str) -> Command {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    assert!(
        tests.join("node_modules/playwright-core").is_dir(),
        "the browser tests need what `tests/run` installs; run it once, or `npm ci` in tests/"
    );
    let mut command = home.command("node");
    command
        .arg(tests.join("browser").join(name))
        .env("DARKMUX_TEST_URL", daemon.url(""))
        .env("DARKMUX_TEST_BIN", BIN)
        .env("DARKMUX_TEST_HOME", home.darkmux());
    if let Some(chromium) = std::env::var_os("CHROMIUM") {
        command.env("CHROMIUM", chromium);
    }
    command
}

fn passes(name: &str) {
    passes_at(&Home::new(), name);
}

/// The same on a machine that is told more.
fn passes_at(home: &Home, name: &str) {
    let daemon = Daemon::start(home);
    let output = script(home, &daemon, name).output().unwrap();
    assert!(output.status.success(), "{name}: {}", describe(&output));
}

#[test]
fn a_record_shows_at_once() {
    passes("live.mjs");
}

#[test]
fn the_page_asks_for_little_and_keeps_little() {
    passes("lean.mjs");
}

#[test]
fn a_hostile_record_shows_as_text() {
    passes("hostile.mjs");
}

#[test]
fn hostile_text_in_every_field_is_text_on_every_page() {
    passes("hostile-pages.mjs");
}

#[test]
fn sessions_are_listed_with_their_state() {
    passes("sessions.mjs");
}

#[test]
fn signing_in_watching_rotating_and_guessing() {
    passes("signin.mjs");
}

#[test]
fn a_terminal_is_launched_typed_into_and_resized() {
    passes("terminal.mjs");
}

#[test]
fn what_is_pasted_and_dropped_reaches_a_terminal() {
    passes("handing.mjs");
}

#[test]
fn two_pages_share_a_terminal() {
    passes("viewers.mjs");
}

#[test]
fn more_tabs_than_connections_are_all_live() {
    passes("tabs.mjs");
}

#[test]
fn tabs_without_a_worker_follow_by_themselves_while_they_are_seen() {
    passes("lone.mjs");
}

#[test]
fn a_terminal_is_drawn_by_webgl() {
    passes("webgl.mjs");
}

#[test]
fn a_phone_has_every_key_and_pane() {
    passes("phone.mjs");
}

#[test]
fn a_session_that_needs_somebody_is_answered_in_the_inbox() {
    passes("needs.mjs");
}

#[test]
fn notifications_are_switched_on_in_the_inbox_and_tell_what_is_new() {
    passes("notify.mjs");
}

#[test]
fn a_session_is_renamed() {
    passes("rename.mjs");
}

#[test]
fn a_foreign_page_can_neither_read_nor_connect() {
    passes("foreign.mjs");
}

#[test]
fn every_page_has_an_address_and_the_keyboard_reaches_it() {
    passes("pages.mjs");
}

#[test]
fn everything_is_reached_by_keys_alone() {
    passes("keyboard.mjs");
}

#[test]
fn no_page_has_a_violation_that_axe_finds() {
    let redis = RedisServer::start();
    passes_at(&member("testbox", &redis.url()), "axe.mjs");
}

#[test]
fn the_showcase_and_a_day_are_replayed() {
    let home = Home::new();
    let record = |ts: &str| {
        format!(
            r#"{{"ts":"{ts}","level":"info","category":"work","tier":"operator","stage":"scope","action":"note","handle":"n"}}"#
        )
    };
    // Two hours of silence before the last.
    let day = ["2026-01-02T08:00:00Z", "2026-01-02T08:00:04Z", "2026-01-02T10:00:00Z"].map(record).join("\n");
    std::fs::create_dir_all(home.darkmux().join("flows")).unwrap();
    std::fs::write(home.darkmux().join("flows/2026-01-02.jsonl"), day + "\n").unwrap();
    passes_at(&home, "replay.mjs");
}

#[test]
fn several_terminals_are_shown_side_by_side() {
    passes("tiles.mjs");
}

#[test]
fn a_job_is_dispatched_watched_and_replayed() {
    let redis = RedisServer::start();
    passes_at(&member("testbox", &redis.url()), "jobs.mjs");
}

#[test]
fn the_page_of_an_agents_job_shows_what_it_came_to() {
    let redis = RedisServer::start();
    let model = ModelServer::start([
        Reply::calls(&[
            ("write", json!({ "path": "notes.md", "content": "x" })),
            ("bash", json!({ "command": "exit 3" })),
        ]),
        Reply::text("Done.\n<img src=x onerror=alert(1)>\u{1b}[31m"),
        Reply::text("Done here alone."),
    ]);
    let home = member("testbox", &redis.url());
    let home = home.with("DARKMUX_LMSTUDIO_URL", model.url()).with("DARKMUX_CREW_AGENTS", "agent");
    let daemon = Daemon::start(&home);
    home.ok(["crew", "dispatch", "coder", "--fleet", "-m", "go"]);
    home.ok(["crew", "dispatch", "coder", "--session-id", "alone", "-m", "go on"]);
    let output = script(&home, &daemon, "agent.mjs").output().unwrap();
    assert!(output.status.success(), "{}", describe(&output));
}

#[test]
fn a_terminal_goes_on_after_the_death_of_the_daemon() {
    let home = Home::new();
    let mut daemon = Daemon::start(&home);
    let port = daemon.port.to_string();
    let mut page = script(&home, &daemon, "again.mjs");
    let mut page = Running(page.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    let said = BufReader::new(page.0.stdout.take().unwrap()).lines();
    for line in said.map_while(Result::ok) {
        match line.strip_prefix("DO ") {
            Some("kill") => daemon.process.kill(),
            Some("start") => daemon = Daemon::start_with(&home, ["serve", "--port", &port]),
            _ => continue,
        }
        writeln!(page.0.stdin.as_mut().unwrap(), "done").unwrap();
    }
    assert!(page.0.wait().unwrap().success(), "again.mjs failed; it said why above");
}

#[test]
fn the_fleet_is_listed_and_outlives_its_redis() {
    let redis = RedisServer::start();
    let home = Home::new().with("DARKMUX_REDIS_URL", redis.url()).with("DARKMUX_RUNNER_SLOTS", "3");
    let beat = |uid: &str, name: &str, more: serde_json::Value| {
        let mut value = serde_json::json!({ "machine_uid": uid, "display_name": name, "beat_ts_ms": 1 });
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        redis.cli(&["SET", &format!("darkmux:presence:{uid}"), &value.to_string(), "PX", "600000"]);
    };
    let busy = serde_json::json!({
        "darkmux_version": "9.9.9 (abc)", "os": "linux", "arch": "x86_64", "ram_free_bytes": 3_u64 << 30,
        "slots": { "total": 4, "busy": 1 }, "runner": { "enabled": true, "draining": false },
        "loaded_models": ["qwen3-4b"],
    });
    beat("u1", "studio", busy);
    beat("u2", "studio", serde_json::json!({}));
    beat("u3", "<img src=x onerror=alert(1)>", serde_json::json!({ "slots": "x", "os": ["<b>"] }));
    let daemon = Daemon::start(&home);
    outlives_its_redis(script(&home, &daemon, "fleet.mjs"), redis);
}

#[test]
fn the_page_resumes_over_the_death_of_the_daemon() {
    let home = Home::new();
    let mut daemon = Daemon::start(&home);
    let port = daemon.port.to_string();
    let mut page = script(&home, &daemon, "resume.mjs");
    let mut page = Running(page.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    let mut said = BufReader::new(page.0.stdout.take().unwrap()).lines();
    let mut phase = |wanted: &str| {
        let found = said.by_ref().map_while(Result::ok).find(|line| line == &format!("PHASE {wanted}"));
        assert!(found.is_some(), "the page never came to `{wanted}`");
    };
    let mut count = 0;
    let mut append = |times: usize| {
        for _ in 0..times {
            count += 1;
            home.ok(["flow", "note", "--text", &format!("resume-{count}")]);
        }
        count
    };
    phase("live");
    append(20);
    daemon.process.kill();
    append(20);
    phase("down");
    let _daemon = Daemon::start_with(&home, ["serve", "--port", &port]);
    let total = append(20);
    writeln!(page.0.stdin.as_mut().unwrap(), "expect resume {total}").unwrap();
    phase("done");
    assert!(page.0.wait().unwrap().success());
}

#[tokio::test]
async fn the_queue_is_shown_and_outlives_its_redis() {
    use crate::support::queue::{job, queue, seat, take};
    let redis = RedisServer::start();
    let home = Home::new().with("DARKMUX_REDIS_URL", redis.url()).with("DARKMUX_RUNNER", "false");
    let queue = queue(&redis.url());
    let studio = seat("studio");
    let mut claims = Vec::new();
    for (id, name) in [("dead-1", None), ("run-1", Some("<b>name</b>")), ("wait-1", None)] {
        let (job, mut spec) = job(id, "echo secret");
        spec.name = name.map(str::to_owned);
        queue.publish(&job, &spec).await.unwrap();
        if id != "wait-1" {
            claims.push(take(&queue, &studio).await);
        }
    }
    queue.refuse(&claims[0].id, &claims[0].token, "<img src=x onerror=alert(1)>").await.unwrap();
    let daemon = Daemon::start(&home);
    outlives_its_redis(script(&home, &daemon, "queue.mjs"), redis);
}

/// A page that lists something, and goes on when its daemon's Redis is killed.
fn outlives_its_redis(mut page: Command, mut redis: RedisServer) {
    let mut page = Running(page.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap());
    let mut said = BufReader::new(page.0.stdout.take().unwrap()).lines();
    let mut phase = |wanted: &str| {
        let found = said.by_ref().map_while(Result::ok).find(|line| line == &format!("PHASE {wanted}"));
        assert!(found.is_some(), "the page never came to `{wanted}`");
    };
    phase("listed");
    redis.kill();
    phase("done");
    assert!(page.0.wait().unwrap().success());
}
