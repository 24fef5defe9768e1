//! Whose size a session's terminal has, as a viewer on a terminal sees it, and what follows from that.

use crate::wire::WindowSize;
use crate::wire::frames::Owner;

/// The size of a session's terminal, and that of the one it is shown on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sized {
    /// The session's.
    pub session: WindowSize,
    /// The one before the user.
    pub terminal: WindowSize,
}

/// What is known of the sizes.
#[derive(Debug, Default)]
pub struct Sizes {
    /// What was told last on this connection.
    told: Option<(WindowSize, Owner)>,
    /// What is shown is made for another size.
    boxed: Option<Sized>,
}

impl Sizes {
    /// Another connection begins, which tells the size first.
    pub fn begin(&mut self) {
        self.told = None;
    }

    /// Whether the size was told on this connection.
    pub fn is_known(&self) -> bool {
        self.told.is_some()
    }

    /// For what other size the screen has to be shown.
    pub fn boxed(&self) -> Option<Sized> {
        self.boxed
    }

    /// The session's terminal has this size; `true` where the screen is wanted anew, as it is shown otherwise from now
    /// on. `pictured`: it comes with the picture of the whole screen.
    pub fn told(
        &mut self,
        (size, owner): (WindowSize, Owner),
        terminal: Option<WindowSize>,
        pictured: bool,
    ) -> bool {
        let before = self.told.replace((size, owner));
        let otherwise = self.look(terminal);
        let taken_over =
            owner == Owner::You && before.is_some_and(|(last, whose)| whose == Owner::Other && last != size);
        (otherwise && !pictured) || taken_over
    }

    /// The terminal before the user has another size; `true` as above.
    pub fn resized(&mut self, terminal: WindowSize) -> bool {
        self.look(Some(terminal))
    }

    /// Finds out for what other size the screen is; `true` where that is not as it was.
    fn look(&mut self, terminal: Option<WindowSize>) -> bool {
        let Some((session, owner)) = self.told else { return false };
        let sized = terminal.map(|terminal| Sized { session, terminal });
        let now = sized.filter(|sized| owner != Owner::You && sized.session != sized.terminal);
        let before = std::mem::replace(&mut self.boxed, now);
        now.map(|now| now.session) != before.map(|before| before.session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: Option<WindowSize> = Some(WindowSize { cols: 100, rows: 30 });
    const OTHER: WindowSize = WindowSize { cols: 60, rows: 15 };

    #[test]
    fn the_screen_of_another_size_is_boxed_until_it_is_ours() {
        let mut sizes = Sizes::default();
        sizes.begin();
        assert!(!sizes.told((OTHER, Owner::Other), MINE, true), "its picture is here");
        assert_eq!(sizes.boxed(), Some(Sized { session: OTHER, terminal: MINE.unwrap() }));
        assert!(!sizes.told((OTHER, Owner::Nobody), MINE, false), "its owner left, the size stays");
        assert!(sizes.boxed().is_some());
        assert!(sizes.told((MINE.unwrap(), Owner::You), MINE, false), "taken over");
        assert_eq!(sizes.boxed(), None);
    }

    #[test]
    fn what_has_our_size_is_shown_as_it_comes() {
        let mut sizes = Sizes::default();
        sizes.begin();
        assert!(!sizes.told((MINE.unwrap(), Owner::Other), MINE, true));
        assert_eq!(sizes.boxed(), None);
        assert!(sizes.told((OTHER, Owner::You), MINE, false), "made for another");
        assert!(!sizes.told((MINE.unwrap(), Owner::You), MINE, false), "the newest size comes later");
        assert!(sizes.told((MINE.unwrap(), Owner::Other), Some(OTHER), false));
        assert!(sizes.resized(MINE.unwrap()), "as large as the session by now");
        assert!(sizes.resized(OTHER));
        assert!(!sizes.resized(WindowSize { cols: 61, rows: 15 }), "boxed as before");
        sizes.begin();
        assert!(!sizes.told((MINE.unwrap(), Owner::Other), Some(OTHER), false), "it goes on as it was");
    }
}
