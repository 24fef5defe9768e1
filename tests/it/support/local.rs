//! Stand-ins for the daemons that discovery asks: Tailscale's LocalAPI and a container engine, on unix sockets, with
//! their documented paths and JSON.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

/// An answer: its status line and body; `Stream` stays open and gets lines later.
pub enum Said {
    Body(&'static str, Vec<u8>),
    Stream(Vec<u8>),
    Nothing,
}

impl Said {
    fn json(value: &Value) -> Self {
        Self::Body("200 OK", value.to_string().into_bytes())
    }

    fn none(status: &'static str) -> Self {
        Self::Body(status, b"no".to_vec())
    }
}

/// A head and the body that its length announces.
pub fn read_request(stream: &mut impl Read) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
            });
            let all = end + 4 + length.unwrap_or(0);
            if bytes.len() >= all {
                return Some((head, bytes[end + 4..all].to_vec()));
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

type Streams = Arc<Mutex<Vec<UnixStream>>>;

/// Answers on a unix socket, one request a connection; ends with the test's process.
fn serve(socket: &Path, answer: impl Fn(&str, &[u8]) -> Said + Send + Sync + 'static) -> Streams {
    let listener = UnixListener::bind(socket).expect("a socket");
    let (streams, answer) = (Streams::default(), Arc::new(answer));
    let open = Arc::clone(&streams);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (answer, open) = (Arc::clone(&answer), Arc::clone(&open));
            std::thread::spawn(move || {
                let Some((head, body)) = read_request(&mut stream) else { return };
                match answer(&head, &body) {
                    Said::Body(status, body) => {
                        let length = body.len();
                        let head = format!(
                            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                        );
                        let _ = stream.write_all(&[head.as_bytes(), &body].concat());
                    }
                    Said::Stream(first) => {
                        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                        let mut open = open.lock().unwrap();
                        if stream.write_all(head).is_ok() && chunk(&mut stream, &first) {
                            open.push(stream);
                        }
                    }
                    // The connection stays open and mute.
                    Said::Nothing => open.lock().unwrap().push(stream),
                }
            });
        }
    });
    streams
}

fn chunk(stream: &mut UnixStream, line: &[u8]) -> bool {
    let text = [format!("{:x}\r\n", line.len()).as_bytes(), line, b"\r\n"].concat();
    line.is_empty() || stream.write_all(&text).is_ok()
}

fn say(streams: &Streams, line: &Value) {
    let line = format!("{line}\n");
    streams.lock().unwrap().retain_mut(|stream| chunk(stream, line.as_bytes()));
}

fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

/// Tailscale's daemon.
pub struct Tailscale {
    state: Arc<Mutex<Tailnet>>,
    bus: Streams,
}

/// What it tells.
pub struct Tailnet {
    pub running: bool,
    /// The user of this device; `None` for a tagged one.
    pub owner: i64,
    pub addresses: Vec<&'static str>,
    /// The devices, as in the status.
    pub peers: Vec<Value>,
    /// Answers to `whois`, by IP address.
    pub whois: Vec<(&'static str, Value)>,
    /// Whether `whois` is answered at all.
    pub mute: bool,
    pub asked_whois: usize,
}

/// The user of the devices of these tests, and another one.
pub const ALICE: i64 = 101;
pub const BOB: i64 = 102;

fn login(user: i64) -> &'static str {
    if user == ALICE { "alice@example.com" } else { "bob@example.com" }
}

/// A device as the status tells it.
pub fn device(id: &str, name: &str, ip: &str, user: i64) -> Value {
    json!({
        "ID": id, "PublicKey": format!("nodekey:{id}"), "HostName": name, "DNSName": format!("{name}.tail1.ts.net."),
        "OS": "linux", "UserID": user, "TailscaleIPs": [ip], "Online": true, "Active": false,
    })
}

/// An answer to `whois`.
pub fn whois(id: &str, name: &str, user: i64, tags: &[&str]) -> Value {
    let login = if tags.is_empty() { login(user) } else { "tagged-devices" };
    json!({
        "Node": { "ID": 1, "StableID": id, "Name": format!("{name}.tail1.ts.net."), "User": user, "Tags": tags },
        "UserProfile": { "ID": user, "LoginName": login, "DisplayName": login },
        "CapMap": {},
    })
}

impl Tailscale {
    /// Starts it at this socket.
    pub fn start(socket: &Path) -> Self {
        let state = Tailnet {
            running: true,
            owner: ALICE,
            addresses: vec!["100.64.0.1"],
            peers: Vec::new(),
            whois: Vec::new(),
            mute: false,
            asked_whois: 0,
        };
        let state = Arc::new(Mutex::new(state));
        let of_thread = Arc::clone(&state);
        let bus = serve(socket, move |head, _| of_thread.lock().unwrap().answer(head));
        Self { state, bus }
    }

    /// Changes what it tells and says so on its bus.
    pub fn change(&self, change: impl FnOnce(&mut Tailnet)) {
        change(&mut self.state());
        say(&self.bus, &json!({ "Version": "1.90.0", "NetMap": { "Peers": [] } }));
    }

    pub fn state(&self) -> MutexGuard<'_, Tailnet> {
        self.state.lock().unwrap()
    }

    /// Cuts the bus, as a restart does.
    pub fn cut_bus(&self) {
        self.bus.lock().unwrap().clear();
    }
}

