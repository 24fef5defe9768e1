//! The peers of this machine: which are wanted, a task for each, and their sessions as one table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::audience::Audience;
use super::link::{LinkTask, Nudge};
use super::list::{Origin, Wanted, wanted};
use super::nodes::Nodes;
use super::records::LinkRecords;
use super::status::Link;
use super::table::{RemoteSession, RemoteSubscription, RemoteTable};
use super::{PeerClient, PeerError, PeerHttp};
use crate::config::{Config, ConfigError, Environment, FlowConfig, HostConfig, TokenSource};
use crate::fleet::{Roster, RosterFile};
use crate::util::{Clock, OneThread, Shutdown, SleepWatch, clock, tick};
use crate::wire::v1::{LinkState, PeerStatus};

/// Between two looks at the files that name peers, and whether the machine slept.
const LOOK: Duration = Duration::from_secs(4);

/// How long a link may take to end when its peer is none any more.
const END_TIME: Duration = Duration::from_secs(5);

/// Viewers make links that wait try again at most so often.
const WAKE_AGAIN: Duration = Duration::from_secs(1);

/// What [`Peers`] are made of.
pub struct PeersParts {
    /// Where `host.toml` and the roster are.
    pub config: Config,
    /// Which machine this is.
    pub node_id: String,
    /// Where records are kept.
    pub flow: FlowConfig,
    /// Where the time comes from.
    pub clock: Clock,
}

/// The peers. Clones share them.
#[derive(Debug, Clone)]
pub struct Peers(Arc<Hub>);

/// What the tasks of all links share.
#[derive(Debug)]
pub(super) struct Hub {
    config: Config,
    /// This machine, as its sessions say.
    pub(super) own: Arc<str>,
    /// And as people call it.
    own_name: Arc<str>,
    pub(super) env: Environment,
    pub(super) table: RemoteTable,
    pub(super) records: LinkRecords,
    pub(super) clock: Clock,
    pub(super) shutdown: Shutdown,
    http: OnceLock<PeerHttp>,
    links: Mutex<BTreeMap<Arc<str>, Running>>,
    nodes: Mutex<Nodes>,
    found: watch::Sender<Vec<Wanted>>,
    /// Those of the found ones that are known to be off.
    off: Mutex<BTreeSet<Arc<str>>>,
    host: watch::Sender<HostConfig>,
    woken: Mutex<Option<Instant>>,
    /// The files are looked at now.
    look: Notify,
}

/// A link with its task.
#[derive(Debug)]
struct Running {
    link: Arc<Link>,
    nudge: watch::Sender<Nudge>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// What the files say.
#[derive(Debug, Default)]
struct Files {
    host: HostConfig,
    roster: Roster,
    /// What was wrong with them when they were read last.
    wrong: Vec<String>,
}

impl Peers {
    /// Connects to nobody yet. Fails when `host.toml` is not understood.
    pub fn new(parts: PeersParts, shutdown: &Shutdown) -> Result<Self, ConfigError> {
        let PeersParts { config, node_id, flow, clock } = parts;
        let host = config.host()?;
        Ok(Self(Arc::new(Hub {
            own: node_id.into(),
            own_name: flow.provenance.machine_id.as_str().into(),
            env: config.env().clone(),
            config,
            table: RemoteTable::default(),
            records: LinkRecords::start(flow, clock.clone(), shutdown),
            clock,
            shutdown: shutdown.clone(),
            http: OnceLock::new(),
            links: Mutex::default(),
            nodes: Mutex::default(),
            found: watch::Sender::new(Vec::new()),
            off: Mutex::default(),
            host: watch::Sender::new(host),
            woken: Mutex::default(),
            look: Notify::new(),
        })))
    }

    /// Connects, and follows the files that name peers.
    pub fn start(&self) {
        drop(self.0.shutdown.spawn(keep(Arc::clone(&self.0))));
    }

    /// Which peers were found, beside those that the files name; all of them each time. `off` are those of them that
    /// are known to be off now.
    pub fn set_found(&self, found: Vec<Wanted>, off: BTreeSet<Arc<str>>) {
        let (before, off) = {
            let mut now = self.0.off();
            let before = std::mem::replace(&mut *now, off);
            (before, now.clone())
        };
        self.0.found.send_if_modified(|now| {
            let changed = *now != found;
            *now = found;
            changed
        });
        for name in before.symmetric_difference(&off) {
            self.0.table.status(name);
        }
        let nudged: Vec<_> = {
            let links = self.0.links();
            before.difference(&off).filter_map(|name| Some(links.get(name)?.nudge.clone())).collect()
        };
        for nudge in nudged {
            nudge.send_modify(|nudge| nudge.retry += 1);
        }
    }

    /// What was found is otherwise, be it a peer or not: listeners are told.
    pub(super) fn tell_found(&self) {
        self.0.table.found();
    }

    /// What `host.toml` says, as it changes.
    pub fn host(&self) -> watch::Receiver<HostConfig> {
        self.0.host.subscribe()
    }

