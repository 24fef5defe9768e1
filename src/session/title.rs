//! What a session is called where people read it, and what it does at the moment. One rule for lists, the viewer
//! and other machines. What it gives is one visible line of bounded length, whatever the program said.

use std::path::Path;

use crate::model::SessionState;
use crate::util::{human, visible_line};
use crate::wire::SessionStatus;

/// The kind of a session whose program no adapter knows.
pub const SHELL: &str = "shell";

/// The kind of a session whose program is the built-in agent.
pub const AGENT: &str = "agent";

/// Its exit code where it can't go on.
const BLOCKED: i32 = 1;

/// Longest title, in characters.
const TITLE_MAX: usize = 200;

/// The adapter that knows its program.
pub fn kind(status: &SessionStatus) -> &str {
    status.kind.as_deref().unwrap_or(SHELL)
}

/// Its title: what its agent called it, else what its program called the terminal, else its name, else the
/// beginning of its job's message, else its command, else its kind.
pub fn title(status: &SessionStatus) -> String {
    choose(status, [&status.agent_title, &status.terminal_title, &status.name, &status.title])
}

/// As [`title`], where the name stands beside it.
pub fn what(status: &SessionStatus) -> String {
    choose(status, [&status.agent_title, &status.terminal_title, &status.title])
}

fn choose<const N: usize>(status: &SessionStatus, given: [&Option<String>; N]) -> String {
    let given = given.into_iter().flatten().find_map(|text| human::headline(text, TITLE_MAX));
    // An agent's arguments say nothing to a person.
    let command = || Some(&status.command).filter(|_| kind(status) == SHELL).and_then(|argv| command(argv));
    let title = given.or_else(command).unwrap_or_else(|| kind(status).to_owned());
    visible_line(&title).into_owned()
}

/// A command without the folder of its program.
fn command(argv: &[String]) -> Option<String> {
    let (program, given) = argv.split_first()?;
    let base = Path::new(program).file_name().map_or(program.as_str().into(), |name| name.to_string_lossy());
    let words = std::iter::once(base.as_ref()).chain(given.iter().map(String::as_str));
    // A word has at least a character and a space: more of them are never shown.
    human::headline(&words.take(TITLE_MAX).collect::<Vec<_>>().join(" "), TITLE_MAX)
}

/// What it waits for a person to say. One that has ended waits for nobody, but for the built-in agent, which ends where it
/// can't go on: until somebody has looked.
pub fn question(status: &SessionStatus) -> Option<&str> {
    let asked = status.report.as_ref()?.needs_you.as_deref()?;
    let is_blocked = || {
        let told = status.state == SessionState::Exited && status.exit_code == Some(BLOCKED);
        told && status.unread && kind(status) == AGENT
    };
    (!status.state.is_final() || is_blocked()).then_some(asked)
}

/// What a running session says that it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// It waits for a person.
    NeedsYou,
    /// It says that something went wrong.
    Failed,
    /// It is at work.
    Working,
    /// It is neither.
    Idle,
}

impl Activity {
    /// Of a session that runs and that said anything, and of one that waits for a person after its end.
    pub fn of(status: &SessionStatus) -> Option<Self> {
        let report = status.report.as_ref()?;
        Some(match () {
            () if question(status).is_some() => Self::NeedsYou,
            () if status.state.is_final() => return None,
            () if report.error => Self::Failed,
            () if report.working => Self::Working,
            () => Self::Idle,
        })
    }

    /// The words in lists.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NeedsYou => "needs you",
            Self::Failed => "error",
            Self::Working => "working",
            Self::Idle => "idle",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MachineId, SessionId};
    use crate::wire::SessionReport;

    fn status() -> SessionStatus {
        let (id, machine) = (SessionId::new("a").unwrap(), MachineId::new("m").unwrap());
        SessionStatus {
            state: SessionState::Running,
            ..SessionStatus::unknown(id, machine, "2026-01-01T00:00:00.000Z".to_owned())
        }
    }

    #[test]
    fn the_nearest_to_the_work_gives_the_title() {
        let mut status = status();
        assert_eq!(title(&status), "shell");
        status.command = ["/usr/bin/make", "-j", "all"].map(str::to_owned).to_vec();
        assert_eq!(title(&status), "make -j all");
        status.kind = Some("claude".to_owned());
        assert_eq!(title(&status), "claude");
        let some = |text: &str| Some(text.to_owned());
        status.title = some("fix the bug");
        assert_eq!(title(&status), "fix the bug");
        status.name = some("bug");
        assert_eq!((title(&status).as_str(), what(&status).as_str()), ("bug", "fix the bug"));
        status.terminal_title = some("~/src");
        assert_eq!(title(&status), "~/src");
        status.agent_title = some("Off by one in the parser");
        assert_eq!(title(&status), "Off by one in the parser");
        status.agent_title = some("  ");
        assert_eq!(what(&status), "~/src");
        status.agent_title = some("\n look at\u{1b}[31m this\nand that");
        assert_eq!(title(&status), "look at\\u{1b}[31m this");
    }

    #[test]
    fn a_question_comes_before_everything_else() {
        let mut status = status();
        assert_eq!(Activity::of(&status), None);
        let report = |working, error, needs_you: Option<&str>| {
            let needs_you = needs_you.map(str::to_owned);
            Some(SessionReport { working, error, needs_you, ..SessionReport::default() })
        };
        for (said, activity) in [
            (report(false, false, None), Activity::Idle),
            (report(true, false, None), Activity::Working),
            (report(true, true, None), Activity::Failed),
            (report(true, true, Some("?")), Activity::NeedsYou),
        ] {
            status.report = said;
            assert_eq!(Activity::of(&status), Some(activity));
        }
        (status.state, status.exit_code, status.unread) = (SessionState::Exited, Some(1), true);
        assert_eq!(Activity::of(&status), None);
        // The built-in agent ended because it needs somebody.
        status.kind = Some(AGENT.to_owned());
        assert_eq!((Activity::of(&status), question(&status)), (Some(Activity::NeedsYou), Some("?")));
        let killed = SessionStatus { exit_code: Some(137), ..status.clone() };
        let lost = SessionStatus { state: SessionState::Lost, exit_code: None, ..status.clone() };
        let seen = SessionStatus { unread: false, ..status };
        for status in [killed, lost, seen] {
            assert_eq!((Activity::of(&status), question(&status)), (None, None));
        }
    }
}
