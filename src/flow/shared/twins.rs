//! Records without an id that reach us by two ways: a process of darkmux 1.9 in our home writes the file and
//! sends to Redis itself, and what it wrote is shipped from the file as well.
//!
//! Two records are the same when their bytes are; of each, as many are let through as came by the way that
//! brought more. Only a bounded number of unmatched ones is remembered.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use super::entry::record_id;

/// Unmatched records that are remembered.
const KEPT: usize = 4096;

/// By which way a record came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From a file, here or on another machine.
    File,
    /// From darkmux 1.9's own sender.
    Sent,
}

/// The unmatched records.
#[derive(Debug, Default)]
pub struct Twins {
    hasher: RandomState,
    /// How many more came from files than were sent.
    surplus: HashMap<u64, i32>,
    order: VecDeque<u64>,
}

impl Twins {
    /// Whether a record that comes this way is to be shown, or is the twin of one that was.
    pub fn is_first(&mut self, line: &[u8], way: Way) -> bool {
        if record_id(line).is_some() {
            return true;
        }
        let key = self.hasher.hash_one(line);
        let step = if way == Way::File { 1 } else { -1 };
        let surplus = self.surplus.entry(key).or_insert_with(|| {
            self.order.push_back(key);
            0
        });
        let is_first = *surplus * step >= 0;
        *surplus += step;
        while self.order.len() > KEPT {
            self.order.pop_front().and_then(|oldest| self.surplus.remove(&oldest));
        }
        is_first
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_twin_is_shown_once_whichever_comes_first() {
        let mut twins = Twins::default();
        for (first, second) in [(Way::File, Way::Sent), (Way::Sent, Way::File)] {
            assert!(twins.is_first(b"{\"a\":1}", first));
            assert!(!twins.is_first(b"{\"a\":1}", second));
        }
        let ours = format!("{{\"record_id\":\"{}\"}}", uuid::Uuid::nil());
        assert!(twins.is_first(ours.as_bytes(), Way::File) && twins.is_first(ours.as_bytes(), Way::Sent));
    }

    proptest! {
        #[test]
        fn as_many_are_shown_as_the_fuller_way_brought(came in prop::collection::vec((0u8..4, any::<bool>()), 0..200)) {
            let mut twins = Twins::default();
            let mut shown = HashMap::new();
            for &(what, file) in &came {
                let way = if file { Way::File } else { Way::Sent };
                *shown.entry(what).or_insert(0) += usize::from(twins.is_first(&[b'{', what, b'}'], way));
            }
            for (what, shown) in shown {
                let count = |way| came.iter().filter(|&&(at, file)| at == what && file == way).count();
                prop_assert_eq!(shown, count(true).max(count(false)));
            }
        }
    }
}
