//! The sessions of the peers in memory: what each is, by which way it came, and every change as it happens.
//!
//! Invariants: a session that came by several ways is shown once, by the shortest of them; what its owner sent is
//! not changed; a removal is told; a peer's sessions are bounded in number and in bytes.
//!
//! Not here: what may come in (`intake`), and who is told (`serve`).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use super::audience::Audience;
use crate::session::live::{Change, Changes, Notice};

/// Changes handed over at a time.
const BATCH: usize = 256;

/// A session of another machine, as it is here; never changed.
#[derive(Debug, Clone)]
pub struct RemoteSession {
    /// `x@desktop`, `x@dev@server`: as it is called here.
    pub id: Arc<str>,
    /// The direct peer that it came from.
    pub peer: Arc<str>,
    /// Whether that is a local one, whose sessions count as this machine's own.
    pub local: bool,
    /// The machines it came through, the owner first, the direct peer last; empty where one is not known.
    pub path: Box<[Arc<str>]>,
    /// Whether its program runs, as its owner said.
    pub alive: bool,
    /// When it was asked for, as its owner said.
    pub created_at: Box<str>,
    /// Since when its peer is away from here.
    pub away: Option<Arc<str>>,
    /// Since when its owner is away from that peer, as the peer said last.
    pub away_there: Option<Arc<str>>,
    /// Its JSON on one line, as its owner sent it, with our keys.
    pub object: Bytes,
}

impl RemoteSession {
    /// Its JSON on one line, as it is now.
    pub fn json(&self) -> Bytes {
        match self.disconnected_since() {
            Some(since) => {
                let mut json = self.object.to_vec();
                json.pop();
                json.extend_from_slice(format!(",\"disconnected_since\":\"{since}\"}}").as_bytes());
                json.into()
            }
            None => self.object.clone(),
        }
    }

    /// Since when nothing new is heard of it. Where it is away twice, the peer said so before it was away itself.
    fn disconnected_since(&self) -> Option<&Arc<str>> {
        self.away_there.as_ref().or(self.away.as_ref())
    }

    /// How many machines it came through.
    pub fn hops(&self) -> usize {
        self.path.len()
    }

    /// Its id on the machine that owns it.
    fn original(&self) -> &str {
        self.id.split('@').next().unwrap_or_default()
    }

    /// Whose it is, where that is known.
    fn owner(&self) -> Option<Owner> {
        let node = self.path.first().filter(|node| !node.is_empty())?;
        Some((Arc::clone(node), self.original().into()))
    }

    /// Whether it is the same in all that is told.
    fn is_like(&self, other: &Self) -> bool {
        self.object == other.object
            && self.disconnected_since() == other.disconnected_since()
            && self.local == other.local
    }
}

/// How much of one peer is held.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// Sessions.
    pub sessions: usize,
    /// Bytes of all of them together.
    pub bytes: usize,
}

/// Why a session is not held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Its peer has as many as are held of one.
    Sessions,
    /// Its peer's are as large together as is held of one.
    Bytes,
}

/// What is held of one peer.
#[derive(Debug, Default)]
struct Holding {
    ids: HashSet<Arc<str>>,
    bytes: usize,
}

/// A machine and the id of a session there.
type Owner = (Arc<str>, Box<str>);

/// What a change is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A session, and whether it is one of a local peer.
    Session(Arc<str>, bool),
    /// A peer, whose status is another one.
    Peer(Arc<str>),
    /// What was found beside the peers.
    Found,
}

/// Something that a listener is told.
#[derive(Debug, Clone)]
pub enum RemoteEvent {
    /// The session is new, or is otherwise than before.
    Upsert(Arc<RemoteSession>),
    /// The session is no more.
    Remove(Arc<str>),
    /// The session has shown something.
    Activity(Arc<str>),
    /// The session's program wants a person to be told something.
    Notice(Arc<str>, Arc<Notice>),
    /// A peer's status is another one.
    Status(Arc<str>),
    /// The machines that were found are others, or are otherwise.
    Found,
}

