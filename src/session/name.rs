//! Names that users give sessions: what one may be, and that it means one session.

use std::io;

use super::Table;
use crate::model::SessionId;
use crate::util::visible_line;

/// Longest name, in characters.
const NAME_MAX: usize = 64;

/// A name as a user typed it, without blanks around it; what is wrong with it, otherwise.
pub fn parse_name(text: &str) -> Result<String, String> {
    if text.contains('@') {
        return Err("a name holds no `@`: what follows one is a machine".to_owned());
    }
    let printable = !text.trim().is_empty() && visible_line(text) == text;
    if printable && text.chars().count() <= NAME_MAX {
        Ok(text.trim().to_owned())
    } else {
        Err(format!("a name has 1 to {NAME_MAX} printable characters"))
    }
}

/// The session that a name means already: one whose id it is, or another one that runs and has it. `own` is the
/// session that is to have it.
pub fn name_taken(table: &Table, name: &str, own: Option<&SessionId>) -> io::Result<Option<SessionId>> {
    let sessions = table.list()?;
    let others = sessions.into_iter().filter(|session| Some(&session.id) != own);
    let mut taken = others.filter(|session| {
        session.id.as_str() == name || session.name.as_deref() == Some(name) && !session.state.is_final()
    });
    Ok(taken.next().map(|session| session.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_short_line() {
        assert_eq!(parse_name(" two words ").as_deref(), Ok("two words"));
        for bad in ["", "  ", "a\nb", "a\u{1b}[2J", "a@b", &"x".repeat(65)] {
            assert!(parse_name(bad).is_err(), "{bad:?}");
        }
    }
}
