//! Whether the fleet's Redis is there, is new enough, keeps what it takes, and lets nobody do more than needed.

use super::others::{self, PATIENCE};
use super::{Check, Finding, Machine, State, question};
use crate::config::Origin;
use crate::fleet::{Access, ServerReport};
use crate::service::hub::{self, HubFiles};
use crate::store::{RedisClass, RedisFault, RedisTarget};
use crate::util::human;

/// The user that darkmux needs, for `redis-cli`; docs/OPERATIONS.md explains it.
const ACL: &str = "redis-cli ACL SETUSER darkmux on '>PASSWORD' resetkeys '~darkmux:*' resetchannels '&darkmux:*' \
                   -@all +@read +@write +@stream +@hash +@string +@sortedset +@set +@pubsub +@scripting \
                   +@connection +@keyspace -@dangerous -@admin -function '-script|flush' '-script|kill' +time +info";

/// Above this an answer takes long.
const SLOW_MS: u128 = 250;

/// The server.
pub struct RedisServer;

impl Check for RedisServer {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn run(&self, machine: &Machine) -> Finding {
        let Some(redis) = others::redis(machine) else { return unset(machine) };
        match question(PATIENCE, ServerReport::ask(&redis, &machine.clock)) {
            Ok(Ok(report)) => judge(&report, redis.target()),
            Ok(Err(fault)) => unusable(&fault, redis.target(), start(machine)),
            Err(late) => {
                let words = format!("{}: {late}", redis.shown());
                Finding::fail(words, WHY_UNREACHABLE, RedisClass::Silent.remedy())
            }
        }
    }
}

const WHY_UNREACHABLE: &str =
    "other machines get no work from here and none of this machine's records; everything local goes on";

/// Not set, or set so that it can't be used.
fn unset(machine: &Machine) -> Finding {
    match machine.config.redis() {
        Err(error) => Finding::fail(error.to_string(), WHY_UNREACHABLE, "darkmux config list --origin"),
        Ok(_) => others::alone(),
    }
}

/// What starts the Redis that is set, by where it is and where the setting comes from.
fn start(machine: &Machine) -> String {
    let config = &machine.config;
    let files = HubFiles::new(&config.paths);
    if let Ok(Some(hub)) = files.read()
        && hub::is_used(config, &files, &hub) == Ok(true)
    {
        return "darkmux hub up".to_owned();
    }
    let key = config.redis_url().map_or("redis.url", |(_, key)| key);
    let setting = match config.settings.get(key).map(|setting| setting.origin) {
        Ok(Origin::Env(name)) => name,
        _ => key,
    };
    format!("start it there (`brew services start redis`, `systemctl start redis`), or mend {setting}")
}

fn unusable(fault: &RedisFault, target: &RedisTarget, start: String) -> Finding {
    let words = match fault.class() {
        RedisClass::Unreachable => format!("{} can't be reached: {}", target.shown(), fault.detail()),
        RedisClass::Silent => format!("{} does not answer", target.shown()),
        RedisClass::NoRedis => format!("what answers at {} is no Redis", target.shown()),
        RedisClass::Auth if fault.lacks_password() => format!("{} asks for a password", target.shown()),
        _ => format!("{} refuses: {}", target.shown(), fault.detail()),
    };
    let class = fault.class();
    let fix = if class == RedisClass::Unreachable { start } else { class.remedy().to_owned() };
    Finding::fail(words, WHY_UNREACHABLE, fix)
}

/// All is looked at; the worst is the finding, the others are its details with the commands that mend them.
fn judge(report: &ServerReport, target: &RedisTarget) -> Finding {
    let mut found = problems(report, target);
    found.sort_by_key(|finding| std::cmp::Reverse(finding.state));
    let mut found = found.into_iter();
    let Some(worst) = found.next() else { return Finding::pass(well(report, target)) };
    let line = |other: Finding| format!("also: {} → {}", other.finding, other.fix.unwrap_or_default());
    let details = found.map(line).collect();
    worst.details(details)
}

fn well(report: &ServerReport, target: &RedisTarget) -> String {
    let ServerReport { product, version, latency, .. } = report;
    let latency = latency.as_secs_f64() * 1000.0;
    format!("{product} {version} at {}, {latency:.1} ms, append-only file on, noeviction", target.shown())
}

fn problems(report: &ServerReport, target: &RedisTarget) -> Vec<Finding> {
    let mut found = Vec::new();
    if !report.is_supported() {
        found.push(Finding::fail(
            format!(
                "it is {} {}; Redis 7.0 or Valkey 7.2 is the oldest that works",
                report.product, report.version
            ),
            "the queue's scripts need commands that it does not have",
            "brew upgrade redis, or the packages of redis.io or valkey.io; then restart it",
        ));
    }
    found.extend(keeping(report));
    found.extend(memory(report));
    found.extend(access(report, target));
    let latency = report.latency.as_millis();
    if latency > SLOW_MS {
        found.push(Finding::warn(
            format!("an answer takes {latency} ms"),
            "every claim and every record waits for it",
            "look at the network to it, and at `redis-cli SLOWLOG GET`",
        ));
    }
    found
}

