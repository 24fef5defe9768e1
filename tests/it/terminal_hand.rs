//! A terminal's connection in the hands of the session's host: what that spares, what still ends it, and what is carried
//! by the daemon instead.

use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use bytes::Bytes;
use darkmux::model::{MachineId, SessionId, SessionState};
use darkmux::store::FileLock;
use darkmux::wire::SessionStatus;
use futures_util::{SinkExt, StreamExt};
use http::header::AUTHORIZATION;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tungstenite::Message;
use tungstenite::client::IntoClientRequest;

use crate::support::api::Api;
use crate::support::ws::{Frame, Ws};
use crate::support::{Home, PATIENCE, signal, wait_for};

fn host(api: &Api, id: &str) -> i64 {
    let file = api.home.darkmux().join("sessions").join(id).join("state.json");
    let state: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    state["host_pid"].as_i64().unwrap()
}

#[tokio::test]
async fn keys_are_echoed_while_the_daemon_stands_still() {
    let api = Api::start();
    let id = api.launch(&["cat"]);
    let mut ws = Ws::open(&api, &id, "?darkmux=1").await;
    ws.bytes().await;
    signal(api.daemon.process.pid(), "STOP");
    ws.type_in("nobody waits\n").await;
    ws.until("nobody waits\r\nnobody waits\r\n").await;
    signal(api.daemon.process.pid(), "CONT");
    api.home.ok(["auth", "rotate"]);
    assert_eq!(ws.end().await.1, Frame::Closed(Some(4001)));
}

#[tokio::test]
async fn who_is_signed_out_is_cut_off_also_where_the_host_stands_still() {
    let api = Api::start();
    let id = api.launch(&["cat"]);
    let mut ws = Ws::open(&api, &id, "?darkmux=1").await;
    ws.bytes().await;
    let host = host(&api, &id);
    signal(host, "STOP");
    api.home.ok(["auth", "rotate"]);
    let end = ws.end().await.1;
    signal(host, "CONT");
    assert_eq!(end, Frame::Cut);
}

