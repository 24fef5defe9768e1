//! A daemon of gmux 1.6 in the test's own process, as its wire was observed: for hubs of darkmux over it, and for it as
//! a hub over darkmux.
//!
//! What it does not do well, it does not do well here either: its stream begins with sessions in any order and no end
//! of them, changes between that and the subscription are lost, so is what does not fit into 64 places; as a hub it
//! drops queries, gives up after ten seconds, ends at lines over 256 KiB, and forgets nothing that it was not told of.

mod http;
mod link;
mod merge;
mod routes;
mod terminal;

use std::collections::{BTreeMap, HashMap};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};

use self::link::Peer;
use self::terminal::Terminal;
use super::wait_for;

/// Events that wait for one listener; more are lost, and nobody is told.
const QUEUE: usize = 64;

/// Between two comments on a stream. The real one takes 30 s.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// A session: as it is told, and its terminal.
struct Held {
    object: Value,
    terminal: Terminal,
}

#[derive(Default)]
struct State {
    sessions: HashMap<String, Held>,
    listeners: Vec<SyncSender<String>>,
    peers: BTreeMap<String, Peer>,
    connections: Vec<TcpStream>,
    asked: Vec<String>,
}

/// What its threads share.
struct Shared {
    hostname: String,
    token: String,
    state: Mutex<State>,
    /// Listeners take nothing.
    held: AtomicBool,
    over: AtomicBool,
    next: AtomicU64,
}

/// The daemon; it ends when it is dropped.
pub struct Gmuxd {
    pub port: u16,
    shared: Arc<Shared>,
}

impl Gmuxd {
    /// Starts one on a machine of this name.
    pub fn start(hostname: &str) -> Self {
        let shared = Shared {
            hostname: hostname.to_owned(),
            token: "f0".repeat(32),
            state: Mutex::default(),
            held: AtomicBool::new(false),
            over: AtomicBool::new(false),
            next: AtomicU64::new(1),
        };
        let mut daemon = Self { port: 0, shared: Arc::new(shared) };
        daemon.listen();
        daemon
    }

    /// Ends every connection and listens no more; its sessions stay.
    pub fn stop(&self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // Wakes the listener up.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let mut state = self.shared.state();
        state.listeners.clear();
        for connection in state.connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
        drop(state);
        wait_for("the port to be free", || TcpListener::bind(("127.0.0.1", self.port)).ok());
    }

    /// Listens again, at the same port; its peers have to be named anew.
    pub fn again(&mut self) {
        self.shared.over.store(false, Ordering::SeqCst);
        self.listen();
    }

    fn listen(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).expect("its port");
        self.port = listener.local_addr().expect("an address").port();
        let shared = Arc::clone(&self.shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.over.load(Ordering::SeqCst) {
                    return;
                }
                let mut state = shared.state();
                state.connections.push(stream.try_clone().expect("a second handle"));
                drop(state);
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || routes::serve(&shared, &stream));
            }
        });
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn token(&self) -> &str {
        &self.shared.token
    }

    /// Starts a session of this kind whose program repeats what is typed; returns its id.
    pub fn run(&self, kind: &str, command: &[&str]) -> String {
        self.shared.run(kind, &command.iter().map(|word| json!(word)).collect::<Vec<_>>())
    }

    /// A session's program shows this.
    pub fn prints(&self, id: &str, bytes: &[u8]) {
        self.shared.state().sessions.get_mut(id).expect("a session").terminal.print(bytes);
    }

    /// A session's program ends.
    pub fn exits(&self, id: &str, code: i64) {
        self.shared.end(id, code);
    }

    /// A session is dismissed.
    pub fn forgets(&self, id: &str) {
        assert!(self.shared.forget(&mut self.shared.state(), id), "{id} is there");
    }

    /// Changes a session and tells of it.
    pub fn change(&self, id: &str, change: impl FnOnce(&mut Value)) {
        let mut state = self.shared.state();
        change(&mut state.sessions.get_mut(id).expect("a session").object);
        self.shared.tell(&mut state, id);
    }

    /// Whether what there is to tell is held back, as by a reader that is slow.
    pub fn hold(&self, held: bool) {
        self.shared.held.store(held, Ordering::SeqCst);
    }

    /// A session as it is told; `Null` for none.
    pub fn session(&self, id: &str) -> Value {
        self.shared.state().sessions.get(id).map(|held| held.object.clone()).unwrap_or_default()
    }

    /// All ids, sorted.
    pub fn ids(&self) -> Vec<String> {
        let mut ids: Vec<_> = self.shared.state().sessions.keys().cloned().collect();
        ids.sort();
        ids
    }

    /// Waits until it knows exactly these sessions.
    pub fn shows(&self, ids: &[&str]) {
        let mut wanted: Vec<_> = ids.iter().map(|id| (*id).to_owned()).collect();
        wanted.sort();
        wait_for(&format!("{wanted:?} in gmux"), || (self.ids() == wanted).then_some(()));
    }

    /// Request lines that came.
    pub fn asked(&self) -> Vec<String> {
        self.shared.state().asked.clone()
    }

    /// The events on its streams have this many listeners.
    pub fn listeners(&self) -> usize {
        self.shared.state().listeners.len()
    }

    /// Connects to a peer.
    pub fn add_peer(&self, name: &str, url: &str, token: &str, local: bool) {
        let peer = Peer::new(url, token, local);
        self.shared.state().peers.insert(name.to_owned(), peer);
        let (shared, name) = (Arc::clone(&self.shared), name.to_owned());
        std::thread::spawn(move || link::keep(&shared, &name));
    }

    /// What its health says of a peer.
    pub fn peer(&self, name: &str) -> Value {
        self.shared.state().peers.get(name).map(|peer| peer.told(name)).unwrap_or_default()
    }

    /// Waits until the link to a peer is so.
    pub fn peer_is(&self, name: &str, status: &str) -> Value {
        wait_for(&format!("{name} to be {status} in gmux"), || {
            let peer = self.peer(name);
            (peer["status"] == status).then_some(peer)
        })
    }
}

