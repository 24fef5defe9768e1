//! `service.env`: variables for a daemon that no shell starts, such as keys that jobs need (`runner.env`).
//!
//! Lines of `NAME=value`, the value as it is or in one pair of quotes; blank lines, and those that begin with `#`, say
//! nothing; `export` before a name is passed over, so that a shell can read the file, too. Nothing is expanded.
//!
//! Invariants: it is read only when nobody else can read it; what the environment says already wins; no message quotes a
//! value.

use std::os::unix::fs::MetadataExt;

use super::{ConfigError, Environment, Paths};
use crate::store;
use crate::util::visible_line;

/// Largest file that is read, in bytes, and most variables.
const FILE_MAX: u64 = 256 * 1024;
const VARS_MAX: usize = 1000;

/// What says where this very file is, and so can't stand in it.
const ELSEWHERE: [&str; 2] = ["HOME", "DARKMUX_HOME"];

/// The variables of the file, in its order; no file has none.
pub(super) fn read(paths: &Paths) -> Result<Vec<(String, String)>, ConfigError> {
    let path = paths.service_env();
    let failed = |source| ConfigError::Io { path: path.clone(), action: "reading it", source };
    let Some(bytes) = store::read_if_there(&path, FILE_MAX).map_err(failed)? else { return Ok(Vec::new()) };
    let syntax = |reason: String| ConfigError::Syntax { path: path.clone(), reason };
    let mode = std::fs::metadata(&path).map_err(failed)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(syntax(format!("others can read it (mode {mode:o}): chmod 600 it")));
    }
    let text = String::from_utf8(bytes).map_err(|_| syntax("it is no UTF-8".to_owned()))?;
    parse(&text).map_err(syntax)
}

impl Environment {
    /// With what `service.env` sets beside it.
    pub fn with_service_file(mut self) -> Result<Self, ConfigError> {
        for (name, value) in read(&Paths::from_env(&self)?)? {
            if self.raw(&name).is_none() {
                self = self.with(name, value);
            }
        }
        Ok(self)
    }
}

fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut vars: Vec<(String, String)> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| format!("line {}: {what}", at + 1);
        let (name, value) = line.split_once('=').ok_or_else(|| wrong("write NAME=value"))?;
        let name = name.strip_prefix("export ").unwrap_or(name).trim();
        let is_start = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !is_start || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(wrong("what stands before `=` is no name of a variable"));
        }
        if ELSEWHERE.contains(&name) {
            return Err(wrong(&format!("{name} says where this file is, and can't stand in it")));
        }
        let value = value.trim();
        let unquoted = |quote: char| value.strip_prefix(quote).map(|rest| rest.strip_suffix(quote));
        let value = match unquoted('"').or_else(|| unquoted('\'')) {
            None => value,
            Some(Some(value)) => value,
            Some(None) => return Err(wrong("a quote is not closed")),
        };
        if value.chars().any(char::is_control) {
            return Err(wrong("the value holds control characters"));
        }
        if vars.len() >= VARS_MAX || vars.iter().any(|(other, _)| other == name) {
            return Err(wrong(&format!("{} is set twice, or there are too many", visible_line(name))));
        }
        vars.push((name.to_owned(), value.to_owned()));
    }
    Ok(vars)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn lines_are_read_as_people_write_them() {
        let read = parse("# keys\n\nA=1\n export B_2 = \"two words\" \nC='x=y # z'\nD=\n").unwrap();
        let shown: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(shown, [("A", "1"), ("B_2", "two words"), ("C", "x=y # z"), ("D", "")]);
        for (bad, says) in [
            ("A=1\ncanary", "line 2: write NAME=value"),
            ("1A=canary", "line 1"),
            ("A B=canary", "no name"),
            ("A=\"canary", "not closed"),
            ("A=1\nA=canary", "line 2: A is set twice"),
            ("DARKMUX_HOME=/canary", "can't stand in it"),
            ("A=canary\u{1b}[2J", "control"),
        ] {
            let said = parse(bad).unwrap_err();
            assert!(said.contains(says) && !said.contains("canary"), "{bad:?}: {said}");
        }
    }

    #[test]
    fn the_environment_wins_and_a_file_that_others_can_read_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let env = || Environment::of([("DARKMUX_HOME", home.path().as_os_str()), ("A", "own".as_ref())]);
        assert_eq!(env().with_service_file().unwrap().get("B"), None);
        let path = home.path().join("service.env");
        std::fs::write(&path, "A=file\nB=file\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let said = env().with_service_file().unwrap_err().to_string();
        assert!(said.contains("chmod 600"), "{said}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let env = env().with_service_file().unwrap();
        assert_eq!((env.get("A"), env.get("B")), (Some("own"), Some("file")));
    }
}
