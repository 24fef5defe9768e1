//! What a peer says of sessions, checked before it is believed: each is kept under the peer's name, so that nobody
//! speaks for another; what is too large or of another shape is refused and counted.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::audience::{HOPS_MAX, node};
use super::events::Event;
use super::table::RemoteSession;
use crate::model::is_peer_name;
use crate::session::live::Notice;

/// Largest session that is kept, in bytes.
const OBJECT_MAX: usize = 64 * 1024;

/// Longest id of a session on its own machine, in bytes.
const ID_MAX: usize = 128;

/// Longest text of a notice, in characters.
const NOTICE_MAX: usize = 1000;

/// Keys that are text wherever they are; another shape would break who reads them.
const TEXTS: &[&str] = &[
    "created_at",
    "cwd",
    "error",
    "exited_at",
    "kind",
    "machine_id",
    "name",
    "needs_you",
    "reason",
    "role",
    "runner_version",
    "slug",
    "started_at",
    "state",
    "subtitle",
    "title",
    "what",
    "workspace_root",
];

/// Where what is read comes from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The peer's name.
    pub name: Arc<str>,
    /// Which machine it is; empty where that is not known.
    pub node: Arc<str>,
    /// Which machine this is.
    pub own: Arc<str>,
    /// Whether its sessions count as this machine's own.
    pub local: bool,
}

/// What an event says.
#[derive(Debug)]
pub enum Told {
    /// A session is so.
    Upsert(Box<RemoteSession>),
    /// It is no more.
    Remove(String),
    /// It has shown something.
    Activity(String),
    /// Its program wants a person to be told something.
    Notice(String, Notice),
    /// All there is was told; the ids of all that, where they were said.
    Complete(Option<HashSet<String>>),
    /// Nothing that concerns us: it is ours, has come too far, or is of a kind that is not known.
    Nothing,
}

/// Why something is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is no JSON of the agreed shape.
    Shape,
    /// An id that is none.
    Id,
    /// It is too large.
    Large,
}

impl Refused {
    /// What it is, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Shape => "of another shape",
            Self::Id => "with ids that are none",
            Self::Large => "too large",
        }
    }
}

impl Source {
    /// What an event says.
    pub fn read(&self, event: &Event) -> Result<Told, Refused> {
        let told = |word: fn(String) -> Told| {
            let data = object(&event.data)?;
            Ok(self.id(&data)?.map_or(Told::Nothing, word))
        };
        match event.name.as_str() {
            "session-upsert" => {
                let mut data = object(&event.data)?;
                let Some(id) = self.id(&data)? else { return Ok(Told::Nothing) };
                let Some(Value::Object(session)) = data.remove("session") else { return Err(Refused::Shape) };
                self.session(id, session).map(|session| session.map_or(Told::Nothing, Told::Upsert))
            }
            "session-remove" => told(Told::Remove),
            "session-activity" => told(Told::Activity),
            "session-notice" => {
                let data = object(&event.data)?;
                let text = |key: &str| -> String {
                    data.get(key)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .chars()
                        .take(NOTICE_MAX)
                        .collect()
                };
                let notice = Notice { title: text("title"), body: text("body") };
                Ok(self.id(&data)?.map_or(Told::Nothing, |id| Told::Notice(id, notice)))
            }
            "session-snapshot" => Ok(Told::Complete(self.ids(&object(&event.data)?))),
            _ => Ok(Told::Nothing),
        }
    }

    /// One of a list of sessions; `None` when it does not concern us.
    pub fn listed(&self, session: Map<String, Value>) -> Result<Option<Box<RemoteSession>>, Refused> {
        let id = self.id(&session)?;
        id.map_or(Ok(None), |id| self.session(id, session))
    }

    /// The ids of a list, as they are called here.
    fn ids(&self, data: &Map<String, Value>) -> Option<HashSet<String>> {
        let ids = data.get("ids")?.as_array()?.iter().filter_map(Value::as_str);
        Some(ids.map(|id| format!("{id}@{}", self.name)).collect())
    }