impl Drop for Gmuxd {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn run(&self, kind: &str, command: &[Value]) -> String {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let id = format!("sess-{number:08x}");
        let program = command.first().and_then(Value::as_str).unwrap_or("sh").to_owned();
        let object = json!({
            "id": id, "created_at": "2026-01-01T00:00:00Z", "started_at": "2026-01-01T00:00:00Z", "command": command,
            "cwd": "~/work", "kind": kind, "alive": true, "pid": 1000 + number, "title": program, "status": null,
            "unread": false, "slug": format!("work-{number}"), "socket_path": format!("/tmp/gmux-sessions/{id}.sock"),
            "terminal_cols": 80, "terminal_rows": 25, "runner_version": "1.6.0", "binary_hash": "c28e",
        });
        let mut state = self.state();
        state.sessions.insert(id.clone(), Held { object, terminal: Terminal::default() });
        self.tell(&mut state, &id);
        id
    }

    fn end(&self, id: &str, code: i64) {
        let mut state = self.state();
        let Some(held) = state.sessions.get_mut(id) else { return };
        held.terminal.end();
        let status = if code == 0 {
            Value::Null
        } else {
            json!({ "label": format!("exited ({code})"), "working": false })
        };
        for (key, value) in [
            ("alive", false.into()),
            ("resumable", true.into()),
            ("exit_code", code.into()),
            ("exited_at", "2026-01-01T00:00:01Z".into()),
            ("status", status),
        ] {
            held.object[key] = value;
        }
        self.tell(&mut state, id);
    }

    /// Tells of a session as it is now.
    fn tell(&self, state: &mut State, id: &str) {
        if let Some(held) = state.sessions.get(id) {
            let event = json!({ "type": "session-upsert", "id": id, "session": held.object });
            self.emit(state, "session-upsert", id, &event);
        }
    }

    /// Forgets a session and says so.
    fn forget(&self, state: &mut State, id: &str) -> bool {
        let Some(mut held) = state.sessions.remove(id) else { return false };
        held.terminal.end();
        self.emit(state, "session-remove", id, &json!({ "type": "session-remove", "id": id }));
        true
    }

    /// Hands an event to every listener that has a place for it. Sessions of peers on the network are told nobody.
    #[allow(clippy::unused_self)]
    fn emit(&self, state: &mut State, name: &str, id: &str, data: &Value) {
        if name.starts_with("session") && !state.is_owned(id) {
            return;
        }
        let frame = frame(name, data);
        state.listeners.retain(|listener| {
            !matches!(listener.try_send(frame.clone()), Err(TrySendError::Disconnected(_)))
        });
    }

    /// What a new listener is told, and then what it listens to: what happens between the two is lost.
    fn listen(&self) -> (Vec<String>, impl FnOnce() -> std::sync::mpsc::Receiver<String>) {
        let state = self.state();
        let owned = state.sessions.iter().filter(|(id, _)| state.is_owned(id));
        let burst = owned.map(|(id, held)| {
            frame("session-upsert", &json!({ "type": "session-upsert", "id": id, "session": held.object }))
        });
        let burst = burst.collect();
        let subscribe = move || {
            let (sender, receiver) = sync_channel(QUEUE);
            self.state().listeners.push(sender);
            receiver
        };
        (burst, subscribe)
    }
}

impl State {
    /// Whether a session is of this machine or of a local peer, by its name alone.
    fn is_owned(&self, id: &str) -> bool {
        id.rsplit_once('@').is_none_or(|(_, peer)| self.peers.get(peer).is_some_and(|peer| peer.local))
    }
}

fn frame(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}
