//! What goes wrong, and how often.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::machines::Machine;
use crate::support::{Fault, FaultProxy, RedisServer};

/// Numbers that depend on the seed alone (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `below`, which is left out.
    pub fn below(&mut self, below: u64) -> u64 {
        self.next() % below
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.below(of.len() as u64)).expect("an index")]
    }

    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

/// Everything that can be broken.
pub struct Nemesis<'a> {
    pub dice: Dice,
    pub redis: &'a mut RedisServer,
    pub machines: &'a mut [Machine],
    pub publishers: &'a FaultProxy,
    /// Whether Redis may lose its newest writes.
    pub goes_back: bool,
    /// How often each was done.
    pub done: BTreeMap<&'static str, u32>,
    /// What is broken now, and until when.
    mends: Vec<(Instant, Mend)>,
}

#[derive(Clone, Copy)]
enum Mend {
    Start(usize),
    Continue(usize),
    Network(usize),
    Publishers,
}

/// Each as often as it stands here.
const FAULTS: &[&str] = &[
    "kill runner",
    "kill runner",
    "kill machine",
    "kill machine",
    "stop runner",
    "stop runner",
    "kill Redis",
    "stop Redis",
    "Redis goes back",
    "cut runner off",
    "drop replies",
    "delay",
    "reset",
    "drop publishers' replies",
    "XTRIM",
    "XGROUP DESTROY",
    "XGROUP DELCONSUMER",
    "stray XREADGROUP and XACK",
    "SCRIPT FLUSH",
    "DEL lanes",
];

impl<'a> Nemesis<'a> {
    pub fn new(
        seed: u64,
        redis: &'a mut RedisServer,
        machines: &'a mut [Machine],
        publishers: &'a FaultProxy,
    ) -> Self {
        let (done, mends) = (BTreeMap::new(), Vec::new());
        Self { dice: Dice(seed), redis, machines, publishers, goes_back: false, done, mends }
    }

