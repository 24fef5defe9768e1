//! Which name is whose, so that a machine that is a peer under two names is shown once.
//!
//! Machines say themselves who they are. One that takes another's identity gets that one's place only while that one
//! is away: the name under which a machine was met first always gets it back. A name that the user gave comes before one that
//! was found, whichever was met first, and what was found never stands in for what the user named.

use std::collections::HashMap;
use std::sync::Arc;

/// Machines and names.
#[derive(Debug, Default)]
pub struct Nodes {
    /// The name under which a machine was met first, of those that the user gave where there is one.
    first: HashMap<Arc<str>, First>,
    /// The machine that answers under a name.
    held: HashMap<Arc<str>, Arc<str>>,
}

#[derive(Debug)]
struct First {
    name: Arc<str>,
    is_found: bool,
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
        let own = || First { name: Arc::clone(name), is_found };
        let first = self.first.entry(Arc::clone(node)).or_insert_with(own);
        if first.is_found && !is_found {
            *first = own();
        }
        let is_first = first.name == *name;
        if is_found && !first.is_found {
            return Err(Arc::clone(&first.name));
        }
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
