//! A real queue and the model of it, side by side.

use std::collections::{HashMap, HashSet};

use darkmux::model::{JobState, MachineId, SessionId};
use darkmux::store::{Redis, RedisTarget};
use darkmux::wire::{JobSpec, Lane, WorkJob};
use darkmux::work::{Beat, Claim, Finish, Offer, Published, Queue, Retried, Seat};

use super::model::{End, Model, Op, Seen, Token};
use crate::support::RedisServer;
use crate::support::queue::{job, numbers, result, seat};

/// The script that observers run, as the queue sends it.
const RECONCILE: &str = concat!(
    "#!lua flags=allow-oom\n",
    include_str!("../../../src/work/scripts/lib.lua"),
    include_str!("../../../src/work/scripts/others.lua"),
    include_str!("../../../src/work/scripts/queueing.lua"),
    include_str!("../../../src/work/scripts/reconcile.lua")
);

/// The script that observers run on every lane.
const STRAY: &str = concat!(
    "#!lua flags=allow-oom\n",
    include_str!("../../../src/work/scripts/lib.lua"),
    include_str!("../../../src/work/scripts/others.lua"),
    include_str!("../../../src/work/scripts/stray.lua")
);

/// Every key with what `DUMP` says of it.
type Dump = Vec<(String, Vec<u8>)>;

/// What a runner knows of a job that it was given.
#[derive(Clone)]
struct Given {
    job: usize,
    seat: usize,
    token: Token,
    claim: Claim,
}

pub struct World<'a> {
    server: &'a RedisServer,
    redis: Redis,
    queue: Queue,
    seats: Vec<Seat>,
    nonces: Vec<String>,
    made: u32,
    streams: Vec<String>,
    given: Vec<Given>,
    looks: HashMap<usize, (Option<Token>, u64)>,
    model: Model,
    saved: Option<(Dump, Model)>,
    /// The token whose result counts, by job and how often it was retried.
    accepted: HashMap<(usize, u32), Token>,
    lives: HashMap<usize, u32>,
    /// Attempts that ended, were lost or given back, as Redis knows; and as it knew in the state that was saved.
    over: HashSet<(usize, Token)>,
    over_then: HashSet<(usize, Token)>,
}

fn id(job: usize) -> SessionId {
    SessionId::new(format!("job-{job}")).unwrap()
}

fn text(token: &Token) -> String {
    format!("{}-{}", token.0, token.1)
}

/// The lane that a job was published to, and its key.
fn place(claim: &Claim) -> (Lane, Option<usize>) {
    let key = claim.spec.key.as_ref().map(|key| key["key-".len()..].parse().unwrap());
    (claim.spec.lane.clone(), key)
}

fn documents(number: usize, pinned: bool) -> (WorkJob, JobSpec) {
    let (job, mut spec) = job(&format!("job-{number}"), "true");
    if pinned {
        spec.lane = Lane { pin: MachineId::new("studio").ok(), ..Lane::default() };
    }
    (job, spec)
}

impl<'a> World<'a> {
    pub async fn new(server: &'a RedisServer) -> Self {
        let redis = Redis::new(RedisTarget::parse(&server.url()).unwrap());
        let queue = Queue::new(redis.clone(), numbers(), None);
        let lanes = [false, true].map(|pinned| documents(0, pinned).1.lane.stream().unwrap());
        let world = Self {
            server,
            redis,
            queue,
            seats: ["one", "two", "three"].map(seat).into(),
            // No two runners have one nonce, also before they claimed for the first time.
            nonces: (0..3).map(|seat| format!("first{seat}")).collect(),
            made: 0,
            streams: lanes.into(),
            given: Vec::new(),
            looks: HashMap::new(),
            model: Model::default(),
            saved: None,
            accepted: HashMap::new(),
            lives: HashMap::new(),
            over: HashSet::new(),
            over_then: HashSet::new(),
        };
        world.command::<()>(&["FLUSHALL"]).await;
        world
    }

