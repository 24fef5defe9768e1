//! The one line that a session is shown by.

use crate::util::{human, visible_line};
use crate::wire::SessionStatus;

/// Longest title, in characters.
const TITLE_MAX: usize = 200;

/// The adapter of programs that have none of their own.
pub const SHELL: &str = "shell";

/// The title: the agent's, else the terminal's, else the session's name, else what its job says, else its
/// command, else its kind.
pub fn title(status: &SessionStatus) -> String {
    let given = [&status.agent_title, &status.terminal_title, &status.name, &status.title];
    let given = given.into_iter().flatten().find_map(|text| human::headline(text, TITLE_MAX));
    let title = given.or_else(|| command_title(&status.command)).unwrap_or_else(|| kind(status).to_owned());
    visible_line(&title).into_owned()
}

/// The adapter's name.
pub fn kind(status: &SessionStatus) -> &str {
    status.kind.as_deref().unwrap_or(SHELL)
}

/// The program's name and its arguments.
fn command_title(command: &[String]) -> Option<String> {
    let (program, arguments) = command.split_first()?;
    let name = program.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(program);
    let mut title = name.to_owned();
    for argument in arguments {
        if title.len() > TITLE_MAX * 4 {
            break;
        }
        title.push(' ');
        title.push_str(argument);
    }
    human::headline(&title, TITLE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MachineId, SessionId};

    #[test]
    fn the_nearest_to_the_program_wins() {
        let id = SessionId::new("a").unwrap();
        let mut status = SessionStatus::unknown(id, MachineId::new("m").unwrap(), String::new());
        assert_eq!(title(&status), "shell");
        status.command = ["/bin/bash", "--norc", "-l"].map(str::to_owned).to_vec();
        assert_eq!(title(&status), "bash --norc -l");
        status.title = Some("\n look at\u{1b}[31m this\nand that".to_owned());
        assert_eq!(title(&status), "look at\\u{1b}[31m this");
        status.name = Some("mine".to_owned());
        assert_eq!(title(&status), "mine");
        status.terminal_title = Some("vim x".to_owned());
        assert_eq!(title(&status), "vim x");
        status.agent_title = Some("Fix it".to_owned());
        assert_eq!(title(&status), "Fix it");
        status.agent_title = Some(" \n ".to_owned());
        assert_eq!(title(&status), "vim x");
    }
}
