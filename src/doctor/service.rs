//! Whether the system keeps the daemon running, where it was told to.

use std::time::Duration;

use futures_util::future::try_join_all;

use super::{Check, Finding, Machine, question};
use crate::service::hub::HubFiles;
use crate::service::{Kind, Look, Manager, Services};

/// How long the service manager may take altogether.
const PATIENCE: Duration = Duration::from_millis(1500);

/// The services.
pub struct Service;

impl Check for Service {
    fn name(&self) -> &'static str {
        "service"
    }

    fn run(&self, machine: &Machine) -> Finding {
        let Ok(services) = Services::of_path(&machine.config) else {
            return Finding::pass("not looked at: there is no home folder");
        };
        let is_hub = is_hub(machine);
        if !services.is_installed(Kind::Serve) {
            return absent(services.manager(), is_hub);
        }
        let looks = try_join_all(Kind::ALL.map(|kind| services.look(kind, PATIENCE)));
        let looks = question(PATIENCE, looks);
        match looks {
            Ok(Ok(looks)) => judge(&looks, is_hub),
            Ok(Err(error)) => unknown(&error.to_string()),
            Err(late) => unknown(&late),
        }
    }
}

/// Whether this machine keeps the Redis of its fleet.
pub fn is_hub(machine: &Machine) -> bool {
    matches!(HubFiles::new(&machine.config.paths).read(), Ok(Some(_)))
}

fn absent(manager: Manager, is_hub: bool) -> Finding {
    if is_hub && manager != Manager::None {
        return Finding::warn(
            "not installed, and this machine is the hub of its fleet",
            "after a restart or a crash nobody starts the daemon",
            "darkmux service install",
        );
    }
    Finding::pass(match manager {
        Manager::None => "this machine has no service manager that darkmux knows",
        _ => "not installed; `darkmux service install` would keep the daemon running",
    })
}

fn unknown(why: &str) -> Finding {
    Finding::warn(
        format!("installed, and the service manager does not say how it is: {why}"),
        "whether the daemon is started again after a crash is not known",
        "darkmux service status",
    )
}

/// The worst of what was found.
fn judge(looks: &[Look], is_hub: bool) -> Finding {
    for look in looks {
        let of_hub = look.kind == Kind::Redis;
        if of_hub && !(is_hub && look.is_installed()) {
            continue;
        }
        if let Some(finding) = defect(look, if of_hub { "darkmux hub up" } else { "darkmux service install" })
        {
            return finding;
        }
    }
    let of_kind = |kind| looks.iter().find(|look| look.kind == kind).map(Look::words).unwrap_or_default();
    Finding::pass(format!("the daemon is {}", of_kind(Kind::Serve)))
}

fn defect(look: &Look, fix: &str) -> Option<Finding> {
    let (name, words) = (look.kind.name(), look.words());
    if let Some(program) = &look.lost {
        let finding = format!("{name} is to start {}, which is not there", program.display());
        return Some(Finding::fail(finding, "it can't be started again", fix));
    }
    if look.kind == Kind::Integrity {
        let failed = look.state.last_exit.is_some_and(|code| code != 0);
        let why = "the audit chain was changed, or could not be read";
        return failed.then(|| {
            Finding::fail(format!("the nightly check {words}"), why, "darkmux service logs integrity")
        });
    }
    if look.state.running {
        return None;
    }
    let log = format!("darkmux service logs {name}");
    Some(if look.state.loaded && !look.state.disabled {
        Finding::fail(format!("{name} {words}"), "nobody is served while it does not run", log)
    } else {
        Finding::warn(format!("{name} is {words}"), "nobody starts it after a restart or a crash", fix)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;
    use crate::service::UnitState;

    fn look(kind: Kind, state: UnitState) -> Look {
        Look { kind, files: vec!["/u".into()], state, lost: None }
    }

    fn running() -> UnitState {
        UnitState { loaded: true, running: true, pid: Some(7), ..UnitState::default() }
    }

    #[test]
    fn each_defect_is_found_with_its_command() {
        let good = || {
            vec![look(Kind::Serve, running()), look(Kind::Integrity, running()), look(Kind::Redis, running())]
        };
        let found = judge(&good(), true);
        assert!(found.state == State::Pass && found.finding.contains("pid 7"), "{found:?}");
        let failing = UnitState { loaded: true, last_exit: Some(2), ..UnitState::default() };
        for (at, wrong, state, says, fix) in [
            (0, look(Kind::Serve, failing.clone()), State::Fail, "status 2", "logs serve"),
            (0, look(Kind::Serve, UnitState::default()), State::Warn, "not started", "service install"),
            (
                0,
                Look { lost: Some("/x".into()), ..look(Kind::Serve, running()) },
                State::Fail,
                "/x",
                "install",
            ),
            (1, look(Kind::Integrity, failing.clone()), State::Fail, "status 2", "logs integrity"),
            (2, look(Kind::Redis, failing), State::Fail, "redis", "logs redis"),
        ] {
            let mut looks = good();
            looks[at] = wrong;
            let found = judge(&looks, true);
            assert_eq!(found.state, state, "{found:?}");
            assert!(found.finding.contains(says) && found.fix.as_ref().unwrap().contains(fix), "{found:?}");
        }
        let mut looks = good();
        looks[2].state = UnitState::default();
        assert_eq!(judge(&looks, false).state, State::Pass, "no hub, no Redis");
    }

    #[test]
    fn a_hub_without_a_service_is_warned() {
        assert_eq!(absent(Manager::Launchd, true).state, State::Warn);
        for (manager, is_hub) in [(Manager::None, true), (Manager::Systemd, false)] {
            assert_eq!(absent(manager, is_hub).state, State::Pass);
        }
    }
}