    async fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        self.redis.query(&command).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    fn given(&self, back: usize) -> Option<Given> {
        let at = self.given.len().checked_sub(back + 1)?;
        Some(self.given[at].clone())
    }

    pub async fn step(&mut self, op: &Op) {
        let held = self.model.holders();
        self.act(op).await;
        self.compare(op).await;
        // Whatever took a job from its holder ended that attempt; where the database went back, nothing did.
        if matches!(op, Op::GoBack) {
            self.over.clone_from(&self.over_then);
        } else {
            let holders = self.model.holders();
            self.over.extend(held.into_iter().filter(|was| !holders.contains(was)));
        }
        for holder in self.model.holders() {
            assert!(!self.over.contains(&holder), "{holder:?} was over and is back after {op:?}");
        }
        if matches!(op, Op::Save) {
            self.over_then.clone_from(&self.over);
        }
    }

    async fn act(&mut self, op: &Op) {
        match op {
            Op::Publish { job, key, delayed, pinned } => self.publish(*job, *key, *delayed, *pinned).await,
            Op::Claim { seat, again } => self.claim(*seat, *again).await,
            Op::Cancel(job) => {
                let told = self.queue.cancel(&id(*job), "enough").await;
                assert_eq!(told.ok(), self.model.cancel(*job));
            }
            Op::Retry(job) => self.retry(*job).await,
            Op::Offer(job) => {
                let own = documents(*job, false).1.lane;
                let own = self.model.jobs.get(job).map_or(own, |job| job.own.clone());
                let told = self.queue.offer_again(&id(*job), &own, true).await.unwrap();
                assert_eq!(told, self.model.offer(*job));
            }
            Op::Look(job) => {
                let job_now = self.model.jobs.get(job).map(|job| (job.token.clone(), job.beats));
                self.looks.extend(job_now.map(|now| (*job, now)));
            }
            Op::Reconcile { job, seen, deep, stray, max_losses, at_once } => {
                self.reconcile(*job, *seen, (*deep, *stray), (*max_losses, *at_once)).await;
            }
            Op::Beat(back) | Op::Decline(back) | Op::Refuse(back) | Op::Resume(back) => {
                if let Some(given) = self.given(*back) {
                    self.holder(op, &given).await;
                }
            }
            Op::Finish { token, end, retries } => self.finish(*token, *end, *retries).await,
            Op::Reassert { token, end } => self.reassert(*token, *end).await,
            _ => self.outside(op).await,
        }
    }

    async fn publish(&mut self, number: usize, key: Option<usize>, delayed: bool, pinned: bool) {
        let (job, mut spec) = documents(number, pinned);
        spec.key = key.map(|key| format!("key-{key}"));
        spec.delay_ms = if delayed { 3_600_000 } else { 0 };
        let told = self.queue.publish(&job, &spec).await.unwrap();
        let before = self.model.publish(number, key, delayed, spec.lane);
        assert_eq!(told, before.map_or(Published::New, |before| Published::Before(id(before))));
        if told == Published::New {
            *self.lives.entry(number).or_default() += 1;
        }
    }

    async fn claim(&mut self, seat: usize, again: bool) {
        if !again {
            self.made += 1;
            self.nonces[seat] = format!("n{}", self.made);
        }
        let nonce = self.nonces[seat].clone();
        let offer = self.queue.claim(&self.seats[seat], &self.streams, &nonce, again).await.unwrap();
        let modelled = self.model.claim(seat, &nonce, again, &self.streams);
        match (offer, modelled) {
            (Offer::Job(claim), Some((job, token))) => {
                assert_eq!((&claim.id, &claim.token), (&id(job), &text(&token)));
                self.given.push(Given { job, seat, token, claim: *claim });
            }
            (Offer::Nothing { wait_ms: 0, .. }, None) => {}
            (offer, modelled) => panic!("{offer:?} where the model has {modelled:?}"),
        }
    }

