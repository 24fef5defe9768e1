//! Readable names of sessions in URLs, each unique among those of its kind.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::model::SessionId;

/// Longest slug, in characters.
const SLUG_MAX: usize = 40;

/// `text` as a slug: lower case, everything but letters and digits as one `-`. `None` when nothing is left.
pub fn slug(text: &str) -> Option<String> {
    let mut out = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
        if out.len() >= SLUG_MAX {
            break;
        }
    }
    let out = out.trim_end_matches('-');
    (!out.is_empty()).then(|| out.to_owned())
}

/// Which session has which slug.
#[derive(Debug, Default)]
pub struct Slugs {
    by_slug: HashMap<(String, String), SessionId>,
    by_session: HashMap<SessionId, Given>,
    /// What an earlier daemon had given.
    before: HashMap<SessionId, Given>,
}

/// A slug that a session has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    kind: String,
    wanted: String,
    slug: String,
}

impl Slugs {
    /// Slugs that an earlier daemon had given: their sessions get them again.
    pub fn remember(&mut self, before: HashMap<SessionId, Given>) {
        self.before = before;
    }

    /// The slugs that are others than their sessions wanted; those of the rest follow from what they want.
    pub fn numbered(&self) -> HashMap<SessionId, Given> {
        let numbered = self.by_session.iter().filter(|(_, given)| given.slug != given.wanted);
        numbered.map(|(id, given)| (id.clone(), given.clone())).collect()
    }

    /// The slug of a session that would like to be called `wanted`: the one it has as long as it wants the
    /// same, else the first that is free (`name`, `name-2`, `name-3`, …).
    pub fn give(&mut self, id: &SessionId, kind: &str, wanted: &str) -> String {
        if let Some(given) = self.by_session.get(id) {
            if given.kind == kind && given.wanted == wanted {
                return given.slug.clone();
            }
            self.take_back(id);
        }
        let before = self.before.remove(id);
        let before = before.filter(|before| before.kind == kind && before.wanted == wanted);
        let mut slug = before.map_or_else(|| wanted.to_owned(), |before| before.slug);
        let mut number = 2;
        while self.by_slug.contains_key(&(kind.to_owned(), slug.clone())) {
            let end = format!("-{number}");
            let room = SLUG_MAX.saturating_sub(end.len()).min(wanted.len());
            slug = format!("{}{end}", wanted[..room].trim_end_matches('-'));
            number += 1;
        }
        self.by_slug.insert((kind.to_owned(), slug.clone()), id.clone());
        let given = Given { kind: kind.to_owned(), wanted: wanted.to_owned(), slug: slug.clone() };
        self.by_session.insert(id.clone(), given);
        slug
    }

    /// The session is gone.
    pub fn take_back(&mut self, id: &SessionId) {
        if let Some(Given { kind, slug, .. }) = self.by_session.remove(id) {
            self.by_slug.remove(&(kind, slug));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn slugs_are_plain() {
        assert_eq!(slug("My Project (2)").as_deref(), Some("my-project-2"));
        assert_eq!(slug("--Ünïcode--").as_deref(), Some("n-code"));
        assert_eq!(slug("漢字"), None);
        assert_eq!(slug(&"ab ".repeat(40)).unwrap().len(), SLUG_MAX);
    }

    #[test]
    fn a_slug_stays_with_its_session() {
        let mut slugs = Slugs::default();
        let [a, b] = ["a", "b"].map(|id| SessionId::new(id).unwrap());
        assert_eq!(slugs.give(&a, "shell", "x"), "x");
        assert_eq!(slugs.give(&b, "shell", "x"), "x-2");
        assert_eq!(slugs.give(&a, "shell", "x"), "x");
        assert_eq!(slugs.give(&b, "codex", "x"), "x");
        slugs.take_back(&a);
        assert_eq!(slugs.give(&a, "codex", "x"), "x-2");
    }

    #[test]
    fn the_next_daemon_gives_the_same() {
        let (mut slugs, mut next) = (Slugs::default(), Slugs::default());
        let [a, b, c] = ["a", "b", "c"].map(|id| SessionId::new(id).unwrap());
        for id in [&a, &b, &c] {
            slugs.give(id, "shell", "x");
        }
        slugs.take_back(&a);
        assert_eq!(slugs.numbered().len(), 2);
        next.remember(slugs.numbered());
        assert_eq!((next.give(&b, "shell", "x"), next.give(&c, "shell", "x")), ("x-2".into(), "x-3".into()));
        assert_eq!(next.give(&a, "shell", "x"), "x");
    }

    proptest! {
        #[test]
        fn no_two_of_a_kind_have_the_same(wanted in prop::collection::vec("[a-z0-9]{1,3}(-[0-9])?|[a-z]{40}", 1..60)) {
            let mut slugs = Slugs::default();
            let mut given = HashSet::new();
            for (number, wanted) in wanted.iter().enumerate() {
                let id = SessionId::new(format!("s{number}")).unwrap();
                let slug = slugs.give(&id, "shell", wanted);
                prop_assert!(slug.len() <= SLUG_MAX);
                prop_assert!(given.insert(slug));
            }
        }
    }
}
