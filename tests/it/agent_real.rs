//! The built-in agent and a real model: SmolLM2 135M under llama.cpp. `tests/run` installs both and runs these; they
//! take a minute or two, so a plain `cargo test` leaves them out.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use darkmux::agent::model::{
    Answer, Ask, AskError, Finish, Limits, Message, ModelClient, Phase, Piece, Style,
};
use darkmux::config::{Config, Endpoint, Environment};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{Home, Running, describe, free_port, wait_for};

/// How long this model may take, on a machine that does other things as well.
const SLOW: Duration = Duration::from_mins(3);

/// A real server.
struct Real {
    url: String,
    _process: Running,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

impl Real {
    fn start() -> Self {
        let python = root().join("target/llama/bin/python");
        assert!(python.exists(), "{} is missing; tests/run makes it", python.display());
        let port = free_port();
        let mut command = Command::new(python);
        command.arg(root().join("tests/model/serve.py")).arg(port.to_string());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let process = Running(child);
        // It listens before the model is loaded.
        wait_for("llama.cpp", || is_ready(port).then_some(()));
        Self { url: format!("http://127.0.0.1:{port}"), _process: process }
    }

    fn endpoint(&self) -> Endpoint {
        let env = Environment::of([("HOME", "/nowhere"), ("DARKMUX_LMSTUDIO_URL", &self.url)]);
        Config::load(env, &[]).unwrap().models().endpoints.remove(0)
    }
}

/// Whether the server says that it can be asked.
fn is_ready(port: u16) -> bool {
    let answer = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).map(|()| head.ends_with(b"200"))
    };
    answer().unwrap_or(false)
}

async fn ask(real: &Real, text: &str, limits: Limits, most: u64) -> (Result<Answer, AskError>, usize) {
    let mut client = ModelClient::new(&real.endpoint(), limits).await.unwrap();
    let messages = [Message::User { text: text.to_owned() }];
    let ask = Ask {
        model: "smollm2-135m",
        messages: &messages,
        tools: &[],
        style: Style::Native,
        max_tokens: Some(most),
    };
    let mut pieces = 0;
    let mut hear = |_: Piece<'_>| {
        pieces += 1;
        true
    };
    let answer = client.ask(&ask, &mut hear, &CancellationToken::new()).await;
    (answer, pieces)
}

#[tokio::test]
#[ignore = "tests/run installs the model and runs it"]
async fn a_real_model_streams_stops_counts_and_is_held_to_its_limits() {
    let real = Real::start();
    let limits = Limits { first_token: SLOW, next_token: SLOW, answer: SLOW };
    let (answer, pieces) = ask(&real, "Say hello.", limits, 60).await;
    let answer = answer.unwrap();
    assert!(!answer.text.is_empty() && pieces > 3, "{answer:?}");
    assert!(answer.usage.unwrap().completion_tokens > 3, "{answer:?}");
    let (answer, _) = ask(&real, "Tell a long story about a fox.", limits, 2).await;
    assert_eq!(answer.unwrap().finish, Finish::Length);
    let short = Limits { answer: Duration::from_millis(300), ..limits };
    let (answer, _) = ask(&real, "Tell a very long story.", short, 2000).await;
    assert!(matches!(answer, Err(AskError::Slow(Phase::Answer | Phase::FirstToken))), "{answer:?}");
    let (answer, _) = ask(&real, &"many words ".repeat(5000), limits, 10).await;
    assert!(matches!(answer, Err(AskError::TooLong { .. })), "{answer:?}");
}

#[test]
#[ignore = "tests/run installs the model and runs it"]
fn a_loop_with_a_real_model_ends() {
    let real = Real::start();
    let home = Home::new()
        .with("DARKMUX_LMSTUDIO_URL", &real.url)
        .with("DARKMUX_AGENT_ANSWER_TOKENS", "200")
        .with("DARKMUX_RUNTIME_MAX_TURNS", "3");
    let listed = home.json(["endpoints", "list", "--json"]);
    assert_eq!(listed["endpoints"][0]["models"][0]["window"], 4096, "{listed}");
    let id =
        home.ok(["crew", "dispatch", "agent", "-d", "--timeout", "5m", "-m", "Say hello."]).trim().to_owned();
    let folder = home.darkmux().join("sessions").join(&id);
    let deadline = std::time::Instant::now() + SLOW;
    let result: Value = loop {
        if let Ok(text) = std::fs::read(folder.join("result.json")) {
            break serde_json::from_slice(&text).unwrap();
        }
        assert!(std::time::Instant::now() < deadline, "{}", home.ok(["session", "tail", &id]));
        std::thread::sleep(Duration::from_millis(100));
    };
    let output = home.run(["session", "wait", &id]);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", describe(&output));
    assert_eq!(result["model"], json!("smollm2-135m"));
    assert!(result["totals"]["completion_tokens"].as_u64() > Some(0), "{result}");
}