    async fn holder(&mut self, op: &Op, given: &Given) {
        let Given { job, seat, token, claim } = given;
        let seat = &self.seats[*seat].clone();
        match op {
            Op::Beat(_) => {
                let told = self.queue.beat(&claim.id, &claim.token).await.unwrap();
                assert_eq!(told, self.model.beat(*job, token));
            }
            Op::Decline(_) => {
                self.queue.decline(seat, claim, "not here").await.unwrap();
                self.model.decline(*job, token, &seat.consumer);
                if self.nonces[given.seat] == token.1 {
                    // Who has had the answer to a claim does not ask for it again.
                    self.made += 1;
                    self.nonces[given.seat] = format!("n{}", self.made);
                }
                if let Some(job) = self.model.jobs.get(job) {
                    let stream = job.lane.stream().unwrap();
                    if !self.streams.contains(&stream) {
                        self.streams.push(stream);
                    }
                }
            }
            Op::Refuse(_) => {
                self.queue.refuse(&claim.id, &claim.token, "never").await.unwrap();
                self.model.refuse(*job, token);
            }
            _ => {
                let told = self.queue.resume(seat, claim).await.unwrap();
                let before = (claim.before.fails, claim.before.losses);
                assert_eq!(told, self.model.resume(*job, token, place(claim), before));
            }
        }
    }

    /// One result counts in a job's life, and only its holder's.
    fn accept(&mut self, given: &Given) {
        let life = self.lives.get(&given.job).copied().unwrap_or_default();
        let counts = self.accepted.entry((given.job, life)).or_insert_with(|| given.token.clone());
        assert_eq!(*counts, given.token, "two results of job {}", given.job);
    }

    async fn finish(&mut self, back: usize, end: End, retries: u32) {
        let Some(given) = self.given(back) else { return };
        let (id, token) = (&given.claim.id, &given.claim.token);
        let was = self.model.jobs.get(&given.job).cloned();
        let told = self.queue.finish(id, token, end.outcome(), (&result(), retries)).await.unwrap();
        assert_eq!(told, self.model.finish(given.job, &given.token, end, retries));
        if told == Finish::Accepted {
            assert_eq!(was.and_then(|job| job.token).as_ref(), Some(&given.token));
            self.accept(&given);
        }
    }

    async fn reassert(&mut self, back: usize, end: End) {
        let Some(given) = self.given(back) else { return };
        let Given { job, token, claim, .. } = &given;
        let documents = (&claim.job, &claim.spec);
        let was_final = self.model.jobs.get(job).is_some_and(|job| job.state.is_final());
        let told = self.queue.reassert(documents, &claim.token, end.outcome(), &result()).await.unwrap();
        assert_eq!(told, self.model.reassert(*job, token, end, place(claim)));
        let is_final = self.model.jobs.get(job).is_some_and(|job| job.state.is_final());
        if is_final && !was_final {
            self.accept(&given);
        }
    }

    async fn retry(&mut self, job: usize) {
        let told = self.queue.retry(&id(job)).await.ok();
        match self.model.retry(job) {
            None => assert_eq!(told, None),
            Some(false) if self.model.offer(job) => assert_eq!(told, Some(Retried::Offered)),
            Some(false) => assert_eq!(told, Some(Retried::Live(self.model.jobs[&job].state))),
            Some(true) => {
                assert_eq!(told, Some(Retried::Queued));
                *self.lives.entry(job).or_default() += 1;
            }
        }
    }

    async fn reconcile(
        &mut self,
        job: usize,
        seen: Seen,
        (deep, stray): (bool, bool),
        (max_losses, at_once): (u32, bool),
    ) {
        let now = self.model.jobs.get(&job).map(|job| (job.token.clone(), job.beats));
        let seen = match seen {
            Seen::Now => now.unwrap_or_default(),
            Seen::Before => self.looks.get(&job).cloned().unwrap_or_default(),
            Seen::OneBeatAgo => {
                let (token, beats) = now.unwrap_or_default();
                (token, beats.wrapping_sub(1))
            }
            Seen::Never => (Some((99, "never".into())), 0),
        };
        let script = redis::Script::new(RECONCILE);
        let mut call = script.prepare_invoke();
        call.arg(id(job).as_str()).arg(seen.0.as_ref().map_or("none".into(), text)).arg(seen.1);
        call.arg(max_losses).arg(if at_once { 0 } else { 3_600_000 }).arg(600);
        call.arg(if stray { 0 } else { 3_600_000 }).arg(u8::from(deep));
        let _: Vec<String> = self.redis.script(&call).await.unwrap();
        self.model.reconcile(job, &seen, (deep, stray), (max_losses, at_once));
    }

