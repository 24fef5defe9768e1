//! Where an agent stands in a command.

use std::path::Path;

use super::Adapter;

/// Programs that start the one that follows; an agent after anything else is only named.
const STARTERS: &[&str] = &[
    "env",
    "command",
    "exec",
    "nice",
    "nohup",
    "time",
    "timeout",
    "stdbuf",
    "setsid",
    "caffeinate",
    "npx",
    "bunx",
    "pnpx",
    "npm",
    "pnpm",
    "yarn",
    "bun",
    "dlx",
    "x",
    "node",
    "deno",
    "mise",
    "asdf",
    "direnv",
];

/// The adapter of a word by its base name. Text with blanks is a message, and an option no program.
fn of_word(word: &str) -> Option<Adapter> {
    if word.starts_with('-') || word.contains(char::is_whitespace) {
        return None;
    }
    Adapter::named(Path::new(word).file_name()?.to_str()?)
}

/// The first agent among the words before `--`, and where it stands.
pub fn first(argv: &[String]) -> Option<(usize, Adapter)> {
    if argv.get(1).is_some_and(|word| word == super::RUN_AGENT) {
        return Some((1, Adapter::Agent));
    }
    let mut words = argv.iter().take_while(|word| *word != "--").enumerate();
    words.find_map(|(at, word)| Some((at, of_word(word)?)))
}

/// As [`first`], where the agent is what is started: the program itself, or behind programs that start others.
pub fn program(argv: &[String]) -> Option<(usize, Adapter)> {
    let started = |at: usize| argv[..at].iter().enumerate().all(|(index, word)| leads_on(index, word));
    first(argv).filter(|(at, adapter)| *adapter == Adapter::Agent || started(*at))
}

/// Whether a word before a program leaves it the one that is started.
fn leads_on(index: usize, word: &str) -> bool {
    let base = Path::new(word).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_number = word.bytes().all(|byte| byte.is_ascii_digit() || b".smh".contains(&byte));
    STARTERS.contains(&base) || index > 0 && (word.starts_with('-') || word.contains('=') || is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(line: &str) -> Vec<String> {
        shell_words::split(line).unwrap()
    }

    #[test]
    fn any_word_before_the_dashes_names_the_adapter() {
        for (line, adapter) in [
            ("claude", Some(Adapter::Claude)),
            ("/opt/bin/codex exec -", Some(Adapter::Codex)),
            ("npx -y pi-coding-agent", Some(Adapter::Pi)),
            ("vim opencode", Some(Adapter::Opencode)),
            ("bash -- claude", None),
            ("sh -c 'claude --print x'", None),
            ("aider --message=see/claude", None),
            ("", None),
        ] {
            assert_eq!(first(&argv(line)).map(|(_, adapter)| adapter), adapter, "{line}");
        }
    }

    #[test]
    fn only_what_is_started_is_given_hooks() {
        for line in [
            "claude",
            "/x/pi --print",
            "env A=b codex",
            "nice -n 10 opencode",
            "npx --yes codex",
            "timeout 5m pi",
        ] {
            assert!(program(&argv(line)).is_some(), "{line}");
        }
        for line in ["vim codex", "ls pi", "rm -rf claude", "git -C claude status", "A=b claude"] {
            assert_eq!(program(&argv(line)), None, "{line}");
        }
    }
}
