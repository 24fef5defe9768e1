//! The queue over HTTP: a real daemon with a runner, a real Redis; jobs are published, explained, cancelled, tried
//! again, and their output is read where they did not run.

use serde_json::{Value, json};

use crate::support::api::{Api, data, refusal};
use crate::support::runner::member;
use crate::support::{RedisServer, wait_for};

fn job(api: &Api, id: &str) -> Value {
    api.get(&format!("/jobs/{id}")).json()["job"].clone()
}

fn until(api: &Api, id: &str, state: &str) -> Value {
    wait_for(&format!("{id} to be {state}"), || {
        let job = job(api, id);
        (job["state"] == state).then_some(job)
    })
}

fn dispatch(api: &Api, more: &Value) -> String {
    let mut body = json!({ "role": "shell", "message": "echo over http" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    data(&api.post("/v1/dispatch", &body))["job"].as_str().unwrap().to_owned()
}

/// The output of a job as text, piece by piece to its end.
fn output(api: &Api, id: &str) -> String {
    let (mut text, mut after) = (String::new(), String::new());
    loop {
        let part = data(&api.get(&format!("/v1/jobs/{id}/output{after}")));
        for piece in part["pieces"].as_array().unwrap() {
            assert!(
                piece["at_ms"].as_u64().unwrap() > 0 && piece["attempt"].as_u64().unwrap() >= 1,
                "{piece}"
            );
            text.push_str(piece["bytes"].as_str().unwrap());
        }
        if part["more"] != true {
            return text;
        }
        after = format!("?after={}", part["next"].as_str().unwrap());
    }
}

#[test]
fn who_asks_again_because_no_answer_came_publishes_one_job() {
    let redis = RedisServer::start();
    let api = Api::of(member("alone", &redis.url()));
    let one = dispatch(&api, &json!({ "key": "form-1" }));
    assert_eq!(dispatch(&api, &json!({ "key": "form-1" })), one);
    assert_ne!(dispatch(&api, &json!({ "key": "form-2" })), one);
    let body = json!({ "role": "shell", "message": "true", "key": "" });
    assert_eq!(api.post("/v1/dispatch", &body).status, 400);
}

#[test]
fn a_job_is_published_runs_and_tells_its_output() {
    let redis = RedisServer::start();
    let api = Api::of(member("studio", &redis.url()));
    let judged = wait_for("studio to be able", || {
        let body = json!({ "role": "shell", "message": "echo hi", "dry_run": true });
        let machines = data(&api.post("/v1/dispatch", &body))["machines"].clone();
        (machines[0]["verdict"] == "now").then_some(machines)
    });
    assert_eq!(judged[0]["machine"], "studio");
    assert_eq!(api.get("/jobs").json()["jobs"], json!([]), "a dry run publishes nothing");

    let id = dispatch(&api, &json!({ "name": "greeting" }));
    let ended = until(&api, &id, "done");
    assert_eq!((&ended["name"], &ended["published_by"]), (&json!("greeting"), &json!("studio")));
    assert!(output(&api, &id).contains("over http"), "{}", output(&api, &id));
    let flows = api.home.darkmux().join("flows");
    wait_for("the record of the route", || {
        let days = std::fs::read_dir(&flows).unwrap().map(|day| std::fs::read_to_string(day.unwrap().path()));
        let of_it = |line: &str| line.contains("dispatch route") && line.contains(&id);
        days.flatten().any(|day| day.lines().any(of_it)).then_some(())
    });

    data(&api.post(&format!("/v1/jobs/{id}/retry"), &json!({})));
    wait_for("the second attempt", || (job(&api, &id)["attempt"] == 2).then_some(()));
    until(&api, &id, "done");
    let (status, code) = refusal(&api.post("/v1/jobs/none-1/retry", &json!({})));
    assert_eq!((status, code.as_str()), (404, "not_found"));
}

#[test]
fn a_job_that_nobody_can_run_says_why_and_is_cancelled() {
    let redis = RedisServer::start();
    let api = Api::of(member("studio", &redis.url()));
    let id = dispatch(&api, &json!({ "require": ["gpu=h100"], "priority": "high" }));
    let why = wait_for("a judgement", || {
        let said = data(&api.get(&format!("/v1/jobs/{id}/explain")));
        (said["machines"][0]["verdict"] == "no").then_some(said)
    });
    assert!(why["why"].as_str().unwrap().contains("no known machine"), "{why}");
    assert!(why["machines"][0]["reasons"][0].as_str().unwrap().contains("gpu=h100"), "{why}");
    let cancelled = data(&api.post(&format!("/v1/jobs/{id}/cancel"), &json!({ "reason": "not today" })));
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(until(&api, &id, "cancelled")["cancel"], "not today");
    let again = data(&api.post(&format!("/v1/jobs/{id}/cancel"), &json!({})));
    assert_eq!(again["state"], "cancelled", "what had ended says how");
}

#[test]
fn the_queue_is_paused_a_machine_drained_and_dead_letters_dealt_with() {
    let redis = RedisServer::start();
    let api = Api::of(member("studio", &redis.url()));
    let queue = || api.get("/queue").json();
    let shows = |what: &str, wanted: &dyn Fn(&Value) -> bool| {
        wait_for(what, || Some(queue()).filter(|now| wanted(now)));
    };
    data(&api.post("/v1/queue/pause", &json!({})));
    shows("a pause", &|now| now["paused"] == true);
    let id = dispatch(&api, &json!({}));
    until(&api, &id, "queued");
    data(&api.post("/v1/machines/studio/drain", &json!({})));
    shows("a drain", &|now| now["drained"] == json!(["studio"]));
    data(&api.post("/v1/queue/resume", &json!({})));
    shows("no pause", &|now| now["paused"] == false);
    assert_eq!(job(&api, &id)["state"], "queued", "a drained machine takes nothing");
    data(&api.post("/v1/machines/studio/undrain", &json!({})));
    until(&api, &id, "done");

    redis.cli(&["XADD", "darkmux:work", "*", "job", "no job"]);
    wait_for("a dead letter", || (queue()["dead"] == 1).then_some(()));
    let entry = queue()["dead_letters"][0]["entry"].as_str().unwrap().to_owned();
    let (status, code) = refusal(&api.post(&format!("/v1/dead/{entry}/requeue"), &json!({})));
    assert_eq!((status, code.as_str()), (400, "no_job"));
    data(&api.post(&format!("/v1/dead/{entry}/drop"), &json!({})));
    shows("no dead letter", &|now| now["dead"] == 0);
    assert_eq!(refusal(&api.post(&format!("/v1/dead/{entry}/drop"), &json!({}))).0, 404);
}

#[test]
fn what_is_no_job_is_refused_with_the_reason() {
    let redis = RedisServer::start();
    let api = Api::of(member("studio", &redis.url()));
    let bad = |change: Value| {
        let mut body = json!({ "role": "shell", "message": "x" });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        refusal(&api.post("/v1/dispatch", &body))
    };
    for (change, code) in [
        (json!({ "role": "shel" }), "unknown_role"),
        (json!({ "role": "no role!" }), "validation_error"),
        (json!({ "message": "" }), "validation_error"),
        (json!({ "message": "a\u{0}b" }), "validation_error"),
        (json!({ "message": "x".repeat(300_000) }), "validation_error"),
        (json!({ "workdir": "relative" }), "validation_error"),
        (json!({ "require": ["=="] }), "validation_error"),
        (json!({ "priority": "soon" }), "validation_error"),
        (json!({ "retries": 1000 }), "validation_error"),
        (json!({ "machine": "No Machine" }), "validation_error"),
        (json!({ "name": "\u{1b}[2J" }), "validation_error"),
        (json!({ "mesage": "typo" }), "bad_request"),
    ] {
        assert_eq!(bad(change.clone()), (400, code.to_owned()), "{change}");
    }
    for path in ["/v1/dead/x/drop", "/v1/machines/No%20Machine/drain", "/v1/jobs/a%2Fb/cancel"] {
        assert_eq!(refusal(&api.post(path, &json!({}))).0, 400, "{path}");
    }
    assert_eq!(api.get("/v1/jobs/none/output?after=x").status, 400);
    assert_eq!(api.get("/jobs").json()["jobs"], json!([]));
}

#[test]
fn a_browser_gets_the_page_where_a_program_gets_data() {
    let door = crate::support::Door::new();
    for path in ["/queue", "/sessions", "/flow/2026-11-22", "/fleet", "/inbox", "/job/x", "/machine/studio"] {
        let page = door.ask("GET", path, &["Accept: text/html,application/xhtml+xml,*/*;q=0.8"], "");
        assert_eq!(
            (page.status, page.header("content-type")),
            (200, Some("text/html; charset=utf-8")),
            "{path}"
        );
    }
    for path in ["/queue", "/sessions", "/flow/2026-11-22"] {
        for accept in ["*/*", "application/json"] {
            let answer = door.ask("GET", path, &[&format!("Accept: {accept}")], "");
            assert_eq!(answer.header("content-type"), Some("application/json"), "{path} {accept}");
            assert!(answer.header("vary").is_some_and(|vary| vary.contains("accept")), "{path}: {answer:?}");
        }
    }
}
