//! Sessions whose host died.

use super::{Check, Finding, Machine};
use crate::model::SessionState;
use crate::session::Table;
use crate::wire::SessionStatus;

/// Lost sessions named in a report.
const NAMED: usize = 5;

/// Session hosts that should live.
pub struct Sessions;

impl Check for Sessions {
    fn name(&self) -> &'static str {
        "sessions"
    }

    fn run(&self, machine: &Machine) -> Finding {
        let dir = machine.config.session().dir;
        match Table::new(dir.clone()).list() {
            Ok(sessions) => judge(&sessions),
            Err(error) => {
                let shown = dir.display();
                let why = "no session can be found again, and none can be started";
                Finding::fail(format!("{shown}: {error}"), why, format!("ls -ld '{shown}'"))
            }
        }
    }
}

fn judge(sessions: &[SessionStatus]) -> Finding {
    let of = |state: SessionState| sessions.iter().filter(move |session| session.state == state);
    let alive = of(SessionState::Running).count() + of(SessionState::Starting).count();
    let ended = of(SessionState::Exited).count();
    let lost: Vec<String> = of(SessionState::Lost).map(describe).collect();
    let finding = format!("{alive} running, {ended} ended, {} lost", lost.len());
    if lost.is_empty() {
        return Finding::pass(finding);
    }
    let why = "their hosts died without a word; how their processes ended is not known";
    // The newest is first.
    let newest = of(SessionState::Lost).next().map(|session| session.id.to_string()).unwrap_or_default();
    let fix = format!("darkmux session tail {newest} shows what is left of the newest");
    Finding::warn(finding, why, fix).details(lost.into_iter().take(NAMED).collect())
}

fn describe(session: &SessionStatus) -> String {
    let what = session.role.as_ref().map_or_else(|| session.command.join(" "), ToString::to_string);
    format!("{} {what}, from {}", session.id, session.created_at)
}
