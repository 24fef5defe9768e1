//! `darkmux mcp` over its real pipes: what a client gets, hears and may do, and what a bad client gets.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::model_server::{ModelServer, Reply};
use crate::support::repo::Repo;
use crate::support::runner::member;
use crate::support::{Daemon, Home, Mcp, RedisServer, signal, wait_for};

/// The records of a home with this action.
fn records(home: &Home, action: &str) -> Vec<Value> {
    let text = home.ok(["flow", "tail", "--json"]);
    let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records.filter(|record| record["action"] == action).collect()
}

/// Whether a value has the shape that a schema of ours promises: what it requires, and types of its properties.
fn fits(value: &Value, schema: &Value) -> Result<(), String> {
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.get(name.as_str().unwrap()).is_none() {
            return Err(format!("{name} is missing"));
        }
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let Some(value) = value.get(name) else { continue };
        let is = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let types = &property["type"];
        let may = types == is || types.as_array().is_some_and(|types| types.iter().any(|one| one == is));
        if !may {
            return Err(format!("{name} is {is}, not {types}"));
        }
    }
    Ok(())
}

#[test]
fn a_client_learns_what_there_is_and_what_it_answers() {
    let home = Home::new();
    let mut mcp = Mcp::silent(&home, []);
    let about = mcp.begin("it-test");
    assert_eq!(about["serverInfo"]["name"], "darkmux");
    assert_eq!(about["protocolVersion"], "2025-06-18");
    assert!(about["instructions"].as_str().unwrap().contains("dispatch"), "{about}");
    let tools = mcp.ask("tools/list", &json!({}))["result"]["tools"].as_array().unwrap().clone();
    let tool =
        |name: &str| tools.iter().find(|tool| tool["name"] == name).unwrap_or_else(|| panic!("{name}"));
    assert_eq!(tool("dispatch")["inputSchema"]["required"], json!(["role", "message"]));
    assert_eq!(tool("session_kill")["annotations"]["destructiveHint"], true);
    assert_eq!(tool("logs")["annotations"]["readOnlyHint"], true);
    for (name, arguments) in [
        ("dispatch", json!({ "role": "shell", "message": "echo hi" })),
        ("roles", json!({})),
        ("fleet_status", json!({})),
        ("session_list", json!({})),
        ("inbox", json!({})),
        ("flow_note", json!({ "text": "-" })),
    ] {
        let data = mcp.call(name, &arguments);
        fits(&data, &tool(name)["outputSchema"]).unwrap_or_else(|why| panic!("{name}: {why} in {data}"));
    }
    assert!(mcp.leave().success());
}

#[test]
fn a_dispatched_message_comes_back_and_its_records_name_the_client() {
    let home = Home::new();
    let mut mcp = Mcp::start(&home, []);
    let script = "printf '\\033[31mred\\033[0m\\n'; printf 'a\\342\\200\\256b\\n'; exit 3";
    let ended = mcp.call("dispatch", &json!({ "role": "shell", "message": script, "name": "first" }));
    assert_eq!(
        (&ended["kind"], &ended["ended"], &ended["exit_code"], &ended["reason"]),
        (&json!("session"), &json!(true), &json!(3), &json!("ended"))
    );
    assert_eq!(ended["output"], "red\na\\u{202e}b\n");
    let id = ended["id"].as_str().unwrap();
    assert_eq!(mcp.call("logs", &json!({ "id": id, "output_bytes": 9 }))["output"], "a\\u{202e}b\n"[2..]);
    mcp.call("flow_note", &json!({ "text": "chose the smaller fix", "session_id": id }));
    let note = records(&home, "note").remove(0);
    assert_eq!(
        (&note["orchestrator"], &note["source"], &note["handle"], &note["session_id"]),
        (&json!("it-test"), &json!("mcp"), &json!("chose the smaller fix"), &json!(id))
    );
    let started = records(&home, "dispatch start");
    assert_eq!(started[0]["orchestrator"], "it-test", "{started:?}");

    let home = home.with("DARKMUX_ORCHESTRATOR", "its-user");
    Mcp::start(&home, []).call("flow_note", &json!({ "text": "more" }));
    assert_eq!(records(&home, "note")[1]["orchestrator"], "its-user");
}

