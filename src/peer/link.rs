//! The task of one peer: connect, ask who it is, follow its events, and again when that ended.
//!
//! Invariants: a peer that is slow, mute or hostile delays this task alone; whatever is waited for ends after
//! [`IDLE`]; while the link is down its sessions stay, marked; when it is up again they are as the peer says.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, header};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::audience::VIA;
use super::follow::Follow;
use super::hub::Hub;
use super::intake::Source;
use super::status::{About, Link};
use super::token::Token;
use super::{Limit, PeerClient, PeerError, PeerRequest, PeerStream, PeerUrl};
use crate::model::Level;
use crate::util::{Backoff, clock};

/// How long a peer may say nothing. It says something every 30 s.
pub const IDLE: Duration = Duration::from_mins(1);

/// How long it may take to say who it is, and how much it may say.
const HEALTH: Limit = Limit { deadline: Duration::from_secs(10), max_bytes: 1024 * 1024 };

/// Between two tries: the first pause, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// A link that was up for so long did not fail at once: the pauses begin anew.
const STEADY: Duration = Duration::from_secs(3);

/// What links are told to do at once. Numbers only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Nudge {
    /// Who waits tries again.
    pub retry: u64,
    /// Who is connected connects anew: the machine slept, or its peer is shown under another name.
    pub anew: u64,
}

/// Why a link ended.
pub(super) enum Ended {
    /// The peer, or the way to it, failed.
    Failed(PeerError),
    /// In words.
    Because(String),
    /// It is to connect anew.
    Anew,
}

impl From<PeerError> for Ended {
    fn from(error: PeerError) -> Self {
        Self::Failed(error)
    }
}

/// The task of a link.
pub(super) struct LinkTask {
    pub(super) link: Arc<Link>,
    pub(super) hub: Arc<Hub>,
    pub(super) nudge: watch::Receiver<Nudge>,
    token: Token,
    backoff: Backoff,
    /// The event up to which all was taken.
    last: Option<String>,
    /// Whether the newest refusal was told.
    denied: bool,
}

impl LinkTask {
    pub(super) fn new(link: Arc<Link>, hub: Arc<Hub>, nudge: watch::Receiver<Nudge>) -> Self {
        let token = Token::new(link.wanted.token.clone(), hub.env.clone(), hub.shutdown.clone());
        Self { link, hub, nudge, token, backoff: pauses(), last: None, denied: false }
    }

