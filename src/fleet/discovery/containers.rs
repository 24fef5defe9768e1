//! Development containers of this machine that run a darkmux, or a gmux.
//!
//! Whether a container is one shows in the variables that it was made with: an address to listen on that others can
//! reach. Its token is read inside, by the engine, and goes to that container alone.
//!
//! Invariants: all is looked at anew at each event and after each reconnection, so a missed event costs nothing; a
//! container that is gone is off the list at the next look; one that gives no token delays no other.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::engine::{Container, Engine, EnginePlaces, Events};
use super::local_http::LocalError;
use super::{Access, Found, Kind, Origin, free_name, peer_name};
use crate::fleet::{DEFAULT_PORT, PeerAddress};
use crate::util::{Backoff, Secret, visible_line};

/// The folder on this machine that a development container was made for.
const FOLDER_LABEL: &str = "devcontainer.local_folder";

/// Tries for a token, and the time between them; after these, how long to wait for the next ones, at first and at most.
const TRIES: u32 = 3;
const BETWEEN_TRIES: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_secs(10);
const LATER_MAX: Duration = Duration::from_mins(5);

/// Events within this time count as one.
const TOGETHER: Duration = Duration::from_millis(200);

/// How long to wait before looking for an engine that was not there, or went away: first, and at most.
const RETRY: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_mins(1);

/// Longest token, in characters, and shortest.
const TOKEN: std::ops::RangeInclusive<usize> = 16..=512;

/// How darkmux and gmux show in a container's variables, where they listen, and where their tokens lie.
const KINDS: [(Kind, &str, &str, u16, &str); 2] = [
    (
        Kind::Darkmux,
        "DARKMUX_SERVE_BIND=",
        "DARKMUX_SERVE_PORT=",
        DEFAULT_PORT,
        "cat \"${DARKMUX_HOME:-$HOME/.darkmux}/auth-token\"",
    ),
    (
        Kind::Gmux,
        "GMUXD_LISTEN=",
        "GMUXD_PORT=",
        8790,
        "cat \"${XDG_STATE_HOME:-$HOME/.local/state}/gmux/auth-token\"",
    ),
];

/// What a container says of itself that makes it a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    kind: Kind,
    url: String,
    /// Which run of it.
    run: String,
    name: String,
    folder: Option<String>,
    /// The command that prints its token.
    reads: &'static str,
}

impl Candidate {
    fn of(container: &Container) -> Option<Self> {
        let env = container.config.env.as_deref().unwrap_or_default();
        let value = |key: &str| env.iter().find_map(|line| line.strip_prefix(key)).map(str::trim);
        let found = KINDS.iter().find_map(|kind| Some((kind, value(kind.1)?)));
        let (&(kind, _, port_key, port, reads), listens) = found.filter(|_| container.state.running)?;
        // One that listens for itself alone can't be reached.
        if listens.is_empty() || listens.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
            return None;
        }
        let port =
            value(port_key).and_then(|port| port.parse().ok()).filter(|port| *port > 0).unwrap_or(port);
        let networks = container.network_settings.networks.iter().flatten();
        let mut addresses = networks.filter_map(|(_, network)| network.ip.parse::<IpAddr>().ok());
        let address = addresses.find_map(|ip| {
            let address = std::net::SocketAddr::new(ip, port);
            // No container is at a loopback, link-local, multicast or metadata address.
            let good = !ip.is_loopback() && address.to_string().parse::<PeerAddress>().is_ok();
            good.then_some(address)
        })?;
        let labels = container.config.labels.as_ref();
        let folder = labels.and_then(|labels| labels.get(FOLDER_LABEL)).filter(|folder| folder.len() <= 4096);
        let base = folder.and_then(|folder| folder.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next());
        let name = base.and_then(peer_name).or_else(|| peer_name(&container.name));
        Some(Self {
            kind,
            url: format!("http://{address}"),
            run: container.state.started_at.clone(),
            name: name.or_else(|| peer_name(container.id.get(..12)?))?,
            folder: folder.cloned(),
            reads,
        })
    }
}

/// A candidate and what is known of it.
#[derive(Debug)]
struct Known {
    candidate: Candidate,
    name: String,
    token: Option<Secret>,
    /// When its token is to be read; `None` while that goes on.
    due: Option<Instant>,
    backoff: Backoff,
}

/// What became of reading a token: container, run, token.
type Read = (String, String, Result<Secret, LocalError>);

/// Watches the engine's containers.
#[derive(Debug)]
pub struct Watcher {
    places: EnginePlaces,
    known: BTreeMap<String, Known>,
    /// Containers that are no candidates; the variables of a container never change.
    others: Vec<String>,
}