/// What comes at a time.
#[derive(Debug)]
pub enum RemoteNews {
    /// All there is, as of this change.
    All(u64, Vec<Arc<RemoteSession>>),
    /// Changes with their numbers, oldest first; and the number up to which there is nothing more for this listener.
    Changes(u64, Vec<(u64, RemoteEvent)>),
}

/// The sessions of the peers. Clones share them.
#[derive(Debug, Clone)]
pub struct RemoteTable(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// All of them, those too that another way hides.
    sessions: HashMap<Arc<str>, Arc<RemoteSession>>,
    by_peer: HashMap<Arc<str>, Holding>,
    by_owner: HashMap<Owner, Vec<Arc<str>>>,
    changes: Changes<Subject>,
}

impl State {
    /// The way that is shown, of all by which a session came. A way that is away is still the one to its owner: who
    /// is not the owner must not be able to take its place.
    fn shown(&self, owner: &Owner) -> Option<Arc<RemoteSession>> {
        let ways = self.by_owner.get(owner)?.iter().filter_map(|id| self.sessions.get(id));
        let best = ways.min_by(|a, b| {
            let key = |way: &RemoteSession| (way.hops(), way.disconnected_since().is_some());
            key(a).cmp(&key(b)).then_with(|| a.id.cmp(&b.id))
        });
        best.cloned()
    }

    fn is_shown(&self, session: &RemoteSession) -> bool {
        session.owner().is_none_or(|owner| self.shown(&owner).is_some_and(|shown| shown.id == session.id))
    }

    /// Does something to the ways of one session, and tells what is otherwise to see then.
    fn with(&mut self, owner: Option<&Owner>, id: &Arc<str>, change: impl FnOnce(&mut Self)) {
        let see = |state: &Self| match owner {
            Some(owner) => state.shown(owner),
            None => state.sessions.get(id).cloned(),
        };
        let before = see(self);
        change(self);
        let after = see(self);
        if let Some(before) = &before
            && after.as_ref().is_none_or(|after| (&after.id, after.local) != (&before.id, before.local))
        {
            self.changes.remove(&Subject::Session(Arc::clone(&before.id), before.local));
        }
        if let Some(after) = &after
            && before.as_ref().is_none_or(|before| before.id != after.id || !before.is_like(after))
        {
            self.changes.upsert(&Subject::Session(Arc::clone(&after.id), after.local));
        }
    }

    fn take(&mut self, id: &Arc<str>) {
        let Some(session) = self.sessions.get(id) else { return };
        let (owner, peer, bytes) = (session.owner(), Arc::clone(&session.peer), session.object.len());
        self.with(owner.as_ref(), id, |state| {
            state.sessions.remove(id);
            if let Some(held) = state.by_peer.get_mut(&peer) {
                held.ids.remove(id);
                held.bytes -= bytes;
                if held.ids.is_empty() {
                    state.by_peer.remove(&peer);
                }
            }
            if let Some(owner) = &owner
                && let Some(ways) = state.by_owner.get_mut(owner)
            {
                ways.retain(|way| way != id);
                if ways.is_empty() {
                    state.by_owner.remove(owner);
                }
            }
        });
    }

    fn put(&mut self, session: RemoteSession) {
        let (owner, id) = (session.owner(), Arc::clone(&session.id));
        // Who may see it follows from the way: told as a removal, and anew.
        if self.sessions.get(&id).is_some_and(|before| before.path != session.path) {
            self.take(&id);
        }
        self.with(owner.as_ref(), &id, |state| {
            let before = state.sessions.get(&session.id).map_or(0, |before| before.object.len());
            let held = state.by_peer.entry(Arc::clone(&session.peer)).or_default();
            held.ids.insert(Arc::clone(&session.id));
            held.bytes = held.bytes - before + session.object.len();
            if let Some(owner) = owner.clone() {
                let ways = state.by_owner.entry(owner).or_default();
                if !ways.contains(&session.id) {
                    ways.push(Arc::clone(&session.id));
                }
            }
            state.sessions.insert(Arc::clone(&session.id), Arc::new(session));
        });
    }

