//! The built-in agent between a model's server and the terminal: what a turn costs beside the model, and how soon a token
//! is on the terminal that is attached.
//!
//! The server is a thread of this program. The limit of a turn is a bare client that reads an answer to its end and asks
//! again with the same bytes on the same connection; the agent also reads the answer's events, keeps its checklist, writes the
//! checkpoint and its records, and shows all of it. The limit of a token is a bare client that reads the socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Setup;
use crate::machine::Machine;
use crate::table::{Table, Want, quantile};

/// Turns of a run, each with a call that changes nothing but the checklist.
const TURNS: usize = 40;

/// Tokens of an answer that is streamed, and the time between two of them.
const TOKENS: usize = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// How long nobody may say anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the server saw, by its clock.
enum Seen {
    /// Time from the end of an answer to the whole next question.
    Turn(Duration),
    /// This token left.
    Sent(usize, Instant),
}

/// What the server does.
#[derive(Clone, Copy)]
enum Script {
    Turns,
    Tokens,
}

/// Measures and prints.
pub fn run(setup: &Setup) {
    let mut table = Table::new("The built-in agent");
    for _ in 0..setup.rounds {
        let (port, seen) = serve(Script::Turns);
        let question = bare_turns(port);
        let mut limit = turns(&seen);
        assert!(question > 0 && limit.len() == TURNS);
        let (port, seen) = serve(Script::Turns);
        agent(setup, port, |_| ());
        let mut figure = turns(&seen);
        assert_eq!(figure.len(), TURNS, "the agent asked as often as it was answered");
        let pair = (quantile(&mut limit, 0.5), quantile(&mut figure, 0.5));
        table.pair("a turn to that of a bare client, median", "µs", Want::Nothing, pair);
        table.figure("a turn beside the model, median", "µs", Want::AtMost(5_000.0), pair.1);
        table.figure("95 of 100 turns", "µs", Want::Nothing, quantile(&mut figure, 0.95));
        let (port, seen) = serve(Script::Tokens);
        let mut limit = latencies(&seen, &bare_tokens(port));
        let (port, seen) = serve(Script::Tokens);
        let mut came = Vec::new();
        agent(setup, port, |text| came.push((text.to_owned(), Instant::now())));
        let mut figure = latencies(&seen, &arrivals(&came));
        let pair = (quantile(&mut limit, 0.5), quantile(&mut figure, 0.5));
        table.pair("a token to that of a bare client, median", "µs", Want::Nothing, pair);
        table.figure("a token on the terminal, median", "µs", Want::AtMost(10_000.0), pair.1);
        table.figure("95 of 100 tokens", "µs", Want::Nothing, quantile(&mut figure, 0.95));
    }
    table.print();
}

/// Runs a role by the built-in agent, attached, until it has ended. `hear` gets what the terminal shows, as it comes.
fn agent(setup: &Setup, port: u16, mut hear: impl FnMut(&str)) {
    let machine = Machine::new(setup)
        .with("DARKMUX_LMSTUDIO_URL", format!("http://127.0.0.1:{port}"))
        .with("DARKMUX_CREW_AGENTS", "agent")
        .with("NO_COLOR", "1");
    let work = machine.path().join("work");
    std::fs::create_dir(&work).expect("a folder");
    let mut command = machine.darkmux(&["crew", "dispatch", "coder", "-m", "go on", "--workdir"]);
    let mut child = command.arg(&work).stdout(Stdio::piped()).spawn().expect("darkmux starts");
    let mut out = child.stdout.take().expect("a pipe");
    let mut piece = [0; 16 * 1024];
    while let Ok(count @ 1..) = out.read(&mut piece) {
        hear(&String::from_utf8_lossy(&piece[..count]));
    }
    assert!(child.wait().expect("an end").success(), "the agent is done");
}

fn turns(seen: &Receiver<Seen>) -> Vec<Duration> {
    let turn = |seen| if let Seen::Turn(time) = seen { Some(time) } else { None };
    seen.try_iter().filter_map(turn).collect()
}

/// From the moment that a token left to the moment that it was there.
fn latencies(seen: &Receiver<Seen>, came: &[Option<Instant>]) -> Vec<Duration> {
    let sent = seen
        .try_iter()
        .filter_map(|seen| if let Seen::Sent(at, when) = seen { Some((at, when)) } else { None });
    let times: Vec<Duration> = sent.filter_map(|(at, when)| Some(came[at]?.duration_since(when))).collect();
    assert_eq!(times.len(), TOKENS, "every token came");
    times
}

/// When each token was there.
fn arrivals(came: &[(String, Instant)]) -> Vec<Option<Instant>> {
    let mut all = String::new();
    let mut times = vec![None; TOKENS];
    let mut next = 0;
    for (text, when) in came {
        all.push_str(text);
        while next < TOKENS && all.contains(&token(next)) {
            times[next] = Some(*when);
            next += 1;
        }
    }
    times
}

fn token(at: usize) -> String {
    format!("t{at:04}")
}

/// Asks and reads answers with nothing but a socket; how many bytes came.
fn bare_turns(port: u16) -> usize {
    let (mut stream, mut reader) = connect(port);
    let mut bytes = 0;
    for _ in 0..=TURNS {
        ask(&mut stream);
        bytes += read_answer(&mut reader, |_| ());
    }
    bytes
}

