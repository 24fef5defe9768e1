//! Which name is whose, so that a machine that is a peer under two names is shown once.
//!
//! Machines say themselves who they are. One that takes another's identity gets that one's place only while that one
//! is away: the name under which a machine was met first always gets it back.

use std::collections::HashMap;
use std::sync::Arc;

/// Machines and names.
#[derive(Debug, Default)]
pub struct Nodes {
    /// The name under which a machine was met first.
    first: HashMap<Arc<str>, Arc<str>>,
    /// The machine that answers under a name.
    held: HashMap<Arc<str>, Arc<str>>,
}

impl Nodes {
    /// The machine `node` answers under this name: `Ok` with the name that stood in for it and has to give way, an
    /// error with the name under which the machine is shown already.
    pub fn claim(&mut self, name: &Arc<str>, node: &Arc<str>) -> Result<Option<Arc<str>>, Arc<str>> {
        let first = self.first.entry(Arc::clone(node)).or_insert_with(|| Arc::clone(name));
        let is_first = first == name;
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
        self.first.retain(|_, first| &**first != name);
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
        assert_eq!(nodes.claim(&a, &node), Ok(None));
        assert_eq!(nodes.claim(&b, &node), Err(Arc::clone(&a)));
        nodes.release("a");
        assert_eq!(nodes.claim(&b, &node), Ok(None));
        assert_eq!(nodes.claim(&c, &node), Err(Arc::clone(&b)));
        // Two that stand in never drive each other out.
        assert_eq!(nodes.claim(&b, &node), Ok(None));
        assert_eq!(nodes.claim(&a, &node), Ok(Some(Arc::clone(&b))));
        nodes.release("b");
        assert_eq!(nodes.claim(&b, &node), Err(Arc::clone(&a)));
        nodes.forget("a");
        assert_eq!(nodes.claim(&c, &node), Ok(None));
        assert_eq!(nodes.claim(&b, &node), Err(c));
        assert_eq!(nodes.claim(&b, &"else".into()), Ok(None));
    }
}