    /// Breaks and mends until the time is over, then mends everything.
    pub fn rage(&mut self, time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            let pause = self.dice.millis(100, 700);
            self.wait(pause);
            let fault = self.dice.pick(FAULTS);
            if self.strike(fault) {
                *self.done.entry(fault).or_default() += 1;
            }
        }
        for (_, mend) in std::mem::take(&mut self.mends) {
            self.mend(mend);
        }
    }

    /// Lets time pass, and mends what is due.
    fn wait(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
            let now = Instant::now();
            let (due, later) = std::mem::take(&mut self.mends).into_iter().partition(|(at, _)| *at <= now);
            self.mends = later;
            let due: Vec<(Instant, Mend)> = due;
            for (_, mend) in due {
                self.mend(mend);
            }
        }
    }

    fn mend(&mut self, mend: Mend) {
        match mend {
            Mend::Start(machine) => self.machines[machine].start(),
            Mend::Continue(machine) => self.machines[machine].signal("CONT"),
            Mend::Network(machine) => self.machines[machine].network(Fault::None),
            Mend::Publishers => self.publishers.set(Fault::None),
        }
    }

    fn later(&mut self, from: u64, to: u64, mend: Mend) {
        let at = Instant::now() + self.dice.millis(from, to);
        self.mends.push((at, mend));
    }

    /// `false` when there was nothing to strike at.
    fn strike(&mut self, fault: &str) -> bool {
        let machine = usize::try_from(self.dice.below(self.machines.len() as u64)).expect("an index");
        match fault {
            "kill runner" | "kill machine" | "stop runner" => return self.strike_runner(fault, machine),
            "Redis goes back" if !self.goes_back => return false,
            "kill Redis" | "stop Redis" | "Redis goes back" => self.strike_redis(fault),
            "cut runner off" => self.cut(machine, Fault::BlackHole),
            "drop replies" => self.cut(machine, Fault::DropReplies),
            "delay" => self.cut(machine, Fault::Delay),
            "reset" => self.cut(machine, Fault::Reset),
            "drop publishers' replies" => {
                self.publishers.set(Fault::DropReplies);
                self.later(100, 1500, Mend::Publishers);
            }
            other => return self.strike_queue(other),
        }
        true
    }

    fn strike_runner(&mut self, fault: &str, machine: usize) -> bool {
        // One that is down or stopped already stays so until its time.
        let busy = |mend: &Mend| matches!(mend, Mend::Start(m) | Mend::Continue(m) if *m == machine);
        if self.mends.iter().any(|(_, mend)| busy(mend)) {
            return false;
        }
        if fault == "stop runner" {
            self.machines[machine].signal("STOP");
            self.later(200, 2500, Mend::Continue(machine));
            return true;
        }
        if fault == "kill machine" {
            self.machines[machine].crash();
        } else {
            self.machines[machine].kill();
        }
        self.later(10, 2000, Mend::Start(machine));
        true
    }

    fn strike_redis(&mut self, fault: &str) {
        match fault {
            "kill Redis" => {
                self.redis.kill();
                let down = self.dice.millis(10, 800);
                self.wait(down);
                self.redis.restart();
            }
            "stop Redis" => {
                self.redis.freeze();
                let frozen = self.dice.millis(200, 3000);
                self.wait(frozen);
                self.redis.thaw();
            }
            _ => self.go_back(),
        }
    }

    /// What the disk had not yet got when the power failed.
    fn go_back(&mut self) {
        let Some((file, length)) = self.log_of_writes() else { return };
        let unsynced = self.dice.millis(50, 1000);
        self.wait(unsynced);
        self.redis.kill();
        let file = std::fs::File::options().write(true).open(file).expect("the log of writes");
        file.set_len(length).expect("room to cut");
        self.redis.restart();
    }

    fn log_of_writes(&self) -> Option<(PathBuf, u64)> {
        let entries = std::fs::read_dir(self.redis.dir().join("appendonlydir")).ok()?;
        let paths = entries.flatten().map(|entry| entry.path());
        let newest = paths.filter(|path| path.to_string_lossy().ends_with(".incr.aof")).max()?;
        let length = std::fs::metadata(&newest).ok()?.len();
        Some((newest, length))
    }

    fn cut(&mut self, machine: usize, fault: Fault) {
        self.machines[machine].network(fault);
        self.later(100, 2500, Mend::Network(machine));
    }

    fn strike_queue(&mut self, fault: &str) -> bool {
        let streams = self.redis.cli(&["KEYS", "darkmux:work*"]);
        let streams: Vec<&str> = streams.lines().filter(|line| line.starts_with("darkmux:work")).collect();
        let group = "darkmux-runners";
        if streams.is_empty() {
            return false;
        }
        let stream = *self.dice.pick(&streams);
        match fault {
            "XTRIM" => drop(self.redis.cli(&["XTRIM", stream, "MAXLEN", "0"])),
            "XGROUP DESTROY" => drop(self.redis.cli(&["XGROUP", "DESTROY", stream, group])),
            "XGROUP DELCONSUMER" => {
                let consumers = self.redis.cli(&["XINFO", "CONSUMERS", stream, group]);
                let names: Vec<&str> = consumers.lines().filter(|line| line.contains(':')).collect();
                if !names.is_empty() {
                    let name = *self.dice.pick(&names);
                    self.redis.cli(&["XGROUP", "DELCONSUMER", stream, group, name]);
                }
            }
            "stray XREADGROUP and XACK" => {
                let read = ["XREADGROUP", "GROUP", group, "stray:1", "COUNT", "2", "STREAMS", stream, ">"];
                let read = self.redis.cli(&read);
                // The first of what it read is acknowledged, the second left pending.
                if let Some(entry) = read.lines().nth(1) {
                    self.redis.cli(&["XACK", stream, group, entry]);
                }
                let pending = self.redis.cli(&["XPENDING", stream, group, "-", "+", "5"]);
                if let Some(entry) = pending.lines().next() {
                    self.redis.cli(&["XACK", stream, group, entry]);
                }
            }
            "SCRIPT FLUSH" => drop(self.redis.cli(&["SCRIPT", "FLUSH"])),
            "DEL lanes" => drop(self.redis.cli(&["DEL", "darkmux:lanes"])),
            other => panic!("no such fault: {other}"),
        }
        true
    }
}