    /// What happens to Redis behind everybody's back.
    async fn outside(&mut self, op: &Op) {
        match op {
            Op::Due(job) => {
                let due = "if redis.call('HGET',KEYS[1],'state')=='waiting' then redis.call('HSET',KEYS[1],'due',1) end";
                self.command::<()>(&["EVAL", due, "1", &format!("darkmux:job:job-{job}")]).await;
                self.model.due(*job);
            }
            Op::StrangerAcks(job) | Op::StrangerDeletes(job) => {
                let acks = matches!(op, Op::StrangerAcks(_));
                let key = format!("darkmux:job:job-{job}");
                let (lane, entry): (Option<String>, Option<String>) =
                    self.command(&["HMGET", &key, "lane", "entry"]).await;
                if let (Some(lane), Some(entry)) = (lane, entry.filter(|entry| !entry.is_empty())) {
                    if acks {
                        self.command::<u64>(&["XACK", &lane, "darkmux-runners", &entry]).await;
                    } else {
                        self.command::<u64>(&["XDEL", &lane, &entry]).await;
                    }
                }
                self.model.stranger(*job, acks);
            }
            Op::StrangerAdds(job) => {
                if self.model.jobs.contains_key(job) {
                    let id = id(*job);
                    let add =
                        ["XADD", "darkmux:work", "*", "schema", "3", "record", "{}", "job", id.as_str()];
                    self.command::<String>(&add).await;
                }
                self.model.stranger_adds(*job);
            }
            Op::StrangerReads => {
                for stream in &self.streams {
                    let read = [
                        "XREADGROUP",
                        "GROUP",
                        "darkmux-runners",
                        "stray:1",
                        "COUNT",
                        "1",
                        "STREAMS",
                        stream,
                    ];
                    let mut command = redis::cmd(read[0]);
                    command.arg(&read[1..]).arg(">");
                    // Where there is no group there is nothing to read.
                    let _ = self.redis.query::<redis::Value>(&command).await;
                }
                self.model.stranger_reads(&self.streams);
            }
            Op::Trim => {
                for stream in &self.streams {
                    self.command::<u64>(&["XTRIM", stream, "MAXLEN", "0"]).await;
                }
                self.model.trim();
            }
            Op::DestroyGroups => {
                for stream in &self.streams {
                    let mut destroy = redis::cmd("XGROUP");
                    destroy.arg("DESTROY").arg(stream).arg("darkmux-runners");
                    let _ = self.redis.query::<u64>(&destroy).await;
                }
                self.model.destroy_groups();
            }
            Op::FlushScripts => self.command::<()>(&["SCRIPT", "FLUSH"]).await,
            Op::Save => self.saved = Some((self.dump().await, self.model.clone())),
            Op::GoBack => self.go_back().await,
            other => panic!("{other:?} is no outside one"),
        }
    }

    async fn dump(&self) -> Dump {
        let keys: Vec<String> = self.command(&["KEYS", "*"]).await;
        let mut dump = Vec::with_capacity(keys.len());
        for key in keys {
            let bytes: Vec<u8> = self.command(&["DUMP", &key]).await;
            dump.push((key, bytes));
        }
        dump
    }

    async fn go_back(&mut self) {
        let Some((dump, model)) = self.saved.clone() else { return };
        self.command::<()>(&["FLUSHALL"]).await;
        for (key, bytes) in dump {
            let mut restore = redis::cmd("RESTORE");
            restore.arg(key).arg(0).arg(bytes);
            self.redis.query::<()>(&restore).await.unwrap();
        }
        self.model = model;
        // What was accepted since then was forgotten with the rest.
        for life in self.lives.values_mut() {
            *life += 1;
        }
    }

