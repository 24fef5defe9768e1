//! `darkmux man`: the manual, generated from the command tree.

use std::path::PathBuf;

use clap::Args;

use super::{Cx, Exit, Outcome};

/// Print the manual page, or write all of them to a folder.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write a page for every verb into this folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &ManArgs, cx: &Cx) -> Outcome {
    if let Some(dir) = &args.dir {
        std::fs::create_dir_all(dir)?;
        clap_mangen::generate_to(super::command(), dir)?;
    } else {
        let mut page = Vec::new();
        clap_mangen::Man::new(super::command()).render(&mut page)?;
        cx.printer.bytes(&page)?;
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::super::command;

    /// Every verb with its full name.
    fn walk(command: &clap::Command, path: &str, visit: &mut dyn FnMut(&str, &clap::Command)) {
        visit(path, command);
        for verb in command.get_subcommands() {
            walk(verb, &format!("{path} {}", verb.get_name()), visit);
        }
    }

    #[test]
    fn every_verb_and_every_argument_says_what_it_is() {
        let mut tree = command();
        tree.build();
        let mut silent = Vec::new();
        walk(&tree, "darkmux", &mut |path, verb| {
            if verb.get_about().is_none() {
                silent.push(path.to_owned());
            }
            let arguments = verb.get_arguments().filter(|argument| argument.get_help().is_none());
            silent.extend(arguments.map(|argument| format!("{path}: {}", argument.get_id())));
        });
        assert!(silent.is_empty(), "without help text: {silent:#?}");
    }

    #[test]
    fn help_is_written_alike() {
        let mut tree = command();
        tree.build();
        let mut odd = Vec::new();
        walk(&tree, "darkmux", &mut |path, verb| {
            let about = verb.get_about().into_iter().map(|text| (path.to_owned(), text.to_string()));
            let arguments = verb.get_arguments().filter_map(|argument| {
                Some((format!("{path}: {}", argument.get_id()), argument.get_help()?.to_string()))
            });
            for (place, text) in about.chain(arguments) {
                let first = text.lines().next().unwrap_or_default();
                let starts_low = first.starts_with(|c: char| c.is_ascii_lowercase());
                if first.is_empty() || starts_low {
                    odd.push(format!("{place}: {text}"));
                }
            }
        });
        assert!(odd.is_empty(), "help starts with a capital letter: {odd:#?}");
    }

    #[test]
    fn the_command_tree_is_consistent() {
        command().debug_assert();
    }
}
