//! `/v1/sessions/{id}/wait`: how it ends.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use crate::http_raw::Answer;
use crate::support::api::{Api, data, refusal};
use crate::support::wait_for;

fn wait(api: &Api, id: &str, query: &str) -> Answer {
    api.ask("POST", &format!("/v1/sessions/{id}/wait?timeout=30&{query}"), None, b"")
}

/// Says something of a session as its program would.
fn report(api: &Api, id: &str, report: &Value) {
    let socket = api.session(id)["socket_path"].as_str().unwrap().to_owned();
    let body = report.to_string();
    let mut stream = UnixStream::connect(socket).unwrap();
    let head = "PUT /status HTTP/1.1\r\nHost: darkmux\r\nConnection: close\r\nContent-Length:";
    write!(stream, "{head} {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
}

#[test]
fn the_end_is_waited_for() {
    let api = Api::start();
    let id = api.sh("read line; exit 7");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| wait(&api, &id, "for=exit"));
        data(&api.type_in(&id, "?submit=1", b"go"));
        assert_eq!(data(&waiting.join().unwrap()), json!({ "exit_code": 7, "reason": "exited" }));
    });
    assert_eq!(data(&wait(&api, &id, "for=exit"))["exit_code"], 7, "it has ended already");
    let dismissed = api.launch(&["sleep", "60"]);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| wait(&api, &dismissed, "for=text&text=never"));
        data(&api.act(&dismissed, "dismiss"));
        assert_eq!(data(&waiting.join().unwrap())["reason"], "died");
    });
}

#[test]
fn a_text_is_waited_for_as_a_person_reads_it() {
    let api = Api::start();
    let id = api.sh(r"printf 'begin\n\033[31mre'; read line; printf 'ady\033[0m> '; read line");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| wait(&api, &id, "for=text&text=%5Eready%3E%20%24"));
        wait_for("the first output", || {
            api.get(&format!("/v1/sessions/{id}/scrollback")).text().contains("begin").then_some(())
        });
        // Without an echo nothing stands between the two halves.
        data(&api.type_in(&id, "", b"\x04"));
        let waited = data(&waiting.join().unwrap());
        assert_eq!(waited, json!({ "line": "ready> ", "reason": "text" }));
    });
    let typed = data(&api.type_in(&id, "?submit=1", b""));
    assert_eq!(api.ended(&id)["exit_code"], 0);
    assert_eq!(data(&wait(&api, &id, "for=text&text=begin"))["reason"], "text", "from its disk");
    let after = format!("for=text&text=begin&from={}", typed["output_end"]);
    assert_eq!(data(&wait(&api, &id, &after))["reason"], "died", "only what came later");
}

#[test]
fn idleness_is_waited_for_where_the_program_tells_of_it() {
    let api = Api::start();
    let id = api.sh("exec sleep 60");
    assert_eq!(refusal(&wait(&api, &id, "")), (422, "no_idle_signal".to_owned()));
    report(&api, &id, &json!({ "label": "thinking", "working": true }));
    wait_for("the report", || (api.session(&id)["status"]["label"] == "thinking").then_some(()));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| wait(&api, &id, "for=idle"));
        report(&api, &id, &json!({ "label": "done", "working": false, "needs_you": "Which one?" }));
        let waited = data(&waiting.join().unwrap());
        assert_eq!(waited, json!({ "needs_you": "Which one?", "reason": "idle" }));
    });
    assert_eq!(api.session(&id)["needs_you"], "Which one?");
    data(&api.act(&id, "read"));
    report(&api, &id, &json!({ "label": "on", "working": true }));
    std::thread::scope(|scope| {
        wait_for("the report", || (api.session(&id)["status"]["label"] == "on").then_some(()));
        let waiting = scope.spawn(|| wait(&api, &id, "for=idle"));
        data(&api.act(&id, "kill"));
        assert_eq!(data(&waiting.join().unwrap())["reason"], "died");
    });
}

#[test]
fn waiting_has_bounds() {
    let api = Api::start();
    let id = api.launch(&["sleep", "60"]);
    let ask = |query: &str| refusal(&api.ask("POST", &format!("/v1/sessions/{id}/wait?{query}"), None, b""));
    assert_eq!(ask("timeout=1&for=exit"), (408, "timeout".to_owned()));
    for query in ["timeout=0", "timeout=86401", "for=text", "text=x", "for=text&text=%28", "for=text&text="] {
        assert_eq!(ask(query), (400, "validation_error".to_owned()), "{query}");
    }
    for query in ["timeout=x", "timeout=-1", "for=ever", "from=x", "timeout=1&timeout=2"] {
        assert_eq!(ask(query), (400, "bad_request".to_owned()), "{query}");
    }
    assert_eq!(refusal(&wait(&api, "none", "")), (404, "not_found".to_owned()));
}
