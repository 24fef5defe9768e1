//! Who looks at the terminal, and whose size it has.
//!
//! Rule: the viewer who typed last, or took the size over, owns it; a first one with a size owns it when nobody does;
//! when the owner leaves, the size stays until another types or takes it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::wire::WindowSize;
use crate::wire::frames::Owner;

/// The size, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sized {
    pub size: WindowSize,
    /// The viewer who owns it.
    pub owner: Option<u64>,
}

impl Sized {
    /// Whose it is, as one viewer sees it.
    pub fn owner_for(&self, viewer: u64) -> Owner {
        match self.owner {
            None => Owner::Nobody,
            Some(owner) if owner == viewer => Owner::You,
            Some(_) => Owner::Other,
        }
    }
}

/// What is known of one viewer.
#[derive(Debug, Clone, Copy)]
struct Viewer {
    id: u64,
    size: Option<WindowSize>,
    kind: ViewerKind,
}

/// What a viewer may do, and whether there is a terminal behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ViewerKind {
    /// It shows the screen.
    pub screen: bool,
    /// It types nothing.
    pub read_only: bool,
}

#[derive(Debug, Default)]
struct Known {
    viewers: Vec<Viewer>,
    last_id: u64,
}

/// The viewers of one session.
#[derive(Debug)]
pub(super) struct Viewers {
    known: Mutex<Known>,
    sized: watch::Sender<Sized>,
}

impl Viewers {
    /// Nobody yet, on a terminal of this size.
    pub fn new(size: WindowSize) -> Self {
        Self { known: Mutex::default(), sized: watch::Sender::new(Sized { size, owner: None }) }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A viewer comes; returns its number.
    pub fn join(&self, kind: ViewerKind, size: Option<WindowSize>) -> u64 {
        let mut known = self.known();
        known.last_id += 1;
        let id = known.last_id;
        known.viewers.push(Viewer { id, size, kind });
        id
    }

    /// A viewer goes.
    pub fn leave(&self, id: u64) {
        self.known().viewers.retain(|viewer| viewer.id != id);
        self.sized.send_if_modified(|sized| {
            let owned = sized.owner == Some(id);
            if owned {
                sized.owner = None;
            }
            owned
        });
    }

    /// What is told to viewers: the size, and whose it is.
    pub fn sized(&self) -> watch::Receiver<Sized> {
        self.sized.subscribe()
    }

    /// The size a viewer takes over by typing; `None` when it is its own already, or it has none.
    pub fn typed(&self, id: u64) -> Option<WindowSize> {
        if self.sized.borrow().owner == Some(id) {
            return None;
        }
        self.known().viewers.iter().find(|viewer| viewer.id == id && !viewer.kind.read_only)?.size
    }

    /// A viewer says how large it is; returns the size that the terminal shall have because of that.
    pub fn stated(&self, id: u64, size: WindowSize, claim: bool) -> Option<WindowSize> {
        let mut known = self.known();
        let viewer = known.viewers.iter_mut().find(|viewer| viewer.id == id)?;
        viewer.size = Some(size);
        let owner = self.sized.borrow().owner;
        let takes = claim || owner == Some(id) || owner.is_none();
        (takes && !viewer.kind.read_only).then_some(size)
    }

    /// The terminal has this size now, for this viewer.
    pub fn set(&self, size: WindowSize, owner: Option<u64>) {
        self.sized.send_if_modified(|sized| {
            let now = Sized { size, owner };
            let changed = *sized != now;
            *sized = now;
            changed
        });
    }

    /// Whether somebody shows the screen and may type: a person, who has seen what there is.
    pub fn attended(&self) -> bool {
        self.known().viewers.iter().any(|viewer| viewer.kind.screen && !viewer.kind.read_only)
    }

    /// Whether a real terminal answers the questions of the program.
    pub fn answered(&self) -> bool {
        let answers =
            |viewer: &Viewer| !viewer.kind.read_only && (viewer.kind.screen || viewer.size.is_some());
        self.known().viewers.iter().any(answers)
    }
}
