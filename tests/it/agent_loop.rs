//! The built-in agent in real sessions, against a model server that answers from a script.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::model_server::{ModelServer, Reply};
use crate::support::repo::Repo;
use crate::support::{Home, describe, wait_for};

/// A machine whose only agent is the built-in one, and its model server.
pub struct Bed {
    pub home: Home,
    pub server: ModelServer,
    pub work: PathBuf,
}

impl Bed {
    fn new(script: impl IntoIterator<Item = Reply>) -> Self {
        Self::with(ModelServer::start(script))
    }

    pub fn with(server: ModelServer) -> Self {
        let home = Home::new()
            .with("DARKMUX_LMSTUDIO_URL", server.url())
            .with("DARKMUX_CREW_AGENTS", "agent")
            .with("DARKMUX_AGENT_RETRY_PAUSE", "10ms")
            .with("NO_COLOR", "1");
        let work = home.path().join("work");
        fs::create_dir(&work).unwrap();
        Self { home, server, work }
    }

    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.home = self.home.with(key, value);
        self
    }

    pub fn dispatch(&self, role: &str, message: &str) -> Output {
        self.home.run(["crew", "dispatch", role, "--workdir", self.work.to_str().unwrap(), "-m", message])
    }

    /// Adds a role.
    pub fn role(&self, manifest: &Value) {
        let roles = self.home.darkmux().join("roles");
        fs::create_dir_all(&roles).unwrap();
        fs::write(roles.join(format!("{}.json", manifest["id"].as_str().unwrap())), manifest.to_string())
            .unwrap();
    }

    pub fn start(&self, args: &[&str]) -> String {
        self.start_as("coder", args)
    }

    pub fn start_as(&self, role: &str, args: &[&str]) -> String {
        let mut command = self.home.cmd(["crew", "dispatch", role, "-d", "-m", "do it", "--workdir"]);
        let output = command.arg(&self.work).args(args).output().unwrap();
        assert!(output.status.success(), "{}", describe(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The folder of its only session.
    pub fn folder(&self) -> PathBuf {
        let mut all = fs::read_dir(self.home.darkmux().join("sessions")).unwrap().flatten();
        all.next().unwrap().path()
    }

    pub fn result(&self) -> Value {
        serde_json::from_slice(&fs::read(self.folder().join("result.json")).unwrap()).unwrap()
    }

    /// Kills the agent, as a crash does.
    pub fn crash(&self) {
        let state = fs::read(self.folder().join("state.json")).unwrap();
        let state: Value = serde_json::from_slice(&state).unwrap();
        crate::support::signal(state["pid"].as_i64().unwrap(), "KILL");
    }

    fn records(&self) -> Vec<Value> {
        let days = fs::read_dir(self.home.darkmux().join("flows")).unwrap().flatten();
        let text: String = days.map(|day| fs::read_to_string(day.path()).unwrap()).collect();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn payloads(&self, action: &str) -> Vec<Value> {
        let records = self.records().into_iter().filter(|record| record["action"] == action);
        records.map(|record| record["payload"].clone()).collect()
    }
}

fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What was asked last, as text.
pub fn last_asked(bed: &Bed) -> String {
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
    let check = Reply::call("bash", json!({ "command": "sh test.sh" }));
    let bed = Bed::new([find, edit, check, Reply::text("The sum is right now.\n\nChecked by test.sh.")]);
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
    // Who goes on with it is asked the same, and answers.
    bed.home.ok(["session", "resume", "-d", &id]);
    wait_for("the question again", || {
        let waiting = bed.home.json(["inbox", "--json"])["waiting"].clone();
        let is_again = bed.home.ok(["session", "tail", &id]).contains("goes on after turn 1");
        (is_again && waiting[0]["question"] == "BLOCKED: there is no network").then_some(())
    });
    bed.server.then(Reply::text("With the cable it works."));
    bed.home.ok(["session", "send", &id, "there is a cable"]);
    let output = bed.home.run(["session", "wait", &id]);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    assert!(last_asked(&bed).contains("there is a cable") && bed.result()["result"] == "stop");
}

#[test]
fn what_a_model_thinks_is_in_records_only_where_that_was_asked_for() {
    let thought = "the secret plan";
    let answer =
        || Reply::deltas([json!({ "reasoning_content": thought }), json!({ "content": "Done." })], "stop");
    for (keeps, shown) in [("false", "[not kept; agent.record_reasoning keeps it]"), ("true", thought)] {
        let bed = Bed::new([answer()]).set("DARKMUX_AGENT_RECORD_REASONING", keeps);
        let output = bed.dispatch("coder", "think");
        assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
        let payloads = bed.payloads("dispatch.reasoning");
        assert_eq!(
            payloads,
            [
                json!({ "turn_seq": 1, "reasoning_chars": 15, "reasoning_text": shown, "reasoning_format": "reasoning_content" })
            ]
        );
        let all = json!(bed.records()).to_string();
        assert_eq!(all.contains(thought), keeps == "true", "{all}");
    }
}

#[test]
fn git_works_in_a_linked_work_tree_whose_repository_lies_elsewhere() {
    let bed = Bed::new([
        Reply::call(
            "bash",
            json!({ "command": "git log --format=%s; git status --porcelain; touch ../main/x" }),
        ),
        Reply::text("Done."),
    ]);
    let repo = Repo::new(&bed.home, "main", &[("a.txt", "one\n")]);
    fs::remove_dir(&bed.work).unwrap();
    repo.git(&["worktree", "add", "-q", bed.work.to_str().unwrap()]);
    fs::write(bed.work.join("a.txt"), "two\n").unwrap();
    let output = bed.dispatch("coder", "look");
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    let asked = last_asked(&bed);
    assert!(asked.contains("first\\n M a.txt\\n"), "{asked}");
    assert!(asked.contains("ermission denied") && !repo.path("x").exists(), "it is only read: {asked}");
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
    assert_eq!(output.status.code(), Some(0), "its work was done: {}", describe(&output));
}

#[test]
fn work_that_is_stopped_twice_is_ended() {
    let bed = Bed::new([Reply::call("bash", json!({ "command": "echo begun; exec sleep 600" }))]);
    let id = bed.start(&[]);
    wait_for("the command", || bed.home.ok(["session", "tail", &id]).contains("● bash").then_some(()));
    bed.home.ok(["session", "send", &id, "--no-enter", "\u{3}"]);
    wait_for("the stop", || {
        let inbox = bed.home.json(["inbox", "--json"]);
        (inbox["waiting"][0]["question"] == "stopped; say what to do instead").then_some(())
    });
    bed.home.ok(["session", "send", &id, "--no-enter", "\u{3}"]);
    let output = bed.home.run(["session", "wait", &id]);
    assert_eq!(output.status.code(), Some(130), "{}", describe(&output));
    assert_eq!(bed.result()["result"], "interrupted");
}

#[test]
fn what_goes_wrong_for_a_moment_is_shown_and_asked_again() {
    let bed = Bed::new([
        Reply::status(503, r#"{"error":{"message":"loading"}}"#),
        Reply::begun([json!({ "content": "lost words" })]).cut(),
        Reply::text("Done.\u{1b}]52;c;aGk=\u{7}\u{1b}[2J"),
    ]);
    let output = bed.dispatch("coder", "go");
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    // As one line: where it breaks is no matter here.
    let text = shown(&output).replace('\n', " ");
    assert!(text.contains("busy (503): loading") && text.contains("what it said counts no longer"), "{text}");
    assert!(
        !text.contains("\u{1b}]52") && !text.contains("\u{1b}[2J") && text.contains("\\u{1b}]52"),
        "{text:?}"
    );
}

#[test]
fn a_conversation_that_is_too_long_is_summed_up_and_goes_on() {
    let too_long = r#"{"error":{"type":"exceed_context_size_error","message":"too large","n_ctx":8000}}"#;
    let bed = Bed::new([
        Reply::call("read", json!({ "path": "big" })),
        Reply::call("bash", json!({ "command": "echo $((6 * 7))" })),
        Reply::status(400, too_long),
        Reply::text("big holds lines of x; nothing is changed yet"),
        Reply::text("It is done."),
    ]);
    fs::write(bed.work.join("big"), format!("{}\n", "x ".repeat(30)).repeat(300)).unwrap();
    let output = bed.dispatch("coder", "read big, and the secret word is kumquat");
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    assert_eq!(bed.server.left(), 0);
    let asked = last_asked(&bed);
    assert!(asked.contains("kumquat") && asked.contains("nothing is changed yet"), "{asked}");
    assert!(asked.len() < 40_000, "{}", asked.len());
    let compaction = &bed.payloads("dispatch.compaction")[0];
    assert_eq!(compaction["generation"], 1);
    let telemetry = &bed.payloads("telemetry.compaction")[0];
    assert!(telemetry["to"].as_u64() < telemetry["from"].as_u64(), "{telemetry}");
    assert_eq!(bed.result()["totals"]["total_compactions"], 1);
}

#[test]
fn a_model_that_is_stuck_is_told_and_then_ended() {
    let again = || Reply::call("read", json!({ "path": "none" }));
    let bed = Bed::new((0..20).map(|_| again()));
    let output = bed.dispatch("coder", "go");
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert_eq!(bed.result()["result"], "escalation_stuck");
    assert!(bed.server.left() > 5, "{} left", bed.server.left());
    let told = bed.payloads("dispatch.feedback.injected");
    assert!(told.len() >= 2 && told[0]["signal_kinds"][0] == "cycle", "{told:?}");
    let kinds = bed.payloads("telemetry.detector");
    assert_eq!(kinds.last().unwrap()["severity"], "error");
}

#[test]
fn a_model_without_tools_works_by_words() {
    let bed = Bed::new([
        Reply::status(400, r#"{"error":{"message":"scripted does not support tools"}}"#),
        Reply::text(
            "<tool_call>{\"name\": \"write\", \"arguments\": {\"path\": \"a.txt\", \"content\": \"hi\"}}</tool_call>",
        ),
        Reply::text("<tool_call>{\"name\": \"write\", oops}</tool_call>"),
        Reply::text("Written."),
    ]);
    let output = bed.dispatch("coder", "write a.txt");
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    assert_eq!(fs::read_to_string(bed.work.join("a.txt")).unwrap(), "hi");
    let asked = bed.server.asked();
    assert!(asked[1].get("tools").is_none());
    assert!(asked[1]["messages"][0]["content"].as_str().unwrap().contains("\"name\":\"write\""));
    assert!(asked[2]["messages"].to_string().contains("<tool_response"), "{}", asked[2]);
    assert!(asked[3]["messages"].to_string().contains("cannot be read"), "{}", asked[3]);
}

#[test]
fn limits_end_it_and_say_which() {
    let calls = (0..9).map(|n| Reply::call("bash", json!({ "command": format!("echo {n}") })));
    let bed = Bed::new(calls).set("DARKMUX_RUNTIME_MAX_TURNS", "3");
    let output = bed.dispatch("coder", "go");
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert_eq!(bed.result()["result"], "max_turns");
    assert!(shown(&output).contains("runtime.max_turns"), "{}", shown(&output));
    assert_eq!(bed.server.left(), 6);
}

#[test]
fn a_killed_agent_goes_on_with_what_it_knew() {
    let bed = Bed::new([
        Reply::call("bash", json!({ "command": "mkdir sub; cd sub; echo first-step" })),
        Reply::begun([json!({ "content": "thinking about it" })]).hangs(),
    ]);
    let id = bed.start(&[]);
    wait_for("the second turn", || (bed.server.asked().len() == 2).then_some(()));
    bed.crash();
    bed.home.run(["session", "wait", &id]);
    bed.server.then(Reply::text("Finished after all."));
    bed.home.ok(["session", "resume", "-d", &id]);
    let output = bed.home.run(["session", "wait", &id]);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    let asked = last_asked(&bed);
    assert!(asked.contains("do it") && asked.contains("first-step"), "{asked}");
    // What does not last from one run to the next it is told of.
    assert_eq!(asked.matches("You were interrupted").count(), 1, "{asked}");
    assert!(
        asked.contains("starts in sub") && asked.contains("starts in the work directory again"),
        "{asked}"
    );
    let tail = bed.home.ok(["session", "tail", &id]);
    assert!(tail.contains("goes on after turn 1") && tail.contains("Finished after all."), "{tail}");
}

#[test]
fn without_an_endpoint_a_role_cannot_run_and_says_what_to_do() {
    let home = Home::new().with("DARKMUX_CREW_AGENTS", "agent");
    let output = home.run(["crew", "dispatch", "coder", "-m", "go"]);
    assert_eq!(output.status.code(), Some(126), "{}", describe(&output));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("models.endpoints") && told.contains("127.0.0.1:9"), "{told}");
}

#[test]
fn a_key_is_nowhere_but_in_the_request() {
    const KEY: &str = "sk-canary-19c5";
    let server = ModelServer::start([
        Reply::call("bash", json!({ "command": "env; cat ~/.key; cat /proc/$PPID/environ" })),
        Reply::status(401, &format!(r#"{{"error":{{"message":"wrong key {KEY}"}}}}"#)),
    ]);
    let endpoint = format!("box={}", server.url());
    let bed = Bed::with(server)
        .set("DARKMUX_MODELS_ENDPOINTS", &endpoint)
        .set("DARKMUX_MODELS_KEYS", "box=file:~/.key")
        .set("DARKMUX_LMSTUDIO_URL", "http://127.0.0.1:9");
    fs::write(bed.home.path().join(".key"), format!("{KEY}\n")).unwrap();
    let output = bed.dispatch("coder", "go");
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert!(bed.server.heads().iter().any(|head| head.contains(KEY)), "it was used");
    assert!(!describe(&output).contains(KEY), "{}", describe(&output));
    for entry in walkdir::WalkDir::new(bed.home.darkmux()).into_iter().flatten() {
        let text = fs::read(entry.path()).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&text).contains(KEY), "{}", entry.path().display());
    }
}

#[test]
fn a_role_may_try_again_with_a_hint_or_name_who_takes_over() {
    let bed = Bed::new([Reply::text("BLOCKED: no way"), Reply::text("BLOCKED: still none")]);
    let role = |name: &str, escalation: Value| {
        bed.role(&json!({ "id": name, "runtime": "agent", "escalation_contract": escalation }));
    };
    role("again", json!("retry-with-hint"));
    role("handing", json!({ "hand-off-to": "analyst" }));
    let output = bed.dispatch("again", "go");
    assert_eq!((output.status.code(), bed.server.left()), (Some(1), 0), "{}", describe(&output));
    assert!(last_asked(&bed).contains("two ways around it"));
    bed.server.then(Reply::text("BLOCKED: not mine"));
    let document = bed.home.run(["crew", "dispatch", "handing", "--json", "-m", "go"]);
    let document: Value = serde_json::from_slice(&document.stdout).unwrap();
    assert_eq!(document["result"]["blocked"], "not mine", "{document}");
    assert_eq!(document["result"]["hand_off_to"], "analyst");
    bed.server.then(Reply::text("Done."));
    let document = bed.home.run(["crew", "dispatch", "handing", "--json", "-m", "go"]);
    let document: Value = serde_json::from_slice(&document.stdout).unwrap();
    assert_eq!(
        (&document["result"]["result"], &document["result"]["hand_off_to"]),
        (&json!("stop"), &Value::Null)
    );
}

#[test]
fn endpoints_are_listed_and_tested() {
    let server =
        ModelServer::start([Reply::text("ready"), Reply::call("report", json!({ "word": "ready" }))]);
    let bed = Bed::with(server.serves(&json!([{ "id": "qwen", "max_model_len": 4096 }])));
    let listed = bed.home.json(["endpoints", "list", "--json"]);
    assert_eq!(listed["endpoints"][0]["models"][0], json!({ "id": "qwen", "loaded": true, "window": 4096 }));
    assert_eq!(listed["endpoints"][1]["answers"], false);
    let tested = bed.home.json(["endpoints", "test", "lmstudio", "--json"]);
    let one = &tested["endpoints"][0];
    assert_eq!((&one["works"], &one["tools"]), (&json!(true), &json!("it calls tools")), "{tested}");
    let output = bed.home.run(["endpoints", "test", "ollama"]);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert_eq!(bed.home.run(["endpoints", "test", "olama"]).status.code(), Some(2));
}