    fn of_peer(&self, peer: &str) -> Vec<Arc<str>> {
        self.by_peer.get(peer).into_iter().flat_map(|held| &held.ids).cloned().collect()
    }

    /// Whether there is room for this session.
    fn room(&self, session: &RemoteSession, most: Most) -> Result<(), Full> {
        let before = self.sessions.get(&session.id).map(|before| before.object.len());
        let (count, bytes) =
            self.by_peer.get(&session.peer).map_or((0, 0), |held| (held.ids.len(), held.bytes));
        if before.is_none() && count >= most.sessions {
            return Err(Full::Sessions);
        }
        let after = bytes - before.unwrap_or(0) + session.object.len();
        if after > most.bytes { Err(Full::Bytes) } else { Ok(()) }
    }
}

impl Default for RemoteTable {
    fn default() -> Self {
        Self(Arc::new(Inner { state: Mutex::default(), newest: watch::Sender::new(0) }))
    }
}

impl RemoteTable {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something, and tells the listeners.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let done = change(&mut state);
        let newest = state.changes.newest();
        // Told while the lock is held, so that numbers only grow.
        self.0.newest.send_if_modified(|told| std::mem::replace(told, newest) != newest);
        done
    }

    /// A session is new or otherwise. Refused when `most` of its peer is held already; it is not shown as it was before
    /// then.
    pub fn upsert(&self, session: RemoteSession, most: Most) -> Result<(), Full> {
        self.change(|state| {
            let room = state.room(&session, most);
            match room {
                Ok(()) => state.put(session),
                Err(_) => state.take(&session.id),
            }
            room
        })
    }

    /// A session is no more.
    pub fn remove(&self, id: &str) {
        self.change(|state| state.take(&Arc::from(id)));
    }

    /// Of a peer's sessions only these are left.
    pub fn retain(&self, peer: &str, keep: impl Fn(&str) -> bool) {
        self.change(|state| {
            for id in state.of_peer(peer).iter().filter(|id| !keep(id)) {
                state.take(id);
            }
        });
    }

    /// A peer is away since then, or is back.
    pub fn mark(&self, peer: &str, away: Option<&Arc<str>>) {
        self.change(|state| {
            for id in state.of_peer(peer) {
                if let Some(session) = state.sessions.get(&id) {
                    state.put(RemoteSession { away: away.cloned(), ..(**session).clone() });
                }
            }
        });
    }

    /// A peer's status is another one.
    pub fn status(&self, peer: &Arc<str>) {
        self.change(|state| state.changes.upsert(&Subject::Peer(Arc::clone(peer))));
    }

    /// What was found beside the peers is otherwise.
    pub fn found(&self) {
        self.change(|state| state.changes.upsert(&Subject::Found));
    }

    /// A peer is none any more.
    pub fn forget(&self, peer: &Arc<str>) {
        self.retain(peer, |_| false);
        self.change(|state| state.changes.remove(&Subject::Peer(Arc::clone(peer))));
    }

    /// A session has shown something.
    pub fn activity(&self, id: &str) {
        self.change(|state| {
            if let Some(subject) = state.subject(id) {
                state.changes.activity(&subject);
            }
        });
    }

    /// A session's program wants a person to be told something.
    pub fn notice(&self, id: &str, notice: Notice) {
        self.change(|state| {
            if let Some(subject) = state.subject(id) {
                state.changes.notice(&subject, notice);
            }
        });
    }

    /// A session that is shown, by its id.
    pub fn get(&self, id: &str) -> Option<Arc<RemoteSession>> {
        let state = self.state();
        state.sessions.get(id).filter(|session| state.is_shown(session)).cloned()
    }

    /// Every session that is shown to these, in no order.
    pub fn list(&self, audience: &Audience) -> Vec<Arc<RemoteSession>> {
        let state = self.state();
        let all = state.sessions.values().filter(|session| audience.admits(session));
        all.filter(|session| state.is_shown(session)).cloned().collect()
    }

    /// The sessions of one peer: how many there are, and how many of them run.
    pub fn count(&self, peer: &str) -> (usize, usize) {
        let state = self.state();
        let alive = |id: &&Arc<str>| state.sessions.get(*id).is_some_and(|session| session.alive);
        let held = state.by_peer.get(peer).map(|held| &held.ids);
        held.map_or((0, 0), |ids| (ids.len(), ids.iter().filter(alive).count()))
    }

    /// Whether all is still known that changed after `number`.
    pub fn reaches(&self, number: u64) -> bool {
        self.state().changes.reaches(number)
    }

    /// All that is there for these, then what changes; or what has changed since the change `after`.
    pub fn subscribe(&self, after: Option<u64>, audience: Audience) -> RemoteSubscription {
        RemoteSubscription { table: self.clone(), at: after, newest: self.0.newest.subscribe(), audience }
    }
}

