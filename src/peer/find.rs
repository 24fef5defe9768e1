//! Which session of another machine a text names.

use std::sync::Arc;

use serde::Deserialize;

use super::audience::Audience;
use super::table::RemoteSession;
use super::{Peers, RemoteId};
use crate::session::{FindError, Fits, GMUX};

/// What people call a session by.
#[derive(Debug, Default, Deserialize)]
struct Called {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    slug: Option<String>,
}

impl Peers {
    /// The session that `x@dev@server` names, where `x` is its id, its name or slug, or the beginning of its id or
    /// slug; the machines are written in full. A text without `@` names none: local names never act elsewhere.
    pub fn find(&self, text: &str) -> Result<Arc<RemoteSession>, FindError> {
        let none = || FindError::None(text.chars().take(200).collect());
        if let Some(session) = self.session(text) {
            return Ok(session);
        }
        RemoteId::parse(text).ok_or_else(none)?;
        let (own, machines) = text.split_once('@').ok_or_else(none)?;
        let all = self.sessions(&Audience::All);
        let there: Vec<(&Arc<RemoteSession>, &str, Called)> = all
            .iter()
            .filter_map(|session| {
                let (id, of) = session.id.split_once('@')?;
                let called = || serde_json::from_slice(&session.object).unwrap_or_default();
                (of == machines).then(|| (session, id, called()))
            })
            .collect();
        let exact =
            |called: &Called| [&called.name, &called.slug].into_iter().flatten().any(|word| word == own);
        let begins =
            |id: &str| id.starts_with(own) || id.strip_prefix(GMUX).is_some_and(|id| id.starts_with(own));
        let slug = |called: &Called| called.slug.as_ref().is_some_and(|slug| slug.starts_with(own));
        let named = there.iter().filter(|(_, _, called)| exact(called));
        let fits = Fits::by_name(named, |(session, ..)| session.alive);
        match fits.or(|| Fits::only(there.iter().filter(|(_, id, called)| begins(id) || slug(called)))) {
            Fits::None => Err(none()),
            Fits::One((one, ..)) => Ok(Arc::clone(one)),
            Fits::Several(all) => Err(FindError::Several {
                text: text.chars().take(200).collect(),
                candidates: all.iter().map(|(session, ..)| session.id.to_string()).collect(),
            }),
        }
    }
}
