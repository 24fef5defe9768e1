//! Reading a manifest: from bytes to a [`RoleManifest`] that makes sense, or to a [`Problem`] with its place.

use std::path::Path;

use super::error::Problem;
use super::{program, template};
use crate::model::{AccessArgs, CommandRuntime, PALETTE_TOOLS, RoleManifest, Runtime};

/// Largest manifest, in bytes, as in darkmux 1.9.
pub const MANIFEST_MAX: usize = 1024 * 1024;

/// A manifest's text, with what is needed to point at places in it.
struct Text<'a> {
    file: &'a Path,
    bytes: &'a [u8],
}

impl Text<'_> {
    /// A problem at the first place where `word` stands as a JSON string, else of the file as a whole.
    fn problem_at(&self, word: &str, reason: impl Into<String>) -> Problem {
        let quoted = serde_json::to_string(word).unwrap_or_default();
        let place = memchr::memmem::find(self.bytes, quoted.as_bytes()).map(|at| {
            let before = &self.bytes[..at];
            let line = memchr::memchr_iter(b'\n', before).count() + 1;
            let column = at - memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1) + 1;
            (line, column)
        });
        Problem {
            file: self.file.to_owned(),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            reason: reason.into(),
        }
    }
}

/// The manifest of the role `id` and what is odd in it. `file` is for messages.
pub fn parse(file: &Path, id: &str, bytes: &[u8]) -> Result<(RoleManifest, Vec<Problem>), Problem> {
    let text = Text { file, bytes };
    // Editors of other systems put a byte order mark there.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let manifest: RoleManifest = serde_json::from_slice(bytes).map_err(|error| of_json(file, &error))?;
    if manifest.id.as_str() != id {
        let reason =
            format!("the id is `{}` and the file says `{id}`: rename the file or change the id", manifest.id);
        return Err(text.problem_at("id", reason));
    }
    let mut warnings = palette_warnings(&text, &manifest);
    if let Runtime::Command(command) = &manifest.runtime {
        warnings.extend(check_command(&text, command)?);
    }
    Ok((manifest, warnings))
}

/// serde_json's message, with the place in fields of its own.
fn of_json(file: &Path, error: &serde_json::Error) -> Problem {
    let said = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let known = error.line() > 0;
    Problem {
        file: file.to_owned(),
        line: known.then(|| error.line()),
        column: known.then(|| error.column().max(1)),
        reason: said.strip_suffix(&place).unwrap_or(&said).to_owned(),
    }
}

fn palette_warnings(text: &Text<'_>, manifest: &RoleManifest) -> Vec<Problem> {
    let palette = &manifest.tool_palette;
    let unknown =
        palette.allow.iter().chain(&palette.deny).filter(|tool| !PALETTE_TOOLS.contains(&tool.as_str()));
    unknown
        .map(|tool| {
            let near = crate::util::closest(tool, PALETTE_TOOLS.iter().copied());
            let near = near.map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
            let known = PALETTE_TOOLS.join(", ");
            text.problem_at(
                tool,
                format!("unknown tool `{tool}`{near} counts for nothing; tools are {known}"),
            )
        })
        .collect()
}

/// Refuses a command that could not do what its manifest says; returns what is merely odd.
fn check_command(text: &Text<'_>, command: &CommandRuntime) -> Result<Vec<Problem>, Problem> {
    check_form(text, &command.argv, &command.access, "argv")?;
    let takes_system = command.argv.iter().any(|argument| argument == template::SYSTEM);
    if !command.system.is_empty() && !takes_system {
        return Err(text.problem_at("system", "`system` is set and no argument of `argv` is `{system}`"));
    }
    if let Some(form) = &command.interactive {
        check_form(text, &form.argv, &form.access, "interactive.argv")?;
        if form.argv.first() != command.argv.first() {
            return Err(
                text.problem_at("interactive", "`interactive.argv` starts with another program than `argv`")
            );
        }
        if !template::uses(&form.argv, "message") && !template::uses(&form.argv, "message_file") {
            let reason =
                "`interactive.argv` has no place for the message: put `{message}` or `{message_file}` there";
            return Err(text.problem_at("interactive", reason));
        }
    }
    let arguments = command.argv.iter().chain(&command.system);
    let arguments = arguments.chain(command.interactive.iter().flat_map(|form| &form.argv));
    let strangers = arguments.filter_map(|argument| Some((argument, template::stranger(argument)?)));
    Ok(strangers
        .map(|(argument, word)| {
            text.problem_at(argument, format!("`{{{word}}}` is no placeholder and stays as it is"))
        })
        .collect())
}