    /// As its session is called here; `None` when it has come too far.
    fn id(&self, data: &Map<String, Value>) -> Result<Option<String>, Refused> {
        let id = data.get("id").and_then(Value::as_str).ok_or(Refused::Shape)?;
        let mut parts = id.split('@');
        let own = parts.next().unwrap_or_default();
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'-');
        let is_own = (1..=ID_MAX).contains(&own.len()) && own.bytes().all(good) && !own.starts_with('.');
        // Names are short, so that ids of many of them are looked at no further than needed.
        let names: Vec<&str> = parts.take(HOPS_MAX).collect();
        if !is_own || !names.iter().all(|name| is_peer_name(name)) {
            return Err(Refused::Id);
        }
        Ok((names.len() < HOPS_MAX).then(|| format!("{id}@{}", self.name)))
    }

    fn session(
        &self,
        id: String,
        mut object: Map<String, Value>,
    ) -> Result<Option<Box<RemoteSession>>, Refused> {
        if !is_shaped(&object) {
            return Err(Refused::Shape);
        }
        let path = self.path(&id, &object);
        if path.contains(&self.own) {
            return Ok(None);
        }
        object.remove("socket_path");
        object.insert("id".to_owned(), Value::from(id.as_str()));
        object.insert("peer".to_owned(), Value::from(&*self.name));
        match path.first().filter(|node| !node.is_empty()) {
            Some(node) => object.insert("node_id".to_owned(), Value::from(&**node)),
            None => object.remove("node_id"),
        };
        object.insert("node_path".to_owned(), path.iter().map(|node| Value::from(&**node)).collect());
        // Its peer there is away; it is added when it is told, with what is away from here.
        let since = object.remove("disconnected_since");
        let away_there =
            since.and_then(|since| Some(Arc::from(since.as_str().filter(|text| is_moment(text))?)));
        let alive = object.get("alive").and_then(Value::as_bool).unwrap_or_default();
        let created_at = object.get("created_at").and_then(Value::as_str).unwrap_or_default().into();
        let object = Bytes::from(Value::Object(object).to_string());
        if object.len() > OBJECT_MAX {
            return Err(Refused::Large);
        }
        let (peer, local) = (Arc::clone(&self.name), self.local);
        Ok(Some(Box::new(RemoteSession {
            id: id.into(),
            peer,
            local,
            path,
            alive,
            created_at,
            away: None,
            away_there,
            object,
        })))
    }

    /// The machines it came through, as far as they are known, one for each name in its id.
    fn path(&self, id: &str, object: &Map<String, Value>) -> Box<[Arc<str>]> {
        let before = id.matches('@').count().saturating_sub(1);
        let said = object.get("node_path").and_then(Value::as_array).into_iter().flatten();
        let said = said.map(|node_id| node_id.as_str().and_then(node).unwrap_or_default());
        let unknown = std::iter::repeat_with(Arc::<str>::default);
        let mut path: Vec<Arc<str>> = said.chain(unknown).take(before).collect();
        if let Some(first) = path.first_mut().filter(|first| first.is_empty()) {
            *first = object.get("node_id").and_then(Value::as_str).and_then(node).unwrap_or_default();
        }
        path.push(Arc::clone(&self.node));
        path.into()
    }
}

/// Whether a session has the shape that everybody who reads it counts on.
fn is_shaped(object: &Map<String, Value>) -> bool {
    let absent_or = |key: &str, fits: fn(&Value) -> bool| object.get(key).is_none_or(fits);
    let texts = TEXTS.iter().all(|key| absent_or(key, |value| value.is_string() || value.is_null()));
    let words = |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
    texts
        && object.get("alive").is_some_and(Value::is_boolean)
        && absent_or("unread", Value::is_boolean)
        && absent_or("resumable", Value::is_boolean)
        && absent_or("command", |value| value.is_null() || value.is_array())
        && object.get("command").is_none_or(|value| value.is_null() || words(value))
        && absent_or("notice", |value| value.is_null() || value.is_object())
        && absent_or("status", |value| value.is_null() || value.is_object())
        && absent_or("remotes", |value| value.is_null() || value.is_object())
}

/// Whether it is a moment: it is written into JSON as it is.
fn is_moment(text: &str) -> bool {
    text.len() <= 40 && text.parse::<jiff::Timestamp>().is_ok()
}

