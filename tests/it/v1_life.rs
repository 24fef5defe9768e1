//! Sessions after their end: run again, restarted, dismissed, and kept within bounds.

use serde_json::{Value, json};

use crate::support::api::{Api, data, refusal};
use crate::support::{Home, is_alive, wait_for};

/// Folders that are left of sessions.
fn folders(api: &Api) -> usize {
    let entries = std::fs::read_dir(api.home.darkmux().join("sessions")).unwrap();
    entries.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count()
}

fn output(api: &Api, id: &str) -> String {
    api.get(&format!("/v1/sessions/{id}/scrollback")).text()
}

#[test]
fn a_session_is_found_as_soon_as_its_id_was_given_out() {
    let api = Api::start();
    for _ in 0..20 {
        let id = api.home.ok(["session", "new", "-d", "--", "sleep", "60"]).trim().to_owned();
        assert_eq!(data(&api.get(&format!("/v1/sessions/{id}")))["id"], *id);
    }
}

#[test]
fn a_resumed_session_goes_on_under_its_id() {
    let mut api = Api::start();
    let id = api.sh("echo run $DARKMUX_SESSION_ID; exec cat");
    wait_for("its output", || output(&api, &id).contains("run").then_some(()));
    let running = refusal(&api.act(&id, "resume"));
    assert_eq!(running, (400, "not_resumable".to_owned()));
    data(&api.act(&id, "kill"));
    let first = api.session(&id);
    let resumed = data(&api.act(&id, "resume"));
    assert_eq!(resumed["session_id"], *id);
    let second = api.session(&id);
    assert_eq!((&second["alive"], &second["runs"]), (&json!(true), &json!(2)));
    assert_eq!((&second["created_at"], &second["slug"]), (&first["created_at"], &first["slug"]));
    assert!(second.get("exit_code").is_none() && second.get("exited_at").is_none(), "{second}");
    let said = format!("run {id}\r\n");
    wait_for("both runs in its output", || (output(&api, &id).matches(&said).count() == 2).then_some(()));
    data(&api.type_in(&id, "?submit=1", b"typed"));
    wait_for("an echo", || output(&api, &id).ends_with("typed\r\n").then_some(()));

    let restarted = data(&api.act(&id, "restart"));
    assert_ne!(restarted["pid"], resumed["pid"]);
    assert!(!is_alive(resumed["pid"].as_i64().unwrap()));
    wait_for("the third run", || (output(&api, &id).matches(&said).count() == 3).then_some(()));
    api.again();
    assert_eq!((&api.session(&id)["runs"], &api.session(&id)["alive"]), (&json!(3), &json!(true)));
    data(&api.act(&id, "kill"));
    data(&api.act(&id, "restart"));
    assert_eq!(api.session(&id)["runs"], 4);
    assert_eq!(refusal(&api.act("sess-00000000", "resume")), (404, "not_found".to_owned()));
}

#[test]
fn who_asks_again_with_the_same_key_gets_the_session_of_the_first_time() {
    let api = Api::start();
    let ask = |key: &str| api.post("/v1/launch", &json!({ "command": ["sleep", "60"], "key": key }));
    let id = |key: &str| data(&ask(key))["session_id"].as_str().unwrap().to_owned();
    let ids: Vec<String> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..4).map(|_| scope.spawn(|| id("one"))).collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|one| *one == ids[0]), "{ids:?}");
    let session = api.session(&ids[0]);
    assert_eq!((&session["alive"], &session["runs"]), (&json!(true), &json!(1)));
    assert_eq!(folders(&api), 1);
    assert_ne!(id("two"), ids[0]);
    data(&api.act(&ids[0], "kill"));
    assert_eq!(id("one"), ids[0], "an ended session is the one of its key until it is dismissed");
    data(&api.act(&ids[0], "dismiss"));
    assert_eq!(id("one"), ids[0]);
    assert_eq!(api.session(&ids[0])["alive"], true);
    for wrong in ["", "a\nb", &"k".repeat(201)] {
        assert_eq!(refusal(&ask(wrong)), (400, "validation_error".to_owned()), "{wrong}");
    }
}

#[test]
fn a_session_is_run_again_once_by_many_who_ask() {
    let api = Api::start();
    let id = api.sh("exec sleep 60");
    data(&api.act(&id, "kill"));
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let ask = || api.act(&id, "resume").status;
        let asked: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    assert_eq!((&api.session(&id)["alive"], &api.session(&id)["runs"]), (&json!(true), &json!(2)));
}

#[test]
fn a_dismissed_session_is_gone_with_its_processes_and_stays_gone() {
    let mut api = Api::start();
    let id = api.sh("trap '' TERM HUP; sleep 60 & sleep 61");
    let pid = api.session(&id)["pid"].as_i64().unwrap();
    let ended = api.sh("exit 3");
    api.ended(&ended);
    for id in [&id, &ended] {
        data(&api.act(id, "dismiss"));
        assert_eq!(refusal(&api.act(id, "dismiss")), (404, "not_found".to_owned()));
        assert!(!api.home.darkmux().join("sessions").join(id).exists());
    }
    assert!(!is_alive(pid));
    api.again();
    assert_eq!(api.sessions(), Vec::<Value>::new());
    assert_eq!(folders(&api), 0);
}

#[test]
fn a_dismissal_that_a_crash_broke_off_is_completed() {
    let mut api = Api::start();
    let running = api.launch(&["sleep", "60"]);
    let ended = api.sh("true");
    api.ended(&ended);
    let pid = api.session(&running)["pid"].as_i64().unwrap();
    api.daemon.process.kill();
    let sessions = api.home.darkmux().join("sessions");
    for id in [&running, &ended] {
        std::fs::write(sessions.join(id).join("dismissed"), "").unwrap();
    }
    std::fs::create_dir(sessions.join(".gone-sess-00000000-x")).unwrap();
    api.again();
    wait_for("what was begun to be done", || (api.sessions().is_empty() && folders(&api) == 0).then_some(()));
    assert!(!is_alive(pid));
}

#[test]
fn more_ended_sessions_than_are_kept_are_dismissed_the_oldest_first() {
    let mut api = Api::of(Home::new().with("DARKMUX_SESSION_KEEP", "2"));
    let lives = api.launch(&["sleep", "60"]);
    let ended: Vec<String> = (0..4)
        .map(|_| {
            let id = api.sh("true");
            api.ended(&id);
            id
        })
        .collect();
    // A daemon sweeps when it starts.
    api.again();
    wait_for("the oldest to go", || (api.sessions().len() == 3).then_some(()));
    for (id, status) in
        [(&ended[0], 404), (&ended[1], 404), (&ended[2], 200), (&ended[3], 200), (&lives, 200)]
    {
        assert_eq!(api.get(&format!("/v1/sessions/{id}")).status, status);
    }
}
