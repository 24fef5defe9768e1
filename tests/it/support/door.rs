//! A daemon with what opens it, and asking it as different people.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Daemon, Home};
use crate::http_raw::{Answer, ask_socket, ask_with};

/// A daemon and what opens it.
pub struct Door {
    pub home: Home,
    pub daemon: Daemon,
    pub token: String,
    pub read_only: String,
}

impl Door {
    pub fn of(home: Home) -> Self {
        let daemon = Daemon::start(&home);
        let token = std::fs::read_to_string(home.darkmux().join("auth-token")).unwrap().trim().to_owned();
        let read_only = home.ok(["auth", "new", "--read-only", "watcher"]).trim().to_owned();
        Self { home, daemon, token, read_only }
    }

    pub fn new() -> Self {
        Self::of(Home::new())
    }

    pub fn socket(&self) -> PathBuf {
        self.home.darkmux().join("daemon.sock")
    }

    pub fn host(&self) -> String {
        format!("Host: localhost:{}", self.daemon.port)
    }

    pub fn own(&self) -> String {
        format!("Origin: http://localhost:{}", self.daemon.port)
    }

    pub fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let host = self.host();
        let headers = [&[host.as_str()], headers].concat();
        ask_with(self.daemon.port, method, path, &headers, body)
    }

    pub fn post(&self, path: &str, headers: &[&str], body: &Value) -> Answer {
        let headers = [headers, &["Content-Type: application/json"]].concat();
        self.ask("POST", path, &headers, &body.to_string())
    }

    /// The header with the cookie that this token is traded for.
    pub fn sign_in(&self, token: &str) -> String {
        cookie(&self.post("/auth/login", &[&self.own()], &json!({ "token": token })))
    }

    pub fn me(&self, headers: &[&str]) -> Value {
        self.ask("GET", "/auth/me", headers, "").json()
    }

    pub fn code(&self, body: &str) -> String {
        let headers = ["Host: x", "Content-Type: application/json"];
        let answer = ask_socket(&self.socket(), "POST", "/auth/codes", &headers, body);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["code"].as_str().unwrap().to_owned()
    }
}

/// The header of a cookie, with one part changed: `scope`, `expires` or `mac`.
pub fn forged(header: &str, part: &str) -> String {
    let (name, value) = header.split_once('=').expect("a cookie");
    let mut parts: Vec<String> = value.split('.').map(str::to_owned).collect();
    assert_eq!(parts.len(), 4, "{header}");
    match part {
        "scope" => "act".clone_into(&mut parts[0]),
        "expires" => parts[1] = (parts[1].parse::<i64>().unwrap() - 91 * 24 * 3600).to_string(),
        _ => {
            let first = if parts[3].starts_with('0') { "1" } else { "0" };
            parts[3].replace_range(..1, first);
        }
    }
    format!("{name}={}", parts.join("."))
}

/// The header with the cookie of this answer.
pub fn cookie(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    let set = answer.header("set-cookie").expect("a cookie");
    for attribute in ["; Path=/", "; HttpOnly", "; SameSite=Strict", "; Max-Age="] {
        assert!(set.contains(attribute), "{set}");
    }
    format!("Cookie: other=1; {}", set.split(';').next().unwrap())
}
