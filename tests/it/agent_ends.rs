//! How a run of the built-in agent ends before its work is done, and what is left of it.

use std::fs;

use serde_json::json;

use crate::agent_loop::{Bed, last_asked};
use crate::support::model_server::{ModelServer, Reply};
use crate::support::{describe, wait_for};

#[test]
fn the_tokens_of_a_run_have_a_limit() {
    let calls = (0..9).map(|n| Reply::call("bash", json!({ "command": format!("echo {n}") })));
    let bed = Bed::with(ModelServer::start(calls)).set("DARKMUX_RUNTIME_MAX_TOKENS", "300");
    let output = bed.dispatch("coder", "go");
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let result = bed.result();
    assert_eq!(result["result"], "escalation_cumulative_tokens_exceeded");
    // Each answer takes 120.
    assert_eq!((&result["totals"]["total_tokens"], bed.server.left()), (&json!(360), 6));
}

#[test]
fn a_role_gives_up_after_as_many_summaries_as_it_says() {
    let read = |at: usize| ("read", json!({ "path": "big", "offset": at + 1 }));
    let reads = Reply::calls(&(0..4).map(read).collect::<Vec<_>>());
    let window = json!([{ "id": "scripted", "max_model_len": 12_000 }]);
    let bed = Bed::with(ModelServer::start([reads, Reply::text("summed up")]).serves(&window));
    fs::write(bed.work.join("big"), format!("{}\n", "x ".repeat(30)).repeat(400)).unwrap();
    bed.role(&json!({ "id": "brief", "runtime": "agent", "bail_after_compactions": 0 }));
    let output = bed.dispatch("brief", "read big");
    assert_eq!((output.status.code(), bed.server.left()), (Some(1), 1), "{}", describe(&output));
    assert_eq!(bed.result()["result"], "escalation_compaction_limit_reached");
}

#[test]
fn the_same_command_with_the_same_output_is_noticed_however_long_it_takes() {
    let command = "n=$(cat n 2>/dev/null || echo 0); echo $((n + 3)) >n; sleep 0.$n; echo same";
    let calls = (0..3).map(|_| Reply::call("bash", json!({ "command": command })));
    let bed = Bed::with(ModelServer::start(calls.chain([Reply::text("Done.")])));
    let output = bed.dispatch("coder", "go");
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    assert_eq!(bed.payloads("telemetry.detector")[0]["kind"], "cycle");
}

#[test]
fn what_was_called_after_a_stop_is_not_done() {
    let calls = Reply::calls(&[
        ("bash", json!({ "command": "echo begun; exec sleep 600" })),
        ("write", json!({ "path": "made.txt", "content": "x" })),
    ]);
    let bed = Bed::with(ModelServer::start([calls]));
    let id = bed.start(&[]);
    wait_for("the command", || bed.home.ok(["session", "tail", &id]).contains("│ begun").then_some(()));
    bed.home.ok(["session", "send", &id, "--no-enter", "\u{1b}"]);
    wait_for("the stop", || bed.home.ok(["session", "tail", &id]).contains("waiting for you").then_some(()));
    assert!(!bed.work.join("made.txt").exists());
    bed.server.then(Reply::text("As you like."));
    bed.home.ok(["session", "send", &id, "leave it"]);
    assert_eq!(bed.home.run(["session", "wait", &id]).status.code(), Some(0));
    let asked = bed.server.asked().pop().unwrap()["messages"].to_string();
    assert!(asked.contains("This call was not made") && asked.contains("leave it"), "{asked}");
}

#[test]
fn one_that_is_ended_while_its_command_runs_says_so_and_keeps_what_it_did() {
    let bed = Bed::with(ModelServer::start([Reply::call(
        "bash",
        json!({ "command": "echo begun; exec sleep 600" }),
    )]));
    let id = bed.start(&[]);
    wait_for("the command", || bed.home.ok(["session", "tail", &id]).contains("│ begun").then_some(()));
    bed.home.run(["session", "kill", &id]);
    // 137 would be KILL, after the grace.
    let output = bed.home.run(["session", "wait", &id]);
    assert_eq!(output.status.code(), Some(143), "{}", describe(&output));
    let result = bed.result();
    assert_eq!((&result["result"], &result["totals"]["total_tools"]), (&json!("terminated"), &json!(1)));
    bed.server.then(Reply::text("Done after all."));
    bed.home.ok(["session", "resume", "-d", &id]);
    let output = bed.home.run(["session", "wait", &id]);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    assert!(bed.server.asked().pop().unwrap()["messages"].to_string().contains("it was cancelled"));
}