fn bare_tokens(port: u16) -> Vec<Option<Instant>> {
    let (mut stream, mut reader) = connect(port);
    ask(&mut stream);
    let mut came = Vec::new();
    read_answer(&mut reader, |text| came.push((text.to_owned(), Instant::now())));
    arrivals(&came)
}

fn connect(port: u16) -> (TcpStream, BufReader<TcpStream>) {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let reader = BufReader::new(stream.try_clone().expect("a socket"));
    (stream, reader)
}

fn ask(stream: &mut TcpStream) {
    // About as large as what the agent asks.
    let body = json!({ "stream": true, "messages": [{ "role": "user", "content": "x".repeat(24 * 1024) }] })
        .to_string();
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).expect("a question");
}

/// Reads an answer in chunks to its end; `hear` gets each.
fn read_answer(reader: &mut BufReader<TcpStream>, mut hear: impl FnMut(&str)) -> usize {
    let mut line = String::new();
    while {
        line.clear();
        reader.read_line(&mut line).expect("a head") > 2
    } {}
    let mut bytes = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).expect("a chunk");
        let length = usize::from_str_radix(line.trim(), 16).expect("its length");
        let mut chunk = vec![0; length + 2];
        reader.read_exact(&mut chunk).expect("the chunk");
        if length == 0 {
            return bytes;
        }
        bytes += length;
        hear(&String::from_utf8_lossy(&chunk));
    }
}

/// A model's server that answers by a script; its port, and what it sees.
fn serve(script: Script) -> (u16, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (tell, seen) = channel();
    let past: Arc<Mutex<Past>> = Arc::default();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (tell, past) = (tell.clone(), Arc::clone(&past));
            std::thread::spawn(move || connection(&stream, script, (&tell, &past)));
        }
    });
    (port, seen)
}

/// What was asked so far, on any connection: how many questions, and the end of the last answer.
type Past = (usize, Option<Instant>);

/// Answers what comes on one connection.
fn connection(stream: &TcpStream, script: Script, (tell, past): (&Sender<Seen>, &Mutex<Past>)) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let path = read_question(&mut reader)?;
        if !path.ends_with("/chat/completions") {
            let models = json!({ "data": [{ "id": "scripted", "max_model_len": 1_000_000 }] }).to_string();
            let found = path == "/v1/models";
            plain(stream, if found { 200 } else { 404 }, if found { &models } else { "{}" })?;
            continue;
        }
        let (turn, ended) = *past.lock().ok()?;
        if let Some(ended) = ended {
            tell.send(Seen::Turn(ended.elapsed())).ok()?;
        }
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        send(stream, head.as_bytes())?;
        match script {
            Script::Turns if turn < TURNS => call(stream, turn)?,
            Script::Turns => event(stream, &delta(&json!({ "content": "Done." }), None))?,
            Script::Tokens => tokens(stream, tell)?,
        }
        event(stream, &json!({ "choices": [], "usage": { "prompt_tokens": 10, "completion_tokens": 5 } }))?;
        chunk(stream, "data: [DONE]\n\n")?;
        send(stream, b"0\r\n\r\n")?;
        *past.lock().ok()? = (turn + 1, Some(Instant::now()));
    }
}

/// Reads a question to its end; its path.
fn read_question(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let (mut path, mut length, mut line) = (None, 0, String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let text = line.trim_end();
        if text.is_empty() {
            break;
        }
        path = path.or_else(|| text.split(' ').nth(1).map(str::to_owned));
        if let Some(value) = text.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink()).ok()?;
    path
}

/// A call that differs each time, so that nobody thinks the model stuck.
fn call(stream: &TcpStream, turn: usize) -> Option<()> {
    let arguments = json!({ "items": [{ "text": format!("step {turn}"), "state": "done" }] }).to_string();
    let function = json!({ "name": "plan", "arguments": arguments });
    let call = json!({ "index": 0, "id": format!("call-{turn}"), "type": "function", "function": function });
    event(stream, &delta(&json!({ "content": format!("I am at step {turn}. ") }), None))?;
    event(stream, &delta(&json!({ "tool_calls": [call] }), Some("tool_calls")))
}

fn tokens(stream: &TcpStream, tell: &Sender<Seen>) -> Option<()> {
    for at in 0..TOKENS {
        std::thread::sleep(PAUSE);
        tell.send(Seen::Sent(at, Instant::now())).ok()?;
        event(stream, &delta(&json!({ "content": format!("{} ", token(at)) }), None))?;
    }
    event(stream, &delta(&json!({}), Some("stop")))
}

fn delta(delta: &Value, finish: Option<&str>) -> Value {
    json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
}

fn event(stream: &TcpStream, event: &Value) -> Option<()> {
    chunk(stream, &format!("data: {event}\n\n"))
}

fn chunk(stream: &TcpStream, text: &str) -> Option<()> {
    send(stream, format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
}

fn plain(stream: &TcpStream, status: u16, body: &str) -> Option<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    send(stream, (head + body).as_bytes())
}

fn send(mut stream: &TcpStream, bytes: &[u8]) -> Option<()> {
    stream.write_all(bytes).ok()
}