impl Watcher {
    /// Looks at nothing yet.
    pub fn new(places: EnginePlaces) -> Self {
        Self { places, known: BTreeMap::new(), others: Vec::new() }
    }

    /// Watches for as long as it is polled: tells what is found, and says why the engine can't be asked.
    pub async fn watch(mut self, told: watch::Sender<Vec<Found>>, said: watch::Sender<Option<String>>) {
        let mut backoff = Backoff::new(RETRY, RETRY_MAX);
        loop {
            let Err(error) = self.follow(&told, &said).await;
            if said.borrow().is_none() {
                backoff.reset();
            }
            said.send_replace(Some(visible_line(&error.to_string()).into_owned()));
            sleep(backoff.pause()).await;
        }
    }

    async fn follow(
        &mut self,
        told: &watch::Sender<Vec<Found>>,
        said: &watch::Sender<Option<String>>,
    ) -> Result<std::convert::Infallible, LocalError> {
        let engine = self.places.find()?;
        // Before the first look, so that nothing that happens after it is missed.
        let mut events = engine.events().await?;
        let mut reading: JoinSet<Read> = JoinSet::new();
        for known in self.known.values_mut().filter(|known| known.token.is_none()) {
            known.due = Some(Instant::now());
        }
        self.look(&engine).await?;
        said.send_replace(None);
        loop {
            self.read_due(&engine, &mut reading);
            self.tell(told);
            self.wait(&engine, &mut events, &mut reading).await?;
        }
    }

