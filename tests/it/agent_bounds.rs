//! The built-in agent at its bounds: models that repeat themselves, windows that are never large enough, what is typed at the
//! last moment, runs that go on with another model.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::agent_loop::{Bed, last_asked};
use crate::support::model_server::{ModelServer, Reply};
use crate::support::{describe, signal, wait_for};

/// An answer without end that says the same again and again.
fn repeats() -> Reply {
    let again = (0..400).map(|_| json!({ "content": "Wait, let me look at that file once more. " }));
    Reply::begun(again).hangs()
}

/// Ends the agent of the only session as a crash does.
fn crash(bed: &Bed, id: &str) {
    let state: Value = serde_json::from_slice(&fs::read(bed.folder().join("state.json")).unwrap()).unwrap();
    signal(state["pid"].as_i64().unwrap(), "KILL");
    bed.home.run(["session", "wait", id]);
}

#[test]
fn an_answer_that_repeats_itself_is_stopped_while_it_comes() {
    let server = ModelServer::start([repeats(), Reply::text("Done.")]);
    let bed = Bed::with(server).set("DARKMUX_AGENT_NEXT_TOKEN", "20s");
    let output = bed.dispatch("coder", "go");
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    assert_eq!(bed.server.count(), 2, "it was not asked again for silence");
    let asked = last_asked(&bed);
    assert!(asked.contains("Your last answer repeated itself and was stopped"), "{asked}");
    assert!(asked.matches("Wait, let me look").count() < 60, "little of it is kept");
    assert_eq!(bed.payloads("telemetry.detector")[0]["kind"], "intra-turn-stall");
}

#[test]
fn a_model_that_only_repeats_itself_is_given_up() {
    let server = ModelServer::start([repeats(), repeats(), repeats(), Reply::text("never")]);
    let bed = Bed::with(server).set("DARKMUX_AGENT_NEXT_TOKEN", "20s");
    let output = bed.dispatch("coder", "go");
    assert_eq!((output.status.code(), bed.server.left()), (Some(1), 1), "{}", describe(&output));
    assert_eq!(bed.result()["result"], "escalation_intra_turn_stall_exhausted");
}

#[test]
fn a_stuck_model_is_not_told_where_that_is_switched_off() {
    let again = || Reply::call("read", json!({ "path": "none" }));
    let script = [again(), again(), again(), Reply::text("I give up.")];
    let bed = Bed::with(ModelServer::start(script)).set("DARKMUX_FEEDBACK_INJECTION", "false");
    let output = bed.dispatch("coder", "go");
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    assert_eq!(bed.payloads("telemetry.detector")[0]["kind"], "cycle", "it is noticed all the same");
    assert_eq!(bed.payloads("dispatch.feedback.injected"), Vec::<Value>::new());
    let asked = last_asked(&bed);
    assert!(asked.contains("\"Go on.\"") && !asked.contains("times with the same arguments"), "{asked}");
}

#[test]
fn a_server_that_never_has_room_is_given_up() {
    let too_long = r#"{"error":{"type":"exceed_context_size_error","message":"too large","n_ctx":32768}}"#;
    let script = (0..4).map(|_| Reply::status(400, too_long)).chain([Reply::text("never")]);
    let bed = Bed::with(ModelServer::start(script));
    let output = bed.dispatch("coder", "go");
    assert_eq!((output.status.code(), bed.server.left()), (Some(1), 1), "{}", describe(&output));
    assert_eq!(bed.result()["result"], "error");
}

#[test]
fn what_is_typed_during_the_last_answer_is_answered() {
    let nearly = Reply::begun([json!({ "content": "Nearly" })]).waits();
    let bed = Bed::with(ModelServer::start([nearly.ends("stop"), Reply::text("The docs, too.")]));
    let id = bed.start(&[]);
    let tail = || bed.home.ok(["session", "tail", &id]);
    wait_for("the answer", || tail().contains("Nearly").then_some(()));
    bed.home.ok(["session", "send", &id, "and the docs"]);
    wait_for("the line", || tail().contains("› and the docs").then_some(()));
    bed.server.go_on();
    assert_eq!(bed.home.run(["session", "wait", &id]).status.code(), Some(0));
    assert!(last_asked(&bed).contains("and the docs") && bed.server.left() == 0);
    assert_eq!(bed.result()["final"], "The docs, too.");
}

