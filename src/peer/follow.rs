//! Following the events of one peer while its link is up.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, OptionFuture};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::events::{Event, EventReader};
use super::intake::{Source, Told};
use super::link::{Ended, IDLE, Nudge};
use super::pace::Pace;
use super::status::Link;
use super::table::{Full, Most, RemoteTable};
use super::{Limit, PeerAnswer, PeerClient, PeerError, PeerRequest, PeerStream};

/// Most that is held of one peer: 4 KiB a session where there are as many as may be.
const MOST: Most = Most { sessions: 4096, bytes: 16 * 1024 * 1024 };

/// A daemon of gmux loses events and never says what is gone: its list is read after a moment, and again and again.
const LIST_SOON: Duration = Duration::from_millis(500);
const LIST_AGAIN: Duration = Duration::from_mins(1);
const LIST: Limit = Limit { deadline: Duration::from_secs(10), max_bytes: 32 * 1024 * 1024 };

type Listing = BoxFuture<'static, Result<PeerAnswer, PeerError>>;

/// One connection's time.
pub(super) struct Follow<'a> {
    link: &'a Link,
    table: &'a RemoteTable,
    source: Source,
    client: PeerClient,
    pace: Pace,
    /// What was told since the beginning of a part that ends with a snapshot, or since a list was asked for.
    told: HashSet<String>,
}

impl<'a> Follow<'a> {
    pub(super) fn new(link: &'a Link, table: &'a RemoteTable, source: Source, client: PeerClient) -> Self {
        let pace = Pace::new(Instant::now());
        Self { link, table, source, client, pace, told: HashSet::new() }
    }

    /// Reads until the stream ends; `last` is the event up to which all was taken.
    pub(super) async fn run(
        mut self,
        mut stream: PeerStream,
        is_ours: bool,
        last: &mut Option<String>,
        nudge: &mut watch::Receiver<Nudge>,
    ) -> Ended {
        let mut reader = EventReader::default();
        let anew = nudge.borrow_and_update().anew;
        let mut listing: OptionFuture<Listing> = None.into();
        let mut list_at = (!is_ours).then(|| Instant::now() + LIST_SOON);
        let mut data_by = Instant::now() + IDLE;
        loop {
            let list_due: OptionFuture<_> = list_at.map(sleep_until).into();
            let idle = data_by.saturating_duration_since(Instant::now());
            tokio::select! {
                chunk = stream.next(idle) => match chunk {
                    Ok(Some(bytes)) => {
                        for event in reader.push(&bytes) {
                            self.take(event, last);
                        }
                        self.dropped(reader.take_dropped(), "too large");
                        // Slower than it sends: the rest waits on its side.
                        self.pace.keep(bytes.len()).await;
                        data_by = Instant::now() + IDLE;
                    }
                    Ok(None) => return PeerError::Lost.into(),
                    Err(error) => return error.into(),
                },
                Some(()) = list_due => {
                    list_at = None;
                    self.told.clear();
                    let client = self.client.clone();
                    let ask = async move { client.ask(PeerRequest::get("/v1/sessions"), LIST).await };
                    listing = Some(ask.boxed()).into();
                }
                Some(answer) = &mut listing => {
                    listing = None.into();
                    list_at = Some(Instant::now() + LIST_AGAIN);
                    if let Ok(answer) = answer {
                        self.reconcile(&answer);
                    }
                }
                changed = nudge.changed() => {
                    if changed.is_err() || nudge.borrow_and_update().anew != anew {
                        return Ended::Anew;
                    }
                }
            }
        }
    }

    fn take(&mut self, event: Event, last: &mut Option<String>) {
        match self.source.read(&event) {
            Ok(told) => self.told(told),
            Err(refused) => self.dropped(1, refused.words()),
        }
        if !event.id.is_empty() {
            *last = Some(event.id);
        }
    }