    /// The peers by name, and how their links are.
    pub fn list(&self) -> Vec<PeerStatus> {
        let links: Vec<_> = self.0.links().values().map(|running| Arc::clone(&running.link)).collect();
        links.iter().map(|link| self.0.status(link)).collect()
    }

    /// One of them.
    pub fn status(&self, name: &str) -> Option<PeerStatus> {
        let link = self.0.links().get(name).map(|running| Arc::clone(&running.link))?;
        Some(self.0.status(&link))
    }

    /// What a direct peer is asked by; `None` when there is none of this name, or its token could not be had.
    pub fn client(&self, name: &str) -> Option<PeerClient> {
        self.0.links().get(name)?.link.client()
    }

    /// The sessions that these are shown, in no order.
    pub fn sessions(&self, audience: &Audience) -> Vec<Arc<RemoteSession>> {
        self.0.table.list(audience)
    }

    /// A session by its id.
    pub fn session(&self, id: &str) -> Option<Arc<RemoteSession>> {
        self.0.table.get(id)
    }

    /// The machine of this session says that there is none; whether it was shown here.
    pub fn forget_session(&self, id: &str) -> bool {
        let was_shown = self.0.table.get(id).is_some();
        self.0.table.remove(id);
        was_shown
    }

    /// Whether it is still known what changed after this number.
    pub fn reaches(&self, number: u64) -> bool {
        self.0.table.reaches(number)
    }

    /// All that is there for these, then what changes; or what has changed since the change `after`.
    pub fn subscribe(&self, after: Option<u64>, audience: Audience) -> RemoteSubscription {
        self.0.table.subscribe(after, audience)
    }

    /// Somebody looks: links that are down are tried at once, and the files are read.
    pub fn wake(&self) {
        let mut woken = self.0.woken.lock().unwrap_or_else(PoisonError::into_inner);
        if woken.is_none_or(|at| at.elapsed() >= WAKE_AGAIN) {
            *woken = Some(Instant::now());
            drop(woken);
            self.0.nudge(|nudge| nudge.retry += 1);
            self.look_at_files();
        }
    }

