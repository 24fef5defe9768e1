//! Settings that are accepted and do nothing in this version.

use super::{Check, Finding, Machine};
use crate::config::{Origin, keys::Use};

/// Variables of darkmux 1.9 that are no settings of the table.
const UNUSED_VARIABLES: &[&str] = &["DARKMUX_SERVE_TOKEN", "DARKMUX_PROFILES"];

/// Settings of 1.9 without effect.
pub struct KeptSettings;

impl Check for KeptSettings {
    fn name(&self) -> &'static str {
        "1.9 settings"
    }

    fn run(&self, machine: &Machine) -> Finding {
        let is_set = |origin: Origin| !matches!(origin, Origin::Default | Origin::Unset);
        let kept =
            machine.config.settings.iter().filter(|one| one.key.used == Use::Kept && is_set(one.origin));
        let mut set: Vec<&str> = kept.map(|one| one.key.name).collect();
        // The version of the file's shape is no wish of the user.
        set.retain(|name| *name != "schema_version");
        let env = machine.config.env();
        set.extend(UNUSED_VARIABLES.iter().copied().filter(|name| env.get(name).is_some()));
        match set.len() {
            0 => Finding::pass("none that this version does not use"),
            count => Finding::pass(format!("{count} set and not used by this version: {}", set.join(", "))),
        }
    }
}