    fn told(&mut self, told: Told) {
        match told {
            Told::Upsert(session) => {
                if self.told.len() < MOST.sessions {
                    self.told.insert(session.id.to_string());
                }
                match self.table.upsert(*session, MOST) {
                    Ok(()) => {}
                    Err(Full::Sessions) => self.dropped(1, "it has more than 4096 sessions"),
                    Err(Full::Bytes) => self.dropped(1, "its sessions are larger than 16 MiB together"),
                }
            }
            Told::Remove(id) => {
                self.table.remove(&id);
                // A list that was made before still has it.
                if self.told.len() < MOST.sessions {
                    self.told.insert(id);
                }
            }
            Told::Activity(id) => self.table.activity(&id),
            Told::Notice(id, notice) => self.table.notice(&id, notice),
            Told::Complete(ids) => {
                let ids = ids.unwrap_or_else(|| std::mem::take(&mut self.told));
                self.told.clear();
                self.table.retain(&self.source.name, |id| ids.contains(id));
            }
            Told::Nothing => {}
        }
    }

    /// What is gone according to a list, and what the events have missed. What they told meanwhile is newer.
    fn reconcile(&mut self, answer: &PeerAnswer) {
        let list: Option<Vec<Value>> = serde_json::from_slice::<Map<String, Value>>(&answer.body)
            .ok()
            .filter(|_| answer.status.is_success())
            .and_then(|mut body| serde_json::from_value(body.remove("data")?).ok());
        let Some(list) = list else { return };
        let mut present = HashSet::new();
        for session in list {
            let Value::Object(session) = session else { continue };
            // Those of its own peers it lists all, and tells of some.
            let is_own = session.get("id").and_then(Value::as_str).is_some_and(|id| !id.contains('@'));
            match self.source.listed(session) {
                Ok(Some(session)) => {
                    present.insert(session.id.to_string());
                    if is_own && !self.told.contains(&*session.id) {
                        self.told(Told::Upsert(session));
                    }
                }
                Ok(None) => {}
                Err(refused) => self.dropped(1, refused.words()),
            }
        }
        let told = std::mem::take(&mut self.told);
        self.table.retain(&self.source.name, |id| present.contains(id) || told.contains(id));
    }

    /// Something is left out: counted, and said once a connection.
    fn dropped(&mut self, count: u64, why: &'static str) {
        if count > 0 && self.link.dropped(count, why) {
            tracing::warn!(peer = %self.source.name, why, "some of what a peer sends is left out");
            self.table.status(&self.source.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::Arc;

    use super::*;
    use crate::config::TokenSource;
    use crate::peer::Audience;
    use crate::peer::list::{Origin, Wanted};
    use crate::peer::{PeerHttp, PeerUrl};

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

    /// A peer whose events have begun.
    struct Peer {
        link: Arc<Link>,
        table: RemoteTable,
        client: PeerClient,
        stream: PeerStream,
    }

    impl Peer {
        async fn at(listens: std::net::SocketAddr) -> Self {
            let url = format!("http://{listens}");
            let at: PeerUrl = url.parse().unwrap();
            let client = PeerClient::new(&PeerHttp::new().unwrap(), at, None).unwrap();
            let stream = client.stream(PeerRequest::get("/v1/events"), IDLE).await.unwrap();
            let (name, token) = ("desk".into(), TokenSource::None);
            let wanted = Wanted { name, url, token, origin: Origin::Host, local: false };
            let link = Arc::new(Link::new(wanted, String::new()));
            Self { link, table: RemoteTable::default(), client, stream }
        }

        /// Follows it to its end.
        async fn follow(self, is_ours: bool) -> Ended {
            let Self { link, table, client, stream } = self;
            let (node, own) = ("node-of-desk".into(), "node-of-here".into());
            let source = Source { name: "desk".into(), node, own, local: false };
            let (_nudge, mut nudged) = watch::channel(Nudge::default());
            Follow::new(&link, &table, source, client).run(stream, is_ours, &mut None, &mut nudged).await
        }
    }

    const TOLD: &[u8] = b"event: session-upsert\ndata: {\"id\":\"x\",\"session\":{\"alive\":true}}\n\n";

    /// A burst is read at once, and what comes beyond it no faster than it may.
    #[tokio::test]
    async fn a_flood_is_read_no_faster_than_its_rate() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listens = listener.local_addr().unwrap();
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            let line = format!(":{}\n", "x".repeat(64 * 1024 - 2)).into_bytes();
            // Six mebibytes more than a burst, at four a second.
            stream.write_all(&[HEAD, &line.repeat((32 + 6) * 16)].concat()).unwrap();
        });
        let began = Instant::now();
        let ended = Peer::at(listens).await.follow(true).await;
        assert!(matches!(ended, Ended::Failed(PeerError::Lost)));
        assert!(began.elapsed() >= Duration::from_millis(1400), "{:?}", began.elapsed());
        peer.join().unwrap();
    }

