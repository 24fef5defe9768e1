//! The list of checks, and running them.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::{Finding, Machine, Outcome, Report};
use super::{
    agents, audit_chain, daemon, disk, duplicates, flow_sinks, home, identity, kept, links, models, peers,
    power, queue, redis_server, roles, sandbox, service, sessions, settings, shipper, skew, time, tokens,
    versions,
};
use crate::util::clock;

/// How long a check may take.
pub const LIMIT: Duration = Duration::from_secs(2);

/// One look at the machine.
pub trait Check: Sync {
    /// Its name, one to three words.
    fn name(&self) -> &'static str;
    /// Looks. May block; runs on a thread of its own.
    fn run(&self, machine: &Machine) -> Finding;
}

/// Every check, in the order of the report: what others stand on comes first.
const CHECKS: &[&dyn Check] = &[
    &settings::Config,
    &kept::KeptSettings,
    &home::Home,
    &identity::MachineName,
    &identity::Orchestrator,
    &time::TimeOfDay,
    &disk::DiskSpace,
    &flow_sinks::FlowSinks,
    &shipper::Shipper,
    &audit_chain::AuditChain,
    &daemon::Daemon,
    &service::Service,
    &power::Power,
    &tokens::Tokens,
    &links::Links,
    &sessions::Sessions,
    &roles::Roles,
    &agents::AgentClis,
    &models::ModelEndpoint,
    &sandbox::Sandbox,
    &redis_server::RedisServer,
    &queue::Queue,
    &peers::Peers,
    &duplicates::DuplicateIds,
    &versions::VersionSkew,
    &skew::ClockSkew,
];

/// Runs every check.
pub fn examine(machine: Machine) -> Report {
    examine_with(machine, CHECKS, LIMIT)
}

fn examine_with(machine: Machine, checks: &'static [&'static dyn Check], limit: Duration) -> Report {
    let machine = Arc::new(machine);
    let deadline = Instant::now() + limit;
    let running: Vec<_> = checks.iter().map(|check| (check.name(), start(*check, &machine))).collect();
    let outcomes = running.into_iter().map(|(name, answer)| {
        let left = deadline.saturating_duration_since(Instant::now());
        let finding = answer.recv_timeout(left).unwrap_or_else(|error| unanswered(error, limit));
        Outcome { name: name.into(), finding }
    });
    let outcomes = outcomes.collect();
    Report::new(machine.version, clock::millis(machine.clock.now()), outcomes)
}

/// A thread and not a task: a call into a hanging file system can't be cancelled, only left behind.
fn start(check: &'static dyn Check, machine: &Arc<Machine>) -> mpsc::Receiver<Finding> {
    let (tell, answer) = mpsc::sync_channel(1);
    let machine = Arc::clone(machine);
    std::thread::spawn(move || {
        // Nobody listens any more once the limit is over.
        let _ = tell.send(check.run(&machine));
    });
    answer
}

/// What has no answer by itself.
pub(super) fn unanswered(error: mpsc::RecvTimeoutError, limit: Duration) -> Finding {
    let finding = match error {
        mpsc::RecvTimeoutError::Timeout => format!("no answer within {} s", limit.as_secs_f32()),
        mpsc::RecvTimeoutError::Disconnected => "the check itself failed".to_owned(),
    };
    Finding::fail(
        finding,
        "a disk or a service that this check asks hangs",
        "look at `df` and `dmesg`, then run `darkmux doctor` again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use crate::doctor::State;
    use crate::util::Clock;

    struct Fine;
    struct Hangs;
    struct Breaks;

    impl Check for Fine {
        fn name(&self) -> &'static str {
            "fine"
        }
        fn run(&self, _: &Machine) -> Finding {
            Finding::pass("well")
        }
    }

    impl Check for Hangs {
        fn name(&self) -> &'static str {
            "hangs"
        }
        fn run(&self, _: &Machine) -> Finding {
            std::thread::park_timeout(Duration::from_mins(1));
            Finding::pass("late")
        }
    }

    impl Check for Breaks {
        fn name(&self) -> &'static str {
            "breaks"
        }
        fn run(&self, _: &Machine) -> Finding {
            panic!("on purpose")
        }
    }

    #[test]
    fn a_check_that_hangs_or_breaks_is_a_finding_and_keeps_nobody() {
        let machine = Machine::of(Environment::of([("HOME", "/nowhere")]), Clock::System).unwrap();
        let started = Instant::now();
        let report = examine_with(machine, &[&Hangs, &Breaks, &Fine], Duration::from_secs(2));
        assert!(started.elapsed() < Duration::from_secs(30));
        let found: Vec<_> =
            report.checks.iter().map(|check| (check.finding.state, check.finding.finding.as_str())).collect();
        assert_eq!(
            found,
            [
                (State::Fail, "no answer within 2 s"),
                (State::Fail, "the check itself failed"),
                (State::Pass, "well")
            ]
        );
    }
}