impl State {
    /// What changes of a session are about, when it is shown.
    fn subject(&self, id: &str) -> Option<Subject> {
        let session = self.sessions.get(id).filter(|session| self.is_shown(session))?;
        Some(Subject::Session(Arc::clone(&session.id), session.local))
    }
}

/// A listener. It is never overrun: a session that changes often is told as it is when the listener has time.
#[derive(Debug)]
pub struct RemoteSubscription {
    table: RemoteTable,
    /// It has seen all up to this change; `None`: nothing yet.
    at: Option<u64>,
    newest: watch::Receiver<u64>,
    audience: Audience,
}

impl RemoteSubscription {
    /// All of it again.
    pub fn restart(&mut self) {
        self.at = None;
    }

    /// What there is to tell, waiting for it. Can be dropped while it waits.
    pub async fn next(&mut self) -> RemoteNews {
        loop {
            self.newest.borrow_and_update();
            if let Some(news) = self.look() {
                return news;
            }
            if self.newest.changed().await.is_err() {
                // This listener holds the table, which holds the sender.
                std::future::pending::<()>().await;
            }
        }
    }

    fn look(&mut self) -> Option<RemoteNews> {
        let state = self.table.state();
        let Some(at) = self.at.filter(|at| state.changes.reaches(*at)) else {
            let newest = state.changes.newest();
            let all = state.sessions.values().filter(|session| self.audience.admits(session));
            let all = all.filter(|session| state.is_shown(session)).cloned().collect();
            self.at = Some(newest);
            return Some(RemoteNews::All(newest, all));
        };
        let changes = state.changes.after(at, BATCH);
        let last = changes.last()?.0;
        let told = changes
            .into_iter()
            .filter_map(|(number, change)| self.event(&state, change).map(|event| (number, event)));
        let told = told.collect();
        self.at = Some(last);
        Some(RemoteNews::Changes(last, told))
    }

