//! The built-in agent in real sessions, against a model server that answers from a script.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::model_server::{ModelServer, Reply};
use crate::support::{Home, describe, wait_for};

/// A machine whose only agent is the built-in one, and its model server.
struct Bed {
    home: Home,
    server: ModelServer,
    work: PathBuf,
}

impl Bed {
    fn new(script: impl IntoIterator<Item = Reply>) -> Self {
        Self::with(ModelServer::start(script))
    }

    fn with(server: ModelServer) -> Self {
        let home = Home::new()
            .with("DARKMUX_LMSTUDIO_URL", server.url())
            .with("DARKMUX_CREW_AGENTS", "agent")
            .with("DARKMUX_AGENT_RETRY_PAUSE", "10ms")
            .with("NO_COLOR", "1");
        let work = home.path().join("work");
        fs::create_dir(&work).unwrap();
        Self { home, server, work }
    }

    fn set(mut self, key: &str, value: &str) -> Self {
        self.home = self.home.with(key, value);
        self
    }

    fn dispatch(&self, role: &str, message: &str) -> Output {
        self.home.run(["crew", "dispatch", role, "--workdir", self.work.to_str().unwrap(), "-m", message])
    }

    fn start(&self, args: &[&str]) -> String {
        let mut command = self.home.cmd(["crew", "dispatch", "coder", "-d", "-m", "do it", "--workdir"]);
        let output = command.arg(&self.work).args(args).output().unwrap();
        assert!(output.status.success(), "{}", describe(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn folder(&self) -> PathBuf {
        let mut all = fs::read_dir(self.home.darkmux().join("sessions")).unwrap().flatten();
        all.next().unwrap().path()
    }

    fn result(&self) -> Value {
        serde_json::from_slice(&fs::read(self.folder().join("result.json")).unwrap()).unwrap()
    }

    fn records(&self) -> Vec<Value> {
        let days = fs::read_dir(self.home.darkmux().join("flows")).unwrap().flatten();
        let text: String = days.map(|day| fs::read_to_string(day.path()).unwrap()).collect();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn payloads(&self, action: &str) -> Vec<Value> {
        let records = self.records().into_iter().filter(|record| record["action"] == action);
        records.map(|record| record["payload"].clone()).collect()
    }
}

fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What was asked last, as text.
fn last_asked(bed: &Bed) -> String {
    bed.server.asked().last().unwrap()["messages"].to_string()
}

#[test]
fn a_coder_finds_a_bug_edits_runs_the_tests_and_reports() {
    let find =
        Reply::calls(&[("search", json!({ "pattern": "sum" })), ("read", json!({ "path": "sum.sh" }))]);
    let edit = Reply::call(
        "edit",
        json!({ "path": "sum.sh", "edits": [{ "old_string": "$1 - $2", "new_string": "$1 + $2" }] }),
    );
    let test = Reply::call("bash", json!({ "command": "sh test.sh" }));
    let bed = Bed::new([find, edit, test, Reply::text("The sum is right now.\n\nChecked by test.sh.")]);
    fs::write(bed.work.join("sum.sh"), "echo $(($1 - $2))\n").unwrap();
    fs::write(bed.work.join("test.sh"), "test \"$(sh sum.sh 2 3)\" = 5 && echo passed\n").unwrap();
    let output = bed.dispatch("coder", "sum.sh is wrong");
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    let text = shown(&output);
    for part in
        ["scripted at lmstudio", "● edit sum.sh", "● bash sh test.sh", "passed", "The sum is right now."]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(fs::read_to_string(bed.work.join("sum.sh")).unwrap(), "echo $(($1 + $2))\n");
    let result = bed.result();
    assert_eq!((&result["result"], &result["changed"]), (&json!("stop"), &json!(["sum.sh"])));
    assert_eq!(result["checks"], json!([{ "command": "sh test.sh", "ok": true }]));
    assert_eq!(
        (&result["totals"]["total_turns"], &result["totals"]["total_tokens"]),
        (&json!(4), &json!(480))
    );
    let tools: Vec<Value> =
        bed.payloads("dispatch.tool").iter().map(|tool| tool["tool_name"].clone()).collect();
    assert_eq!(tools, ["search", "read", "edit", "bash"]);
    assert_eq!(bed.payloads("dispatch.turn").len(), 4);
    assert_eq!(bed.payloads("telemetry.tokens").len(), 4);
    let asked = bed.server.asked();
    let first = &asked[0];
    assert!(first["messages"][0]["content"].as_str().unwrap().contains("# Role: coder"), "{first}");
    assert_eq!(first["messages"][1]["content"], "sum.sh is wrong");
    assert_eq!(asked[1]["messages"][3]["role"], "tool");
}

#[test]
fn blocked_ends_it_with_a_reason_and_is_in_the_inbox() {
    let bed = Bed::new([Reply::text("BLOCKED: there is no network\n\nI tried twice.")]);
    let id = bed.start(&[]);
    let output = bed.home.run(["session", "wait", &id]);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert_eq!(bed.result()["blocked"], "there is no network");
    let waiting = bed.home.json(["inbox", "--json"])["waiting"].clone();
    assert_eq!(waiting[0]["question"], "BLOCKED: there is no network", "{waiting}");
}

#[test]
fn a_person_steers_stops_answers_and_ends() {
    let bed = Bed::new([Reply::begun([json!({ "content": "I begin" })]).hangs()]);
    let id = bed.start(&["-i"]);
    let tail = || bed.home.ok(["session", "tail", &id]);
    wait_for("the beginning", || tail().contains("I begin").then_some(()));
    bed.home.ok(["session", "send", &id, "use tabs"]);
    wait_for("the line", || tail().contains("› use tabs").then_some(()));
    bed.server.then(Reply::text("Tabs it is. Shall I go on?"));
    bed.home.ok(["session", "send", &id, "--no-enter", "\u{1b}"]);
    wait_for("the question", || {
        let inbox = bed.home.json(["inbox", "--json"]);
        (inbox["waiting"][0]["question"] == "Tabs it is. Shall I go on?").then_some(())
    });
    assert!(last_asked(&bed).contains("use tabs"));
    bed.server.then(Reply::text("Done then."));
    bed.home.ok(["session", "send", &id, "yes"]);
    wait_for("the end of the turn", || tail().contains("Done then.").then_some(()));
    bed.home.ok(["session", "send", &id, "--no-enter", "\u{3}\u{3}"]);
    let output = bed.home.run(["session", "wait", &id]);
    assert_eq!(output.status.code(), Some(130), "{}", describe(&output));
}
