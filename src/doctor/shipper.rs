//! Whether this machine's records reach the fleet.

use std::time::Duration;

use super::{Check, Finding, Machine, question};
use crate::client::{self, Client};
use crate::flow::shared::{SharedFlow, probe};
use crate::flow::ship::{ShipStatus, unshipped};
use crate::util::{human, visible_line};

/// How long Redis and the daemon may take to answer.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Bytes behind at which a working shipper is worth a word.
const LAG: u64 = 1024 * 1024;

/// The daemon's shipper.
pub struct Shipper;

impl Check for Shipper {
    fn name(&self) -> &'static str {
        "flow shipper"
    }

    fn run(&self, machine: &Machine) -> Finding {
        match SharedFlow::of(&machine.config) {
            Ok(None) => Finding::pass("nothing to ship: no Redis is configured"),
            Ok(Some(shared)) => judge(&status(machine, &shared)),
            Err(error) => Finding::fail(error.to_string(), WHY, "darkmux config list --origin"),
        }
    }
}

const WHY: &str = "other machines do not see what runs here; nothing is lost, the files keep it";

fn status(machine: &Machine, shared: &SharedFlow) -> ShipStatus {
    let paths = &machine.config.paths;
    let asked = client::find(paths).ok().flatten().and_then(|info| {
        question(PATIENCE, async { Client::new(info).ok()?.shipper().await.ok().flatten() }).ok().flatten()
    });
    asked.unwrap_or_else(|| {
        let redis = question(PATIENCE, probe(shared, &machine.clock)).ok();
        unshipped(&machine.config.flows_dir(), redis.and_then(|redis| redis.mark).as_deref())
    })
}

fn judge(status: &ShipStatus) -> Finding {
    let lag = human::bytes(status.lag_bytes);
    if !status.running {
        return match status.lag_bytes {
            0 => Finding::pass("no daemon runs; everything is shipped"),
            _ => {
                Finding::warn(format!("no daemon runs; {lag} of records wait for one"), WHY, "darkmux serve")
            }
        };
    }
    if let Some(error) = &status.error {
        let finding = format!("{lag} of records wait ({})", visible_line(&error.class));
        return Finding::warn(finding, WHY, "darkmux flow status")
            .details(vec![visible_line(&error.message).into_owned()]);
    }
    match status.lag_bytes {
        _ if status.backfilling => Finding::pass(format!("sending what Redis did not have, {lag} to go")),
        behind if behind > LAG => Finding::warn(
            format!("{lag} behind"),
            "other machines see what runs here late",
            "darkmux flow status   # again in a minute: it must shrink",
        ),
        _ => Finding::pass(status.last_shipped_at.as_ref().map_or_else(
            || "nothing shipped yet".to_owned(),
            |at| format!("everything is shipped, last at {}", visible_line(at)),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;
    use crate::flow::ship::ShipError;

    #[test]
    fn who_is_behind_is_told_and_who_works_is_not() {
        let state = |status| judge(&status).state;
        let running = ShipStatus { running: true, ..ShipStatus::default() };
        assert_eq!(state(running.clone()), State::Pass);
        assert_eq!(state(ShipStatus::default()), State::Pass);
        assert_eq!(state(ShipStatus { lag_bytes: 1, ..ShipStatus::default() }), State::Warn);
        assert_eq!(state(ShipStatus { lag_bytes: LAG + 1, ..running.clone() }), State::Warn);
        assert_eq!(
            state(ShipStatus { lag_bytes: LAG + 1, backfilling: true, ..running.clone() }),
            State::Pass
        );
        let error = ShipError { class: "oom".into(), message: "\u{1b}[31m".into() };
        let found = judge(&ShipStatus { error: Some(error), ..running });
        assert_eq!(found.state, State::Warn);
        assert!(!found.details[0].contains('\u{1b}'), "{found:?}");
    }
}
