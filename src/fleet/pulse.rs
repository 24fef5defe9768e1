//! The daemon's part in the fleet's signs of life: it beats for its machine and for its running sessions, and it
//! writes the records of machines that come and go.
//!
//! Invariants: one write to Redis a beat, however many sessions run; one machine of the fleet writes each record
//! (the claim of darkmux 1.9); after an outage, a restart of Redis or a sleep nothing is concluded from what is
//! not there. A clean stop takes the signs of life back. A session's end is not told here: its host does that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use redis::Value as Reply;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::presence::set_beat;
use super::{Beacon, PresenceReader, beacon, hostile, keys};
use crate::config::FlowConfig;
use crate::flow::Flow;
use crate::model::{Category, FlowRecord, Level, SessionState, Stage, Tier};
use crate::session::live::{LiveSession, LiveTable};
use crate::store::{Redis, RedisFault};
use crate::util::{Shutdown, clock};
use crate::wire::SessionBeat;

/// Time between two beats, and between two looks at the others; each differs by up to a tenth.
const BEAT: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_secs(7);

/// A longer time between two looks, by the wall clock, was a sleep; in milliseconds.
const SLEPT_MS: u64 = 21_000;

/// How long taking the signs of life back may take.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// Most sessions that are beaten for.
const SESSIONS_MAX: usize = 256;

/// Puts a machine and its sessions into the indexes, by the server's own time: a machine whose clock is wrong puts
/// nobody out. What has not beaten for a week goes.
const INDEX: &str = "
local now = redis.call('TIME')[1] * 1000
redis.call('ZADD', KEYS[1], now, ARGV[1])
for i = 2, #ARGV do redis.call('ZADD', KEYS[2], now, ARGV[i]) end
for i = 1, 2 do redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now - 604800000) end
";

/// What the daemon's part needs.
#[derive(Debug)]
pub struct Pulse {
    /// The fleet's Redis.
    pub redis: Redis,
    /// What this machine says.
    pub beacon: Arc<Beacon>,
    /// Its sessions.
    pub sessions: LiveTable,
    /// Where records go.
    pub flow: FlowConfig,
}

impl Pulse {
    /// Starts both tasks; they end with `shutdown`.
    pub fn start(self, shutdown: &Shutdown) {
        let pulse = Arc::new(self);
        let beats = Beats {
            pulse: Arc::clone(&pulse),
            sessions: BTreeSet::new(),
            began: false,
            wrote: None,
            down: false,
        };
        drop(shutdown.spawn(beats.run(shutdown.clone())));
        let watcher = Watcher { reader: PresenceReader::new(pulse.redis.clone()), pulse, known: None };
        drop(shutdown.spawn(watcher.run(shutdown.clone())));
    }

    /// Which start of Redis answers.
    fn run_id(&self) -> Option<String> {
        self.redis.server().borrow().as_ref().map(|server| server.run_id.clone())
    }
}

/// The period, up to a tenth shorter or longer.
fn about(period: Duration) -> Duration {
    let random = u32::try_from(Uuid::new_v4().as_u128() % 201).unwrap_or(100);
    period * (900 + random) / 1000
}

struct Beats {
    pulse: Arc<Pulse>,
    /// The sessions of the last beat.
    sessions: BTreeSet<String>,
    /// A beat was sent, whether it arrived or not.
    began: bool,
    /// The start of Redis that took the last beat.
    wrote: Option<String>,
    down: bool,
}

impl Beats {
    async fn run(mut self, shutdown: Shutdown) {
        while !shutdown.is_stopping() {
            let beaten = tokio::select! {
                beaten = self.beat() => beaten,
                () = shutdown.stopped() => break,
            };
            match &beaten {
                Err(fault) if !self.down => {
                    tracing::warn!(%fault, "this machine's signs of life don't arrive");
                }
                Ok(()) if self.down => tracing::info!("this machine's signs of life arrive again"),
                _ => {}
            }
            self.down = beaten.is_err();
            let pause = tokio::time::sleep(about(BEAT));
            tokio::select! {
                () = pause => {}
                () = shutdown.stopped() => break,
            }
        }
        if self.began {
            // Redis may be away, and the keys expire by themselves.
            let _ = timeout(STOP_PATIENCE, self.take_back()).await;
        }
    }

    async fn beat(&mut self) -> Result<(), RedisFault> {
        let now = clock::unix_ms(self.pulse.beacon.clock().now());
        let beat = self.pulse.beacon.beat().await;
        let uid = beat.machine_uid.clone();
        let Ok(value) = beacon::written(beat) else { return Ok(()) };
        let mut pipe = redis::pipe();
        pipe.ignore_errors();
        set_beat(&mut pipe, &format!("{}{uid}", keys::MACHINE), &value);
        let mut ids = BTreeSet::new();
        for session in self.running(now) {
            let Ok(value) = serde_json::to_vec(&session) else { continue };
            set_beat(&mut pipe, &format!("{}{}", keys::SESSION, session.session_id), &value);
            ids.insert(session.session_id);
        }
        pipe.cmd("EVAL").arg(INDEX).arg(2).arg(keys::MACHINES).arg(keys::SESSIONS).arg(&uid);
        for id in &ids {
            pipe.arg(id);
        }
        for ended in self.sessions.difference(&ids) {
            end_session(&mut pipe, ended);
        }
        self.began = true;
        let answers: Vec<Reply> = self.pulse.redis.pipeline(&pipe).await?;
        self.sessions = ids;
        let run_id = self.pulse.run_id();
        if self.wrote == run_id {
            self.look_for_a_twin(answers.first());
        }
        self.wrote = run_id;
        if let Some(Reply::ServerError(error)) = answers.first() {
            let error = format!("{error:?}");
            tracing::warn!(error = %crate::util::visible_line(&error), "Redis takes no sign of life of this machine");
        }
        Ok(())
    }