#[test]
fn what_a_person_said_is_known_after_a_crash() {
    let hangs = || Reply::begun([json!({ "content": "thinking" })]).hangs();
    let bed = Bed::with(ModelServer::start([hangs(), hangs()]));
    let id = bed.start(&[]);
    wait_for("the turn", || (bed.server.count() == 1).then_some(()));
    bed.home.ok(["session", "send", &id, "use tabs"]);
    bed.home.ok(["session", "send", &id, "--no-enter", "\u{1b}"]);
    wait_for("the turn after it", || (bed.server.count() == 2).then_some(()));
    crash(&bed, &id);
    bed.server.then(Reply::text("Tabs it is."));
    bed.home.ok(["session", "resume", "-d", &id]);
    assert_eq!(bed.home.run(["session", "wait", &id]).status.code(), Some(0));
    assert!(last_asked(&bed).contains("use tabs"), "{}", last_asked(&bed));
}

#[test]
fn what_was_found_out_of_a_model_is_not_believed_of_another() {
    let no_tools = Reply::status(400, r#"{"error":{"message":"scripted does not support tools"}}"#);
    let hangs = Reply::begun([json!({ "content": "thinking" })]).hangs();
    let bed = Bed::with(ModelServer::start([no_tools, hangs]));
    bed.server.now_serves(&json!([{ "id": "scripted", "max_model_len": 8000 }]));
    let id = bed.start(&[]);
    wait_for("the words", || (bed.server.count() == 2).then_some(()));
    assert!(bed.server.asked()[1].get("tools").is_none(), "it is told of them in words");
    // After a turn of it all that is remembered.
    crash(&bed, &id);
    bed.server.now_serves(&json!([{ "id": "other", "max_model_len": 20_000 }]));
    let kept = bed.folder().join("checkpoint.json");
    let mut checkpoint: Value = serde_json::from_slice(&fs::read(&kept).unwrap()).unwrap();
    assert_eq!(checkpoint["model"], "lmstudio/scripted");
    // As if a refusal had taught it.
    (checkpoint["window"], checkpoint["style"]) = (json!(8000), json!("text"));
    fs::write(&kept, checkpoint.to_string()).unwrap();
    bed.server.then(Reply::text("Done."));
    bed.home.ok(["session", "resume", "-d", &id]);
    let output = bed.home.run(["session", "wait", &id]);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    let asked = bed.server.asked().pop().unwrap();
    assert!(asked["model"] == "other" && asked["tools"].is_array(), "{asked}");
    assert!(bed.home.ok(["session", "tail", &id]).contains("window 20000 tokens"));
}

#[test]
fn the_result_of_an_earlier_run_is_none_of_the_next() {
    let bed = Bed::with(ModelServer::start([Reply::text("BLOCKED: no network")]));
    let id = bed.start(&[]);
    assert_eq!(bed.home.run(["session", "wait", &id]).status.code(), Some(1));
    let result = bed.folder().join("result.json");
    assert_eq!(bed.result()["result"], "blocked");
    assert_eq!(fs::metadata(&result).unwrap().permissions().mode() & 0o077, 0, "for nobody else");
    bed.server.then(Reply::begun([json!({ "content": "thinking" })]).hangs());
    bed.home.ok(["session", "resume", "-d", &id]);
    wait_for("its question", || bed.home.ok(["session", "tail", &id]).contains("goes on").then_some(()));
    bed.home.ok(["session", "send", &id, "there is one now"]);
    wait_for("the next turn", || (bed.server.count() == 2).then_some(()));
    assert!(!result.exists(), "it counts no longer");
    crash(&bed, &id);
    assert!(!result.exists());
}

#[test]
fn the_window_is_what_the_user_says_then_the_profile_then_the_server() {
    let profiles = r#"{"profiles":{"p":{"models":[{"id":"scripted","n_ctx":7000}]}},"default_profile":"p"}"#;
    let first = |bed: &Bed| String::from_utf8(bed.dispatch("coder", "go").stdout).unwrap();
    let done = || {
        let bed = Bed::with(ModelServer::start([Reply::text("Done.")]));
        fs::create_dir_all(bed.home.darkmux()).unwrap();
        bed
    };
    assert!(first(&done()).contains("window 32768 tokens"));
    let bed = done();
    fs::write(bed.home.darkmux().join("profiles.json"), profiles).unwrap();
    let shown = first(&bed);
    assert!(shown.contains("window 7000 tokens") && shown.contains("the profile names it"), "{shown}");
    let bed = done().set("DARKMUX_MODELS_CONTEXT", "9000");
    fs::write(bed.home.darkmux().join("profiles.json"), profiles).unwrap();
    assert!(first(&bed).contains("window 9000 tokens"));
}