fn object(data: &[u8]) -> Result<Map<String, Value>, Refused> {
    serde_json::from_slice(data).map_err(|_| Refused::Shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn source() -> Source {
        let (node, own) = ("node-of-desk".into(), "node-of-here".into());
        Source { name: "desk".into(), node, own, local: false }
    }

    fn upsert(id: &str, session: &Value) -> Event {
        let data = json!({ "id": id, "session": session, "type": "session-upsert" }).to_string().into_bytes();
        Event { name: "session-upsert".into(), id: String::new(), data }
    }

    fn read(id: &str, session: &Value) -> Result<Option<RemoteSession>, Refused> {
        source().read(&upsert(id, session)).map(|told| match told {
            Told::Upsert(session) => Some(*session),
            _ => None,
        })
    }

    #[test]
    fn a_session_is_kept_as_it_was_sent_under_its_peers_name() {
        let sent = json!({
            "id": "liar", "peer": "liar", "socket_path": "/x", "alive": true, "title": "t", "slug": "s", "new": [1],
            "status": { "label": "l", "working": true }, "created_at": "2026-01-01T00:00:00Z", "machine_id": "m",
        });
        let session = read("sess-1", &sent).unwrap().unwrap();
        assert_eq!((&*session.id, &*session.peer, session.alive), ("sess-1@desk", "desk", true));
        let kept: Value = serde_json::from_slice(&session.json()).unwrap();
        let expected = json!({
            "id": "sess-1@desk", "peer": "desk", "alive": true, "title": "t", "slug": "s", "new": [1],
            "status": { "label": "l", "working": true }, "created_at": "2026-01-01T00:00:00Z", "machine_id": "m",
            "node_id": "node-of-desk", "node_path": ["node-of-desk"],
        });
        assert_eq!(kept, expected);
        let away = RemoteSession { away: Some("2026-01-01T00:00:00Z".into()), ..session };
        let kept: Value = serde_json::from_slice(&away.json()).unwrap();
        assert_eq!(kept["disconnected_since"], "2026-01-01T00:00:00Z");
    }

    #[test]
    fn the_way_is_known_as_far_as_it_was_said() {
        let path = |id: &str, more: Value| {
            let mut sent = json!({ "alive": false });
            sent.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let session = read(id, &sent).unwrap();
            session.map(|session| session.path.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(path("x", json!({ "node_id": "node-of-else" })).unwrap(), ["node-of-desk"]);
        assert_eq!(path("x@dev", json!({})).unwrap(), ["", "node-of-desk"]);
        assert_eq!(path("x@dev", json!({ "node_id": "node-local" })).unwrap(), ["", "node-of-desk"]);
        let two = json!({ "node_path": ["node-of-pi", "node-of-dev"] });
        assert_eq!(path("x@pi@dev", two).unwrap(), ["node-of-pi", "node-of-dev", "node-of-desk"]);
        assert_eq!(path("x@a@b@c", json!({})).unwrap().len(), 4);
        assert_eq!(path("x@a@b@c@d", json!({})), None, "too far");
        assert_eq!(path("x@dev", json!({ "node_path": ["node-of-here"] })), None, "ours");
    }

    #[test]
    fn what_is_hostile_is_refused() {
        let good = json!({ "alive": true });
        for id in ["", "a/b", "a b", "a\u{1b}", "..", "a@", "a@B", "a@x/y", "a@b@\n", &"x".repeat(129), "@a"]
        {
            assert_eq!(read(id, &good).unwrap_err(), Refused::Id, "{id:?}");
        }
        for session in [
            json!({}),
            json!({ "alive": 1 }),
            json!({ "alive": true, "title": {} }),
            json!({ "alive": true, "command": [1] }),
            json!({ "alive": true, "command": "x" }),
            json!({ "alive": true, "status": [] }),
            json!({ "alive": true, "created_at": 5 }),
        ] {
            assert_eq!(read("x", &session).unwrap_err(), Refused::Shape, "{session}");
        }
        let large = json!({ "alive": true, "title": "x".repeat(OBJECT_MAX) });
        assert_eq!(read("x", &large).unwrap_err(), Refused::Large);
        let deep = format!("{{\"id\":\"x\",\"session\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
        let event = Event { name: "session-upsert".into(), id: String::new(), data: deep.into() };
        assert_eq!(source().read(&event).unwrap_err(), Refused::Shape);
        let moment = json!({ "alive": true, "disconnected_since": "\",\"id\":\"x" });
        assert_eq!(read("x", &moment).unwrap().unwrap().away_there, None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(name in "session-(upsert|remove|activity|notice)", data in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = source().read(&Event { name, id: String::new(), data });
        }
    }
}
