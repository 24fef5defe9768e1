//! Which sessions of other machines somebody is shown.
//!
//! Hubs say by [`VIA`] who they are. They get what they can't have from elsewhere: nothing that is theirs or came
//! through them, nothing that has come too far. Others get, on the events, what gmux' hubs expect.

use std::sync::Arc;

use super::table::RemoteSession;

/// The header by which a hub of ours says who it is: node ids, its own first.
pub const VIA: &str = "darkmux-via";

/// Most machines that a session comes through.
pub const HOPS_MAX: usize = 4;

/// Longest node id, in bytes, and most of them in a header.
const NODE_MAX: usize = 64;
const NODES_MAX: usize = 16;

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// A hub of gmux, or somebody who asks for no more: sessions of local peers.
    Near,
    /// Somebody who looks: all.
    All,
    /// A hub of ours: all that did not come through these machines.
    Hub(Vec<Arc<str>>),
}

impl Audience {
    /// What `Darkmux-Via` says; `None` when it names nobody.
    pub fn of_via(text: &str) -> Option<Self> {
        let nodes: Vec<_> = text.split(',').map(str::trim).filter_map(node).take(NODES_MAX).collect();
        (!nodes.is_empty()).then_some(Self::Hub(nodes))
    }

    /// Whether they are shown this session.
    pub fn admits(&self, session: &RemoteSession) -> bool {
        match self {
            Self::Near => session.local,
            Self::All => true,
            Self::Hub(nodes) => {
                session.hops() < HOPS_MAX && !session.path.iter().any(|node| nodes.contains(node))
            }
        }
    }

    /// Whether they may have been shown a session that is no more.
    pub(super) fn hears_of(&self, local: bool) -> bool {
        local || !matches!(self, Self::Near)
    }
}

/// A node id that tells machines apart. That of gmux 1.x is the same everywhere.
pub fn node(text: &str) -> Option<Arc<str>> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fits = (8..=NODE_MAX).contains(&text.len()) && text.bytes().all(good);
    (fits && text != "node-local").then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_names_machines_and_garbage_names_none() {
        let of = Audience::of_via;
        let hub = |nodes: &[&str]| Some(Audience::Hub(nodes.iter().map(|node| (*node).into()).collect()));
        assert_eq!(of("aaaaaaaa-1, bbbbbbbb-2"), hub(&["aaaaaaaa-1", "bbbbbbbb-2"]));
        assert_eq!(of("x, bbbbbbbb\u{1b},, cccccccc"), hub(&["cccccccc"]));
        for none in ["", " , ", "node-local", "short", &"x".repeat(65)] {
            assert_eq!(of(none), None, "{none}");
        }
        let many = vec!["aaaaaaaa"; 10_000].join(",");
        assert!(matches!(of(&many), Some(Audience::Hub(nodes)) if nodes.len() == NODES_MAX));
    }
}