#[test]
fn a_session_is_seen_answered_awaited_and_ended() {
    let home = Home::new();
    let mut mcp = Mcp::start(&home, []);
    let script = "echo ready; read answer; echo \"got $answer\"; exec sleep 600";
    let started = mcp.call("dispatch", &json!({ "role": "shell", "message": script, "wait": false }));
    assert_eq!((&started["reason"], &started["ended"]), (&json!("started"), &json!(false)));
    let id = started["id"].as_str().unwrap().to_owned();
    assert_eq!(mcp.call("wait", &json!({ "id": id, "text": "^ready" }))["line"], "ready");
    assert!(mcp.fails("session_send", &json!({ "id": id })).contains("nothing to type"));
    assert!(mcp.fails("session_send", &json!({ "id": id, "keys": ["hyper"] })).contains("ctrl-c"));
    // On a command line this would be standard input.
    mcp.call("session_send", &json!({ "id": id, "text": "-" }));
    assert_eq!(mcp.call("wait", &json!({ "id": id, "text": "got" }))["line"], "got -");
    let screen = mcp.call("session_screen", &json!({ "id": id }));
    assert!(screen["screen"].as_str().unwrap().contains("got -"), "{screen}");
    let listed = mcp.call("session_list", &json!({}));
    assert_eq!((&listed["sessions"][0]["id"], &listed["sessions"][0]["command"]), (&json!(id), &Value::Null));
    let ended = mcp.call("session_kill", &json!({ "id": id }));
    assert_eq!((&ended["state"], &ended["ended"]), (&json!("exited"), &json!(true)));
    let last = mcp.call("session_screen", &json!({ "id": id }));
    assert!(last["screen"].as_str().unwrap().contains("got -"), "{last}");
    assert!(mcp.fails("session_send", &json!({ "id": id, "text": "x" })).contains("has ended"));
    assert!(mcp.fails("wait", &json!({ "id": "nobody" })).contains("nobody"));
}

#[test]
fn a_job_runs_on_another_machine_with_progress_and_can_be_cancelled() {
    let server = RedisServer::start();
    let studio = member("studio", &server.url());
    let _daemon = Daemon::start(&studio);
    let here = Home::new()
        .with("DARKMUX_REDIS_URL", server.url())
        .with("DARKMUX_QUEUE_LEASE", "1s")
        .with("DARKMUX_QUEUE_BEAT", "200ms");
    let mut mcp = Mcp::start(&here, []);
    let arguments =
        json!({ "role": "shell", "message": "echo far away; exit 4", "fleet": true, "key": "k1" });
    let meta = json!({ "name": "dispatch", "arguments": arguments, "_meta": { "progressToken": "p1" } });
    let id = mcp.post("tools/call", &meta);
    let ended = mcp.answer(id)["result"]["structuredContent"].clone();
    assert_eq!(
        (&ended["kind"], &ended["machine"], &ended["exit_code"], &ended["output"]),
        (&json!("job"), &json!("studio"), &json!(4), &json!("far away\n")),
        "{ended}"
    );
    let progress: Vec<&Value> = mcp.notified.iter().map(|told| &told["params"]).collect();
    assert!(progress.iter().all(|told| told["progressToken"] == "p1"), "{progress:?}");
    assert!(
        progress.iter().any(|told| told["message"].as_str().unwrap().contains("on studio")),
        "{progress:?}"
    );
    let id = ended["id"].as_str().unwrap().to_owned();
    let shown = mcp.call("job_show", &json!({ "id": id }));
    assert_eq!(shown["job"]["spec"]["key"], "k1");
    // The same key is the same job.
    let again = mcp.call("dispatch", &arguments);
    assert_eq!(again["id"], ended["id"]);
    assert!(again["notes"][0].as_str().unwrap().contains("is there already"), "{again}");
    assert_eq!(mcp.call("job_list", &json!({ "state": ["failed"] }))["jobs"].as_array().unwrap().len(), 1);
    assert!(mcp.fails("job_list", &json!({ "state": ["odd"] })).contains("odd"));
    let fleet = mcp.call("fleet_status", &json!({}));
    assert!(fleet["machines"].as_array().unwrap().iter().any(|machine| machine["id"] == "studio"), "{fleet}");

    let pinned = json!({ "role": "shell", "message": "sleep 600", "pin": "studio", "wait_for": "500ms" });
    let over = mcp.call("dispatch", &pinned);
    assert_eq!(
        (&over["reason"], &over["ended"], &over["exit_code"]),
        (&json!("time_over"), &json!(false), &Value::Null)
    );
    let said = mcp.call("job_cancel", &json!({ "id": over["id"], "reason": "not needed" }));
    assert!(said["said"][0].as_str().unwrap().contains("job"), "{said}");
    let cancelled = mcp.call("wait", &json!({ "id": over["id"] }));
    assert_eq!((&cancelled["state"], &cancelled["exit_code"]), (&json!("cancelled"), &json!(130)));
}