#[test]
fn one_that_is_ended_from_outside_says_so_and_can_be_gone_on_with() {
    let bed = Bed::with(ModelServer::start([
        Reply::call("bash", json!({ "command": "echo first-step" })),
        Reply::begun([json!({ "content": "thinking" })]).hangs(),
    ]));
    let id = bed.start(&[]);
    wait_for("the second turn", || (bed.server.count() == 2).then_some(()));
    bed.home.run(["session", "kill", &id]);
    assert_eq!(bed.result()["result"], "terminated");
    bed.server.then(Reply::text("Done after all."));
    bed.home.ok(["session", "resume", "-d", &id]);
    let output = bed.home.run(["session", "wait", &id]);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    assert!(bed.server.asked().pop().unwrap()["messages"].to_string().contains("first-step"));
}

#[test]
fn a_second_try_with_a_hint_goes_on_by_itself_after_a_crash() {
    let bed = Bed::with(ModelServer::start([
        Reply::text("BLOCKED: no way"),
        Reply::begun([json!({ "content": "thinking" })]).hangs(),
    ]));
    bed.role(&json!({ "id": "again", "runtime": "agent", "escalation_contract": "retry-with-hint" }));
    let id = bed.start_as("again", &[]);
    wait_for("the second try", || (bed.server.count() == 2).then_some(()));
    bed.crash();
    bed.home.run(["session", "wait", &id]);
    bed.server.then(Reply::text("BLOCKED: still none"));
    bed.home.ok(["session", "resume", "-d", &id]);
    let output = bed.home.run(["session", "wait", &id]);
    assert_eq!((output.status.code(), bed.server.left()), (Some(1), 0), "{}", describe(&output));
    assert!(last_asked(&bed).contains("two ways around it"));
    assert_eq!(bed.result()["blocked"], "still none", "the hint is given once");
}

#[test]
fn a_limit_counts_on_after_a_crash_and_who_goes_on_behind_it_has_as_much_again() {
    let call = |n: u64| Reply::call("bash", json!({ "command": format!("echo {n}") }));
    let hangs = Reply::begun([json!({ "content": "thinking" })]).hangs();
    let bed = Bed::with(ModelServer::start([call(1), call(2), hangs]));
    let bed = bed.set("DARKMUX_RUNTIME_MAX_TURNS", "3");
    let id = bed.start(&[]);
    wait_for("the third turn", || (bed.server.count() == 3).then_some(()));
    bed.crash();
    bed.home.run(["session", "wait", &id]);
    (3..9).for_each(|n| bed.server.then(call(n)));
    for turns in [3, 6] {
        bed.home.ok(["session", "resume", "-d", &id]);
        let output = bed.home.run(["session", "wait", &id]);
        assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
        let result = bed.result();
        assert_eq!(
            (&result["result"], &result["totals"]["total_turns"]),
            (&json!("max_turns"), &json!(turns))
        );
    }
}

#[test]
fn what_a_person_said_outlives_a_crash_and_the_end_of_the_session() {
    let hangs = || Reply::begun([json!({ "content": "thinking" })]).hangs();
    let bed = Bed::with(ModelServer::start([hangs(), hangs()]));
    let id = bed.start(&[]);
    let tail = || bed.home.ok(["session", "tail", &id]);
    wait_for("the first turn", || (bed.server.count() == 1).then_some(()));
    bed.home.ok(["session", "send", &id, "--no-enter", "\u{1b}"]);
    wait_for("the stop", || tail().contains("waiting for you").then_some(()));
    bed.home.ok(["session", "send", &id, "use tabs"]);
    wait_for("the second turn", || (bed.server.count() == 2).then_some(()));
    bed.crash();
    bed.home.run(["session", "wait", &id]);
    bed.server.then(hangs());
    bed.home.ok(["session", "resume", "-d", &id]);
    wait_for("the third turn", || (bed.server.count() == 3).then_some(()));
    assert!(last_asked(&bed).contains("use tabs"), "{}", last_asked(&bed));
    bed.home.ok(["session", "send", &id, "do not touch x"]);
    wait_for("the line", || tail().contains("› do not touch x").then_some(()));
    bed.home.run(["session", "kill", &id]);
    bed.server.then(Reply::text("Done."));
    bed.home.ok(["session", "resume", "-d", &id]);
    let output = bed.home.run(["session", "wait", &id]);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    assert!(last_asked(&bed).contains("do not touch x"), "{}", last_asked(&bed));
}
