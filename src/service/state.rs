//! How a unit is, in the words that both managers have for it.

use serde::Serialize;

/// What a service manager says of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct UnitState {
    /// Whether the manager knows it.
    pub loaded: bool,
    /// Whether its process runs; of a timer, whether it waits for its time.
    pub running: bool,
    /// Its process.
    pub pid: Option<u32>,
    /// The status of its last run that ended, where it is known: 128 and the signal's number after a signal.
    pub last_exit: Option<i32>,
    /// How often it was started again.
    pub restarts: Option<u64>,
    /// Whether somebody switched it off, so that it does not start by itself.
    pub disabled: bool,
}
