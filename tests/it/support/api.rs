//! A daemon with its token, and what is asked of it below `/v1`.

use serde_json::{Value, json};

use super::{Daemon, Home, wait_for};
use crate::http_raw::{Answer, Events, send};

/// A machine whose daemon runs.
pub struct Api {
    pub home: Home,
    pub daemon: Daemon,
    pub token: String,
}

impl Api {
    pub fn start() -> Self {
        Self::of(Home::new())
    }

    pub fn of(home: Home) -> Self {
        let daemon = Daemon::start(&home);
        let token = token(&home);
        Self { home, daemon, token }
    }

    /// `kill -9`, and another daemon of the same home.
    pub fn again(&mut self) {
        self.daemon.process.kill();
        self.daemon = Daemon::start(&self.home);
    }

    pub fn ask(&self, method: &str, path: &str, kind: Option<&str>, body: &[u8]) -> Answer {
        let kind = kind.map_or(String::new(), |kind| format!("Content-Type: {kind}\r\n"));
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let (port, token) = (self.daemon.port, &self.token);
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\n{kind}{length}\r\n"
        );
        let bytes = send(port, &[head.as_bytes(), body].concat());
        Answer::parse(&bytes)
            .unwrap_or_else(|| panic!("no answer to {method} {path}: {}", String::from_utf8_lossy(&bytes)))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, None, b"")
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, Some("application/json"), body.to_string().as_bytes())
    }

    pub fn type_in(&self, id: &str, query: &str, bytes: &[u8]) -> Answer {
        let path = format!("/v1/sessions/{id}/input{query}");
        self.ask("POST", &path, Some("application/octet-stream"), bytes)
    }

    /// What the session's host wrote last.
    pub fn state(&self, id: &str) -> Value {
        let file = self.home.darkmux().join("sessions").join(id).join("state.json");
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    }

    /// Does something with a session, without a body.
    pub fn act(&self, id: &str, action: &str) -> Answer {
        self.ask("POST", &format!("/v1/sessions/{id}/{action}"), None, b"")
    }

    /// Starts a session of this command and returns its id.
    pub fn launch(&self, command: &[&str]) -> String {
        let launched = data(&self.post("/v1/launch", &json!({ "command": command })));
        launched["session_id"].as_str().expect("an id").to_owned()
    }

    /// A shell that runs this text.
    pub fn sh(&self, text: &str) -> String {
        self.launch(&["/bin/sh", "-c", text])
    }

    pub fn session(&self, id: &str) -> Value {
        data(&self.get(&format!("/v1/sessions/{id}")))
    }

    pub fn sessions(&self) -> Vec<Value> {
        data(&self.get("/v1/sessions")).as_array().expect("a list").clone()
    }

    /// Waits until the session has ended.
    pub fn ended(&self, id: &str) -> Value {
        wait_for("the session to end", || {
            let session = self.session(id);
            (session["alive"] == false).then_some(session)
        })
    }

    /// The events about sessions, from the beginning or after the event of this id.
    pub fn events(&self, last: Option<&str>) -> Events {
        let bearer = format!("Authorization: Bearer {}", self.token);
        let last = last.map(|last| format!("Last-Event-ID: {last}"));
        let headers: Vec<&str> = std::iter::once(bearer.as_str()).chain(last.as_deref()).collect();
        Events::open(self.daemon.port, "/v1/events", &headers)
    }
}

fn token(home: &Home) -> String {
    let text = std::fs::read_to_string(home.darkmux().join("auth-token")).expect("the daemon's token");
    text.trim().to_owned()
}

/// What an answer brings.
pub fn data(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut json = answer.json();
    assert_eq!(json["ok"], true, "{json}");
    json["data"].take()
}

/// Status and code of a refusal.
pub fn refusal(answer: &Answer) -> (u16, String) {
    let json = answer.json();
    assert_eq!(json["ok"], false, "{json}");
    let message = json["error"]["message"].as_str().expect("a message");
    assert!(message.len() > 10 && !message.chars().any(char::is_control), "{message:?}");
    (answer.status, json["error"]["code"].as_str().expect("a code").to_owned())
}