fn check_form(text: &Text<'_>, argv: &[String], access: &AccessArgs, key: &str) -> Result<(), Problem> {
    let Some(name) = argv.first() else {
        return Err(text.problem_at("argv", format!("`{key}` is empty: its first entry is the program")));
    };
    if !Path::new(name).is_absolute() && !program::is_name(name) {
        let reason = format!("the program `{name}` must be a name on PATH or an absolute path");
        return Err(text.problem_at(name, reason));
    }
    if !access.is_empty() && !argv.iter().any(|argument| argument == template::ACCESS) {
        return Err(
            text.problem_at("access", format!("`access` is set and no argument of `{key}` is `{{access}}`"))
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(json: &str) -> String {
        parse(Path::new("r.json"), "r", json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_broken_manifest_has_its_place() {
        let cases = [
            ("{\n  \"id\": \"r\",\n  \"descripton\": \"\"\n}", "r.json:3:14: unknown field `descripton`"),
            ("{\n\"id\": \"r\"", "r.json:2:9: EOF"),
            ("", "r.json:1:1: EOF"),
            ("{}", "r.json:1:2: missing field `id`"),
            ("{\"id\": \"R\"}", "r.json:1:11: `R` is no valid role id"),
            ("{\n \"id\": \"other\"}", "r.json:2:2: the id is `other`"),
            (
                "{\"id\":\"r\",\n\"runtime\":{\"command\":{\n\"argv\":[\"x\"],\n\"extra\":1}}}",
                "r.json:4:7: unknown field `extra`",
            ),
            ("{\"id\":\"r\",\"runtime\":{\"command\":{\"argv\":[]}}}", "`argv` is empty"),
            ("{\"id\":\"r\",\"runtime\":{\"command\":{\"argv\":[\"./x\"]}}}", "must be a name on PATH"),
            (
                "{\"id\":\"r\",\"runtime\":{\"command\":{\"argv\":[\"x\"],\"system\":[\"{prompt}\"]}}}",
                "no argument of `argv` is `{system}`",
            ),
            (
                "{\"id\":\"r\",\"runtime\":{\"command\":{\"argv\":[\"x\"],\"access\":{\"read\":[]}}}}",
                "no argument of `argv` is `{access}`",
            ),
            (
                "{\"id\":\"r\",\"runtime\":{\"command\":{\"argv\":[\"x\"],\"interactive\":{\"argv\":[\"y\"]}}}}",
                "starts with another program",
            ),
            (
                "{\"id\":\"r\",\"runtime\":{\"command\":{\"argv\":[\"x\"],\"interactive\":{\"argv\":[\"x\"]}}}}",
                "no place for the message",
            ),
        ];
        for (json, expected) in cases {
            let said = broken(json);
            assert!(said.contains(expected), "{said} instead of {expected}");
        }
    }

    #[test]
    fn odd_things_are_warnings() {
        let json = "{\"id\":\"r\",\n\"tool_palette\":{\"allow\":[\"read\",\"exce\"]},\n\
                    \"runtime\":{\"command\":{\"argv\":[\"x\",\"{mesage}\"]}}}";
        let (_, warnings) = parse(Path::new("r.json"), "r", json.as_bytes()).unwrap();
        let said: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert!(said[0].starts_with("r.json:2:33: unknown tool `exce` (did you mean `exec`?)"), "{said:?}");
        assert!(said[1].starts_with("r.json:3:35: `{mesage}` is no placeholder"), "{said:?}");
    }

    #[test]
    fn a_byte_order_mark_is_no_error() {
        assert!(parse(Path::new("r.json"), "r", b"\xef\xbb\xbf{\"id\":\"r\"}").is_ok());
    }
}
