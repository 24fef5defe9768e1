//! Which session a text names.

use std::sync::Arc;

use super::{LiveSession, LiveTable};
use crate::model::SessionId;
use crate::session::{FindError, Fits, GMUX};

/// Fewest characters by which the end of an id names it.
const ENDING_MIN: usize = 4;

impl LiveTable {
    /// As [`find`](Self::find); a session that was begun a moment ago and has not said so yet is found by its id.
    pub async fn seek(&self, text: &str) -> Result<Arc<LiveSession>, FindError> {
        let found = self.find(text);
        let (Err(FindError::None(_)), Ok(id)) = (&found, SessionId::new(text)) else { return found };
        match self.load(&id).await {
            Ok(Some(loaded)) => self.put(loaded),
            Ok(None) => return found,
            Err(error) => tracing::debug!(%error, session = %id, "it cannot be looked for"),
        }
        self.find(text)
    }

    /// The session that `text` names: an id; else a name, else a slug (one that runs before those that ended); else
    /// the only one whose id or slug begins so, with or without `sess-`, or whose id
    /// ends so with at least [`ENDING_MIN`] characters.
    pub fn find(&self, text: &str) -> Result<Arc<LiveSession>, FindError> {
        if let Ok(id) = SessionId::new(text)
            && let Some(session) = self.get(&id)
        {
            return Ok(session);
        }
        let none = || FindError::None(text.chars().take(80).collect());
        if text.is_empty() {
            return Err(none());
        }
        let all = self.list();
        // A name is given by people; a program can choose its slug, and must not take another's name.
        let is_named = |session: &&Arc<LiveSession>| session.status().name.as_deref() == Some(text);
        let has_slug = |session: &&Arc<LiveSession>| session.slug() == text;
        let is_like = |session: &&Arc<LiveSession>| {
            let id = session.id().as_str();
            id.starts_with(text)
                || id.strip_prefix(GMUX).is_some_and(|rest| rest.starts_with(text))
                || session.slug().starts_with(text)
                || text.len() >= ENDING_MIN && id.ends_with(text)
        };
        let called = |is_it: &dyn Fn(&&Arc<LiveSession>) -> bool| {
            Fits::by_name(all.iter().filter(is_it), |session| session.is_alive())
        };
        let fits = called(&is_named).or(|| called(&has_slug)).or(|| Fits::only(all.iter().filter(is_like)));
        match fits {
            Fits::None => Err(none()),
            Fits::One(one) => Ok(Arc::clone(one)),
            Fits::Several(all) => Err(FindError::Several {
                text: text.chars().take(80).collect(),
                candidates: all.iter().map(|session| session.id().to_string()).collect(),
            }),
        }
    }
}
