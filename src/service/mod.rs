//! What the system's service manager runs of darkmux: units for launchd and systemd, their state, their logs, and the
//! Redis of a machine that is its fleet's hub.
//!
//! Invariants: no secret is in a unit, in an argument or in a message; a unit is replaced as one step; every program
//! that is asked answers within [`LIMIT`] or is given up; doing anything twice is the same as doing it once.
//!
//! Both managers are plain code on every system: which one is there is found out when it is needed.
//!
//! Not here: what the daemon does (`daemon`), and what is said of it (`cli`, `doctor`).

mod error;
pub mod hub;
mod launchd;
mod logs;
mod look;
mod manager;
mod plan;
mod program;
mod run;
mod state;
mod systemd;
mod unit;

pub use error::ServiceError;
pub use logs::{Follow, LOG_BYTES, bound_at_start, keep_bounded, last_lines, log_file};
pub use look::Look;
pub use manager::{Manager, Services};
pub use plan::{Before, Plan, Removal, UnitFile};
pub use program::{Program, own_program};
pub use run::{Answer, LIMIT, run};
pub use state::UnitState;
pub use unit::{Kind, Unit, integrity, redis, serve};