    /// The files that name peers may have changed.
    pub fn look_at_files(&self) {
        self.0.look.notify_one();
    }
}

impl Hub {
    fn links(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Running>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn off(&self) -> MutexGuard<'_, BTreeSet<Arc<str>>> {
        self.off.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a link is. One to a machine that is off needs no reason.
    fn status(&self, link: &Link) -> PeerStatus {
        let status = link.status(self.table.count(&link.wanted.name));
        let is_off = status.status == LinkState::Disconnected
            && link.wanted.origin == Origin::Tailscale
            && self.off().contains(&link.wanted.name);
        if is_off { PeerStatus { status: LinkState::Offline, last_error: None, ..status } } else { status }
    }

    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn nudge(&self, change: impl Fn(&mut Nudge)) {
        for running in self.links().values() {
            running.nudge.send_modify(&change);
        }
    }

    /// The client of all peers; made when the first is connected to, because it reads the system's certificates.
    pub(super) fn http(&self) -> Result<&PeerHttp, PeerError> {
        match self.http.get() {
            Some(http) => Ok(http),
            None => PeerHttp::new().map(|http| self.http.get_or_init(|| http)),
        }
    }

    /// The machine `node` answers under this peer's name. An error says under which other it is shown already.
    pub(super) fn claim(&self, wanted: &Wanted, node: &str) -> Result<(), String> {
        if node.is_empty() {
            return Ok(());
        }
        if node == &*self.own {
            return Err("it is this machine itself".to_owned());
        }
        let node: Arc<str> = node.into();
        let claimed = self.nodes().claim(&wanted.name, wanted.origin.is_found(), &node);
        let stood_in = claimed.map_err(|other| format!("it is the same machine as {other}"))?;
        // It finds out that it has to give way when it connects anew.
        if let Some(running) = stood_in.and_then(|other| Some(self.links().get(&other)?.nudge.clone())) {
            running.send_modify(|nudge| nudge.anew += 1);
        }
        Ok(())
    }

    /// Nobody answers under this name.
    pub(super) fn release(&self, name: &str) {
        self.nodes().release(name);
    }

    /// Starts and ends links, so that there is one for each that is wanted.
    async fn apply(self: &Arc<Self>, wanted: BTreeMap<Arc<str>, Wanted>) {
        let ended: Vec<(Arc<str>, Running)> = {
            let mut links = self.links();
            let ended =
                links.iter().filter(|(name, running)| wanted.get(*name) != Some(&running.link.wanted));
            let ended: Vec<Arc<str>> = ended.map(|(name, _)| Arc::clone(name)).collect();
            ended.into_iter().filter_map(|name| links.remove_entry(&name)).collect()
        };
        for (name, running) in ended {
            running.stop.cancel();
            if timeout(END_TIME, running.task).await.is_err() {
                tracing::error!(peer = %name, "a link does not end");
            }
            self.nodes().forget(&name);
            self.table.forget(&name);
            tracing::info!(peer = %name, "no peer any more");
        }
        for (name, wanted) in wanted {
            let known = self.links().contains_key(&name);
            if !known {
                let running = self.run(wanted);
                self.links().insert(Arc::clone(&name), running);
                self.table.status(&name);
            }
        }
    }

    fn run(self: &Arc<Self>, wanted: Wanted) -> Running {
        let link = Arc::new(Link::new(wanted, clock::millis(self.clock.now())));
        let (nudge, nudged) = watch::channel(Nudge::default());
        let stop = CancellationToken::new();
        let task = LinkTask::new(Arc::clone(&link), Arc::clone(self), nudged);
        let (stopped, cancelled) = (self.shutdown.stopped(), stop.clone().cancelled_owned());
        let task = self.shutdown.spawn(async move {
            tokio::select! {
                () = stopped => {}
                () = cancelled => {}
                () = task.keep() => {}
            }
        });
        Running { link, nudge, stop, task }
    }

    /// Links that are down because of a token are tried at once when its file is another one.
    async fn look_at_tokens(&self, before: Stamps, thread: &mut OneThread<Stamps>) -> Stamps {
        let down: Vec<(Arc<str>, PathBuf)> = self
            .links()
            .iter()
            .filter(|(_, running)| !running.link.is_connected())
            .filter_map(|(name, running)| match &running.link.wanted.token {
                TokenSource::File(path) => Some((Arc::clone(name), path.clone())),
                _ => None,
            })
            .collect();
        if down.is_empty() {
            return Stamps::new();
        }
        let look = move || down.into_iter().map(|(name, path)| (name, stamp(&path))).collect::<Stamps>();
        let Some(now) = thread.ask(END_TIME, look).await else { return before };
        let links = self.links();
        for (name, _) in now.iter().filter(|(name, stamp)| before.get(*name).is_some_and(|was| was != *stamp))
        {
            if let Some(running) = links.get(name) {
                running.nudge.send_modify(|nudge| nudge.retry += 1);
            }
        }
        now
    }

    /// Reads the files; one that is not understood stays as it was. Whether both were understood; what is wrong is said
    /// once, however often it is found.
    async fn read(&self, files: &mut Files) -> bool {
        let (config, roster) = (self.config.clone(), RosterFile::new(self.config.fleet_file()));
        let read = self.shutdown.spawn_blocking(move || (config.host(), roster.read()));
        let Ok((host, roster)) = read.await else { return false };
        let mut wrong = Vec::new();
        match host {
            Ok(host) => files.host = host,
            Err(error) => wrong.push(error.to_string()),
        }
        match roster {
            Ok(roster) => {
                if files.roster != roster {
                    // Why one that was found is no peer may be another reason now.
                    self.table.found();
                }
                files.roster = roster;
            }
            Err(error) => wrong.push(error.to_string()),
        }
        for error in wrong.iter().filter(|error| !files.wrong.contains(error)) {
            tracing::error!(error, "the peers stay as they were");
        }
        files.wrong = wrong;
        files.wrong.is_empty()
    }
}

/// Follows the files, and notices that the machine slept.
async fn keep(hub: Arc<Hub>) {
    let mut slept = SleepWatch::new(hub.clock.clone());
    let mut found = hub.found.subscribe();
    let (mut files, mut seen, mut tokens) = (Files::default(), None, BTreeMap::new());
    // Token files may lie on a disk that hangs, which tells nothing and keeps one thread.
    let mut of_tokens = OneThread::default();
    let stopped = hub.shutdown.stopped();
    tokio::pin!(stopped);
    loop {
        let paths = [hub.config.paths.host_file(), hub.config.fleet_file()];
        // Here, in the home folder; a thread of its own would wake the machine each time.
        let stamps = Some(paths.map(|path| stamp(&path)));
        if seen != stamps {
            let understood = hub.read(&mut files).await;
            // What can't be read is tried again: a right that was given back changes no stamp.
            seen = stamps.filter(|_| understood);
            hub.host.send_if_modified(|now| {
                let changed = *now != files.host;
                now.clone_from(&files.host);
                changed
            });
        }
        let all = wanted(&files.host, &files.roster, &found.borrow_and_update(), &hub.own_name);
        hub.apply(all).await;
        tokens = hub.look_at_tokens(tokens, &mut of_tokens).await;
        tokio::select! {
            () = &mut stopped => return,
            () = tick(LOOK) => {}
            () = hub.look.notified() => {}
            _ = found.changed() => {}
        }
        if slept.look().is_some() {
            tracing::info!("this machine slept; its peers are connected to anew");
            hub.nudge(|nudge| nudge.anew += 1);
        }
    }
}

/// What tells that a file was written anew.
type Stamp = Option<(PathBuf, SystemTime, u64)>;

/// The token files of peers, by their names.
type Stamps = BTreeMap<Arc<str>, Stamp>;

fn stamp(path: &Path) -> Stamp {
    let meta = std::fs::metadata(path).ok()?;
    Some((path.to_owned(), meta.modified().ok()?, meta.len()))
}
