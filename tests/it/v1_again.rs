//! Running a session again: after its host died, by several who ask at once, and where its program is not found.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::http_raw::Answer;
use crate::support::api::{Api, data, refusal};
use crate::support::{describe, is_alive, signal, wait_for};

/// Kills the session's host with KILL; the process that ran in it.
fn lose(api: &Api, id: &str) -> i64 {
    let now = api.state(id);
    signal(now["host_pid"].as_i64().unwrap(), "KILL");
    wait_for("it to be lost", || (api.session(id)["state"] == "lost").then_some(()));
    now["pid"].as_i64().unwrap()
}

/// Asks for the same so many times at the same moment.
fn at_once(times: usize, ask: impl Fn(usize) -> Answer + Sync) -> Vec<Answer> {
    let begins = std::sync::Barrier::new(times);
    let (begins, ask) = (&begins, &ask);
    std::thread::scope(|scope| {
        let one = |number| {
            scope.spawn(move || {
                begins.wait();
                ask(number)
            })
        };
        let asked: Vec<_> = (0..times).map(one).collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

#[test]
fn a_session_that_lost_its_host_runs_again_at_once() {
    let api = Api::start();
    let id = api.sh("echo run; exec cat");
    let first = api.session(&id);
    data(&api.post(&format!("/v1/sessions/{id}/rename"), &json!({ "name": "build" })));
    let said = || api.get(&format!("/v1/sessions/{id}/scrollback")).text();
    let lose = |runs: usize| {
        wait_for("its output", || (said().matches("run\r\n").count() == runs).then_some(()));
        let pid = lose(&api, &id);
        wait_for("its program to end", || (!is_alive(pid)).then_some(()));
    };
    for (runs, again) in [(2, "resume"), (3, "restart")] {
        lose(runs - 1);
        data(&api.act(&id, again));
        let now = api.session(&id);
        assert_eq!((&now["alive"], &now["runs"]), (&json!(true), &json!(runs)), "{again}");
        assert_eq!((&now["created_at"], &now["name"]), (&first["created_at"], &json!("build")));
    }
    for (runs, again) in [(4, "resume"), (5, "restart")] {
        lose(runs - 1);
        api.home.ok(["session", again, "-d", &id]);
    }
    // What is written in its folder reaches one that was lost as well.
    lose(5);
    api.home.ok(["session", "rename", &id, "other"]);
    assert_eq!(api.state(&id)["name"], "other");
}

#[test]
fn a_program_that_outlived_its_host_is_not_run_a_second_time() {
    let api = Api::start();
    let id = api.sh("trap '' HUP; echo up; while :; do sleep 1; done");
    let up = || api.get(&format!("/v1/sessions/{id}/scrollback")).text().contains("up");
    wait_for("its output", || up().then_some(()));
    let pid = lose(&api, &id);
    let refused = api.act(&id, "resume");
    assert_eq!(refusal(&refused), (400, "not_resumable".to_owned()));
    for text in [&format!("process {pid}"), &format!("`darkmux session kill {id}`")] {
        assert!(refused.text().contains(text), "{}", refused.text());
    }
    let refused = api.home.run(["session", "resume", "-d", &id]);
    assert_eq!(refused.status.code(), Some(1), "{}", describe(&refused));
    assert!(describe(&refused).contains(&format!("process {pid}")), "{}", describe(&refused));
    assert!(is_alive(pid));
    data(&api.act(&id, "restart"));
    assert!(!is_alive(pid), "who restarts it ends it first");
    assert_eq!(api.session(&id)["runs"], 2);
}

#[test]
fn many_who_run_it_again_at_once_run_it_once() {
    let api = Api::start();
    let ran = api.home.path().join("ran");
    let id = api.sh(&format!("echo x >> {0}; [ $(wc -l < {0}) = 1 ] || exec sleep 3", ran.display()));
    api.ended(&id);
    let began = Instant::now();
    let answers = at_once(6, |_| api.act(&id, "resume"));
    assert!(began.elapsed() < Duration::from_millis(2500), "{:?}", began.elapsed());
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(won.len(), 1, "{:?}", answers.iter().map(Answer::text).collect::<Vec<_>>());
    for answer in lost {
        assert_eq!(refusal(answer), (400, "not_resumable".to_owned()), "{}", answer.text());
    }
    api.ended(&id);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(std::fs::read_to_string(&ran).unwrap(), "x\nx\n");
    for answer in at_once(4, |_| api.act(&id, "restart")) {
        assert_ne!(data(&answer)["pid"], 0);
    }
    assert_eq!(api.session(&id)["alive"], true);
}

#[test]
fn of_two_of_one_name_that_are_run_again_at_once_one_runs() {
    let api = Api::start();
    let named = |_| {
        let body = json!({ "command": ["sleep", "60"], "name": "build" });
        let id = data(&api.post("/v1/launch", &body))["session_id"].as_str().unwrap().to_owned();
        data(&api.act(&id, "kill"));
        id
    };
    let ids: Vec<String> = (0..4).map(named).collect();
    for _ in 0..10 {
        let answers = at_once(4, |number| api.act(&ids[number], "resume"));
        let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409, 409, 409]);
        data(&api.act("build", "kill"));
    }
}

#[test]
fn a_run_that_cannot_begin_leaves_the_end_before_it() {
    let api = Api::start();
    let tool = api.home.path().join("bin/tool-of-mine");
    std::fs::create_dir(tool.parent().unwrap()).unwrap();
    std::fs::write(&tool, "#!/bin/sh\necho did it\n").unwrap();
    std::fs::set_permissions(&tool, PermissionsExt::from_mode(0o755)).unwrap();
    let id = api.launch(&[tool.to_str().unwrap()]);
    api.ended(&id);
    std::fs::remove_file(&tool).unwrap();
    let before = api.session(&id);
    let output = || api.get(&format!("/v1/sessions/{id}/scrollback")).text();
    let shown = output();
    for again in ["resume", "restart"] {
        let refused = api.act(&id, again);
        assert_eq!(refusal(&refused), (500, "launch_failed".to_owned()));
        assert!(refused.text().contains("tool-of-mine"), "{}", refused.text());
        assert_eq!(api.session(&id), before, "{again}");
    }
    assert_eq!((before["exit_code"].as_i64(), output()), (Some(0), shown));

    // One that is looked for on a PATH.
    let refused = api.post("/v1/launch", &json!({ "command": ["tool-of-mine"] }));
    assert_eq!(refusal(&refused), (500, "launch_failed".to_owned()));
    let path = api.home.vars().find(|(name, _)| *name == "PATH").unwrap().1.to_owned();
    let said = refused.text();
    assert!(said.contains("tool-of-mine is not on the PATH") && said.contains(&path), "{said}");
}
