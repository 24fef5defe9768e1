//! Lanes: one stream a distinct set of hard requirements, so that a job never reaches a machine that may not
//! run it.

use crate::model::{MachineId, Priority};
use crate::wire::Lane;
use crate::work::WorkError;

/// The stream of jobs without requirements: the one that darkmux 1.9 knows.
pub const MAIN: &str = "darkmux:work";

/// What the streams of all other lanes begin with.
pub const PREFIX: &str = "darkmux:work:";

/// What stands between a runner that is left out and the machine that it lacks as a peer.
const UNTIL: &str = "@";

/// What a runner is asked with whether it has a peer; no requirement that a user can write.
pub const PEER: &str = "peer=";

/// Most lanes a runner reads.
pub const LANES_MAX: usize = 512;

impl Lane {
    /// The stream of this lane.
    pub fn stream(&self) -> Result<String, WorkError> {
        if *self == Self::default() {
            return Ok(MAIN.to_owned());
        }
        let name = blake3::hash(self.to_json()?.as_bytes()).to_hex();
        Ok(format!("{MAIN}:{}", &name[..16]))
    }

    /// As it stands in the registry of lanes.
    pub fn to_json(&self) -> Result<String, WorkError> {
        serde_json::to_string(self).map_err(|error| WorkError::Invalid(format!("the lane: {error}")))
    }

    /// As it must stand in the registry for runners to find it: empty for the one that they know anyway.
    pub fn registered(&self) -> Result<String, WorkError> {
        if *self == Self::default() { Ok(String::new()) } else { self.to_json() }
    }

    /// Whether the runner `consumer` on `machine` may read this lane. `meets` says of one requirement why the
    /// machine does not meet it.
    pub fn admits(
        &self,
        machine: &str,
        consumer: &str,
        mut meets: impl FnMut(&str) -> Result<(), String>,
    ) -> Result<(), String> {
        if let Some(pin) = self.pin.as_ref().filter(|pin| pin.as_str() != machine) {
            return Err(format!("pinned to {pin}"));
        }
        for not in self.not.iter().filter_map(|not| not.strip_prefix(consumer)) {
            match not.strip_prefix(UNTIL) {
                // It is asked again as soon as it has this peer.
                Some(peer) => {
                    meets(&format!("{PEER}{peer}")).map_err(|why| format!("gave it back: {why}"))?;
                }
                None if not.is_empty() => return Err("gave it back".to_owned()),
                // Another runner's name begins so.
                None => {}
            }
        }
        self.require.iter().try_for_each(|requirement| meets(requirement))
    }

    /// The same lane without this runner for as long as its machine has not that peer.
    #[must_use]
    pub fn without_until(self, consumer: &str, peer: &MachineId) -> Self {
        self.without(&format!("{consumer}{UNTIL}{peer}"))
    }

    /// The same lane without this runner.
    #[must_use]
    pub fn without(mut self, consumer: &str) -> Self {
        self.not.push(consumer.to_owned());
        self.not.sort();
        self.not.dedup();
        self
    }

    /// The same lane with those again that gave its jobs back. Who lacks a peer is still left out until it has that.
    /// `None`: nobody else is.
    pub fn offered_again(&self) -> Option<Self> {
        let lacking = self.not.iter().filter(|not| not.contains(UNTIL));
        let again = Self { not: lacking.cloned().collect(), ..self.clone() };
        (again != *self).then_some(again)
    }

    /// Whether every machine may read it.
    pub fn is_open(&self) -> bool {
        self.pin.is_none() && self.require.is_empty() && self.not.is_empty()
    }
}

/// Sorts lanes into the order in which a runner asks them: by priority, then those that fewer machines read.
pub fn in_order(lanes: &mut [(String, Lane)]) {
    lanes.sort_by(|(name, lane), (other_name, other)| {
        let rank = |lane: &Lane| (std::cmp::Reverse(lane.priority), lane.is_open());
        rank(lane).cmp(&rank(other)).then_with(|| name.cmp(other_name))
    });
}

/// The lanes without requirements, which are there without being registered.
pub fn open_lanes() -> Result<Vec<(String, Lane)>, WorkError> {
    [Priority::High, Priority::Normal, Priority::Low]
        .into_iter()
        .map(|priority| {
            let lane = Lane { priority, ..Lane::default() };
            Ok((lane.stream()?, lane))
        })
        .collect()
}

/// Whether every machine reads this stream.
pub fn is_open(stream: &str) -> bool {
    open_lanes().is_ok_and(|lanes| lanes.iter().any(|(open, _)| open == stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_admits_whom_it_names() {
        let studio = Lane { pin: MachineId::new("studio").ok(), ..Lane::default() };
        assert!(studio.admits("studio", "studio:1", |_| Ok(())).is_ok());
        assert_eq!(studio.admits("laptop", "laptop:1", |_| Ok(())), Err("pinned to studio".to_owned()));
        let gpu = Lane { require: vec!["gpu".into()], ..Lane::default() };
        assert_eq!(gpu.admits("m", "m:1", |what| Err(format!("no {what}"))), Err("no gpu".to_owned()));
        let declined = Lane::default().without("m:1").without("m:1");
        assert!(declined.admits("m", "m:1", |_| Ok(())).is_err());
        assert!(declined.admits("m", "m:2", |_| Ok(())).is_ok());
        assert!(declined.admits("m", "m:12", |_| Ok(())).is_ok());
        let desk = MachineId::new("desk").unwrap();
        let lacks = Lane::default().without_until("m:1", &desk);
        let asked = |what: &str| if what == "peer=desk" { Ok(()) } else { Err(what.to_owned()) };
        assert_eq!(lacks.admits("m", "m:1", asked), Ok(()));
        let said = lacks.admits("m", "m:1", |_| Err("desk is no peer".to_owned()));
        assert_eq!(said, Err("gave it back: desk is no peer".to_owned()));
        assert!(lacks.admits("m", "m:2", |what| Err(what.to_owned())).is_ok());
        assert_eq!(lacks.offered_again(), None);
        assert_eq!(lacks.clone().without("m:2").offered_again(), Some(lacks));
        assert_eq!(Lane::default().offered_again(), None);
    }

    #[test]
    fn streams_differ_and_the_main_one_is_that_of_1_9() {
        assert_eq!(Lane::default().stream().unwrap(), "darkmux:work");
        let mut lanes = open_lanes().unwrap();
        lanes.push({
            let lane = Lane { require: vec!["gpu".into()], ..Lane::default() };
            (lane.stream().unwrap(), lane)
        });
        in_order(&mut lanes);
        let order: Vec<_> =
            lanes.iter().map(|(_, lane)| (lane.priority.as_str(), lane.require.len())).collect();
        assert_eq!(order, [("high", 0), ("normal", 1), ("normal", 0), ("low", 0)]);
    }
}