    /// Keeps the link for as long as it is polled.
    pub(super) async fn keep(mut self) {
        loop {
            let began = Instant::now();
            let ended = self.connect().await;
            let was_up = self.link.is_connected();
            if was_up && began.elapsed() >= STEADY {
                self.backoff.reset();
            }
            let anew = matches!(ended, Ended::Anew);
            self.down(ended, was_up);
            if anew {
                continue;
            }
            let pause = self.backoff.pause();
            tokio::select! {
                () = sleep(pause) => {}
                changed = self.nudge.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn connect(&mut self) -> Ended {
        match self.try_connect().await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn try_connect(&mut self) -> Result<std::convert::Infallible, Ended> {
        let url: PeerUrl =
            self.link.wanted.url.parse().map_err(|error| Ended::Because(format!("{error}")))?;
        let token = self.token.get().await.map_err(Ended::Because)?;
        let client = PeerClient::new(self.hub.http()?, url, token.as_ref())?;
        // The link's own questions have places of their own: it comes back also while others wait for answers.
        self.link.set_client(client.clone().in_places(&self.link.calls));
        let stream = events(&client, &self.hub.own, self.last.as_deref()).await?;
        let about = match client.ask(PeerRequest::get("/v1/health"), HEALTH).await {
            Ok(answer) if answer.status.is_success() => About::read(&answer.body),
            // Its sessions can be seen all the same.
            _ => None,
        };
        let node = about.as_ref().and_then(|about| about.node_id.clone()).unwrap_or_default();
        self.hub.claim(&self.link.wanted, &node).map_err(Ended::Because)?;
        let is_ours = about.as_ref().is_some_and(|about| about.machine_id.is_some());
        self.up(about);
        let source = Source {
            name: Arc::clone(&self.link.wanted.name),
            node: node.into(),
            own: Arc::clone(&self.hub.own),
            local: self.link.wanted.local,
        };
        let follow = Follow::new(&self.link, &self.hub.table, source, client);
        Err(follow.run(stream, is_ours, &mut self.last, &mut self.nudge).await)
    }

    fn up(&mut self, about: Option<About>) {
        self.denied = false;
        self.token.taken();
        let name = &self.link.wanted.name;
        tracing::info!(peer = %name, url = %self.link.wanted.url, "connected to a peer");
        let version = about.as_ref().and_then(|about| about.version.clone());
        self.link.connected(about, clock::millis(self.hub.clock.now()));
        self.hub.table.mark(name, None);
        self.hub.table.status(name);
        let payload = json!({ "url": self.link.wanted.url, "version": version });
        self.hub.records.tell("peer.connected", Level::Info, name, payload);
    }

    fn down(&mut self, ended: Ended, was_up: bool) {
        let name = Arc::clone(&self.link.wanted.name);
        self.hub.release(&name);
        let is_denied = matches!(&ended, Ended::Failed(error) if error.is_denial());
        let why = match ended {
            Ended::Failed(error) => error.to_string(),
            Ended::Because(why) => why,
            Ended::Anew => "it is connected to anew".to_owned(),
        };
        let now = || clock::millis(self.hub.clock.now());
        if self.link.disconnected(why.clone(), now) {
            tracing::warn!(peer = %name, why, "a peer is not connected");
            self.hub.table.status(&name);
        }
        if was_up {
            self.hub.table.mark(&name, Some(&Arc::from(now())));
        }
        let payload = json!({ "url": self.link.wanted.url, "reason": why });
        if is_denied {
            self.token.refused();
        }
        if is_denied && !std::mem::replace(&mut self.denied, true) {
            self.hub.records.tell("peer.denied", Level::Warn, &name, payload);
        } else if was_up {
            self.hub.records.tell("peer.disconnected", Level::Warn, &name, payload);
        }
    }
}

/// The pauses between tries.
fn pauses() -> Backoff {
    Backoff::new(FIRST_PAUSE, LAST_PAUSE)
}

/// The peer's events for this machine, `own`, after the event `last`.
async fn events(client: &PeerClient, own: &str, last: Option<&str>) -> Result<PeerStream, Ended> {
    let own = HeaderValue::from_str(own).map_err(|error| Ended::Because(error.to_string()))?;
    let kind = HeaderValue::from_static("text/event-stream");
    let mut request = PeerRequest::get("/v1/events")
        .with_header(header::ACCEPT, kind)
        .with_header(HeaderName::from_static(VIA), own);
    if let Some(last) = last.and_then(|last| HeaderValue::from_str(last).ok()) {
        request = request.with_header(HeaderName::from_static("last-event-id"), last);
    }
    let began = Instant::now();
    let stream = client.stream(request, IDLE).await.map_err(|error| match error {
        // It took the connection, and said nothing.
        PeerError::TimedOut if began.elapsed() >= IDLE => PeerError::NoData,
        error => error,
    })?;
    let kind = stream.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !stream.status.is_success() {
        let reason = stream.status.canonical_reason().unwrap_or_default();
        return Err(PeerError::status(stream.status.as_u16(), reason).into());
    }
    if !kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
        return Err(PeerError::Shape("it has no events".to_owned()).into());
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::PeerHttp;

    #[test]
    fn pauses_grow_to_half_a_minute_and_no_further() {
        let mut pauses = pauses();
        let all: Vec<Duration> = (0..20).map(|_| pauses.pause()).collect();
        assert!(all[0] <= FIRST_PAUSE && all[19] >= LAST_PAUSE / 2, "{all:?}");
        assert!(all.iter().all(|pause| *pause <= Duration::from_secs(30)), "{all:?}");
    }

    /// A minute passes at once: time moves on whenever nothing else does.
    #[tokio::test]
    async fn a_peer_that_takes_the_connection_and_never_says_a_word_is_given_a_minute() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let client = PeerClient::new(&PeerHttp::new().unwrap(), url, None).unwrap();
        tokio::time::pause();
        let began = Instant::now();
        let ended = events(&client, "node-of-here", None).await;
        assert!(matches!(ended, Err(Ended::Failed(PeerError::NoData))));
        assert!((60..62).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    }
}