impl Tailnet {
    fn answer(&mut self, head: &str) -> Said {
        // Tailscale refuses every other `Host`.
        if !head.to_lowercase().contains("host: local-tailscaled.sock") {
            return Said::none("403 Forbidden");
        }
        let path = path(head);
        if path.starts_with("/localapi/v0/watch-ipn-bus?mask=") {
            return Said::Stream(b"{\"Version\":\"1.90.0\",\"NetMap\":{}}\n".to_vec());
        }
        if let Some(peers) = path.strip_prefix("/localapi/v0/status?peers=") {
            return Said::json(&self.status(peers == "true"));
        }
        let Some(address) = path.strip_prefix("/localapi/v0/whois?addr=") else {
            return Said::none("404 Not Found");
        };
        self.asked_whois += 1;
        if self.mute {
            return Said::Nothing;
        }
        let found = self.whois.iter().find(|(ip, _)| address.starts_with(&format!("{ip}:")));
        found.map_or(Said::none("404 Not Found"), |(_, who)| Said::json(who))
    }

    fn status(&self, peers: bool) -> Value {
        let mut own = device("nSelf", "box", "100.64.0.1", self.owner);
        own["TailscaleIPs"] = json!(self.addresses);
        let peers: serde_json::Map<String, Value> = self
            .peers
            .iter()
            .filter(|_| peers)
            .map(|peer| (peer["PublicKey"].as_str().unwrap().to_owned(), peer.clone()))
            .collect();
        let user = |id: i64| json!({ "ID": id, "LoginName": login(id), "DisplayName": login(id) });
        json!({
            "Version": "1.90.0", "BackendState": if self.running { "Running" } else { "Stopped" },
            "Self": own, "Peer": peers, "MagicDNSSuffix": "tail1.ts.net",
            "User": { ALICE.to_string(): user(ALICE), BOB.to_string(): user(BOB) },
        })
    }
}

/// A container engine.
pub struct Engine {
    state: Arc<Mutex<Containers>>,
    events: Streams,
}

/// What it tells.
#[derive(Default)]
pub struct Containers {
    /// As `inspect` tells them, by id, with what their token's file holds.
    pub all: Vec<(Value, Option<String>)>,
    /// Commands that were run inside, with the containers' ids.
    pub run: Vec<(String, String)>,
}

/// A running container.
pub fn container(id: &str, folder: &str, ip: &str, env: &[&str]) -> Value {
    json!({
        "Id": id, "Name": format!("/c_{}", &id[..4]), "Created": "2026-11-22T10:00:00Z",
        "State": { "Status": "running", "Running": true, "StartedAt": "2026-11-22T10:00:01Z" },
        "Config": { "Env": env, "Labels": { "devcontainer.local_folder": folder }, "User": "" },
        "NetworkSettings": { "Networks": { "bridge": { "IPAddress": ip, "Gateway": "172.17.0.1" } } },
    })
}

impl Engine {
    /// Starts it at this socket.
    pub fn start(socket: &Path) -> Self {
        let state = Arc::new(Mutex::new(Containers::default()));
        let of_thread = Arc::clone(&state);
        let events = serve(socket, move |head, body| of_thread.lock().unwrap().answer(head, body));
        Self { state, events }
    }

    /// Changes what runs and says so in its events.
    pub fn change(&self, action: &str, change: impl FnOnce(&mut Containers)) {
        change(&mut self.state());
        say(&self.events, &json!({ "Type": "container", "Action": action, "Actor": { "ID": "x" } }));
    }

    pub fn state(&self) -> MutexGuard<'_, Containers> {
        self.state.lock().unwrap()
    }

    /// Cuts the events, as a restart does.
    pub fn cut_events(&self) {
        self.events.lock().unwrap().clear();
    }
}

impl Containers {
    fn answer(&mut self, head: &str, body: &[u8]) -> Said {
        let parts: Vec<&str> = path(head).split(['/', '?']).filter(|part| !part.is_empty()).collect();
        let of = |id: &str| self.all.iter().find(|(container, _)| container["Id"] == id);
        match parts[..] {
            ["events", filters] if filters.contains("container") => Said::Stream(Vec::new()),
            ["containers", "json", ..] => {
                let ids = self.all.iter().filter(|(container, _)| container["State"]["Running"] == true);
                Said::json(&ids.map(|(container, _)| json!({ "Id": container["Id"] })).collect())
            }
            ["containers", id, "json"] => of(id).map_or(Said::none("404 Not Found"), |(c, _)| Said::json(c)),
            ["containers", id, "exec"] => {
                let asked: Value = serde_json::from_slice(body).unwrap();
                let command = asked["Cmd"][2].as_str().unwrap().to_owned();
                self.run.push((id.to_owned(), command));
                Said::Body("201 Created", json!({ "Id": format!("e{id}") }).to_string().into_bytes())
            }
            ["exec", id, "start"] => {
                let token = of(&id[1..]).and_then(|(_, token)| token.clone());
                let text = token.map(|token| format!("{token}\n")).unwrap_or_default();
                let length = u32::try_from(text.len()).unwrap().to_be_bytes();
                Said::Body("200 OK", [&[1, 0, 0, 0][..], &length, text.as_bytes()].concat())
            }
            ["exec", id, "json"] => {
                let has = of(&id[1..]).is_some_and(|(_, token)| token.is_some());
                Said::json(&json!({ "ExitCode": i32::from(!has), "Running": false }))
            }
            _ => Said::none("404 Not Found"),
        }
    }
}