    /// Whoever wrote the value before ours was ourselves, or another daemon with our identity.
    fn look_for_a_twin(&self, before: Option<&Reply>) {
        let Some(Reply::BulkString(before)) = before else { return };
        let beacon = &self.pulse.beacon;
        let boot = hostile::machine(&beacon.uid(), before).and_then(|beat| beat.boot);
        if let Some(boot) = boot.filter(|boot| boot != beacon.boot()) {
            beacon.met_twin(&boot);
        }
    }

    /// Those that run, as the daemon follows them: the disk is not asked, so an idle machine's threads sleep on.
    fn running(&self, now: u64) -> Vec<SessionBeat> {
        let sessions = self.pulse.sessions.list();
        let running = sessions.iter().filter(|session| session.status().state == SessionState::Running);
        let beat =
            |session: &Arc<LiveSession>| SessionBeat::of(session.status(), self.pulse.beacon.uid(), now);
        running.take(SESSIONS_MAX).map(beat).collect()
    }

    async fn take_back(&self) -> Result<(), RedisFault> {
        let uid = self.pulse.beacon.uid();
        let mut pipe = redis::pipe();
        pipe.ignore_errors().cmd("DEL").arg(format!("{}{uid}", keys::MACHINE));
        pipe.cmd("ZREM").arg(keys::MACHINES).arg(&uid);
        for session in &self.sessions {
            end_session(&mut pipe, session);
        }
        self.pulse.redis.pipeline::<Vec<Reply>>(&pipe).await.map(drop)
    }
}

/// Takes the sign of life of a session back, so that nobody writes its end a second time.
fn end_session(pipe: &mut redis::Pipeline, id: &str) {
    let claim = keys::claim("session-end", id);
    pipe.cmd("SET").arg(claim).arg(1).arg("NX").arg("EX").arg(keys::CLAIM_SECONDS);
    pipe.cmd("DEL").arg(format!("{}{id}", keys::SESSION));
    pipe.cmd("ZREM").arg(keys::SESSIONS).arg(id);
}

struct Watcher {
    pulse: Arc<Pulse>,
    reader: PresenceReader,
    /// The start of Redis and the names by identity of the last look; `None` before the first one and after an
    /// outage.
    known: Option<(Option<String>, BTreeMap<String, String>)>,
}

impl Watcher {
    async fn run(mut self, shutdown: Shutdown) {
        let (mut last, mut wall) = (Instant::now(), clock::unix_ms(self.pulse.beacon.clock().now()));
        while !shutdown.is_stopping() {
            let time = clock::unix_ms(self.pulse.beacon.clock().now());
            // Timers may stand still while the machine sleeps; the wall clock goes on.
            if last.elapsed() > LOOK * 3 || time.abs_diff(wall) > SLEPT_MS {
                self.known = None;
            }
            (last, wall) = (Instant::now(), time);
            tokio::select! {
                () = self.look() => {}
                () = shutdown.stopped() => return,
            }
            let pause = tokio::time::sleep(about(LOOK));
            tokio::select! {
                () = pause => {}
                () = shutdown.stopped() => return,
            }
        }
    }

    async fn look(&mut self) {
        let Ok(presence) = self.reader.machines().await else {
            self.known = None;
            return;
        };
        let own = self.pulse.beacon.uid();
        let others = presence.machines.iter().filter(|seen| seen.beat.machine_uid != own);
        let now: BTreeMap<String, String> =
            others.map(|seen| (seen.beat.machine_uid.clone(), seen.beat.name().to_owned())).collect();
        let run_id = self.pulse.run_id();
        if let Some((before_id, before)) = &self.known
            && *before_id == run_id
        {
            for (uid, name) in now.iter().filter(|(uid, _)| !before.contains_key(*uid)) {
                self.tell("machine-online", "machine-offline", (uid, name)).await;
            }
            for (uid, name) in before.iter().filter(|(uid, _)| !now.contains_key(*uid)) {
                self.tell("machine-offline", "machine-online", (uid, name)).await;
            }
        }
        self.known = Some((run_id, now));
    }

    /// Writes the record when nobody else does. The claim of the opposite is over then: a machine that comes and
    /// goes within a minute has all of its records.
    async fn tell(&self, kind: &'static str, opposite: &str, (uid, name): (&String, &String)) {
        let mut claim = redis::cmd("SET");
        claim.arg(keys::claim(kind, uid)).arg(1).arg("NX").arg("EX").arg(keys::CLAIM_SECONDS);
        let claimed: Result<Option<String>, _> = self.pulse.redis.query(&claim).await;
        if !matches!(claimed, Ok(Some(_))) {
            return;
        }
        let mut over = redis::cmd("DEL");
        over.arg(keys::claim(opposite, uid));
        // A claim that stays ends by itself.
        let _ = self.pulse.redis.query::<i64>(&over).await;
        let class = (Level::Info, Category::Machinery, Tier::Local, Stage::Scope);
        let record = FlowRecord {
            source: Some("presence-reconciler".to_owned()),
            machine_id: Some(name.clone()),
            machine_uid: Some(uid.clone()),
            ..FlowRecord::new(class, kind.replace('-', "."), name.as_str())
        };
        let (flow, clock) = (self.pulse.flow.clone(), self.pulse.beacon.clock().clone());
        let written = tokio::task::spawn_blocking(move || Flow::new(flow, clock).append_durable(record));
        match written.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a record of a machine that came or went is lost"),
            Err(error) => tracing::warn!(%error, "a record of a machine that came or went is lost"),
        }
    }
}
