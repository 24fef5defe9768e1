//! A client of `darkmux mcp` that writes JSON-RPC by hand: each line that comes must be a message, or the test fails.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Home, Running, wait_for};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_mins(1);

/// The agent that starts a server, and its end of the pipes.
pub struct Mcp {
    server: Running,
    to: Option<ChildStdin>,
    from: Receiver<String>,
    next: u64,
    /// Notifications that came.
    pub notified: Vec<Value>,
}

impl Mcp {
    /// A server that knows its client as `it-test`.
    pub fn start<const N: usize>(home: &Home, args: [&str; N]) -> Self {
        let mut mcp = Self::silent(home, args);
        mcp.begin("it-test");
        mcp
    }

    /// A server that was told nothing yet.
    pub fn silent<const N: usize>(home: &Home, args: [&str; N]) -> Self {
        Self::silent_in(home, home.path(), args)
    }

    /// The same in this folder.
    pub fn silent_in<const N: usize>(home: &Home, folder: &Path, args: [&str; N]) -> Self {
        let mut command = home.cmd(["mcp"]);
        command.current_dir(folder).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = Running(command.spawn().expect("darkmux runs"));
        let to = server.0.stdin.take();
        let out = BufReader::new(server.0.stdout.take().expect("a pipe"));
        let (lines, from) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        Self { server, to, from, next: 0, notified: Vec::new() }
    }

    /// The handshake; what the server says of itself.
    pub fn begin(&mut self, name: &str) -> Value {
        let about = json!({
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": name, "version": "1" },
        });
        let said = self.ask("initialize", &about);
        self.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        said["result"].clone()
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        let to = self.to.as_mut().expect("it is open");
        to.write_all(bytes).and_then(|()| to.flush()).expect("the server reads");
    }

    /// Sends one message.
    pub fn send(&mut self, message: &Value) {
        self.raw(format!("{message}\n").as_bytes());
    }

    /// Sends a request and does not wait; its id.
    pub fn post(&mut self, method: &str, params: &Value) -> u64 {
        self.next += 1;
        self.send(&json!({ "jsonrpc": "2.0", "id": self.next, "method": method, "params": params }));
        self.next
    }

    /// The next message, which may be a notification.
    pub fn next(&mut self) -> Value {
        let line = self.from.recv_timeout(ANSWER).expect("a message in time");
        let message: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert_eq!(message["jsonrpc"], "2.0", "{line}");
        message
    }

    /// The answer to a request; notifications before it are kept.
    pub fn answer(&mut self, id: u64) -> Value {
        loop {
            let message = self.next();
            if message["id"] == id {
                return message;
            }
            assert!(message.get("id").is_none(), "an answer that nobody asked for: {message}");
            self.notified.push(message);
        }
    }

    /// Asks and waits.
    pub fn ask(&mut self, method: &str, params: &Value) -> Value {
        let id = self.post(method, params);
        self.answer(id)
    }

    /// Starts a call of a tool; its id.
    pub fn begin_call(&mut self, tool: &str, arguments: &Value) -> u64 {
        self.post("tools/call", &json!({ "name": tool, "arguments": arguments }))
    }

    /// Calls a tool; whatever comes of it.
    pub fn try_call(&mut self, tool: &str, arguments: &Value) -> Value {
        let id = self.begin_call(tool, arguments);
        let answer = self.answer(id);
        assert!(answer.get("error").is_none(), "{tool} {arguments}: {answer}");
        answer["result"].clone()
    }

    /// Calls a tool, which must do what it is asked; its structured answer.
    pub fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        let result = self.try_call(tool, arguments);
        assert_eq!(result["isError"], false, "{tool} {arguments}: {result}");
        assert!(result["content"][0]["text"].is_string(), "{result}");
        result["structuredContent"].clone()
    }

    /// Calls a tool, which must fail; in which words.
    pub fn fails(&mut self, tool: &str, arguments: &Value) -> String {
        let result = self.try_call(tool, arguments);
        assert_eq!(result["isError"], true, "{tool} {arguments}: {result}");
        result["content"][0]["text"].as_str().expect("words").to_owned()
    }

    /// The server's process.
    pub fn pid(&self) -> i64 {
        self.server.0.id().into()
    }

    /// How the server ends, while the client is there.
    pub fn ended(mut self) -> ExitStatus {
        wait_for("the server's end", || self.server.0.try_wait().expect("it can be waited for"))
    }

    /// The client goes away; how the server ends.
    pub fn leave(mut self) -> ExitStatus {
        self.to = None;
        let ended = wait_for("the server's end", || self.server.0.try_wait().expect("a process"));
        loop {
            // What was under way may still have been answered.
            match self.from.recv_timeout(ANSWER) {
                Ok(line) => assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line:?}"),
                Err(RecvTimeoutError::Disconnected) => return ended,
                Err(RecvTimeoutError::Timeout) => panic!("stdout is still open"),
            }
        }
    }
}