#[test]
fn what_a_dispatch_changed_comes_back_as_a_branch() {
    let home = Home::new();
    let repo = Repo::new(&home, "shop", &[("a.txt", "one\n")]);
    let mut mcp = Mcp::silent_in(&home, repo.root(), []);
    mcp.begin("it-test");
    let change = json!({ "role": "shell", "message": "echo two > a.txt", "worktree": true });
    let ended = mcp.call("dispatch", &change);
    let branch = ended["workspace"]["branch"].as_str().unwrap_or_else(|| panic!("{ended}"));
    assert_eq!(repo.git(&["show", &format!("{branch}:a.txt")]).trim(), "two");
    assert_eq!(repo.read("a.txt"), "one\n");
    // One that only looks waits as well, and brings nothing back.
    let started = mcp.call(
        "dispatch",
        &json!({ "role": "shell", "message": "echo 3 > a.txt", "worktree": true, "wait": false }),
    );
    let mut looking = Mcp::start(&home, ["--read-only"]);
    let seen = looking.call("wait", &json!({ "id": started["id"] }));
    assert_eq!((&seen["ended"], &seen["workspace"]), (&json!(true), &Value::Null));
    assert!(mcp.call("wait", &json!({ "id": started["id"] }))["workspace"]["branch"].is_string());
}

#[test]
fn what_the_built_in_agent_came_to_is_in_the_answer_as_data() {
    let model = ModelServer::start([Reply::text("BLOCKED: there is no network\n\nI tried.")]);
    let home = Home::new().with("DARKMUX_LMSTUDIO_URL", model.url()).with("DARKMUX_CREW_AGENTS", "agent");
    let mut mcp = Mcp::start(&home, []);
    let ended = mcp.call("dispatch", &json!({ "role": "coder", "message": "go", "no_repo": true }));
    let agent = &ended["agent"];
    assert_eq!(
        (&agent["result"], &agent["blocked"]),
        (&json!("blocked"), &json!("there is no network")),
        "{ended}"
    );
    assert!(agent["final"].as_str().unwrap().ends_with("I tried."), "{agent}");
    let other = mcp.call("dispatch", &json!({ "role": "shell", "message": "true" }));
    assert_eq!(other["agent"], Value::Null);
}

#[test]
fn a_call_that_is_cancelled_ends_and_what_it_started_goes_on() {
    let home = Home::new();
    let mut mcp = Mcp::start(&home, []);
    let id = mcp.begin_call("dispatch", &json!({ "role": "shell", "message": "sleep 600", "name": "long" }));
    let session = wait_for("the session", || {
        let listed = home.json(["session", "ls", "--json"]);
        (listed["sessions"][0]["state"] == "running").then(|| listed["sessions"][0]["id"].clone())
    });
    mcp.send(
        &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } }),
    );
    // The next answer is that of the next request: the cancelled one has none.
    assert_eq!(mcp.call("session_list", &json!({}))["sessions"][0]["state"], "running");
    assert_eq!(mcp.call("session_kill", &json!({ "id": session }))["ended"], true);
}