fn keeping(report: &ServerReport) -> Option<Finding> {
    if let Some(error) = &report.persistence_error {
        return Some(Finding::fail(
            error.clone(),
            "it refuses writes, or loses them at its next restart",
            "make room on its disk, then look at its log",
        ));
    }
    (report.aof == Some(false)).then(|| {
        Finding::fail(
            "its append-only file is off",
            "jobs and records of the last minutes are gone when it restarts",
            "redis-cli CONFIG SET appendonly yes; redis-cli CONFIG REWRITE",
        )
    })
}

fn memory(report: &ServerReport) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(policy) = report.policy.as_ref().filter(|policy| *policy != "noeviction") {
        let words = format!("its maxmemory-policy is {policy}");
        let why = "it throws jobs away when its memory is full, where it should refuse new ones";
        let fix = "redis-cli CONFIG SET maxmemory-policy noeviction; redis-cli CONFIG REWRITE";
        // Without a limit nothing is thrown away, until somebody sets one.
        let state = if report.maxmemory > 0 { State::Fail } else { State::Warn };
        found.push(Finding { state, ..Finding::warn(words, why, fix) });
    }
    if report.maxmemory > 0 && report.used_memory > report.maxmemory / 10 * 9 {
        let (used, max) = (human::bytes(report.used_memory), human::bytes(report.maxmemory));
        let words = format!("{used} of its {max} are taken");
        let fix = "redis-cli CONFIG SET maxmemory SIZE, or: darkmux config set redis.maxlen 50000";
        found.push(if report.used_memory >= report.maxmemory {
            Finding::fail(words, "it takes no further job until it has room", fix)
        } else {
            Finding::warn(words, "it takes no further job when its memory is full", fix)
        });
    }
    found
}

fn access(report: &ServerReport, target: &RedisTarget) -> Option<Finding> {
    if report.is_local {
        return None;
    }
    if !target.has_password() {
        return Some(Finding::fail(
            "it is on another machine and takes no password",
            "whoever reaches it can run commands on every runner",
            "set requirepass in its redis.conf, then: darkmux config set redis.password_file FILE",
        ));
    }
    match &report.access {
        Access::Everything(user) => Some(Finding::warn(
            format!("its user {user} may do everything"),
            "whoever learns the password can do to the server what an administrator can",
            ACL,
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn good() -> ServerReport {
        ServerReport {
            product: "Redis",
            version: "7.0.15".into(),
            latency: Duration::from_micros(400),
            aof: Some(true),
            policy: Some("noeviction".into()),
            access: Access::Restricted,
            ..ServerReport::default()
        }
    }

    fn target(url: &str) -> RedisTarget {
        RedisTarget::parse(url).unwrap()
    }

    #[test]
    fn a_server_that_is_well_passes_with_what_it_is() {
        let found = judge(&good(), &target("redis://u:canary@hub"));
        assert_eq!(found.state, State::Pass, "{found:?}");
        assert!(found.finding.contains("7.0.15") && !found.finding.contains("canary"), "{found:?}");
    }

    #[test]
    fn the_rights_that_are_told_are_those_of_a_hub() {
        let words = shell_words::split(ACL).unwrap().join(" ");
        assert!(words.ends_with(&format!(">PASSWORD {}", hub::RIGHTS)), "{words}");
    }

    #[test]
    fn each_defect_is_found_with_its_command() {
        let hub = "redis://u:p@hub";
        for (report, url, state, says, fix) in [
            (ServerReport { version: "6.2.1".into(), ..good() }, hub, State::Fail, "6.2.1", "upgrade"),
            (ServerReport { aof: Some(false), ..good() }, hub, State::Fail, "append-only", "appendonly yes"),
            (
                ServerReport { persistence_error: Some("its last snapshot failed".into()), ..good() },
                hub,
                State::Fail,
                "snapshot",
                "room",
            ),
            (
                ServerReport { policy: Some("allkeys-lru".into()), maxmemory: 9, ..good() },
                hub,
                State::Fail,
                "allkeys-lru",
                "noeviction",
            ),
            (
                ServerReport { policy: Some("allkeys-lru".into()), ..good() },
                hub,
                State::Warn,
                "allkeys-lru",
                "noeviction",
            ),
            (
                ServerReport { maxmemory: 100, used_memory: 95, ..good() },
                hub,
                State::Warn,
                "taken",
                "maxmemory",
            ),
            (good(), "redis://hub", State::Fail, "no password", "requirepass"),
            (
                ServerReport { access: Access::Everything("default".into()), ..good() },
                hub,
                State::Warn,
                "default",
                "ACL SETUSER",
            ),
            (
                ServerReport { latency: Duration::from_secs(1), ..good() },
                hub,
                State::Warn,
                "1000 ms",
                "network",
            ),
        ] {
            let found = judge(&report, &target(url));
            assert_eq!(found.state, state, "{found:?}");
            assert!(found.finding.contains(says) && found.fix.as_ref().unwrap().contains(fix), "{found:?}");
        }
    }

    #[test]
    fn the_worst_comes_first_and_the_others_are_named() {
        let report =
            ServerReport { aof: Some(false), policy: Some("allkeys-lru".into()), is_local: true, ..good() };
        let found = judge(&report, &target("redis://127.0.0.1"));
        assert_eq!((found.state, found.details.len()), (State::Fail, 1));
        assert!(found.details[0].contains("noeviction"), "{found:?}");
    }
}
