//! What is asked of it.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::handshake::derive_accept_key;

use super::http::{Reply, Request, call, write_chunk};
use super::{HEARTBEAT, Shared, terminal};

/// Largest small body of JSON, and largest pasted file.
const BODY_MAX: usize = 4 * 1024;
const PASTE_MAX: usize = 10 * 1024 * 1024;

/// Answers the requests of a connection.
pub fn serve(shared: &Shared, stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut out = stream.try_clone().expect("a second handle");
    while let Some(request) = Request::read(&mut reader) {
        shared.state().asked.push(format!("{} {}?{}", request.method, request.path, request.query));
        let bearer = request.header("authorization").strip_prefix("Bearer ");
        if bearer != Some(&shared.token) {
            let reply = if request.path.starts_with("/v1/") || request.path.starts_with("/ws/") {
                Reply::fails(401, "unauthorized")
            } else {
                Reply::text(303, "See Other")
            };
            if reply.write(&mut out).is_err() {
                return;
            }
            continue;
        }
        if request.path == "/v1/events" {
            let _ = events(shared, &mut out);
            return;
        }
        if let Some(id) = request.path.strip_prefix("/ws/") {
            return upgrade(shared, id, &request, out);
        }
        if answer(shared, &request).write(&mut out).is_err() || request.header("connection") == "close" {
            let _ = out.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

fn events(shared: &Shared, out: &mut TcpStream) -> std::io::Result<()> {
    write!(
        out,
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    )?;
    let (burst, subscribe) = shared.listen();
    for frame in burst {
        write_chunk(out, &frame)?;
    }
    let listener = subscribe();
    let mut beat = Instant::now() + HEARTBEAT;
    loop {
        let now = Instant::now();
        if now >= beat {
            write_chunk(out, ":\n\n")?;
            beat += HEARTBEAT;
        }
        if shared.held.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        }
        // Short, so that it is held soon when it is to be.
        match listener.recv_timeout(Duration::from_millis(20)) {
            Ok(frame) => write_chunk(out, &frame)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

fn upgrade(shared: &Shared, id: &str, request: &Request, mut out: TcpStream) {
    let (known, peer) = {
        let state = shared.state();
        let peer = id.rsplit_once('@').and_then(|(_, name)| state.peers.get(name));
        (state.sessions.contains_key(id), peer.map(|peer| (peer.url.clone(), peer.token.clone())))
    };
    if !known && peer.is_none() {
        let _ = Reply::text(404, "session not found").write(&mut out);
        return;
    }
    let accept = derive_accept_key(request.header("sec-websocket-key").as_bytes());
    let answered = write!(
        out,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    if answered.is_err() {
        return;
    }
    let end = out.try_clone().expect("a second handle");
    let socket = terminal::accepted(out);
    match (peer, id.rsplit_once('@')) {
        (Some((url, token)), Some((rest, _))) => terminal::relay(shared, rest, &url, &token, socket),
        _ => terminal::show(shared, id, socket),
    }
    let _ = end.shutdown(std::net::Shutdown::Both);
}

fn answer(shared: &Shared, request: &Request) -> Reply {
    match (request.method.as_str(), request.path.as_str()) {
        (_, "/v1/health") => health(shared),
        ("GET", "/v1/sessions") => {
            let all: Vec<Value> = shared.state().sessions.values().map(|held| held.object.clone()).collect();
            Reply::ok(&all.into())
        }
        ("POST", "/v1/launch") => launch(shared, request),
        (_, path) => match path.strip_prefix("/v1/sessions/").map(|rest| rest.split('/').collect::<Vec<_>>())
        {
            Some(parts) if parts.len() == 2 => action(shared, parts[0], parts[1], request),
            _ => Reply::text(404, "404 page not found"),
        },
    }
}

fn health(shared: &Shared) -> Reply {
    let state = shared.state();
    let peers: Vec<Value> = state.peers.iter().map(|(name, peer)| peer.told(name)).collect();
    let mut data = json!({
        "service": "gmuxd", "version": "1.6.0", "node_id": "node-local", "status": "ready", "hostname": shared.hostname,
        "runner_hash": "c28e", "default_launcher": "shell",
        "launchers": [{ "id": "shell", "label": "Shell", "command": null, "description": "Default shell", "available": true }],
    });
    if !peers.is_empty() {
        data["peers"] = peers.into();
    }
    Reply::ok(&data)
}

fn launch(shared: &Shared, request: &Request) -> Reply {
    // What is longer is cut, and is no JSON then.
    let body = &request.body[..request.body.len().min(BODY_MAX)];
    let Ok(Value::Object(mut body)) = serde_json::from_slice(body) else {
        return Reply::fails(400, "bad_request");
    };
    if let Some(peer) = body.remove("peer").filter(|peer| peer != "") {
        let body = Value::Object(body).to_string().into_bytes();
        return match forward(shared, peer.as_str().unwrap_or_default(), "/v1/launch", body, request) {
            Some(reply) => reply,
            None => Reply::fails(400, "unknown_peer"),
        };
    }
    if body.get("launcher_id").is_some_and(|launcher| launcher != "shell") {
        return Reply::fails(400, "launcher_unavailable");
    }
    let shell = vec![json!("/bin/sh")];
    let command =
        body.get("command").and_then(Value::as_array).filter(|words| !words.is_empty()).unwrap_or(&shell);
    let id = shared.run("shell", command);
    // It does not say which session it is.
    let pid = shared.state().sessions.get(&id).map(|held| held.object["pid"].clone());
    Reply::ok(&json!({ "pid": pid }))
}

/// Hands a request to a direct peer, without its query; `None` when there is no such peer.
fn forward(shared: &Shared, peer: &str, path: &str, body: Vec<u8>, request: &Request) -> Option<Reply> {
    let (url, token) = shared.state().peers.get(peer).map(|peer| (peer.url.clone(), peer.token.clone()))?;
    let (method, headers) = (request.method.clone(), request.headers.clone());
    let onward = Request { method, path: path.to_owned(), query: String::new(), headers, body };
    let answer = call(&url, &token, &onward);
    Some(answer.map_or_else(
        || Reply::text(502, "peer unavailable"),
        |answer| {
            let kind = answer.header("content-type").unwrap_or("application/json").to_owned();
            Reply { status: answer.status, kind, body: answer.body }
        },
    ))
}

fn action(shared: &Shared, id: &str, action: &str, request: &Request) -> Reply {
    if action == "attach" {
        return Reply::ok(&json!({ "transport": "websocket", "ws_path": format!("/ws/{id}") }));
    }
    if let Some((rest, peer)) = id.rsplit_once('@') {
        let path = format!("/v1/sessions/{rest}/{action}");
        let reply = forward(shared, peer, &path, request.body.clone(), request);
        return reply.unwrap_or_else(|| Reply::fails(404, "not_found"));
    }
    let Some((alive, kind)) = shared.state().sessions.get(id).map(|held| {
        (held.object["alive"] == true, held.object["kind"].as_str().unwrap_or_default().to_owned())
    }) else {
        return if action == "read" { Reply::ok(&json!({})) } else { Reply::fails(404, "not_found") };
    };
    match action {
        "kill" => {
            if alive {
                shared.end(id, -1);
            }
            Reply::ok(&json!({}))
        }
        "dismiss" => {
            shared.forget(&mut shared.state(), id);
            Reply::ok(&json!({}))
        }
        "restart" => {
            shared.end(id, -1);
            resume(shared, id)
        }
        "resume" if alive => Reply::fails(400, "not_resumable"),
        "resume" => resume(shared, id),
        "read" => {
            let mut state = shared.state();
            if let Some(held) = state.sessions.get_mut(id) {
                held.object["unread"] = false.into();
            }
            shared.tell(&mut state, id);
            Reply::ok(&json!({}))
        }
        "wait" if !matches!(kind.as_str(), "claude" | "codex" | "pi") => Reply::fails(422, "no_idle_signal"),
        "wait" => wait(shared, id, request),
        "scrollback" => {
            let body =
                shared.state().sessions.get(id).map(|held| held.terminal.output.clone()).unwrap_or_default();
            Reply { status: 200, kind: "application/octet-stream".to_owned(), body }
        }
        "clipboard" => match request.body.len() {
            0 => Reply::fails(400, "empty_body"),
            length if length > PASTE_MAX => Reply::fails(413, "too_large"),
            length => Reply::ok(&json!({ "path": format!("/tmp/paste-{length}.bin") })),
        },
        _ => Reply::text(404, "unknown action"),
    }
}

fn resume(shared: &Shared, id: &str) -> Reply {
    let mut state = shared.state();
    let Some(held) = state.sessions.get_mut(id) else { return Reply::fails(404, "not_found") };
    held.object["alive"] = true.into();
    held.object["status"] = Value::Null;
    for key in ["exit_code", "exited_at", "resumable"] {
        held.object.as_object_mut().expect("an object").remove(key);
    }
    held.terminal.output.clear();
    let pid = held.object["pid"].clone();
    shared.tell(&mut state, id);
    Reply::ok(&json!({ "pid": pid, "session_id": id }))
}

/// Until the agent has nothing to do, or is gone.
fn wait(shared: &Shared, id: &str, request: &Request) -> Reply {
    let seconds = request.asked("timeout").and_then(|text| text.parse().ok()).unwrap_or(3600);
    let by = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < by && !shared.is_over() {
        let state = shared.state();
        let Some(held) = state.sessions.get(id) else { return Reply::fails(404, "not_found") };
        if held.object["alive"] != true {
            return Reply::ok(&json!({ "reason": "died" }));
        }
        if held.object["status"]["working"] != true {
            return Reply::ok(&json!({ "reason": "idle" }));
        }
        drop(state);
        std::thread::sleep(Duration::from_millis(10));
    }
    Reply::fails(408, "timeout")
}