    async fn wait(
        &mut self,
        engine: &Engine,
        events: &mut Events,
        reading: &mut JoinSet<Read>,
    ) -> Result<(), LocalError> {
        let next = self.known.values().filter_map(|known| known.due).min();
        tokio::select! {
            happened = events.next(TOGETHER) => {
                happened?;
                self.look(engine).await?;
            }
            Some(Ok(read)) = reading.join_next() => self.settle(read),
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
        Ok(())
    }

    /// Looks at every container that may be a candidate.
    async fn look(&mut self, engine: &Engine) -> Result<(), LocalError> {
        let running = engine.running().await?;
        self.known.retain(|id, _| running.contains(id));
        self.others.retain(|id| running.contains(id));
        for id in running {
            if self.others.contains(&id) {
                continue;
            }
            let Some(container) = engine.inspect(&id).await? else { continue };
            if let Some(candidate) = Candidate::of(&container) {
                self.take(id, candidate);
                continue;
            }
            self.known.remove(&id);
            let env = container.config.env.as_deref().unwrap_or_default();
            // One that may become a candidate has no address yet.
            if !KINDS.iter().any(|kind| env.iter().any(|line| line.starts_with(kind.1))) {
                self.others.push(id);
            }
        }
        Ok(())
    }

    fn take(&mut self, id: String, candidate: Candidate) {
        if self.known.get(&id).is_some_and(|known| known.candidate == candidate) {
            return;
        }
        // A container that was started again keeps its name and has a new token, maybe.
        let name = match self.known.remove(&id) {
            Some(known) if known.candidate.name == candidate.name => known.name,
            _ => free_name(&candidate.name, |name| self.known.values().any(|known| known.name == name)),
        };
        let due = Some(Instant::now());
        self.known
            .insert(id, Known { candidate, name, token: None, due, backoff: Backoff::new(LATER, LATER_MAX) });
    }

    fn read_due(&mut self, engine: &Engine, reading: &mut JoinSet<Read>) {
        let now = Instant::now();
        for (id, known) in &mut self.known {
            if known.due.is_some_and(|due| due <= now) {
                known.due = None;
                let (engine, id, reads) = (engine.clone(), id.clone(), known.candidate.reads);
                let run = known.candidate.run.clone();
                reading.spawn(async move {
                    let token = read_token(&engine, &id, reads).await;
                    (id, run, token)
                });
            }
        }
    }

    fn settle(&mut self, (id, run, token): Read) {
        let Some(known) = self.known.get_mut(&id).filter(|known| known.candidate.run == run) else { return };
        match token {
            Ok(token) => known.token = Some(token),
            Err(error) => {
                let (name, error) = (&known.name, visible_line(&error.to_string()).into_owned());
                tracing::info!(container = %name, %error, "its token can't be read; trying again later");
                known.due = Some(Instant::now() + known.backoff.pause());
            }
        }
    }

    fn tell(&self, told: &watch::Sender<Vec<Found>>) {
        let found = |(id, known): (&String, &Known)| {
            Some(Found {
                name: known.name.clone(),
                url: known.candidate.url.clone(),
                kind: known.candidate.kind,
                node_id: None,
                origin: Origin::Devcontainer {
                    container: id.clone(),
                    folder: known.candidate.folder.clone(),
                },
                access: Access::Token(known.token.clone()?),
                local: true,
            })
        };
        let now: Vec<Found> = self.known.iter().filter_map(found).collect();
        told.send_if_modified(|before| {
            let is_new = *before != now;
            *before = now;
            is_new
        });
    }
}

/// The token, read inside. The daemon there may be starting, so it is tried some times.
async fn read_token(engine: &Engine, id: &str, reads: &str) -> Result<Secret, LocalError> {
    let mut tries = 1;
    loop {
        let token = engine.output(id, reads).await.and_then(|output| {
            let text = std::str::from_utf8(&output).unwrap_or_default().trim();
            let is_token = TOKEN.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
            let none = || LocalError::Shape("what lies there is no token".to_owned());
            is_token.then(|| Secret::new(text)).ok_or_else(none)
        });
        if token.is_ok() || tries >= TRIES {
            return token;
        }
        tries += 1;
        sleep(BETWEEN_TRIES).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn container(changes: &[(&str, Value)]) -> Option<Candidate> {
        let mut container = json!({
            "Id": "0123456789abcdef", "Name": "/eager_hopper",
            "State": { "Running": true, "StartedAt": "2026-11-22T10:00:00Z" },
            "Config": {
                "Env": ["PATH=/bin", "DARKMUX_SERVE_BIND=0.0.0.0"],
                "Labels": { "devcontainer.local_folder": "/home/alice/My Project/" },
            },
            "NetworkSettings": { "Networks": { "a": { "IPAddress": "" }, "b": { "IPAddress": "172.17.0.3" } } },
        });
        for (pointer, value) in changes {
            *container.pointer_mut(pointer).unwrap() = value.clone();
        }
        Candidate::of(&serde_json::from_value(container).unwrap())
    }

    #[test]
    fn a_container_that_listens_for_others_is_a_candidate() {
        let one = container(&[]).unwrap();
        assert_eq!((one.name.as_str(), one.url.as_str()), ("my-project", "http://172.17.0.3:8765"));
        let env = json!(["GMUXD_LISTEN=0.0.0.0", "GMUXD_PORT=1234"]);
        let gmux = container(&[("/Config/Env", env), ("/Config/Labels", Value::Null)]).unwrap();
        assert_eq!((gmux.kind, gmux.name.as_str()), (Kind::Gmux, "eager_hopper"));
        assert_eq!(gmux.url, "http://172.17.0.3:1234");
        let unnamed = [("/Config/Labels", json!({})), ("/Name", json!("/"))];
        assert_eq!(container(&unnamed).unwrap().name, "0123456789ab");
    }

    #[test]
    fn what_can_t_be_reached_is_none() {
        let none: [(&str, Value); 6] = [
            ("/Config/Env", json!(["DARKMUX_SERVE_PORT=1"])),
            ("/Config/Env", json!(["DARKMUX_SERVE_BIND=127.0.0.1"])),
            ("/Config/Env", Value::Null),
            ("/State/Running", json!(false)),
            ("/NetworkSettings/Networks/b/IPAddress", json!("169.254.169.254")),
            ("/NetworkSettings/Networks", Value::Null),
        ];
        for change in none {
            assert_eq!(container(std::slice::from_ref(&change)), None, "{change:?}");
        }
    }

    /// What was read in an earlier run of a container is not its token now; one that gave none is asked again later.
    #[tokio::test]
    async fn a_token_counts_for_its_run_and_is_asked_for_again() {
        let places = EnginePlaces::of(&crate::config::Environment::of([("PATH", "/bin")]));
        let mut watcher = Watcher::new(places);
        let candidate = container(&[]).unwrap();
        let run = candidate.run.clone();
        watcher.take("c".into(), candidate);
        watcher.known.get_mut("c").unwrap().due = None;
        let token = || Ok(Secret::new("t".repeat(64)));
        watcher.settle(("c".into(), "an earlier one".into(), token()));
        assert!(watcher.known["c"].token.is_none() && watcher.known["c"].due.is_none());
        watcher.settle(("c".into(), run.clone(), Err(LocalError::Late)));
        let due = watcher.known["c"].due.expect("it is asked again");
        assert!(due > Instant::now() + LATER / 2 - Duration::from_secs(1));
        watcher.settle(("c".into(), run, token()));
        assert!(watcher.known["c"].token.is_some());
    }
}
