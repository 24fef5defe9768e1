//! A model server that answers from a script, as OpenAI-compatible servers do: streamed, in pieces, and with
//! everything that goes wrong with them.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::PATIENCE;

/// One part of an answer.
#[derive(Debug, Clone)]
enum Act {
    /// Bytes, as a chunk of the body.
    Send(Vec<u8>),
    /// Nothing, until the client goes away.
    Hang,
    /// Nothing, until the test says so.
    Wait,
    /// The connection ends in the middle.
    Cut,
}

/// One answer of the script.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    acts: Vec<Act>,
}

impl Reply {
    fn streamed() -> Self {
        let kind = ("content-type".to_owned(), "text/event-stream".to_owned());
        Self { status: 200, headers: vec![kind], acts: Vec::new() }
    }

    /// A stream of these deltas, with a reason to end, usage and the end mark.
    pub fn deltas(deltas: impl IntoIterator<Item = Value>, finish: &str) -> Self {
        Self::begun(deltas).ends(finish)
    }

    /// Then it ends, for this reason.
    pub fn ends(self, finish: &str) -> Self {
        let reply = self.event(&json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": finish }] }));
        let reply = reply.event(&json!({ "choices": [], "usage": {
            "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120 } }));
        reply.raw("data: [DONE]\n\n")
    }

    /// A stream of these deltas that has not ended.
    pub fn begun(deltas: impl IntoIterator<Item = Value>) -> Self {
        let chunk =
            |delta| json!({ "id": "c", "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] });
        deltas.into_iter().fold(Self::streamed(), |reply, delta| reply.event(&chunk(delta)))
    }

    /// Words, in pieces of a few characters.
    pub fn text(text: &str) -> Self {
        Self::deltas(pieces(text).into_iter().map(|piece| json!({ "content": piece })), "stop")
    }

    /// Calls of tools side by side, their arguments in pieces.
    pub fn calls(calls: &[(&str, Value)]) -> Self {
        let mut deltas = Vec::new();
        for (index, (name, _)) in calls.iter().enumerate() {
            let id = format!("call_{index}_{name}");
            deltas.push(json!({ "tool_calls": [
                { "index": index, "id": id, "type": "function", "function": { "name": name, "arguments": "" } }] }));
        }
        let longest =
            calls.iter().map(|(_, arguments)| pieces(&arguments.to_string()).len()).max().unwrap_or(0);
        for at in 0..longest {
            for (index, (_, arguments)) in calls.iter().enumerate() {
                if let Some(piece) = pieces(&arguments.to_string()).get(at) {
                    deltas.push(
                        json!({ "tool_calls": [{ "index": index, "function": { "arguments": piece } }] }),
                    );
                }
            }
        }
        Self::deltas(deltas, "tool_calls")
    }

    /// One call.
    pub fn call(name: &str, arguments: Value) -> Self {
        Self::calls(&[(name, arguments)])
    }

    /// An answer that is no stream.
    pub fn status(status: u16, body: &str) -> Self {
        let kind = ("content-type".to_owned(), "application/json".to_owned());
        Self { status, headers: vec![kind], acts: vec![Act::Send(body.as_bytes().to_vec())] }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn event(self, event: &Value) -> Self {
        self.raw(&format!("data: {event}\n\n"))
    }

    /// Bytes as they are.
    pub fn raw(mut self, text: &str) -> Self {
        self.acts.push(Act::Send(text.as_bytes().to_vec()));
        self
    }

    /// Then nothing more comes.
    pub fn hangs(mut self) -> Self {
        self.acts.push(Act::Hang);
        self
    }

    /// Then nothing comes until [`ModelServer::go_on`].
    pub fn waits(mut self) -> Self {
        self.acts.push(Act::Wait);
        self
    }

    /// Then the connection breaks.
    pub fn cut(mut self) -> Self {
        self.acts.push(Act::Cut);
        self
    }

    /// Not even a head.
    pub fn mute() -> Self {
        Self { status: 0, ..Self::silent() }
    }

    /// Nothing but a head.
    pub fn silent() -> Self {
        Self::streamed().hangs()
    }
}

/// A text in pieces of up to five characters.
fn pieces(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(5).map(|piece| piece.iter().collect()).collect()
}

#[derive(Default)]
struct Shared {
    script: Mutex<VecDeque<Reply>>,
    asked: Mutex<Vec<Value>>,
    heads: Mutex<Vec<String>>,
    models: Mutex<Value>,
    over: AtomicBool,
    goes_on: AtomicBool,
}

/// The server.
pub struct ModelServer {
    pub port: u16,
    shared: Arc<Shared>,
}

impl ModelServer {
    /// Serves one model `scripted`, and answers by this script.
    pub fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        shared.script.lock().unwrap().extend(script);
        *shared.models.lock().unwrap() = json!({ "data": [{ "id": "scripted", "max_model_len": 32_768 }] });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || drop(answer(&stream, &shared)));
            }
        });
        Self { port, shared }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What `/v1/models` answers.
    pub fn serves(self, models: &Value) -> Self {
        self.now_serves(models);
        self
    }

    /// As [`serves`](Self::serves), from now on.
    pub fn now_serves(&self, models: &Value) {
        *self.shared.models.lock().unwrap() = json!({ "data": models });
    }

    /// Lets an answer that waits go on.
    pub fn go_on(&self) {
        self.shared.goes_on.store(true, Ordering::SeqCst);
    }

    /// Adds to the script.
    pub fn then(&self, reply: Reply) {
        self.shared.script.lock().unwrap().push_back(reply);
    }

    /// The questions so far.
    pub fn asked(&self) -> Vec<Value> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// How many questions there were so far.
    pub fn count(&self) -> usize {
        self.shared.asked.lock().unwrap().len()
    }

    /// The heads of all requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().unwrap().clone()
    }

    /// Answers of the script that were not given.
    pub fn left(&self) -> usize {
        self.shared.script.lock().unwrap().len()
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn answer(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while reader.read_line(&mut head)? > 2 && !head.ends_with("\r\n\r\n") {}
    let lower = head.to_ascii_lowercase();
    let length =
        lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    shared.heads.lock().unwrap().push(head.clone());
    let reply = match head.split(' ').nth(1).unwrap_or_default() {
        "/v1/models" => Reply::status(200, &shared.models.lock().unwrap().to_string()),
        "/v1/chat/completions" => {
            shared.asked.lock().unwrap().push(serde_json::from_slice(&body).unwrap_or_default());
            let next = shared.script.lock().unwrap().pop_front();
            next.unwrap_or_else(|| Reply::status(400, r#"{"error":{"message":"the script is over"}}"#))
        }
        _ => Reply::status(404, "{}"),
    };
    give(stream, reply, shared)
}

fn give(mut stream: &TcpStream, reply: Reply, shared: &Shared) -> std::io::Result<()> {
    let mut head =
        format!("HTTP/1.1 {} Scripted\r\ntransfer-encoding: chunked\r\nconnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if reply.status > 0 {
        stream.write_all(format!("{head}\r\n").as_bytes())?;
    }
    for act in reply.acts {
        match act {
            Act::Send(bytes) => {
                let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat();
                stream.write_all(&chunk)?;
            }
            Act::Hang => {
                hang(stream, shared, &AtomicBool::new(false));
                return Ok(());
            }
            Act::Wait => hang(stream, shared, &shared.goes_on),
            Act::Cut => return stream.shutdown(std::net::Shutdown::Both),
        }
    }
    stream.write_all(b"0\r\n\r\n")
}

/// Waits until the client is gone, the test is over, or it `ends`.
fn hang(stream: &TcpStream, shared: &Shared, ends: &AtomicBool) {
    let _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
    while !shared.over.load(Ordering::Relaxed) && !ends.load(Ordering::SeqCst) {
        match stream.peek(&mut [0]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            _ => return,
        }
    }
}
