//! What a session is called where people read it, and what it does at the moment. One rule for lists, the viewer
//! and other machines. What it gives is one visible line of bounded length, whatever the program said.

use std::path::Path;

use crate::util::{human, visible_line};
use crate::wire::SessionStatus;

/// The kind of a session whose program no adapter knows.
pub const SHELL: &str = "shell";

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
    /// Of a session that runs and that said anything; of one that ended without doing its work, as long as nobody has
    /// looked at what it needed.
    pub fn of(status: &SessionStatus) -> Option<Self> {
        let report = status.report.as_ref()?;
        if status.state.is_final() {
            let open = status.unread && status.exit_code != Some(0) && report.needs_you.is_some();
            return open.then_some(Self::NeedsYou);
        }
        Some(match () {
            () if report.needs_you.is_some() => Self::NeedsYou,
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
    use crate::model::{MachineId, SessionId, SessionState};
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
        status.state = SessionState::Exited;
        assert_eq!(Activity::of(&status), None);
    }
}
