//! What somebody may have meant by a verb that is none: one of a group, whose name was left out.

use clap::Command;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

/// Names the groups that have this verb, in the place of whatever is spelt like it.
pub fn with_group(mut error: Error, command: fn() -> Command) -> Error {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return error;
    }
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else { return error };
    let meant = groups_with(command(), typed);
    if !meant.is_empty() {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(meant));
    }
    error
}

fn groups_with(mut command: Command, verb: &str) -> Vec<String> {
    // Groups are described only when they are asked for.
    command.build();
    let mut meant = Vec::new();
    for group in command.get_subcommands().filter(|group| !group.is_hide_set()) {
        let found = group.find_subcommand(verb).filter(|found| !found.is_hide_set());
        meant.extend(found.map(|found| format!("{} {}", group.get_name(), found.get_name())));
    }
    meant
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_without_its_group_is_found() {
        let meant = |verb| groups_with(crate::cli::command(), verb);
        assert_eq!(meant("attach"), ["session attach"]);
        let lists = meant("ls");
        assert!(
            lists.contains(&"session ls".to_owned()) && lists.contains(&"job ls".to_owned()),
            "{lists:?}"
        );
        assert!(meant("serve").is_empty() && meant("nothing").is_empty());
    }
}