#[test]
fn calls_at_once_have_a_bound_and_one_that_is_cancelled_makes_room() {
    let home = Home::new();
    let mut mcp = Mcp::start(&home, []);
    let long = json!({ "role": "shell", "message": "sleep 600", "wait": false });
    let id = mcp.call("dispatch", &long)["id"].clone();
    let wait = json!({ "id": id, "wait_for": "10m" });
    let waits: Vec<u64> = (0..32).map(|_| mcp.begin_call("wait", &wait)).collect();
    let words = mcp.fails("session_list", &json!({}));
    assert!(words.contains("32 calls run already"), "{words}");
    mcp.send(
        &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": waits[0] } }),
    );
    wait_for("room", || {
        let answer = mcp.try_call("session_list", &json!({}));
        (answer["isError"] != true).then_some(())
    });
    drop(mcp);
    home.ok(["session", "kill", id.as_str().unwrap()]);
}

#[test]
fn a_server_that_only_looks_changes_nothing() {
    let home = Home::new();
    let id = home.ok(["session", "new", "-d", "--", "cat"]).trim().to_owned();
    let mut mcp = Mcp::start(&home, ["--read-only"]);
    let listed = mcp.ask("tools/list", &json!({}));
    let tools = listed["result"]["tools"].as_array().unwrap();
    assert!(tools.iter().all(|tool| tool["annotations"]["readOnlyHint"] == true), "{tools:?}");
    for (tool, arguments) in [
        ("dispatch", json!({ "role": "shell", "message": "true" })),
        ("session_send", json!({ "id": id, "text": "x" })),
        ("session_kill", json!({ "id": id })),
        ("job_cancel", json!({ "id": id })),
        ("flow_note", json!({ "text": "x" })),
    ] {
        assert!(mcp.fails(tool, &arguments).contains("--read-only"), "{tool}");
    }
    assert!(records(&home, "note").is_empty());
    assert_eq!(mcp.call("session_list", &json!({}))["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(mcp.call("logs", &json!({ "id": id }))["output"], "");
    home.ok(["session", "kill", &id]);
}

#[test]
fn garbage_and_huge_lines_are_no_end() {
    let home = Home::new();
    let mut mcp = Mcp::start(&home, []);
    mcp.raw(b"this is no JSON\n\xff\xfe\n\n[]\n");
    // The line ends with the bytes of a whole request, which must not be taken for one.
    let huge = vec![b'x'; 5 * 1024 * 1024];
    mcp.raw(&huge);
    mcp.raw(b"{\"jsonrpc\":\"2.0\",\"id\":99,\"method\":\"ping\"}\n");
    let padding = "x".repeat(5 * 1024 * 1024);
    mcp.send(&json!({ "jsonrpc": "2.0", "id": 98, "method": "ping", "params": { "padding": padding } }));
    let id = mcp.post("tools/call", &json!({ "name": "no_such\u{1b}[2J", "arguments": {} }));
    let answer = loop {
        let message = mcp.next();
        assert!(message["id"] != 99 && message["id"] != 98, "{message}");
        if message["id"] == id {
            break message;
        }
        // An answer to what was no request at all.
        assert!(message["error"].is_object() && message["id"].is_null(), "{message}");
    };
    assert!(answer["error"]["message"].as_str().unwrap().contains("no tool `no_such\\u{1b}[2J`"), "{answer}");
    let words = mcp.fails("dispatch", &json!({ "role": "shell", "messag": "x" }));
    assert!(words.contains("messag") && words.contains("inputSchema"), "{words}");
    assert!(mcp.fails("dispatch", &json!({ "role": "nobody", "message": "x" })).contains("nobody"));
    assert!(mcp.fails("dispatch", &json!({ "role": "--help", "message": "x" })).contains("--help"));
    let words = mcp.fails("dispatch", &json!({ "role": "shell", "message": "x", "wait_for": "soon" }));
    assert!(words.contains("`soon` is no duration"), "{words}");
    let words = mcp.fails("dispatch", &json!({ "role": "shell", "message": "x", "fleet": true }));
    assert!(words.contains("darkmux hub up"), "{words}");
    assert_eq!(home.json(["session", "ls", "--json"])["sessions"], json!([]));
    assert!(mcp.leave().success());
}

#[test]
fn the_server_ends_with_its_client_and_work_goes_on() {
    let home = Home::new();
    let mut mcp = Mcp::start(&home, []);
    mcp.begin_call("dispatch", &json!({ "role": "shell", "message": "sleep 600", "name": "long" }));
    wait_for("the session", || {
        (home.json(["session", "ls", "--json"])["sessions"][0]["state"] == "running").then_some(())
    });
    let began = Instant::now();
    assert!(mcp.leave().success());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(home.json(["session", "ls", "--json"])["sessions"][0]["state"], "running");
    home.ok(["session", "kill", "long"]);
    // One that says nothing, and one that says something else first.
    assert!(Mcp::silent(&home, []).leave().success());
    let mut rude = Mcp::silent(&home, []);
    rude.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "roles" } }));
    rude.leave();
}

