//! The built-in agent and a model's window that fills up.

use std::fs;

use serde_json::{Value, json};

use crate::agent_loop::{Bed, last_asked};
use crate::support::model_server::{ModelServer, Reply};
use crate::support::{describe, wait_for};

/// A machine whose model has a window of so many tokens, and files to fill it with.
fn bed(window: u64, script: impl IntoIterator<Item = Reply>) -> Bed {
    let server = ModelServer::start(script).serves(&json!([{ "id": "scripted", "max_model_len": window }]));
    let bed = Bed::with(server);
    fs::write(bed.work.join("big"), format!("{}\n", "x ".repeat(30)).repeat(400)).unwrap();
    bed
}

/// Reads the same file several times over, in one answer.
fn reads(times: usize) -> Reply {
    let read = |at: usize| ("read", json!({ "path": "big", "offset": at + 1 }));
    Reply::calls(&(0..times).map(read).collect::<Vec<_>>())
}

/// The whole of a question, as text.
fn question(asked: &Value) -> String {
    asked["messages"].to_string()
}

#[test]
fn a_window_that_fills_is_made_room_in_before_the_server_refuses() {
    let plan = json!({ "items": [{ "text": "count the lines" }] });
    let bed = bed(
        12_000,
        [
            Reply::calls(&[("plan", plan), ("write", json!({ "path": "made.txt", "content": "x" }))]),
            reads(4),
            Reply::text("big holds lines of x"),
            Reply::text("It is done."),
        ],
    );
    let output = bed.dispatch("coder", "read big, and the secret word is kumquat");
    assert_eq!((output.status.code(), bed.server.left()), (Some(0), 0), "{}", describe(&output));
    let asked = bed.server.asked();
    assert!(question(&asked[2]).contains("You sum up") && asked[2].get("tools").is_none(), "{}", asked[2]);
    let last = last_asked(&bed);
    for part in ["kumquat", "big holds lines of x", "[ ] count the lines", "Files changed so far: made.txt"] {
        assert!(last.contains(part), "{part}: {last}");
    }
    assert!(!last.contains("x x x x"), "{last}");
    assert_eq!(bed.result()["totals"]["total_compactions"], 1);
}

#[test]
fn where_the_model_can_t_sum_up_its_calls_stand_for_it() {
    let refused = Reply::status(400, r#"{"error":{"message":"not now"}}"#);
    let bed = bed(12_000, [reads(5), refused, Reply::text("It is done.")]);
    let output = bed.dispatch("coder", "read big");
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    assert!(describe(&output).contains("the calls stand for the summary"), "{}", describe(&output));
    let last = last_asked(&bed);
    assert!(last.contains("by the calls that were made") && last.matches("- read {").count() == 5, "{last}");
}

#[test]
fn a_server_that_is_busy_while_it_sums_up_is_asked_again_and_its_summary_counts() {
    let busy = Reply::status(503, r#"{"error":{"message":"loading"}}"#);
    let summary = Reply::text("big holds lines of x");
    let bed = bed(12_000, [reads(5), busy, summary, Reply::text("It is done.")]);
    let output = bed.dispatch("coder", "read big");
    assert_eq!((output.status.code(), bed.server.left()), (Some(0), 0), "{}", describe(&output));
    assert!(describe(&output).contains("busy (503): loading"), "{}", describe(&output));
    assert!(last_asked(&bed).contains("big holds lines of x"), "{}", last_asked(&bed));
    // Three answers of 120, one of them the summary.
    assert_eq!(bed.result()["totals"]["total_tokens"], 360);
}

#[test]
fn what_is_left_is_cut_until_it_fits() {
    let bed = bed(4000, [reads(3), Reply::text(&"y ".repeat(6000)), Reply::text("It is done.")]);
    let output = bed.dispatch("coder", "read big, and the secret word is kumquat");
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    let last = last_asked(&bed);
    assert!(last.contains("kumquat") && last.contains("bytes left out"), "{last}");
    let telemetry = &bed.payloads("telemetry.compaction")[0];
    // A quarter is the answer's.
    assert!(telemetry["to"].as_u64().unwrap() <= 3000, "{telemetry}");
}

#[test]
fn a_window_that_is_set_counts_for_a_run_that_goes_on() {
    let too_long = r#"{"error":{"type":"exceed_context_size_error","message":"too large","n_ctx":8000}}"#;
    let (refused, summary) = (Reply::status(400, too_long), Reply::text("big holds lines of x"));
    let bed = bed(12_000, [reads(1), refused, summary, Reply::text("It is done.")]);
    let id = bed.start(&[]);
    assert_eq!(bed.home.run(["session", "wait", &id]).status.code(), Some(0));
    for (set, says) in [("0", "window 8000 tokens"), ("9000", "window 9000 tokens")] {
        bed.home.ok(["config", "set", "models.context", set]);
        bed.home.ok(["session", "resume", "-d", &id]);
        wait_for(says, || bed.home.ok(["session", "tail", &id]).contains(says).then_some(()));
        bed.home.run(["session", "kill", &id]);
    }
}

#[test]
fn no_single_result_fills_the_window() {
    let bed = bed(12_000, [reads(1), Reply::text("It is done.")]);
    let output = bed.dispatch("coder", "read big");
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    let told = bed.server.asked()[1]["messages"][3]["content"].as_str().unwrap().to_owned();
    assert!(told.len() < 12_100 && told.contains("bytes left out"), "{}", told.len());
}
