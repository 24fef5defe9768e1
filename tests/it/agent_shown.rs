//! What people see of the built-in agent's work: lines of whole words, colours where they are wanted, and what it came to also
//! where no queue knows of it.

use std::fs;

use serde_json::json;

use crate::agent_loop::Bed;
use crate::support::api::Api;
use crate::support::model_server::{ModelServer, Reply};
use crate::support::{RedisServer, describe};

const STYLE: &str = "\u{1b}[;0;36m";

fn bed(last: &str) -> Bed {
    let calls = Reply::calls(&[
        ("write", json!({ "path": "notes.md", "content": "x" })),
        ("bash", json!({ "command": "printf '\\033[1mbold'" })),
    ]);
    Bed::with(ModelServer::start([calls, Reply::text(last)]))
}

#[test]
fn a_transcript_has_colours_where_this_command_has_them() {
    let bed = bed("Done.").set("NO_COLOR", "");
    let output = bed.dispatch("coder", "go");
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("● bash") && !shown.contains('\u{1b}'), "{shown:?}");
    let id = bed.folder().file_name().unwrap().to_str().unwrap().to_owned();
    let tail = |args: &[&str]| {
        let mut command = bed.home.cmd(["session", "tail", &id]);
        String::from_utf8(command.args(args).output().unwrap().stdout).unwrap()
    };
    assert!(tail(&["--raw"]).contains(STYLE), "the session's terminal has them");
    assert!(!tail(&[]).contains('\u{1b}'), "a pipe is no terminal: {:?}", tail(&[]));
    assert!(tail(&["--color", "always"]).contains(STYLE));
    assert!(!bed.home.ok(["job", "logs", &id]).contains('\u{1b}'));
    // What other programs write to a pipe stays as it is.
    let output = bed.home.run(["crew", "dispatch", "shell", "-m", "printf '\\033[1mbold'"]);
    assert_eq!(output.stdout, b"\x1b[1mbold", "{}", describe(&output));
}

#[test]
fn words_are_whole_in_a_terminal_of_any_width() {
    let said = "The transcript is a text of many words, and each of them stands on one line of the terminal, however \
                long the sentence is that a model says without taking a breath.";
    let bed = bed(said);
    let output = bed.dispatch("coder", "go");
    let shown = String::from_utf8(output.stdout).unwrap();
    let from = shown.find("The transcript").unwrap_or_else(|| panic!("{shown}"));
    let lines: Vec<&str> = shown[from..].lines().take_while(|line| !line.starts_with('·')).collect();
    assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= 80), "{lines:?}");
    assert_eq!(lines.join(" "), said);
}

#[test]
fn a_dispatch_that_no_queue_knows_is_shown_by_its_session() {
    let bed = bed("It is noted.\n\nNothing else.");
    assert_eq!(bed.dispatch("coder", "note it").status.code(), Some(0));
    let id = bed.folder().file_name().unwrap().to_str().unwrap().to_owned();
    let check = |bed: &Bed, text: &str| {
        let output = bed.home.run(["job", "show", text]);
        assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
        let shown = String::from_utf8(output.stdout).unwrap();
        let parts = [
            "ended well",
            "coder",
            "scripted at lmstudio",
            "notes.md",
            "2 turns, 2 calls",
            "It is noted.\n\nNothing",
        ];
        for part in parts.into_iter().chain([id.as_str()]) {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(check(&bed, &id), "");
    check(&bed, &id[id.len() - 6..]);
    assert_eq!(bed.home.ok(["job", "show", "--message", &id]), "note it");
    let document = bed.home.json(["job", "show", "--json", &id]);
    assert_eq!((&document["job"], &document["session"]["id"]), (&json!(null), &json!(id)));
    assert_eq!(document["result"]["final"], "It is noted.\n\nNothing else.");
    // A shell that somebody opened is no dispatch, and what is nowhere is missed as before.
    let other = bed.home.ok(["session", "new", "-d", "--", "true"]);
    for text in [other.trim(), "nowhere"] {
        let output = bed.home.run(["job", "show", text]);
        assert_eq!(output.status.code(), Some(3), "{}", describe(&output));
    }
    // With a queue that does not know it, and with one that is away.
    let redis = RedisServer::start();
    let bed = bed.set("DARKMUX_REDIS_URL", &redis.url());
    assert_eq!(check(&bed, &id), "");
    assert_eq!(bed.home.run(["job", "show", "nowhere"]).status.code(), Some(1));
    drop(redis);
    assert!(check(&bed, &id).contains("this is what the session on this machine says"));
}

#[test]
fn what_an_agent_came_to_is_had_of_its_session_over_http() {
    let bed = bed("It is noted.");
    assert_eq!(bed.dispatch("coder", "note it").status.code(), Some(0));
    let id = bed.folder().file_name().unwrap().to_str().unwrap().to_owned();
    let Bed { home, server: _server, .. } = bed;
    let api = Api::of(home);
    let answer = api.get(&format!("/v1/sessions/{id}/result"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let result: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
    assert_eq!(result["data"]["final"], "It is noted.");
    assert_eq!(result["data"]["changed"], json!(["notes.md"]));
    fs::remove_file(api.home.darkmux().join("sessions").join(&id).join("result.json")).unwrap();
    for path in [format!("/v1/sessions/{id}/result"), "/v1/sessions/none/result".to_owned()] {
        assert_eq!(api.get(&path).status, 404, "{path}");
    }
    assert_eq!(crate::http_raw::get(api.daemon.port, &format!("/v1/sessions/{id}/result")).status, 401);
}
