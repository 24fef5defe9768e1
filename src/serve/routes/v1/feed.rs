//! What happens to the sessions of this machine and of its peers, as one feed for one listener.
//!
//! Both tables number their changes. A [`Place`] is a number of each, so that who comes back gets what was missed of
//! both. When one of them must be told from the beginning, the other is, too: the end of the first part names all.

use std::sync::Arc;

use crate::peer::{Peers, RemoteEvent, RemoteNews, RemoteSession, RemoteSubscription};
use crate::serve::App;
use crate::session::live::{LiveEvent, LiveSession, LiveTable, News, Subscription};

/// Up to where something was told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    own: u64,
    remote: u64,
}

impl Place {
    /// What [`Self::shown`] wrote in this life of the daemon, when what has changed since is still known.
    pub fn of(app: &App, text: &str) -> Option<Self> {
        let (epoch, numbers) = text.trim().split_once('-')?;
        let (own, remote) = numbers.split_once('.')?;
        let place = Self { own: own.parse().ok()?, remote: remote.parse().ok()? };
        let known =
            epoch == app.live.epoch() && app.live.reaches(place.own) && app.peers.reaches(place.remote);
        known.then_some(place)
    }

    /// As the id of an event.
    pub fn shown(self, epoch: &str) -> String {
        format!("{epoch}-{}.{}", self.own, self.remote)
    }
}

/// A session of this machine, or of another.
#[derive(Debug, Clone)]
pub enum Any {
    /// Of this one.
    Own(Arc<LiveSession>),
    /// Of a peer.
    Remote(Arc<RemoteSession>),
}

impl Any {
    /// Its id here.
    pub fn id(&self) -> &str {
        match self {
            Self::Own(session) => session.id().as_str(),
            Self::Remote(session) => &session.id,
        }
    }

    /// Its JSON on one line.
    pub fn json(&self) -> bytes::Bytes {
        match self {
            Self::Own(session) => session.json(),
            Self::Remote(session) => session.json(),
        }
    }
}

/// A change on either side.
#[derive(Debug)]
pub enum Happened {
    /// Here.
    Own(LiveEvent),
    /// On another machine, or to the link to it.
    Remote(RemoteEvent),
}

/// What comes at a time.
#[derive(Debug)]
pub enum FeedNews {
    /// All there is, as of this place: whatever else the listener knows is gone.
    All(Place, Vec<Any>),
    /// Changes, each with the place after it.
    Changes(Vec<(Place, Happened)>),
}

/// A listener of both.
#[derive(Debug)]
pub struct Feed {
    own: Subscription,
    remote: RemoteSubscription,
    at: Place,
}

impl Feed {
    /// From `after` on, or from the beginning.
    pub fn new(
        live: &LiveTable,
        peers: &Peers,
        after: Option<Place>,
        audience: crate::peer::Audience,
    ) -> Self {
        let own = live.subscribe(after.map(|place| place.own));
        let remote = peers.subscribe(after.map(|place| place.remote), audience);
        Self { own, remote, at: after.unwrap_or_default() }
    }

    /// What there is to tell, waiting for it. Can be dropped while it waits.
    pub async fn next(&mut self) -> FeedNews {
        tokio::select! {
            news = self.own.next() => match news {
                News::Changes(changes) => self.own_changes(changes),
                News::All(number, sessions) => {
                    self.remote.restart();
                    // What was restarted has something to tell at once.
                    let news = self.remote.next().await;
                    self.all((number, sessions), news)
                }
            },
            news = self.remote.next() => match news {
                RemoteNews::Changes(last, changes) => self.remote_changes(last, changes),
                all @ RemoteNews::All(..) => {
                    self.own.restart();
                    match self.own.next().await {
                        News::All(number, sessions) => self.all((number, sessions), all),
                        News::Changes(changes) => self.own_changes(changes),
                    }
                }
            },
        }
    }

    fn all(&mut self, (own, sessions): (u64, Vec<Arc<LiveSession>>), remote: RemoteNews) -> FeedNews {
        let mut all: Vec<Any> = sessions.into_iter().map(Any::Own).collect();
        self.at.own = own;
        if let RemoteNews::All(number, sessions) = remote {
            self.at.remote = number;
            all.extend(sessions.into_iter().map(Any::Remote));
        }
        FeedNews::All(self.at, all)
    }

    fn own_changes(&mut self, changes: Vec<(u64, LiveEvent)>) -> FeedNews {
        let told = changes.into_iter().map(|(number, event)| {
            self.at.own = number;
            (self.at, Happened::Own(event))
        });
        FeedNews::Changes(told.collect())
    }

    fn remote_changes(&mut self, last: u64, changes: Vec<(u64, RemoteEvent)>) -> FeedNews {
        let told = changes.into_iter().map(|(number, event)| {
            self.at.remote = number;
            (self.at, Happened::Remote(event))
        });
        let told = told.collect();
        self.at.remote = last;
        FeedNews::Changes(told)
    }
}
