//! Which one is meant of those that a text fits.

/// Candidates named in a message about a text that fits several; one more is looked for.
const NAMED: usize = 4;

/// The candidates as a message names them.
pub fn few(candidates: &[String]) -> String {
    match candidates {
        [named @ .., _] if named.len() >= NAMED => format!("{} and others", named.join(", ")),
        _ => candidates.join(", "),
    }
}

/// How many a text fits.
#[derive(Debug, PartialEq, Eq)]
pub enum Fits<T> {
    /// None.
    None,
    /// One that is meant.
    One(T),
    /// Several; a few of them.
    Several(Vec<T>),
}

impl<T> Fits<T> {
    /// The one that fits. One that runs goes before those that have ended.
    pub fn by_name(all: impl Iterator<Item = T>, is_alive: impl Fn(&T) -> bool) -> Self {
        let (alive, ended): (Vec<T>, Vec<T>) = all.partition(is_alive);
        Self::only(if alive.is_empty() { ended } else { alive })
    }

    /// Where none does, what else fits.
    #[must_use]
    pub fn or(self, otherwise: impl FnOnce() -> Self) -> Self {
        if matches!(self, Self::None) { otherwise() } else { self }
    }

    /// The only one.
    pub fn only(all: impl IntoIterator<Item = T>) -> Self {
        let mut all: Vec<T> = all.into_iter().take(NAMED + 1).collect();
        match (all.pop(), all.is_empty()) {
            (None, _) => Self::None,
            (Some(one), true) => Self::One(one),
            (Some(last), false) => {
                all.push(last);
                Self::Several(all)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_runs_goes_before_those_that_ended_and_several_are_none() {
        let by_name = |all: &[(u8, bool)]| match Fits::by_name(all.iter().copied(), |(_, alive)| *alive) {
            Fits::None => Vec::new(),
            Fits::One((number, _)) => vec![number],
            Fits::Several(all) => all.into_iter().map(|(number, _)| number).collect(),
        };
        assert_eq!(by_name(&[]), [0_u8; 0]);
        assert_eq!(by_name(&[(1, false), (2, true), (3, false)]), [2]);
        assert_eq!(by_name(&[(1, true), (2, true), (3, false)]), [1, 2]);
        assert_eq!(by_name(&[(1, false), (2, false)]), [1, 2]);
        let names = |count: usize| few(&vec!["a".to_owned(); count]);
        assert_eq!((names(4), names(5)), ("a, a, a, a".to_owned(), "a, a, a, a and others".to_owned()));
        assert_eq!(Fits::only(0..9), Fits::Several((0..5).collect()));
    }
}
