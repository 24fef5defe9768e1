//! What the daemon lists of other machines' sessions. It comes from them: each is read by itself, and one that can't be
//! read is left out.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::{LIST_TIME, Way};
use crate::client::{Client, ClientError};
use crate::model::{ExitStatus, SessionState};
use crate::session::{Fits, GMUX};
use crate::wire::WindowSize;
use crate::wire::v1::StatusObject;

/// Fewest characters by which the end of an id names it.
const ENDING_MIN: usize = 4;

/// One session. Machines of other versions say less of theirs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // The keys of `SessionObject`.
pub struct Listed {
    pub id: String,
    pub alive: bool,
    pub title: String,
    pub what: Option<String>,
    pub name: Option<String>,
    pub slug: Option<String>,
    pub cwd: String,
    pub kind: String,
    pub unread: bool,
    pub needs_you: Option<String>,
    pub status: Option<StatusObject>,
    pub exit_code: Option<i32>,
    pub exit: Option<ExitStatus>,
    pub reason: Option<String>,
    pub created_at: Option<String>,
    pub started_at: Option<String>,
    pub exited_at: Option<String>,
    pub disconnected_since: Option<String>,
    pub terminal_cols: Option<u16>,
    pub terminal_rows: Option<u16>,
    /// All that was said.
    #[serde(skip)]
    pub raw: Value,
}

impl Listed {
    /// What its own machine calls it.
    pub fn own_id(&self) -> &str {
        self.id.split('@').next().unwrap_or_default()
    }

    /// The machine that it is on, with the way there.
    pub fn machine(&self) -> &str {
        self.id.split_once('@').map_or("", |(_, machine)| machine)
    }

    /// The code that a shell would report.
    pub fn shell_code(&self) -> Option<i32> {
        self.exit.map(ExitStatus::shell_code).or(self.exit_code)
    }

    /// What it is about, where its name stands beside it.
    pub fn what(&self) -> &str {
        let own = self.what.as_deref().unwrap_or(&self.title);
        if own.is_empty() { &self.kind } else { own }
    }

    /// Where it is in its life, by its own word or by whether it runs.
    pub fn state(&self) -> SessionState {
        let by_life = if self.alive { SessionState::Running } else { SessionState::Exited };
        SessionState::deserialize(&self.raw["state"]).unwrap_or(by_life)
    }

    /// How large its terminal is, as far as that is known.
    pub fn size(&self) -> WindowSize {
        let usual = WindowSize::default();
        WindowSize {
            cols: self.terminal_cols.unwrap_or(usual.cols),
            rows: self.terminal_rows.unwrap_or(usual.rows),
        }
    }

    fn of(raw: Value) -> Option<Self> {
        let listed = Self::deserialize(&raw).ok()?;
        listed.id.contains('@').then_some(Self { raw, ..listed })
    }
}

/// All sessions of other machines, as the daemon knows them.
pub async fn list(client: &Client) -> Result<Vec<Listed>, ClientError> {
    let all = client.read("/v1/sessions", LIST_TIME).await?;
    let Value::Array(all) = all else { return Ok(Vec::new()) };
    Ok(all.into_iter().filter_map(Listed::of).collect())
}

/// Why a text names no session.
#[derive(Debug, PartialEq, Eq)]
pub enum Chosen {
    /// None is called so.
    None,
    /// Several are.
    Several(Vec<String>),
}

/// The session that is meant, by the rules of this machine's own.
pub fn choose(all: Vec<Listed>, way: &Way) -> Result<Listed, Chosen> {
    let there: Vec<Listed> = all.into_iter().filter(|session| session.machine() == way.machine).collect();
    let text = way.name.as_str();
    if text.is_empty() {
        return Err(Chosen::None);
    }
    let by_id = |session: &Listed| session.own_id() == text;
    let by_name = |session: &Listed| session.name.as_deref() == Some(text);
    let by_slug = |session: &Listed| session.slug.as_deref() == Some(text);
    let is_like = |session: &&Listed| {
        let id = session.own_id();
        id.starts_with(text)
            || id.strip_prefix(GMUX).is_some_and(|rest| rest.starts_with(text))
            || text.len() >= ENDING_MIN && id.ends_with(text)
    };
    let called = |is_it: &dyn Fn(&Listed) -> bool| {
        Fits::by_name(there.iter().filter(|session| is_it(session)), |session| session.alive)
    };
    let fits = called(&by_id).or(|| called(&by_name)).or(|| called(&by_slug));
    match fits.or(|| Fits::only(there.iter().filter(is_like))) {
        Fits::None => Err(Chosen::None),
        Fits::One(one) => Ok(one.clone()),
        Fits::Several(all) => {
            Err(Chosen::Several(all.into_iter().map(|session| session.id.clone()).collect()))
        }
    }
}

/// The session that is meant where no machine is named: one, or none.
pub fn anywhere(all: &[Listed], text: &str) -> Option<String> {
    let machines: BTreeSet<&str> = all.iter().map(Listed::machine).collect();
    let mut found = machines.into_iter().filter_map(|machine| {
        let way = Way { name: text.to_owned(), machine: machine.to_owned() };
        choose(all.to_vec(), &way).ok()
    });
    let first = found.next()?;
    found.next().is_none().then_some(first.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn all() -> Vec<Listed> {
        let raw = json!([
            { "id": "sess-aa11@desk", "alive": false, "name": "build" },
            { "id": "sess-aa22@desk", "alive": true, "name": "build", "slug": "work" },
            { "id": "sess-aa11@dev@desk", "alive": true, "kind": "shell", "status": null },
            { "id": "sess-cc11@desk", "alive": true, "name": "twice" },
            { "id": "sess-cc22@desk", "alive": true, "name": "twice" },
            { "id": "sess-bb11", "alive": true }, { "id": 7 }, "no session",
        ]);
        let Value::Array(raw) = raw else { unreachable!() };
        raw.into_iter().filter_map(Listed::of).collect()
    }

    #[test]
    fn a_session_is_looked_for_on_its_machine_alone() {
        let chosen = |name: &str, machine: &str| {
            let way = Way { name: name.to_owned(), machine: machine.to_owned() };
            choose(all(), &way).map(|session| session.id)
        };
        assert_eq!(all().len(), 5);
        assert_eq!(chosen("sess-aa11", "desk").as_deref(), Ok("sess-aa11@desk"));
        assert_eq!(chosen("build", "desk").as_deref(), Ok("sess-aa22@desk"));
        assert_eq!(chosen("work", "desk").as_deref(), Ok("sess-aa22@desk"));
        assert_eq!(chosen("aa2", "desk").as_deref(), Ok("sess-aa22@desk"));
        assert_eq!(chosen("aa", "dev@desk").as_deref(), Ok("sess-aa11@dev@desk"));
        assert!(matches!(chosen("aa", "desk"), Err(Chosen::Several(ids)) if ids.len() == 2));
        assert!(matches!(chosen("twice", "desk"), Err(Chosen::Several(ids)) if ids.len() == 2));
        assert_eq!(chosen("bb11", "desk"), Err(Chosen::None));
        assert_eq!(chosen("", "desk"), Err(Chosen::None));
        assert_eq!(anywhere(&all(), "work").as_deref(), Some("sess-aa22@desk"));
        assert_eq!(anywhere(&all(), "sess-aa11"), None, "it is on two");
        assert_eq!(anywhere(&all(), "nothing"), None);
        assert_eq!(chosen("build", "dev"), Err(Chosen::None));
    }
}
