//! The built-in agent in jobs of the fleet's queue.

use darkmux::model::{JobState, SessionId};
use serde_json::{Value, json};

use crate::runner::{ended, processes_of};
use crate::support::model_server::{ModelServer, Reply};
use crate::support::queue::queue;
use crate::support::runner::member;
use crate::support::{Daemon, Home, RedisServer, signal, wait_for};

fn machine(server: &RedisServer, model: &ModelServer) -> Home {
    member("studio", &server.url())
        .with("DARKMUX_LMSTUDIO_URL", model.url())
        .with("DARKMUX_CREW_AGENTS", "agent")
        .with("NO_COLOR", "1")
}

fn dispatch(home: &Home) -> SessionId {
    let id =
        home.ok(["crew", "dispatch", "coder", "--fleet", "--no-wait", "-m", "the secret word is kumquat"]);
    SessionId::new(id.trim()).unwrap()
}

#[tokio::test]
async fn a_job_that_is_blocked_fails_with_its_reason_and_shows_what_it_did() {
    let server = RedisServer::start();
    let model = ModelServer::start([
        Reply::call("write", json!({ "path": "notes.md", "content": "tried" })),
        Reply::text("BLOCKED: no network here\n\nI tried."),
    ]);
    let home = machine(&server, &model);
    let _daemon = Daemon::start(&home);
    let id = dispatch(&home);
    let view = ended(&queue(&server.url()), &id).await;
    assert_eq!(view.state, JobState::Failed, "{view:?}");
    let result = view.result.unwrap();
    assert_eq!(result.error.as_deref(), Some("BLOCKED: no network here"));
    let agent: &Value = &result.details["agent"];
    assert_eq!((&agent["result"], &agent["changed"]), (&json!("blocked"), &json!(["notes.md"])));
    let shown = home.ok(["job", "show", id.as_str()]);
    for part in ["no network here", "notes.md", "scripted at lmstudio", "I tried."] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[tokio::test]
async fn after_a_crash_of_the_machine_the_next_attempt_goes_on_from_the_checkpoint() {
    let server = RedisServer::start();
    let model = ModelServer::start([
        Reply::call("bash", json!({ "command": "echo first-step > made; cat made" })),
        Reply::begun([json!({ "content": "thinking" })]).hangs(),
    ]);
    let home = machine(&server, &model).with("DARKMUX_QUEUE_LEASE", "1m");
    let mut daemon = Daemon::start(&home);
    let id = dispatch(&home);
    wait_for("the second turn", || (model.asked().len() == 2).then_some(()));
    daemon.process.kill();
    for process in processes_of(&home) {
        signal(process, "KILL");
    }
    model.then(Reply::call("bash", json!({ "command": "cat made" })));
    model.then(Reply::text("It goes on."));
    let _again = Daemon::start(&home);
    let view = ended(&queue(&server.url()), &id).await;
    assert_eq!((view.state, view.attempts.len()), (JobState::Done, 2), "{view:?}");
    let last = model.asked().last().unwrap()["messages"].to_string();
    assert!(last.contains("kumquat") && last.matches("first-step").count() >= 3, "{last}");
    let agent = &view.result.unwrap().details["agent"];
    assert_eq!((&agent["final"], &agent["totals"]["total_turns"]), (&json!("It goes on."), &json!(3)));
}