/// Asks for a terminal, with these bytes right behind the request.
async fn request(api: &Api, id: &str, early: &[u8]) -> TcpStream {
    let (port, token) = (api.daemon.port, &api.token);
    let head = format!(
        "GET /ws/{id} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(&[head.as_bytes(), early].concat()).await.unwrap();
    stream
}

/// One frame of six typed bytes, under a mask of zeros.
fn typed_early() -> Vec<u8> {
    [&[0x82, 0x80 | 6, 0, 0, 0, 0], &b"early\n"[..]].concat()
}

/// Reads on until these bytes are echoed.
async fn reads_early(stream: &mut TcpStream) {
    let mut said = Vec::new();
    while memchr::memmem::find(&said, b"early\r\n").is_none() {
        assert!(stream.read_buf(&mut said).await.unwrap() > 0, "{}", String::from_utf8_lossy(&said));
    }
}

#[tokio::test]
async fn what_comes_with_the_request_is_typed_first() {
    let api = Api::start();
    let id = api.sh("stty -echo; exec cat");
    reads_early(&mut request(&api, &id, &typed_early()).await).await;
}

/// A connection with a session's host, a descriptor of this socket ahead of all it says.
async fn with_socket_ahead(api: &Api, id: &str, socket: TcpStream) -> tokio::net::UnixStream {
    let path = api.home.darkmux().join("sessions").join(id).join("host.sock");
    let host = tokio::net::UnixStream::connect(path).await.unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [socket.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    sendmsg(&host, &[IoSlice::new(b"\n")], &mut control, SendFlags::empty()).unwrap();
    host
}

/// Sends a request and returns the status of its answer.
async fn status(host: &mut tokio::net::UnixStream, request: &str, header: &str, body: &[u8]) -> String {
    let length = body.len();
    let head = format!("{request} HTTP/1.1\r\nHost: x\r\n{header}\r\nContent-Length: {length}\r\n\r\n");
    host.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut answer = [0; 4096];
    let count = timeout(PATIENCE, host.read(&mut answer)).await.expect("an answer").unwrap();
    let answer = String::from_utf8_lossy(&answer[..count]);
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_host_takes_a_socket_that_comes_ahead_with_the_key_and_closes_any_other() {
    let api = Api::start();
    let id = api.sh("stty -echo; exec cat");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pair = || async {
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    };
    let is_closed = |mut far: TcpStream| async move {
        timeout(PATIENCE, far.read(&mut [0])).await.expect("the end").is_ok_and(|count| count == 0)
    };
    let terminal = "POST /v1/terminal?screen=1&stall=60000&ping=60000&pong=60000";
    let upgrade = "Connection: upgrade\r\nUpgrade: darkmux-terminal";
    let key = format!("{}\r\n{upgrade}", api.home.socket_key());

    let (near, far) = pair().await;
    let mut stranger = with_socket_ahead(&api, &id, near).await;
    assert_eq!(status(&mut stranger, terminal, upgrade, b"").await, "401");
    assert!(is_closed(far).await, "also while the connection is open");

    let (near, far) = pair().await;
    let mut other = with_socket_ahead(&api, &id, near).await;
    assert_eq!(status(&mut other, "GET /v1/status", "X: y", b"").await, "200");
    assert!(is_closed(far).await);
    assert_eq!(status(&mut other, terminal, &key, b"").await, "400", "it had come with another request");

    let (near, mut far) = pair().await;
    let mut daemon = with_socket_ahead(&api, &id, near).await;
    assert_eq!(status(&mut daemon, terminal, &key, &typed_early()).await, "101");
    reads_early(&mut far).await;
    drop(far);
    let mut word = [0];
    timeout(PATIENCE, daemon.read_exact(&mut word)).await.expect("a word").unwrap();
    assert_eq!(&word, b"E");
}

#[tokio::test]
async fn a_client_on_the_daemons_unix_socket_is_carried() {
    let api = Api::start();
    let id = api.launch(&["cat"]);
    let stream = tokio::net::UnixStream::connect(api.home.darkmux().join("daemon.sock")).await.unwrap();
    let mut request = format!("ws://localhost/ws/{id}?darkmux=1").into_client_request().unwrap();
    let key = api.home.socket_key();
    let bearer = key.strip_prefix("Authorization: ").expect("a header").parse().unwrap();
    request.headers_mut().insert(AUTHORIZATION, bearer);
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.expect("it is opened");
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let frame = socket.next().await.expect("a frame").expect("one that can be read");
        seen.push(frame);
    }
    assert!(seen[0].to_text().unwrap().contains("attached") && seen[1].is_binary(), "{seen:?}");
}

/// A frame that closes, without a code, under a mask of zeros.
const CLOSES: [u8; 6] = [0x88, 0x80, 0, 0, 0, 0];

#[tokio::test]
async fn a_client_that_closes_is_answered() {
    let api = Api::start();
    let id = api.launch(&["cat"]);
    let mut ws = Ws::open(&api, &id, "").await;
    ws.bytes().await;
    ws.send(Message::Close(None)).await;
    assert!(matches!(ws.end().await.1, Frame::Closed(_)));
}

#[tokio::test]
async fn a_connection_ends_with_its_session_while_the_daemon_stands_still() {
    let api = Api::start();
    let id = api.sh("read x; exit 3");
    let mut ws = Ws::open(&api, &id, "?darkmux=1").await;
    ws.bytes().await;
    signal(api.daemon.process.pid(), "STOP");
    ws.type_in("\r").await;
    let (closed, cut) = (ws.end().await.1, ws.next_within(PATIENCE).await);
    signal(api.daemon.process.pid(), "CONT");
    assert_eq!((closed, cut), (Frame::Closed(Some(4000)), Some(Frame::Cut)));
}

#[tokio::test]
async fn who_comes_while_the_host_stands_still_is_cut_off_and_comes_in_later() {
    let api = Api::start();
    let id = api.launch(&["cat"]);
    let host = host(&api, &id);
    signal(host, "STOP");
    let end = Ws::open(&api, &id, "?darkmux=1").await.end().await;
    signal(host, "CONT");
    // The host may take the socket at any moment, so the daemon says nothing on it.
    assert_eq!(end, (Vec::new(), Frame::Cut));
    let mut ws = Ws::open(&api, &id, "?darkmux=1").await;
    ws.bytes().await;
    ws.type_in("again\n").await;
    ws.until("again\r\nagain\r\n").await;
}

#[tokio::test]
async fn what_a_program_says_outlives_the_viewer_who_saw_it_and_left() {
    let api = Api::start();
    let id = api.sh("stty -echo; while read x; do printf '\\033]0;title %s\\007<%s>' $x $x; done");
    let mut watcher = Ws::open(&api, &id, "?read_only=1").await;
    watcher.bytes().await;
    for round in 0..30 {
        api.type_in(&id, "", format!("{round}\n").as_bytes());
        watcher.until(&format!("<{round}>")).await;
        // Their pictures are begun, and nobody waits for them.
        for _ in 0..3 {
            drop(request(&api, &id, &CLOSES).await);
        }
        wait_for("the title", || (api.session(&id)["title"] == format!("title {round}")).then_some(()));
    }
}

/// Keys cost more than their bytes, and a program that reads nothing lets them pile up.
#[tokio::test]
async fn a_client_that_types_single_keys_waits_for_a_program_that_reads_nothing() {
    let api = Api::start();
    let id = api.sh("stty raw -echo; echo ready; exec sleep 1000");
    let mut ws = Ws::open(&api, &id, "").await;
    ws.until("ready").await;
    for _ in 0..100_000 {
        ws.socket.feed(Message::binary(&b"k"[..])).await.unwrap();
    }
    ws.send(Message::Ping(Bytes::new())).await;
    let pong = timeout(Duration::from_secs(5), async {
        while !matches!(ws.socket.next().await, Some(Ok(Message::Pong(_))) | None) {}
    });
    assert!(pong.await.is_err(), "it is not listened to");
    api.act(&id, "kill");
    assert_eq!(ws.end().await.1, Frame::Closed(Some(4000)));
}

/// Linux only: descriptors are counted in /proc.
#[cfg(target_os = "linux")]
fn descriptors(pid: i64) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn two_hundred_terminals_leave_no_descriptor_open() {
    let api = Api::start();
    let id = api.launch(&["cat"]);
    let (daemon, host) = (api.daemon.process.pid(), host(&api, &id));
    // What both open once is open.
    let mut kept = Ws::open(&api, &id, "?darkmux=1").await;
    kept.bytes().await;
    let open = || (descriptors(daemon), descriptors(host));
    let before = open();
    for round in 0..200 {
        match round % 5 {
            0 => drop(Ws::open(&api, &id, "").await),
            1 => {
                let mut ws = Ws::open(&api, &id, "?darkmux=1").await;
                ws.send(Message::Close(None)).await;
                ws.end().await;
            }
            2 => drop(request(&api, &id, &CLOSES).await),
            3 => drop(request(&api, &id, b"no frame at all").await),
            _ => {
                let ws = Ws::open(&api, &id, "").await;
                rustix::net::sockopt::set_socket_linger(ws.socket.get_ref(), Some(Duration::ZERO)).unwrap();
            }
        }
    }
    wait_for("all of them to be closed", || {
        let now = open();
        (now.0 <= before.0 && now.1 <= before.1).then_some(())
    });
    kept.type_in("still here\n").await;
    kept.until("still here\r\nstill here\r\n").await;
}

/// The host of an older program, which speaks this protocol and answers as it does.
fn older_host(home: &Home, protocol: u32, answers: fn(UnixStream)) -> FileLock {
    let folder = home.darkmux().join("sessions/old");
    std::fs::create_dir_all(folder.join("output")).unwrap();
    std::fs::write(folder.join("state.json"), older_state(protocol)).unwrap();
    let listener = UnixListener::bind(folder.join("host.sock")).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answers(stream));
        }
    });
    FileLock::try_take(&folder.join("lease")).unwrap().unwrap()
}

