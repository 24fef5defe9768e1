//! `/v1`: launching, looking, typing, pasting; every refusal.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::http_raw::ask_socket;
use crate::support::api::{Api, data, refusal};
use crate::support::{Home, wait_for};

fn is((answered, said): (u16, String), status: u16, code: &str) {
    assert_eq!((answered, said), (status, code.to_owned()));
}

/// What the session has shown, once it holds `text`.
fn shown(api: &Api, id: &str, text: &str) -> String {
    wait_for("the output", || {
        let output = api.get(&format!("/v1/sessions/{id}/scrollback"));
        assert_eq!(output.header("content-type"), Some("application/octet-stream"));
        output.text().contains(text).then(|| output.text())
    })
}

#[test]
fn a_session_is_launched_seen_typed_into_and_killed() {
    let api = Api::start();
    std::fs::create_dir(api.home.path().join("My Work")).unwrap();
    let body = json!({
        "cwd": "~/My Work", "command": ["/bin/cat", "-u"], "name": "mine", "size": { "cols": 100, "rows": 30 },
    });
    let launched = data(&api.post("/v1/launch", &body));
    let id = launched["session_id"].as_str().unwrap();
    assert!(id.len() == 13 && id.starts_with("sess-"), "{id}");
    let session = api.session(id);
    assert_eq!((&session["id"], &session["pid"]), (&json!(id), &launched["pid"]));
    assert_eq!((&session["alive"], &session["state"]), (&json!(true), &json!("running")));
    assert_eq!(session["command"], json!(["/bin/cat", "-u"]));
    assert_eq!(
        (&session["kind"], &session["slug"], &session["title"]),
        (&json!("shell"), &json!("mine"), &json!("mine"))
    );
    assert_eq!((&session["terminal_cols"], &session["terminal_rows"]), (&json!(100), &json!(30)));
    assert_eq!(
        (&session["status"], &session["unread"], &session["runs"]),
        (&Value::Null, &json!(false), &json!(1))
    );
    assert_eq!(session["machine_id"], "testbox");
    wait_for("its folder to be read", || (api.session(id)["cwd"] == "~/My Work").then_some(()));
    assert_eq!(api.sessions(), [api.session(id)]);

    for name in [id, &id[..9], &id[5..], &id[5..12], &id[9..], "mine", "min"] {
        assert_eq!(api.session(name)["id"], id, "{name}");
    }
    let typed = data(&api.type_in(id, "?submit=1", "grüße".as_bytes()));
    assert_eq!(typed["output_end"], 0);
    let output = shown(&api, id, "grüße\r\ngrüße\r\n");
    let rest = api.get(&format!("/v1/sessions/{id}/scrollback?from=9"));
    assert_eq!((rest.header("darkmux-output-start"), rest.text().as_str()), (Some("9"), &output[9..]));
    let attach = data(&api.act(id, "attach"));
    assert_eq!(
        (&attach["transport"], &attach["ws_path"]),
        (&json!("websocket"), &json!(format!("/ws/{id}")))
    );
    assert_eq!(attach["socket_path"], session["socket_path"]);

    data(&api.act(id, "kill"));
    let ended = api.session(id);
    assert_eq!(
        (&ended["alive"], &ended["exit_code"], &ended["resumable"]),
        (&json!(false), &json!(-1), &json!(true))
    );
    assert_eq!(ended["status"], json!({ "label": "exited (-1)", "working": false }));
    assert!(ended.get("pid").is_none() && ended.get("socket_path").is_none(), "{ended}");
    data(&api.act(id, "kill"));
    is(refusal(&api.type_in(id, "", b"x")), 400, "no_socket");
    assert!(shown(&api, id, "grüße").starts_with(&output[..9]));
}

