//! What changed when: for each session the number of its newest change, in order, and the removals and notices
//! of late. Sessions of other machines, whose ids are longer, are counted in the same way.
//!
//! Invariant: numbers only grow. Who has seen everything up to a number gets, by [`Changes::after`], at least the
//! newest state of whatever changed since; several changes of one session are one.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use crate::model::SessionId;

/// Removals that are remembered for those who come back.
const REMOVALS_MAX: usize = 4096;

/// Notices that are kept for those who are slow.
const NOTICES_MAX: usize = 256;

/// What a program wanted a person to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its headline.
    pub title: String,
    /// Its words; empty for a bell.
    pub body: String,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<Id = SessionId> {
    /// It is new, or is otherwise than before.
    Upsert(Id),
    /// It is no more.
    Remove(Id),
    /// It has shown something.
    Activity(Id),
    /// Its program wants a person to be told something.
    Notice(Id, Arc<Notice>),
}

/// Numbers of a session's newest changes; 0 for none.
#[derive(Debug, Default)]
struct Marks {
    upsert: u64,
    activity: u64,
}

/// The changes of one life of the daemon.
#[derive(Debug)]
pub struct Changes<Id = SessionId> {
    newest: u64,
    forgotten: u64,
    by_number: BTreeMap<u64, Change<Id>>,
    marks: HashMap<Id, Marks>,
    removals: VecDeque<u64>,
    notices: VecDeque<u64>,
}

impl<Id> Default for Changes<Id> {
    fn default() -> Self {
        Self {
            newest: 0,
            forgotten: 0,
            by_number: BTreeMap::new(),
            marks: HashMap::new(),
            removals: VecDeque::new(),
            notices: VecDeque::new(),
        }
    }
}

impl<Id: Clone + Eq + Hash> Changes<Id> {
    /// Number of the newest change.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// Whether it is still known what was removed since.
    pub fn reaches(&self, number: u64) -> bool {
        (self.forgotten..=self.newest).contains(&number)
    }

    /// The changes after `number`, oldest first, at most `most`.
    pub fn after(&self, number: u64, most: usize) -> Vec<(u64, Change<Id>)> {
        let later = self.by_number.range(number.saturating_add(1)..);
        later.take(most).map(|(number, change)| (*number, change.clone())).collect()
    }

    fn number(&mut self, change: Change<Id>) -> u64 {
        self.newest += 1;
        self.by_number.insert(self.newest, change);
        self.newest
    }

    /// A session is new or otherwise.
    pub fn upsert(&mut self, id: &Id) {
        let number = self.number(Change::Upsert(id.clone()));
        let marks = self.marks.entry(id.clone()).or_default();
        let before = std::mem::replace(&mut marks.upsert, number);
        self.by_number.remove(&before);
    }

    /// A session is no more.
    pub fn remove(&mut self, id: &Id) {
        if let Some(marks) = self.marks.remove(id) {
            self.by_number.remove(&marks.upsert);
            self.by_number.remove(&marks.activity);
        }
        let number = self.number(Change::Remove(id.clone()));
        self.removals.push_back(number);
        if self.removals.len() > REMOVALS_MAX
            && let Some(oldest) = self.removals.pop_front()
        {
            self.by_number.remove(&oldest);
            self.forgotten = oldest;
        }
    }

    /// A known session has shown something.
    pub fn activity(&mut self, id: &Id) {
        if !self.marks.contains_key(id) {
            return;
        }
        let number = self.number(Change::Activity(id.clone()));
        let Some(marks) = self.marks.get_mut(id) else { return };
        let before = std::mem::replace(&mut marks.activity, number);
        self.by_number.remove(&before);
    }

    /// A session's program wants a person to be told something.
    pub fn notice(&mut self, id: &Id, notice: Notice) {
        let number = self.number(Change::Notice(id.clone(), Arc::new(notice)));
        self.notices.push_back(number);
        if self.notices.len() > NOTICES_MAX
            && let Some(oldest) = self.notices.pop_front()
        {
            self.by_number.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn id(number: u8) -> SessionId {
        SessionId::new(format!("s{number}")).unwrap()
    }

    /// What somebody knows who sees changes: the number of the upsert it has of each session.
    fn apply(known: &mut BTreeMap<SessionId, u64>, changes: &[(u64, Change)]) {
        for (number, change) in changes {
            match change {
                Change::Upsert(id) => {
                    known.insert(id.clone(), *number);
                }
                Change::Remove(id) => {
                    known.remove(id);
                }
                Change::Activity(_) | Change::Notice(..) => {}
            }
        }
    }

    proptest! {
        #[test]
        fn whoever_comes_back_knows_what_one_who_stayed_knows(
            steps in prop::collection::vec((0u8..4, 0u8..6), 0..200),
            looks in prop::collection::vec(1usize..9, 1..200),
        ) {
            let mut changes = Changes::<SessionId>::default();
            let mut truth = BTreeMap::new();
            let (mut known, mut at) = (BTreeMap::new(), 0);
            for (step, (what, number)) in steps.into_iter().enumerate() {
                let id = id(number);
                match what {
                    0 => {
                        changes.upsert(&id);
                        truth.insert(id, changes.newest());
                    }
                    1 => {
                        if truth.remove(&id).is_some() {
                            changes.remove(&id);
                        }
                    }
                    2 => changes.activity(&id),
                    _ => changes.notice(&id, Notice { title: String::new(), body: String::new() }),
                }
                // It takes only a few at a time, and often falls behind.
                if step % looks[step % looks.len()] == 0 {
                    let some = changes.after(at, 2);
                    at = some.last().map_or(at, |(number, _)| *number);
                    apply(&mut known, &some);
                }
            }
            prop_assert!(changes.reaches(at));
            apply(&mut known, &changes.after(at, usize::MAX));
            prop_assert_eq!(known, truth);
        }
    }

    #[test]
    fn memory_has_a_bound_and_who_was_away_too_long_is_told() {
        let mut changes = Changes::<SessionId>::default();
        for _ in 0..10_000 {
            changes.upsert(&id(1));
            changes.activity(&id(1));
            changes.notice(&id(1), Notice { title: String::new(), body: String::new() });
            changes.upsert(&id(2));
            changes.remove(&id(2));
        }
        assert!(changes.by_number.len() <= REMOVALS_MAX + NOTICES_MAX + 4, "{}", changes.by_number.len());
        assert!(!changes.reaches(1) && changes.reaches(changes.newest()));
        assert!(!changes.reaches(changes.newest() + 1));
    }
}