fn older_state(protocol: u32) -> Vec<u8> {
    let (id, machine) = (SessionId::new("old").unwrap(), MachineId::new("m").unwrap());
    let mut status = SessionStatus::unknown(id, machine, "2026-01-01T00:00:00.000Z".to_owned());
    (status.state, status.protocol, status.output.end) = (SessionState::Running, protocol, 15);
    serde_json::to_vec(&status).unwrap()
}

/// The head of the next request.
fn head(reader: &mut BufReader<UnixStream>) -> String {
    let mut head = String::new();
    // A server passes over an empty line, and reads no descriptor that comes with it.
    while matches!(reader.fill_buf(), Ok([b'\n', ..])) {
        reader.consume(1);
    }
    while reader.read_line(&mut head).is_ok_and(|count| count > 2) {}
    head
}

/// It attaches with a picture, and knows nothing else.
fn answers_2(mut stream: UnixStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    if !head(&mut reader).starts_with("GET /v1/attach") {
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 15\r\n\r\n{\"error\":\"old\"}");
        return;
    }
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: darkmux-attach\r\nconnection: upgrade\r\n\
        darkmux-protocol: 2\r\ndarkmux-output-end: 0\r\n\r\n";
    let frames =
        [&b"S\0\0\0\x0b\0\0\0\0\0\0\0\0pic"[..], b"R\0\0\0\x05\0\x50\0\x18\x01", b"O\0\0\0\x04more"].concat();
    stream.write_all(&[&answer[..], &frames].concat()).unwrap();
    // Until the client goes.
    let _ = reader.read_to_end(&mut Vec::new());
}

