//! What of an agent's arguments is kept when it is started once more: its options, not its first message.

/// How an agent reads its arguments.
#[derive(Debug, Clone, Copy)]
pub struct Grammar {
    /// Options without a value; every other one takes the next word.
    pub flags: &'static [&'static str],
    /// Options that take every word up to the next option.
    pub many: &'static [&'static str],
    /// Options that are not kept.
    pub dropped: &'static [&'static str],
}

/// One word or several of a command, as its agent reads them.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// An option: its name, and the words that it is.
    Option(&'a str, &'a [String]),
    /// A word of its own.
    Word(&'a String),
}

impl Grammar {
    /// The arguments before `--`, one option or word at a time.
    pub fn parts<'a>(&self, args: &'a [String]) -> Vec<Part<'a>> {
        let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
        let mut rest = &args[..end];
        let mut parts = Vec::new();
        while let Some(first) = rest.first() {
            let (part, len) = self.part(first, rest);
            parts.push(part);
            rest = &rest[len..];
        }
        parts
    }

    fn part<'a>(&self, first: &'a String, rest: &'a [String]) -> (Part<'a>, usize) {
        if !first.starts_with('-') || first == "-" {
            return (Part::Word(first), 1);
        }
        let (name, inside) = first.split_once('=').map_or((first.as_str(), false), |(name, _)| (name, true));
        let values = rest[1..].iter().take_while(|word| !word.starts_with('-') || *word == "-");
        let len = match () {
            () if inside || self.flags.contains(&name) => 1,
            () if self.many.contains(&name) => 1 + values.count(),
            () => 1 + values.take(1).count(),
        };
        (Part::Option(name, &rest[..len]), len)
    }

    /// The options that are kept.
    pub fn kept(&self, args: &[String]) -> Vec<String> {
        let parts = self.parts(args).into_iter();
        let options = parts.filter_map(|part| match part {
            Part::Option(name, words) if !self.dropped.contains(&name) => Some(words),
            _ => None,
        });
        options.flatten().cloned().collect()
    }

    /// The words that are no options and no values.
    pub fn words<'a>(&self, args: &'a [String]) -> impl Iterator<Item = &'a str> {
        let parts = self.parts(args).into_iter();
        parts.filter_map(|part| if let Part::Word(word) = part { Some(word.as_str()) } else { None })
    }

    /// Whether one of these options is given.
    pub fn has(&self, args: &[String], names: &[&str]) -> bool {
        let parts = self.parts(args);
        parts.iter().any(|part| matches!(part, Part::Option(name, _) if names.contains(name)))
    }

    /// The value of the last of these options, with where its words begin and how many they are.
    pub fn value<'a>(&self, args: &'a [String], names: &[&str]) -> Option<(&'a str, usize, usize)> {
        let mut at = 0;
        let mut found = None;
        for part in self.parts(args) {
            let len = match part {
                Part::Option(name, words) if names.contains(&name) => {
                    let value = words[0].split_once('=').map(|(_, value)| value);
                    let value = value.or_else(|| words.get(1).map(String::as_str));
                    found = value.map(|value| (value, at, words.len())).or(found);
                    words.len()
                }
                Part::Option(_, words) => words.len(),
                Part::Word(_) => 1,
            };
            at += len;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRAMMAR: Grammar =
        Grammar { flags: &["-p", "--yes"], many: &["--dirs"], dropped: &["--prompt", "-p"] };

    fn args(line: &str) -> Vec<String> {
        shell_words::split(line).unwrap()
    }

    #[test]
    fn options_stay_and_messages_go() {
        let given =
            args("-p --model big 'do it' --dirs a b --yes again --prompt x --prompt=y --new=1 -- last");
        assert_eq!(GRAMMAR.kept(&given), args("--model big --dirs a b --yes --new=1"));
        assert_eq!(GRAMMAR.words(&given).collect::<Vec<_>>(), ["do it", "again"]);
        assert!(GRAMMAR.has(&given, &["--new"]) && !GRAMMAR.has(&given, &["last"]));
        assert_eq!(GRAMMAR.value(&given, &["--prompt"]), Some(("y", 11, 1)));
        assert_eq!(GRAMMAR.value(&given, &["--yes"]), None);
    }

    #[test]
    fn an_option_at_the_end_lacks_its_value() {
        assert_eq!(GRAMMAR.kept(&args("--model")), ["--model"]);
        assert_eq!(GRAMMAR.kept(&args("--model --yes")), ["--model", "--yes"]);
        assert_eq!(GRAMMAR.kept(&args("-")), Vec::<String>::new());
    }
}
