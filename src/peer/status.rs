//! How the link to a peer is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::audience::node;
use super::client::{Calls, PeerClient};
use super::list::Wanted;
use crate::util::visible_line;
use crate::wire::v1::{Launcher, LinkState, PeerStatus};

/// Launchers that are kept of one peer, and the longest text in its answers, in characters.
const LAUNCHERS_MAX: usize = 64;
const TEXT_MAX: usize = 200;

/// What a peer says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Its version.
    pub version: Option<String>,
    /// Which machine it is, where that tells machines apart.
    pub node_id: Option<String>,
    /// The name that its operator gave it; only darkmux says it.
    pub machine_id: Option<String>,
    /// The launcher that is taken when none is named.
    pub default_launcher: Option<String>,
    /// What can be launched there.
    pub launchers: Vec<Launcher>,
}

impl About {
    /// What `/v1/health` answered; `None` when that is no such answer.
    pub fn read(body: &[u8]) -> Option<Self> {
        let answer: Value = serde_json::from_slice(body).ok()?;
        let data = answer.get("data").filter(|data| data.is_object())?;
        let text = |key: &str| data[key].as_str().map(bounded);
        let launchers = data["launchers"].as_array().into_iter().flatten();
        let launcher = |value: &Value| -> Option<Launcher> {
            let read: Launcher = serde_json::from_value(value.clone()).ok()?;
            (value.to_string().len() <= 4096).then_some(read)
        };
        Some(Self {
            version: text("version"),
            node_id: data["node_id"].as_str().and_then(node).map(|node| node.to_string()),
            machine_id: text("machine_id"),
            default_launcher: text("default_launcher"),
            launchers: launchers.take(LAUNCHERS_MAX).filter_map(launcher).collect(),
        })
    }
}

fn bounded(text: &str) -> String {
    visible_line(text).chars().take(TEXT_MAX).collect()
}

/// What is known of one link.
#[derive(Debug)]
pub struct Link {
    /// The peer as it was asked for.
    pub wanted: Wanted,
    /// What may be asked of it at one time.
    pub calls: Calls,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    state: LinkState,
    since: String,
    last_error: Option<String>,
    about: About,
    dropped: u64,
    client: Option<PeerClient>,
}

impl Link {
    /// A link that was not tried yet.
    pub fn new(wanted: Wanted, since: String) -> Self {
        let state = LinkState::Connecting;
        let about = About::default();
        let now = Now { state, since, last_error: None, about, dropped: 0, client: None };
        Self { wanted, calls: Calls::default(), now: Mutex::new(now) }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the peer can be asked by, when its token could be had.
    pub fn client(&self) -> Option<PeerClient> {
        self.now().client.clone()
    }

    /// What the peer is asked by from now on.
    pub fn set_client(&self, client: PeerClient) {
        self.now().client = Some(client);
    }

    /// Whether it is up.
    pub fn is_connected(&self) -> bool {
        self.now().state == LinkState::Connected
    }

    /// It is up.
    pub fn connected(&self, about: Option<About>, since: String) {
        let mut now = self.now();
        (now.state, now.since, now.last_error) = (LinkState::Connected, since, None);
        if let Some(about) = about {
            now.about = about;
        }
    }

    /// It is down; whether that is news.
    pub fn disconnected(&self, why: String, since: impl FnOnce() -> String) -> bool {
        let mut now = self.now();
        let news = now.state != LinkState::Disconnected || now.last_error.as_ref() != Some(&why);
        if now.state != LinkState::Disconnected {
            (now.state, now.since) = (LinkState::Disconnected, since());
        }
        now.last_error = Some(why);
        news
    }

    /// Something of what it sent was not taken; whether that is the first time since it connected.
    pub fn dropped(&self, count: u64, why: &str) -> bool {
        let mut now = self.now();
        now.dropped += count;
        let is_first = now.last_error.is_none();
        now.last_error.get_or_insert_with(|| format!("some of what it sends is left out: {why}"));
        is_first
    }

    /// As others are told.
    pub fn status(&self, (sessions, alive): (usize, usize)) -> PeerStatus {
        let now = self.now();
        let (wanted, about) = (&self.wanted, now.about.clone());
        PeerStatus {
            name: wanted.name.to_string(),
            url: wanted.url.clone(),
            status: now.state,
            session_count: alive,
            last_error: now.last_error.clone(),
            version: about.version,
            default_launcher: about.default_launcher,
            launchers: about.launchers,
            origin: wanted.origin.as_str().to_owned(),
            local: wanted.local,
            since: now.since.clone(),
            node_id: about.node_id,
            machine_id: about.machine_id,
            sessions,
            dropped: now.dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_peer_says_of_itself_is_bounded() {
        let launcher =
            json!({ "id": "shell", "label": "Shell", "command": null, "description": "", "available": true });
        let body = json!({ "ok": true, "data": {
            "version": "1.6.0\u{1b}[2J", "node_id": "node-local", "hostname": "vm", "launchers": [launcher.clone(), 7],
        }});
        let about = About::read(body.to_string().as_bytes()).unwrap();
        assert_eq!(about.version.unwrap(), "1.6.0\\u{1b}[2J");
        assert_eq!((about.node_id, about.launchers.len()), (None, 1));
        let many = json!({ "data": { "launchers": vec![launcher; 1000] } });
        assert_eq!(About::read(many.to_string().as_bytes()).unwrap().launchers.len(), LAUNCHERS_MAX);
        for none in ["", "[]", "{}", "{\"data\":1}"] {
            assert_eq!(About::read(none.as_bytes()), None);
        }
    }
}