/// It has no pictures, shows the sizes that it takes, and breaks off at a frame that it does not know.
fn answers_1(mut stream: UnixStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let head = head(&mut reader);
        if head.starts_with("GET /v1/attach") {
            break;
        }
        let (status, body) = match head.split(' ').nth(1) {
            Some("/v1/status") => ("200 OK", older_state(1)),
            Some(_) => ("404 Not Found", b"{\"error\":\"old\"}".to_vec()),
            None => return,
        };
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
    }
    let answer =
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: darkmux-attach\r\nconnection: upgrade\r\n\r\n";
    stream.write_all(&[&answer[..], b"O\0\0\0\x0fold but present"].concat()).unwrap();
    let mut frame = [0; 9];
    while reader.read_exact(&mut frame).is_ok() && frame.starts_with(b"R\0\0\0\x04") {
        let [cols, rows] = [5, 7].map(|at| u16::from_be_bytes([frame[at], frame[at + 1]]));
        let size = format!("now {cols:4} x {rows:4}");
        stream.write_all(&[&b"O\0\0\0\x0f"[..], size.as_bytes()].concat()).unwrap();
    }
}

#[tokio::test]
async fn a_host_of_an_older_program_is_carried() {
    let home = Home::new();
    let _lease = older_host(&home, 2, answers_2);
    let api = Api::of(home);
    wait_for("the session", || (api.get("/v1/sessions/old").status == 200).then_some(()));
    let mut ws = Ws::open(&api, "old", "?darkmux=1").await;
    assert_eq!(ws.bytes().await, b"pic");
    ws.until("more").await;
}

#[tokio::test]
async fn a_host_without_pictures_shows_its_output_and_takes_sizes() {
    let home = Home::new();
    let _lease = older_host(&home, 1, answers_1);
    let api = Api::of(home);
    wait_for("the session", || (api.get("/v1/sessions/old").status == 200).then_some(()));
    let mut ws = Ws::open(&api, "old", "?darkmux=1&cols=90&rows=30").await;
    let resized = |cols: u16, rows: u16| json!({ "type": "terminal_resize", "cols": cols, "rows": rows, "source": "web_client", "owner": true });
    // What it sends is told to begin with the oldest byte, and to be old so far.
    let attached = json!({ "type": "attached", "at": 0, "end": 15, "snapshot": false, "read_only": false });
    assert_eq!(ws.told().await, attached);
    assert_eq!(ws.told().await, resized(90, 30));
    ws.until("now   90 x   30").await;
    // Whoever only says how large it is has the size, too: such a host knows no owner.
    ws.say(r#"{"type":"resize","cols":100,"rows":40,"claim":false}"#).await;
    ws.until("now  100 x   40").await;

    let mut again = Ws::open(&api, "old", "?darkmux=1&from=7").await;
    assert_eq!(again.told().await["at"], 7);
}

/// Each picture is drawn beside the host's own thread, one after another: a crowd costs no crowd of threads, which would
/// stay for a while, and their parts of the heap for ever. Nobody of it is refused.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_crowd_that_comes_at_once_is_served_without_a_crowd_of_threads() {
    let api = Api::start();
    let id = api.sh("seq 1 10000; exec cat");
    let mut first = Ws::open(&api, &id, "").await;
    first.until("10000\r\n").await;
    let comes = || async {
        let mut ws = Ws::open(&api, &id, "?darkmux=1").await;
        ws.bytes().await;
        ws
    };
    let crowd = futures_util::future::join_all((0..40).map(|_| comes())).await;
    let threads = std::fs::read_dir(format!("/proc/{}/task", host(&api, &id))).unwrap().count();
    assert!(threads <= 7, "{threads} threads for {} who look", crowd.len());
}
