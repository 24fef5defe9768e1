//! Arguments with placeholders. Each placeholder is replaced inside its argument, in one pass: what is put in
//! is never looked at again, so a message that holds `{prompt}` or `$(…)` arrives as it is.

/// Longest argument in bytes: Linux refuses one of 32 pages (`MAX_ARG_STRLEN`), its NUL included. Other
/// systems take more, but a role should not depend on the machine it runs on.
pub const ARGUMENT_MAX: usize = 32 * 4096 - 1;

/// Stands alone for the arguments that carry the prompt.
pub const SYSTEM: &str = "{system}";
/// Stands alone for the arguments that hold a command to a role's access.
pub const ACCESS: &str = "{access}";

/// What stands for what.
#[derive(Debug, Clone, Copy, Default)]
pub struct Values<'a> {
    /// `{message}`.
    pub message: &'a str,
    /// `{message_file}`.
    pub message_file: &'a str,
    /// `{prompt}`.
    pub prompt: &'a str,
    /// `{prompt_file}`.
    pub prompt_file: &'a str,
    /// `{workdir}`.
    pub workdir: &'a str,
    /// `{session_id}`.
    pub session_id: &'a str,
}

impl<'a> Values<'a> {
    fn of(&self, name: &str) -> Option<&'a str> {
        Some(match name {
            "message" => self.message,
            "message_file" => self.message_file,
            "prompt" => self.prompt,
            "prompt_file" => self.prompt_file,
            "workdir" => self.workdir,
            "session_id" => self.session_id,
            _ => return None,
        })
    }
}

/// The argument with every placeholder replaced. Braces around anything else stay.
pub fn fill(template: &str, values: &Values<'_>) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        out.push_str(before);
        let named = from.find('}').and_then(|close| Some((values.of(&from[1..close])?, close)));
        if let Some((value, close)) = named {
            out.push_str(value);
            rest = &from[close + 1..];
        } else {
            out.push('{');
            rest = &from[1..];
        }
    }
    out.push_str(rest);
    out
}

/// Whether the placeholder `name` stands in one of these arguments.
pub fn uses(arguments: &[String], name: &str) -> bool {
    let placeholder = format!("{{{name}}}");
    arguments.iter().any(|argument| argument.contains(&placeholder))
}

/// A word in braces that looks like a placeholder and is none: a slip of the pen, most likely.
pub fn stranger(argument: &str) -> Option<&str> {
    if argument == SYSTEM || argument == ACCESS {
        return None;
    }
    let words = argument.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(word, _)| word);
    words
        .filter(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        .find(|word| Values::default().of(word).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_never_looked_at_again() {
        let values = Values { message: "{prompt} {message} $(id)", prompt: "P", ..Values::default() };
        assert_eq!(fill("--m={message};{prompt}", &values), "--m={prompt} {message} $(id);P");
    }

    #[test]
    fn other_braces_stay() {
        let values = Values { message: "m", ..Values::default() };
        for same in ["{}", "{ message }", "{x", "}{", "{{", "awk {print}", "{system}", "é{ü}"] {
            assert_eq!(fill(same, &values), same);
        }
        assert_eq!(fill("{{message}}", &values), "{m}");
    }

    #[test]
    fn strangers_are_named() {
        assert_eq!(stranger("--x={mesage}"), Some("mesage"));
        assert_eq!(stranger("a {system}"), Some("system"));
        for fine in ["{}", "{system}", "{access}", "{message}{prompt_file}", "{\"a\":1}", "{A}"] {
            assert_eq!(stranger(fine), None, "{fine}");
        }
    }
}
