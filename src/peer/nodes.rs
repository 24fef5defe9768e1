//! Which name is whose, so that a machine that is a peer under two names is shown once.
//!
//! Machines say themselves who they are. One that takes another's identity gets that one's place only while that one
//! is away: the name under which a machine was met first always gets it back. A name that the user gave comes before one that
//! was found, whichever was met first, and what was found never stands in for what the user named.

use std::collections::HashMap;
use std::sync::Arc;

/// Machines that a name is kept for: one that says to be another at each connection takes no more room than this.
const MET_MAX: usize = 8;

/// Machines and names.
#[derive(Debug, Default)]
pub struct Nodes {
    /// The name under which a machine was met first, of those that the user gave where there is one.
    first: HashMap<Arc<str>, First>,
    /// The machine that answers under a name.
    held: HashMap<Arc<str>, Arc<str>>,
    /// Machines met so far, which orders them.
    met: u64,
}

#[derive(Debug)]
struct First {
    name: Arc<str>,
    is_found: bool,
    met: u64,
}

impl Nodes {
    /// The machine `node` answers under this name, which the user gave or which was found: `Ok` with the name that stood
    /// in for it and has to give way, an error with the name under which the machine is shown, or will be again.
    pub fn claim(
        &mut self,
        name: &Arc<str>,
        is_found: bool,
        node: &Arc<str>,
    ) -> Result<Option<Arc<str>>, Arc<str>> {
        self.met += 1;
        let own = First { name: Arc::clone(name), is_found, met: self.met };
        let is_first = match self.first.get(node) {
            Some(first) if is_found && !first.is_found => return Err(Arc::clone(&first.name)),
            Some(first) if is_found || !first.is_found => first.name == *name,
            _ => {
                self.first.insert(Arc::clone(node), own);
                self.forget_oldest(name);
                true
            }
        };
        let other = self.held.iter().find(|(other, held)| *held == node && *other != name);
        let other = other.map(|(other, _)| Arc::clone(other));
        match other {
            Some(other) if !is_first => Err(other),
            other => {
                self.held.insert(Arc::clone(name), Arc::clone(node));
                Ok(other)
            }
        }
    }

    /// Of the machines that were first met under this name, the oldest goes when there are too many.
    fn forget_oldest(&mut self, name: &str) {
        let of_name = self.first.iter().filter(|(_, first)| &*first.name == name);
        let (count, oldest) = (of_name.clone().count(), of_name.min_by_key(|(_, first)| first.met));
        if let Some(oldest) = oldest.map(|(node, _)| Arc::clone(node)).filter(|_| count > MET_MAX) {
            self.first.remove(&oldest);
        }
    }

    /// Nobody answers under this name.
    pub fn release(&mut self, name: &str) {
        self.held.remove(name);
    }

    /// The name is no peer's any more.
    pub fn forget(&mut self, name: &str) {
        self.release(name);
        self.first.retain(|_, first| &*first.name != name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_gets_its_place_back_and_of_others_one_stands_in() {
        let (a, b, c): (Arc<str>, Arc<str>, Arc<str>) = ("a".into(), "b".into(), "c".into());
        let node: Arc<str> = "node".into();
        let mut nodes = Nodes::default();
        assert_eq!(nodes.claim(&a, false, &node), Ok(None));
        assert_eq!(nodes.claim(&b, false, &node), Err(Arc::clone(&a)));
        nodes.release("a");
        assert_eq!(nodes.claim(&b, false, &node), Ok(None));
        assert_eq!(nodes.claim(&c, false, &node), Err(Arc::clone(&b)));
        // Two that stand in never drive each other out.
        assert_eq!(nodes.claim(&b, false, &node), Ok(None));
        assert_eq!(nodes.claim(&a, false, &node), Ok(Some(Arc::clone(&b))));
        nodes.release("b");
        assert_eq!(nodes.claim(&b, false, &node), Err(Arc::clone(&a)));
        nodes.forget("a");
        assert_eq!(nodes.claim(&c, false, &node), Ok(None));
        assert_eq!(nodes.claim(&b, false, &node), Err(c));
        assert_eq!(nodes.claim(&b, false, &"else".into()), Ok(None));
    }

    #[test]
    fn a_name_under_which_ever_other_machines_answer_takes_no_more_room() {
        let (desk, liar): (Arc<str>, Arc<str>) = ("desk".into(), "liar".into());
        let mut nodes = Nodes::default();
        nodes.claim(&desk, false, &"node-of-desk".into()).unwrap();
        nodes.release("desk");
        for number in 0..1000 {
            nodes.claim(&liar, false, &format!("node-{number}").into()).unwrap();
            nodes.release("liar");
        }
        assert_eq!(nodes.first.len(), 1 + MET_MAX);
        nodes.claim(&liar, false, &"node-of-desk".into()).unwrap();
        assert_eq!(
            nodes.claim(&desk, false, &"node-of-desk".into()),
            Ok(Some(liar)),
            "it has its place still"
        );
    }

    #[test]
    fn what_was_found_takes_nothing_from_what_the_user_named() {
        let (desk, found, other): (Arc<str>, Arc<str>, Arc<str>) =
            ("desk".into(), "found".into(), "other".into());
        let node: Arc<str> = "node".into();
        let mut nodes = Nodes::default();
        assert_eq!(nodes.claim(&found, true, &node), Ok(None), "nobody else says it is that");
        assert_eq!(nodes.claim(&other, true, &node), Err(Arc::clone(&found)));
        assert_eq!(
            nodes.claim(&desk, false, &node),
            Ok(Some(Arc::clone(&found))),
            "it comes later, and is named"
        );
        nodes.release("found");
        assert_eq!(nodes.claim(&found, true, &node), Err(Arc::clone(&desk)));
        nodes.release("desk");
        assert_eq!(nodes.claim(&found, true, &node), Err(Arc::clone(&desk)), "nor while that is away");
        assert_eq!(nodes.claim(&desk, false, &node), Ok(None));
        nodes.forget("desk");
        assert_eq!(nodes.claim(&found, true, &node), Ok(None));
    }
}