    async fn compare(&self, op: &Op) {
        for number in 0..super::JOBS {
            let fields = ["state", "tok", "attempt", "hb", "fails", "losses"];
            let key = format!("darkmux:job:job-{number}");
            let mut ask = redis::cmd("HMGET");
            ask.arg(key).arg(&fields);
            let real: Vec<Option<String>> = self.redis.query(&ask).await.unwrap();
            let Some(model) = self.model.jobs.get(&number) else {
                assert_eq!(real[0], None, "job {number} after {op:?}");
                continue;
            };
            let state = Some(model.state.as_str().to_owned());
            let token = real[1].clone().filter(|token| token != "none");
            assert_eq!(
                (&real[0], token, real[2].clone()),
                (&state, model.token.as_ref().map(text), Some(model.attempt.to_string())),
                "job {number} after {op:?}"
            );
            if !model.state.is_final() {
                let counts = [model.fails, model.losses].map(|count| Some(count.to_string()));
                assert_eq!(real[4..], counts, "job {number} after {op:?}");
            }
            if model.state == JobState::Running {
                assert_eq!(real[3], Some(model.beats.to_string()), "job {number} after {op:?}");
            }
        }
    }

    /// At most one of all the tokens that were ever handed out for a job holds it.
    pub async fn nobody_shares_a_job(&mut self) {
        for number in 0..super::JOBS {
            let mut holders = Vec::new();
            for given in self.given.iter().filter(|given| given.job == number) {
                let told = self.queue.beat(&given.claim.id, &given.claim.token).await.unwrap();
                if matches!(told, Some(Beat::Held | Beat::Cancel(_))) {
                    holders.push(given.claim.token.clone());
                    self.model.beat(number, &given.token);
                }
            }
            holders.dedup();
            assert!(holders.len() <= 1, "job {number} is held by {holders:?}");
        }
    }

    /// When nothing goes wrong any more every job comes to its end, and nothing is left over.
    pub async fn settles(&mut self) {
        for _ in 0..8 {
            for job in 0..super::JOBS {
                self.step(&Op::Due(job)).await;
                let lost = Op::Reconcile {
                    job,
                    seen: Seen::Now,
                    deep: true,
                    stray: true,
                    max_losses: 100,
                    at_once: true,
                };
                self.step(&lost).await;
            }
            for seat in 0..super::SEATS {
                self.step(&Op::Claim { seat, again: false }).await;
                self.step(&Op::Finish { token: 0, end: End::Done, retries: 0 }).await;
            }
        }
        for (number, job) in &self.model.jobs {
            assert!(job.state.is_final(), "job {number} never ended: {job:?}");
        }
        assert_eq!(self.command::<u64>(&["SCARD", "darkmux:live"]).await, 0);
        for stream in &self.streams {
            let script = redis::Script::new(STRAY);
            let mut call = script.prepare_invoke();
            call.arg(stream).arg(0).arg(3_600_000);
            let _: Vec<String> = self.redis.script(&call).await.unwrap();
            assert_eq!(self.command::<u64>(&["XLEN", stream]).await, 0, "{stream}");
            let pending = self.server_pending(stream).await;
            assert_eq!(pending, 0, "{stream}");
        }
        assert_eq!(self.server.cli(&["PING"]), "PONG");
    }

    async fn server_pending(&self, stream: &str) -> u64 {
        let mut ask = redis::cmd("XPENDING");
        ask.arg(stream).arg("darkmux-runners");
        let summary = self.redis.query::<redis::Value>(&ask).await;
        match summary {
            Ok(redis::Value::Array(parts)) => match parts.first() {
                Some(redis::Value::Int(count)) => u64::try_from(*count).unwrap(),
                other => panic!("{other:?}"),
            },
            // No group, nothing pending.
            _ => 0,
        }
    }
}