#[test]
fn two_clients_at_once_do_not_disturb_each_other() {
    let home = Home::new();
    let (mut one, mut two) = (Mcp::start(&home, []), Mcp::silent(&home, []));
    two.begin("other agent");
    let waiting: Vec<u64> = (0..4)
        .map(|number| {
            one.begin_call("dispatch", &json!({ "role": "shell", "message": format!("echo {number}") }))
        })
        .collect();
    let ended = two.call("dispatch", &json!({ "role": "shell", "message": "echo two" }));
    assert_eq!(ended["output"], "two\n");
    for (number, id) in waiting.into_iter().enumerate() {
        let answer = wait_out_of_order(&mut one, id);
        assert_eq!(answer["result"]["structuredContent"]["output"], format!("{number}\n"), "{answer}");
    }
    two.call("flow_note", &json!({ "text": "by two" }));
    assert_eq!(records(&home, "note")[0]["orchestrator"], "other-agent");
    assert!(one.leave().success() && two.leave().success());
}

/// The answer to one of several requests that are open at once.
fn wait_out_of_order(mcp: &mut Mcp, id: u64) -> Value {
    if let Some(at) = mcp.notified.iter().position(|message| message["id"] == id) {
        return mcp.notified.remove(at);
    }
    loop {
        let message = mcp.next();
        if message["id"] == id {
            return message;
        }
        mcp.notified.push(message);
    }
}

#[test]
fn nothing_secret_is_in_any_answer() {
    let server = RedisServer::with(&["--requirepass", "hunter2secret"]);
    let url = format!("redis://:hunter2secret@127.0.0.1:{}", server.port());
    let home = Home::new().with("DARKMUX_REDIS_URL", url);
    home.ok(["auth", "rotate"]);
    let token = std::fs::read_to_string(home.darkmux().join("auth-token")).unwrap();
    let mut mcp = Mcp::start(&home, []);
    let mut all = String::new();
    for (tool, arguments) in [
        ("fleet_status", json!({ "deep": true })),
        ("job_list", json!({})),
        ("session_list", json!({ "all": true })),
        ("roles", json!({})),
        ("dispatch", json!({ "role": "shell", "message": "env" })),
        ("job_show", json!({ "id": "nobody" })),
    ] {
        all.push_str(&mcp.try_call(tool, &arguments).to_string());
    }
    drop(server);
    all.push_str(&mcp.try_call("job_list", &json!({})).to_string());
    assert!(!all.contains("hunter2secret"), "{all}");
    assert!(token.trim().len() > 20 && !all.contains(token.trim()));
}

#[test]
fn a_signal_ends_the_server() {
    for (name, code) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        let mcp = Mcp::start(&Home::new(), []);
        signal(mcp.pid(), name);
        // Its client still holds the pipe.
        assert_eq!(mcp.ended().code(), Some(code), "{name}");
    }
}
