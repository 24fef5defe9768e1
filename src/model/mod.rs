//! Plain data that every layer shares: ids, days and positions, flow records, roles, sessions.
//!
//! Invariant: no IO, no clock, no async. A value that exists is valid; whatever parses text lives in the
//! constructors here, so that the layers above never check twice.

mod day;
mod ids;
mod job;
mod peer;
mod place;
mod record;
mod requirement;
mod role;
mod session;

pub use day::{Day, DayError, Position, PositionError};
pub use ids::{IdError, MAX_ID_LEN, MachineId, RoleId, SessionId};
pub use job::{JobState, OnLoss, Priority};
pub use peer::is_peer_name;
pub use place::{EntryId, FleetAt, Place, PlaceError, day_of_ms};
pub use record::{Category, FLOW_SCHEMA, FlowRecord, Level, Stage, Tier};
pub use requirement::{Requirement, RequirementError};
pub use role::{
    Access, AccessArgs, CommandRuntime, Escalation, FeedbackTemplates, InteractiveForm, PALETTE_TOOLS,
    RoleFamily, RoleManifest, Runtime, ToolPalette,
};
pub use session::{EndReason, ExitStatus, SessionState};