    /// Each of its sessions may be as large as it is; all of them may not.
    #[tokio::test]
    async fn what_is_held_of_a_peer_is_bounded_and_what_is_left_out_is_said() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listens = listener.local_addr().unwrap();
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            let title = "x".repeat(60 * 1024);
            stream.write_all(HEAD).unwrap();
            for number in 0..300 {
                let session = format!("{{\"alive\":true,\"title\":\"{title}\"}}");
                let event = format!(
                    "event: session-upsert\ndata: {{\"id\":\"x{number}\",\"session\":{session}}}\n\n"
                );
                stream.write_all(event.as_bytes()).unwrap();
            }
        });
        let peer_here = Peer::at(listens).await;
        let (table, link) = (peer_here.table.clone(), Arc::clone(&peer_here.link));
        let ended = peer_here.follow(true).await;
        assert!(matches!(ended, Ended::Failed(PeerError::Lost)));
        let held: usize = table.list(&Audience::All).iter().map(|session| session.object.len()).sum();
        assert!((15 * 1024 * 1024..=MOST.bytes).contains(&held), "{held}");
        let status = link.status(table.count("desk"));
        assert_eq!(status.sessions as u64 + status.dropped, 300);
        assert!(status.last_error.unwrap().contains("larger than 16 MiB together"));
        peer.join().unwrap();
    }

    /// Minutes pass at once: time moves on whenever nothing else does.
    #[tokio::test]
    async fn a_peer_that_says_nothing_for_a_minute_is_gone() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listens = listener.local_addr().unwrap();
        let (done, waiting) = std::sync::mpsc::channel::<()>();
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(&[HEAD, TOLD].concat()).unwrap();
            // Open until the test has seen enough.
            let _ = waiting.recv();
        });
        let peer_here = Peer::at(listens).await;
        let table = peer_here.table.clone();
        tokio::time::pause();
        let began = Instant::now();
        let ended = peer_here.follow(true).await;
        assert!(matches!(ended, Ended::Failed(PeerError::NoData)));
        assert!((60..62).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        assert_eq!(table.count("desk"), (1, 1), "what it told stays");
        drop(done);
        peer.join().unwrap();
    }

    /// A daemon of gmux: its events tell of one session and of nothing from then on; its list has that session once.
    async fn gmux(listener: tokio::net::TcpListener) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut lists = ["[{\"id\":\"x\",\"alive\":true}]"].into_iter();
        let mut open = Vec::new();
        loop {
            let accepted = tokio::time::timeout(Duration::from_secs(30), listener.accept()).await;
            let Ok(accepted) = accepted else {
                for stream in &mut open {
                    tokio::net::TcpStream::write_all(stream, b":\n\n").await.unwrap();
                }
                continue;
            };
            let mut stream = accepted.unwrap().0;
            let mut head = [0; 4096];
            let count = stream.read(&mut head).await.unwrap();
            if head[..count].starts_with(b"GET /v1/sessions ") {
                let body = format!("{{\"ok\":true,\"data\":{}}}", lists.next().unwrap_or("[]"));
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            } else {
                stream.write_all(&[HEAD, TOLD].concat()).await.unwrap();
                open.push(stream);
            }
        }
    }

    #[tokio::test]
    async fn what_gmux_never_says_is_gone_is_found_within_a_minute() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listens = listener.local_addr().unwrap();
        let found = async {
            let peer = Peer::at(listens).await;
            let table = peer.table.clone();
            tokio::time::pause();
            let began = Instant::now();
            let gone = async {
                tokio::time::sleep(Duration::from_secs(30)).await;
                assert_eq!(table.count("desk"), (1, 1));
                while table.count("desk") != (0, 0) {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            };
            tokio::select! {
                _ = peer.follow(false) => panic!("the link ended"),
                gone = tokio::time::timeout(Duration::from_mins(10), gone) => gone.expect("it is found"),
            }
            began.elapsed()
        };
        let took = tokio::select! {
            () = gmux(listener) => unreachable!("it goes on"),
            took = found => took,
        };
        assert!((60..63).contains(&took.as_secs()), "{took:?}");
    }
}