#[test]
fn the_unix_socket_takes_everything_without_a_token_and_tcp_nothing() {
    let api = Api::start();
    let socket = api.home.darkmux().join("daemon.sock");
    let ask = |method: &str, path: &str, body: &str| {
        ask_socket(&socket, method, path, &["Host: darkmux", "Content-Type: application/json"], body)
    };
    let launched = data(&ask("POST", "/v1/launch", r#"{"command":["sleep","60"]}"#));
    let id = launched["session_id"].as_str().unwrap();
    assert_eq!(data(&ask("GET", "/v1/sessions", ""))[0]["id"], id);
    for path in ["/v1/sessions", "/v1/health", "/v1/events"] {
        let nobody = crate::http_raw::get(api.daemon.port, path);
        is(refusal(&nobody), 401, "unauthorized");
    }
    data(&ask("POST", &format!("/v1/sessions/{id}/dismiss"), ""));
    assert_eq!(api.sessions().len(), 0);
}

#[test]
fn health_says_who_this_is_and_what_can_be_launched() {
    let home = Home::new();
    let bin = home.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::fs::write(bin.join("codex"), "#!/bin/sh\nexec sleep 60\n").unwrap();
    std::fs::set_permissions(bin.join("codex"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let mut api = Api::of(home.with("PATH", path));
    let health = data(&api.get("/v1/health"));
    assert_eq!((&health["service"], &health["status"]), (&json!("gmuxd"), &json!("ready")));
    assert_eq!((&health["machine_id"], &health["default_launcher"]), (&json!("testbox"), &json!("shell")));
    assert!(health["hostname"].as_str().is_some_and(|name| !name.is_empty()));
    let launchers: Vec<&str> =
        health["launchers"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(launchers, ["codex", "shell"]);
    let launched = data(&api.post("/v1/launch", &json!({ "launcher_id": "codex" })));
    let id = launched["session_id"].as_str().unwrap();
    assert_eq!(api.session(id)["kind"], "codex");
    assert_eq!(
        data(&api.get("/v1/health"))["sessions"],
        json!({ "dead": 0, "local_alive": 1, "remote_alive": 0 })
    );
    is(refusal(&api.post("/v1/launch", &json!({ "launcher_id": "claude" }))), 400, "launcher_unavailable");
    api.again();
    assert_eq!(data(&api.get("/v1/health"))["node_id"], health["node_id"], "it is kept");
    assert_eq!(data(&api.get("/v1/capabilities"))["transport"]["kind"], "websocket");
    assert_eq!(data(&api.get("/v1/frontend-config")), json!({ "settings": null, "theme": null }));
    assert_eq!(data(&api.get("/v1/projects"))["unmatched_active_count"], 1);
    let document = api.get("/v1/openapi.json").json();
    assert!(document["paths"]["/v1/sessions/{id}/wait"]["post"].is_object());
}

#[test]
fn a_shell_is_launched_at_home_when_nothing_is_said() {
    let api = Api::start();
    let launched = data(&api.ask("POST", "/v1/launch", None, b""));
    let session = api.session(launched["session_id"].as_str().unwrap());
    assert_eq!((&session["command"], &session["cwd"]), (&json!(["/bin/sh"]), &json!("~")));
}

#[test]
fn a_wrong_parameter_or_key_is_named_with_what_it_takes_and_what_was_given() {
    let api = Api::start();
    let id = api.launch(&["cat"]);
    let of = |action: &str| format!("/v1/sessions/{id}/{action}");
    let ws = format!("/ws/{id}");
    let day = "/flow/2026-11-22".to_owned();
    for (method, path, query, words) in [
        ("GET", of("scrollback"), "from=-1", "`from` is `-1`; it takes a whole number, 0 or more"),
        ("GET", of("scrollback"), "from=%1b[2J", "`from` is `\\u{1b}[2J`; it takes"),
        ("GET", of("scrollback"), "from=1&from=2", "`from` is given twice"),
        ("POST", of("wait"), "for=ever", "`for` is `ever`; it takes `idle`, `exit` or `text`"),
        ("POST", of("wait"), "timeout=0", "`timeout` is `0`; it takes a whole number from 1 to 86400"),
        ("POST", of("kill"), "grace_ms=1e3", "`grace_ms` is `1e3`; it takes a whole number, at most 30000"),
        ("POST", of("kill"), "signal=NONE", "`signal` is `NONE`; it takes a signal such as INT"),
        ("POST", of("input"), "submit=yes", "`submit` is `yes`; it takes 0 or 1"),
        ("GET", "/v1/events".to_owned(), "scope=near", "`scope` is `near`; it takes `own` or `all`"),
        (
            "GET",
            "/v1/jobs/x/changes".to_owned(),
            "machine=A%20B",
            "`machine` is `A B`; it takes a machine's name",
        ),
        ("GET", ws.clone(), "cols=99999", "`cols` is `99999`; it takes a whole number, at most 65535"),
        ("GET", ws.clone(), "read_only=maybe", "`read_only` is `maybe`; it takes 0 or 1"),
        ("GET", ws, "darkmux=%ff", "`darkmux` is `\u{fffd}`; it takes 0 or 1"),
        ("GET", day, "limit=1&limit=2", "`limit` is given twice"),
    ] {
        let kind = path.ends_with("input").then_some("application/octet-stream");
        let answer =
            api.ask(method, &format!("{path}?{query}"), kind, if kind.is_some() { b"x" } else { b"" });
        let said = answer.json();
        let message = said["error"]["message"].as_str().unwrap();
        assert!(answer.status == 400 && message.contains(words), "{path}?{query}: {} {said}", answer.status);
    }
    let launched = api.post("/v1/launch", &json!({ "name": "x", "size": { "cols": -1, "rows": 1 } }));
    is(refusal(&launched), 400, "bad_request");
    assert!(
        launched.text().contains("`size` is") && launched.text().contains("at most 65535"),
        "{}",
        launched.text()
    );
}

#[test]
fn wrong_launches_are_refused_with_a_code() {
    let api = Api::start();
    let launch = |body: &Value| refusal(&api.post("/v1/launch", body));
    is(launch(&json!({ "peer": "desk" })), 400, "unknown_peer");
    is(launch(&json!({ "launcher_id": "\u{1b}[31m" })), 400, "launcher_unavailable");
    is(launch(&json!({ "command": "ls" })), 400, "bad_request");
    for body in [
        json!({ "command": [""] }),
        json!({ "command": ["a\0b"] }),
        json!({ "cwd": "relative" }),
        json!({ "cwd": "/nowhere/at/all" }),
        json!({ "cwd": "/etc/passwd" }),
        json!({ "cwd": "x".repeat(5000) }),
        json!({ "name": "" }),
        json!({ "name": "a\u{202e}b" }),
        json!({ "size": { "cols": 0, "rows": 24 } }),
        json!({ "size": { "cols": 80, "rows": 60000 } }),
        json!({ "size": { "cols": 99999, "rows": 24 } }),
    ] {
        is(launch(&body), 400, "validation_error");
    }
    is(refusal(&api.ask("POST", "/v1/launch", Some("application/json"), b"{")), 400, "bad_request");
    is(refusal(&api.ask("POST", "/v1/launch", Some("text/plain"), b"{}")), 415, "unsupported_media_type");
    let large = json!({ "command": ["x".repeat(300_000)] });
    is(launch(&large), 413, "too_large");
    assert_eq!(api.sessions().len(), 0);
    // The program is tried, and what is left tells why it did not start.
    is(launch(&json!([])), 400, "bad_request");
    is(launch(&json!({ "size": [80, 24] })), 400, "bad_request");
    is(launch(&json!({ "command": ["/nowhere/program"] })), 500, "launch_failed");
    let left = &api.sessions()[0];
    assert_eq!(
        (&left["alive"], &left["exit_code"], &left["reason"]),
        (&json!(false), &json!(126), &json!("failed"))
    );
}

#[test]
fn hostile_ids_paths_and_bodies_are_refused() {
    let api = Api::start();
    let id = api.launch(&["sleep", "60"]);
    let long = "a".repeat(3000);
    for text in ["none", "%2e%2e", "..%2f..", "a%00b", "%1b%5b31m", "x@desk", "%ff", "%20", &long] {
        for answer in [api.get(&format!("/v1/sessions/{text}")), api.act(text, "dismiss")] {
            assert!(matches!(answer.status, 400 | 404), "{text}: {}", answer.text());
            refusal(&answer);
        }
    }
    let second = api.launch(&["sleep", "60"]);
    is(refusal(&api.get("/v1/sessions/sess-")), 400, "bad_request");
    is(refusal(&api.act("sess-", "dismiss")), 400, "bad_request");
    is(refusal(&api.act(&second, "fly")), 404, "not_found");
    is(refusal(&api.ask("DELETE", "/v1/sessions", None, b"")), 405, "method_not_allowed");
    is(refusal(&api.ask("OPTIONS", "/v1/launch", None, b"")), 405, "method_not_allowed");
    is(refusal(&api.type_in(&second, "", b"")), 400, "empty_body");
    is(refusal(&api.type_in(&second, "?submit=7", b"x")), 400, "bad_request");
    is(refusal(&api.type_in(&second, "?submit=x", b"x")), 400, "bad_request");
    is(refusal(&api.type_in(&second, "", &vec![b'x'; 1024 * 1024 + 1])), 413, "too_large");
    is(refusal(&api.get(&format!("/v1/sessions/{second}/scrollback?from=-1"))), 400, "bad_request");
    for path in ["/v1/register", "/v1/deregister"] {
        is(refusal(&api.post(path, &json!({ "session_id": "../x" }))), 400, "bad_request");
        is(refusal(&api.post(path, &json!({}))), 400, "bad_request");
    }
    is(refusal(&api.post("/v1/register", &json!({ "session_id": "sess-00000000" }))), 404, "not_found");
    data(&api.post("/v1/register", &json!({ "session_id": second, "socket_path": "/tmp/x" })));
    data(&api.post("/v1/deregister", &json!({ "session_id": second })));
    data(&api.act("sess-ffffffff", "read"));
    assert_eq!(api.session(&id)["alive"], true);
}

#[test]
fn a_pasted_picture_is_a_private_file_of_its_session() {
    let api = Api::start();
    let id = api.launch(&["sleep", "60"]);
    let path = format!("/v1/sessions/{id}/clipboard");
    let picture: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    let pasted = data(&api.ask("POST", &path, Some("image/png"), &picture));
    let file = std::path::Path::new(pasted["path"].as_str().unwrap());
    assert!(file.starts_with(api.home.darkmux().join("sessions").join(&id)), "{file:?}");
    assert_eq!(file.extension().unwrap(), "png");
    assert_eq!(std::fs::read(file).unwrap(), picture);
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    is(refusal(&api.ask("POST", &path, Some("text/html"), b"x")), 415, "unsupported_media_type");
    is(refusal(&api.ask("POST", &path, Some("image/png"), b"")), 400, "empty_body");
    let large = vec![0; 10 * 1024 * 1024 + 1];
    is(refusal(&api.ask("POST", &path, Some("image/png"), &large)), 413, "too_large");
    data(&api.act(&id, "dismiss"));
    assert!(!file.exists());
}

#[test]
fn slugs_are_unique_among_their_kind_and_stay() {
    let mut api = Api::start();
    let launch = |name: &str| {
        let body = json!({ "command": ["sleep", "60"], "name": name });
        data(&api.post("/v1/launch", &body))["session_id"].as_str().unwrap().to_owned()
    };
    let ids: Vec<String> = ["Two Words", "two words", "two-words"].into_iter().map(launch).collect();
    let slugs = |api: &Api| -> Vec<Value> { ids.iter().map(|id| api.session(id)["slug"].clone()).collect() };
    let first = slugs(&api);
    assert_eq!(first, ["two-words", "two-words-2", "two-words-3"]);
    api.again();
    assert_eq!(slugs(&api), first);
    data(&api.act(&ids[0], "dismiss"));
    assert_eq!(api.session(&ids[2])["slug"], "two-words-3");
    assert_eq!(api.session("two-words-2")["id"], *ids[1]);
}

#[test]
fn a_repository_is_told_without_its_password() {
    let api = Api::start();
    let repo = api.home.path().join("repo");
    std::fs::create_dir_all(repo.join(".git")).unwrap();
    std::fs::create_dir_all(repo.join("src")).unwrap();
    let config = "[remote \"origin\"]\n\turl = https://me:canary@example.com/r.git\n";
    std::fs::write(repo.join(".git/config"), config).unwrap();
    let launched = data(&api.post("/v1/launch", &json!({ "command": ["sleep", "60"], "cwd": "~/repo/src" })));
    let id = launched["session_id"].as_str().unwrap().to_owned();
    let session = wait_for("the repository to be read", || {
        Some(api.session(&id)).filter(|session| session.get("remotes").is_some())
    });
    assert_eq!(session["remotes"], json!({ "origin": "https://example.com/r.git" }));
    assert_eq!((&session["workspace_root"], &session["cwd"]), (&json!("~/repo"), &json!("~/repo/src")));
}

#[test]
fn a_thousand_ended_sessions_are_listed_at_once() {
    let home = Home::new();
    let sessions = home.darkmux().join("sessions");
    for number in 0..1000 {
        let id = format!("sess-{number:08x}");
        let folder = sessions.join(&id);
        std::fs::create_dir_all(&folder).unwrap();
        let nulls = ["role", "name", "pid", "host_pid", "started_at", "ended_at", "exit", "reason", "error"];
        let mut state = json!({
            "schema": 1, "protocol": 1, "id": id, "state": "exited", "machine_id": "testbox", "command": ["x"],
            "cwd": "/", "created_at": "2026-01-01T00:00:00.000Z", "exit_code": 0,
            "size": { "cols": 80, "rows": 24 }, "output": { "start": 0, "end": 0 },
        });
        for null in nulls {
            state[null] = Value::Null;
        }
        std::fs::write(folder.join("state.json"), state.to_string()).unwrap();
    }
    let api = Api::of(home.with("DARKMUX_SESSION_KEEP", "2000"));
    assert_eq!(api.sessions().len(), 1000);
    assert_eq!(
        api.session("sess-000003e7")["slug"].as_str().map(|slug| slug.starts_with("shell")),
        Some(true)
    );
}
