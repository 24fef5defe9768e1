//! Versioned shapes on the wire and on disk. They are converted at the edge; nothing here does IO.

mod agent;
mod daemon;
mod fleet;
pub mod frames;
mod http;
mod join;
mod said;
mod session;
pub mod v1;
mod work;
mod workspace;

pub use agent::{
    AGENT_SCHEMA, AgentResult, AgentTask, Check, RESULT_FILE, RESULT_MAX, Sandbox, TASK_FILE, TASK_MAX,
    Totals,
};
pub use daemon::DaemonInfo;
pub use fleet::{MachineBeat, RunnerBeat, SessionBeat, Slots};
pub use http::{DayEntry, FlowDays, Health, MachineSpecs, OUTPUT_START, RETURN, RemoteLine, SessionList};
pub use join::{InviteAsk, Invited, JoinAnswer, JoinAsk, JoinGreeting, JoinHello, JoinRedis};
pub use said::Said;
pub use session::{
    AskingNotice, DispatchFacts, HOST_PROTOCOL, OutputRange, SESSION_SCHEMA, SessionNotice, SessionReport,
    SessionSpec, SessionStatus, WindowSize,
};
pub use work::{
    JOB_MESSAGE_MAX, JOB_SCHEMA, JobResult, JobSpec, Lane, WORK_SCHEMA, WORK_TIMEOUT_MAX, WorkJob,
};
pub use workspace::{
    BUNDLE_MAX, BUNDLE_PREFIX, Bundle, CHANGES_MAX, COMMITS_MAX, FETCH_MAX, Workspace, WorkspaceResult,
    is_commit,
};