    /// What this listener is told of a change.
    fn event(&self, state: &State, change: Change<Subject>) -> Option<RemoteEvent> {
        let admitted =
            |id: &Arc<str>| state.sessions.get(id).filter(|session| self.audience.admits(session)).cloned();
        Some(match change {
            Change::Upsert(Subject::Peer(name))
            | Change::Remove(Subject::Peer(name))
            | Change::Activity(Subject::Peer(name))
            | Change::Notice(Subject::Peer(name), _) => {
                RemoteEvent::Status(Some(name).filter(|_| !matches!(self.audience, Audience::Hub(_)))?)
            }
            Change::Upsert(Subject::Found)
            | Change::Remove(Subject::Found)
            | Change::Activity(Subject::Found)
            | Change::Notice(Subject::Found, _) => {
                Some(RemoteEvent::Found).filter(|_| !matches!(self.audience, Audience::Hub(_)))?
            }
            Change::Upsert(Subject::Session(id, _)) => RemoteEvent::Upsert(admitted(&id)?),
            Change::Remove(Subject::Session(id, local)) => {
                RemoteEvent::Remove(Some(id).filter(|_| self.audience.hears_of(local))?)
            }
            Change::Activity(Subject::Session(id, _)) => RemoteEvent::Activity(admitted(&id)?.id.clone()),
            Change::Notice(Subject::Session(id, _), notice) => {
                RemoteEvent::Notice(admitted(&id)?.id.clone(), notice)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn session(id: &str, path: &[&str]) -> RemoteSession {
        let peer = id.rsplit('@').next().unwrap();
        RemoteSession {
            id: id.into(),
            peer: peer.into(),
            local: peer == "near",
            path: path.iter().map(|node| (*node).into()).collect(),
            alive: true,
            created_at: "".into(),
            away: None,
            away_there: None,
            object: format!("{{\"id\":\"{id}\"}}").into(),
        }
    }

    const MOST: Most = Most { sessions: 9, bytes: 1000 };

    fn shown(table: &RemoteTable) -> Vec<String> {
        let mut all: Vec<String> =
            table.list(&Audience::All).iter().map(|session| session.id.to_string()).collect();
        all.sort();
        all
    }

    #[test]
    fn the_shortest_way_is_shown_and_the_next_one_when_it_is_gone() {
        let table = RemoteTable::default();
        for (id, path) in
            [("x@d@b", &["D", "B"][..]), ("x@d", &["D"]), ("x@d@a", &["D", "A"]), ("x@u", &[""])]
        {
            assert_eq!(table.upsert(session(id, path), MOST), Ok(()));
        }
        assert_eq!(shown(&table), ["x@d", "x@u"]);
        // The way to its owner stays, also while that is away.
        table.mark("d", Some(&"2026-01-01T00:00:00Z".into()));
        assert_eq!(shown(&table), ["x@d", "x@u"]);
        table.forget(&"d".into());
        assert_eq!(shown(&table), ["x@d@a", "x@u"]);
        // Of two ways of one length the one that is up.
        table.mark("a", Some(&"2026-01-01T00:00:00Z".into()));
        assert_eq!(shown(&table), ["x@d@b", "x@u"]);
        table.remove("x@d@b");
        assert_eq!(shown(&table), ["x@d@a", "x@u"]);
        assert!(table.get("x@d@b").is_none() && table.get("x@d@a").is_some());
        let one = Most { sessions: 1, ..MOST };
        assert_eq!(table.upsert(session("y@u", &[""]), one), Err(Full::Sessions), "there is room for one");
        assert_eq!(table.upsert(session("x@u", &[""]), one), Ok(()), "which is this one");
        assert_eq!((table.count("u"), table.count("d")), ((1, 1), (0, 0)));
    }

    #[test]
    fn hubs_get_what_did_not_come_through_them_and_others_what_is_near() {
        let table = RemoteTable::default();
        for (id, path) in [("x@near", &["N"][..]), ("x@far", &["F"]), ("x@o@far", &["O", "F"])] {
            table.upsert(session(id, path), MOST).unwrap();
        }
        table.upsert(session("x@a@b@c@far", &["A", "B", "C", "F"]), MOST).unwrap();
        let of = |audience: &Audience| table.list(audience).len();
        assert_eq!((of(&Audience::All), of(&Audience::Near)), (4, 1));
        assert_eq!(of(&Audience::Hub(vec!["F".into()])), 1);
        assert_eq!(of(&Audience::Hub(vec!["O".into()])), 2);
        assert_eq!(of(&Audience::Hub(vec!["Z".into()])), 3, "not beyond the fourth machine");
    }

    #[test]
    fn a_peer_that_was_away_says_still_who_is_away_from_it() {
        let table = RemoteTable::default();
        let far = RemoteSession {
            away_there: Some("2026-01-01T00:00:00Z".into()),
            ..session("x@o@far", &["O", "F"])
        };
        table.upsert(far, MOST).unwrap();
        table.upsert(session("y@far", &["F"]), MOST).unwrap();
        let since = |id: &str| {
            let object: serde_json::Value = serde_json::from_slice(&table.get(id).unwrap().json()).unwrap();
            object["disconnected_since"].as_str().map(str::to_owned)
        };
        let (before, after) =
            (Some("2026-01-01T00:00:00Z".to_owned()), Some("2026-01-02T00:00:00Z".to_owned()));
        assert_eq!((since("x@o@far"), since("y@far")), (before.clone(), None));
        table.mark("far", Some(&"2026-01-02T00:00:00Z".into()));
        assert_eq!((since("x@o@far"), since("y@far")), (before.clone(), after));
        table.mark("far", None);
        assert_eq!((since("x@o@far"), since("y@far")), (before, None), "its owner is not back with its peer");
    }

    #[test]
    fn a_peers_sessions_are_bounded_in_bytes() {
        let table = RemoteTable::default();
        let sized = |id: &str, bytes: usize| {
            let object = format!("{{\"title\":\"{}\"}}", "x".repeat(bytes - 12)).into();
            RemoteSession { object, ..session(id, &["D"]) }
        };
        assert_eq!(table.upsert(sized("x@d", 500), MOST), Ok(()));
        assert_eq!(table.upsert(sized("y@d", 501), MOST), Err(Full::Bytes));
        assert_eq!(table.upsert(sized("x@e", 1000), MOST), Ok(()), "another peer's");
        assert_eq!(table.upsert(sized("y@d", 500), MOST), Ok(()));
        assert_eq!(table.upsert(sized("y@d", 400), MOST), Ok(()), "it was counted before");
        assert_eq!(table.upsert(sized("x@d", 600), MOST), Ok(()));
        // What is too large now is not shown as it was.
        assert_eq!(table.upsert(sized("y@d", 401), MOST), Err(Full::Bytes));
        assert!(table.get("y@d").is_none());
        table.mark("d", Some(&"2026-01-01T00:00:00Z".into()));
        table.mark("d", None);
        assert_eq!(table.upsert(sized("z@d", 400), MOST), Ok(()), "a mark adds nothing");
        table.retain("d", |_| false);
        assert_eq!(table.upsert(sized("z@d", 1000), MOST), Ok(()));
    }

    /// Takes what a listener is told; `known` is what it knows.
    fn hear(news: RemoteNews, known: &mut BTreeMap<String, Bytes>) {
        match news {
            RemoteNews::All(_, all) => {
                known.clear();
                known.extend(all.iter().map(|session| (session.id.to_string(), session.json())));
            }
            RemoteNews::Changes(_, changes) => {
                for (_, event) in changes {
                    match event {
                        RemoteEvent::Upsert(session) => {
                            known.insert(session.id.to_string(), session.json());
                        }
                        RemoteEvent::Remove(id) => drop(known.remove(&*id)),
                        _ => {}
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn whoever_listens_knows_what_is_shown(
            steps in prop::collection::vec((0u8..6, 0usize..9, 0u8..3), 1..60),
        ) {
            // The last is one of the others that comes by another way.
            let ways: [(&str, &[&str]); 9] = [
                ("x@d", &["D"]), ("x@d@b", &["D", "B"]), ("x@d@near", &["D", "N"]), ("y@d", &["D"]),
                ("y@b", &["B"]), ("x@near", &["N"]), ("x@b", &["D"]), ("z@near", &[""]), ("x@b", &["B"]),
            ];
            let table = RemoteTable::default();
            let audiences = [Audience::All, Audience::Near, Audience::Hub(vec!["B".into()])];
            let mut listeners: Vec<_> = audiences
                .map(|audience| (table.subscribe(None, audience.clone()), audience, BTreeMap::new()))
                .into();
            for (what, way, look) in steps {
                let (id, path) = ways[way];
                let peer = id.rsplit('@').next().unwrap();
                match what {
                    0 | 1 => table.upsert(session(id, path), MOST).unwrap(),
                    2 => table.remove(id),
                    3 => table.mark(peer, Some(&"2026-01-01T00:00:00Z".into())),
                    4 => table.mark(peer, None),
                    _ => table.retain(peer, |id| id.starts_with('y')),
                }
                // Some listen less often than others.
                for (subscription, _, known) in listeners.iter_mut().skip(usize::from(look)) {
                    while let Some(news) = subscription.look() {
                        hear(news, known);
                    }
                }
            }
            for (subscription, audience, known) in &mut listeners {
                while let Some(news) = subscription.look() {
                    hear(news, known);
                }
                let truth: BTreeMap<String, Bytes> =
                    table.list(audience).iter().map(|session| (session.id.to_string(), session.json())).collect();
                prop_assert_eq!(&*known, &truth);
            }
        }
    }
}
