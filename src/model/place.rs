//! Places in the fleet's flow: an entry of the shared stream, and a reader's place in the records of this
//! machine and of all others.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use super::{Day, Position};

/// The id of an entry of a Redis stream. The milliseconds are those of the server's clock at best; nothing is
/// derived from them but an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EntryId {
    /// Milliseconds since the Unix epoch.
    pub ms: u64,
    /// Counts within them.
    pub seq: u64,
}

/// Why a text is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a position is written <day>:<12-digit byte offset>, with ~<id in the fleet's flow> where there is one"
)]
pub struct PlaceError;

impl EntryId {
    /// Before every entry.
    pub const ZERO: Self = Self { ms: 0, seq: 0 };

    /// The id right after this one.
    #[must_use]
    pub fn next(self) -> Self {
        match self.seq.checked_add(1) {
            Some(seq) => Self { seq, ..self },
            None => Self { ms: self.ms.saturating_add(1), seq: 0 },
        }
    }
}

impl EntryId {
    /// The id right before this one; the first one's is itself.
    #[must_use]
    pub fn before(self) -> Self {
        match (self.seq.checked_sub(1), self.ms.checked_sub(1)) {
            (Some(seq), _) => Self { seq, ..self },
            (None, Some(ms)) => Self { ms, seq: u64::MAX },
            (None, None) => self,
        }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl FromStr for EntryId {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let (ms, seq) = text.split_once('-').ok_or(PlaceError)?;
        Ok(Self { ms: number(ms)?, seq: number(seq)? })
    }
}

fn number(text: &str) -> Result<u64, PlaceError> {
    if text.is_empty() || text.len() > 20 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(PlaceError);
    }
    text.parse().map_err(|_| PlaceError)
}

/// How far a reader is in the fleet's flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FleetAt {
    /// Everything up to this id is behind the reader.
    pub id: EntryId,
    /// Whether an entry of this id was seen. One that was not stands for a moment: it may be ahead of the
    /// stream without any harm.
    pub seen: bool,
}

impl FleetAt {
    /// After an entry that was seen.
    pub fn after(id: EntryId) -> Self {
        Self { id, seen: true }
    }

    /// After everything that was added before this moment.
    pub fn since(ms: u64) -> Self {
        Self { id: EntryId { ms, seq: 0 }, seen: false }
    }

    /// After everything that was added before this day.
    pub fn since_day(day: Day) -> Self {
        let midnight: Option<Timestamp> = format!("{day}T00:00:00Z").parse().ok();
        Self::since(midnight.map_or(0, |at| u64::try_from(at.as_millisecond()).unwrap_or(0)))
    }
}

/// The day of a moment in milliseconds since the Unix epoch.
pub fn day_of_ms(ms: u64) -> Option<Day> {
    let moment = Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
    Some(Day::of(moment))
}

/// A reader's place: in the files of this machine, and in the fleet's flow where there is one. Both parts only
/// grow along a stream, so that its places sort as text in the order of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// In the files.
    pub local: Position,
    /// In the fleet's flow; `None` where this machine works alone, or nothing is known yet.
    pub fleet: Option<FleetAt>,
}

impl Place {
    /// A place in the files alone.
    pub fn local(local: Position) -> Self {
        Self { local, fleet: None }
    }

    /// Whether `other` has something that a reader here has not seen.
    pub fn is_behind(&self, other: &Self) -> bool {
        self.local < other.local || self.fleet < other.fleet
    }

    /// The further of both, in each part.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { local: self.local.max(other.local), fleet: self.fleet.max(other.fleet) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.local)?;
        match self.fleet {
            None => Ok(()),
            Some(FleetAt { id, seen: true }) => write!(f, "~{:013}-{:06}", id.ms, id.seq),
            Some(FleetAt { id, seen: false }) => write!(f, "~{:013}", id.ms),
        }
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let (local, fleet) = match text.split_once('~') {
            Some((local, fleet)) => (local, Some(fleet)),
            None => (text, None),
        };
        let fleet = match fleet {
            None => None,
            Some(fleet) if fleet.contains('-') => Some(FleetAt::after(fleet.parse()?)),
            Some(fleet) => Some(FleetAt::since(number(fleet)?)),
        };
        Ok(Self { local: local.parse().map_err(|_| PlaceError)?, fleet })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written_and_sort_as_text() {
        let texts = [
            "2026-11-22:000000001042",
            "2026-11-22:000000001042~1795304012268",
            "2026-11-22:000000001042~1795304012268-000009",
            "2026-11-22:000000001042~1795304012268-000010",
            "2026-11-22:000000001043~1795304012268-000010",
        ];
        assert!(texts.is_sorted());
        let places = texts.map(|text| text.parse::<Place>().unwrap());
        assert_eq!(places.map(|place| place.to_string()), texts);
        for pair in places.windows(2) {
            assert!(pair[0].is_behind(&pair[1]) && !pair[1].is_behind(&pair[0]));
        }
        assert_eq!("2026-11-22:7~5-3".parse::<Place>().unwrap().to_string(), {
            "2026-11-22:000000000007~0000000000005-000003"
        });
        for wrong in ["", "~5-3", "2026-11-22:7~", "2026-11-22:7~a", "2026-11-22:7~1-2-3", "2026-11-22:7~-1"]
        {
            assert_eq!(wrong.parse::<Place>(), Err(PlaceError), "{wrong}");
        }
    }

    #[test]
    fn each_part_goes_its_own_way() {
        let place = |text: &str| text.parse::<Place>().unwrap();
        let (one, two) = (place("2026-11-22:9~5-0"), place("2026-11-22:3~6-0"));
        assert!(one.is_behind(&two) && two.is_behind(&one));
        assert_eq!(one.max(two), place("2026-11-22:9~6-0"));
        assert!(!one.is_behind(&Place::local(one.local)));
    }

    #[test]
    fn ids_and_days_follow_each_other() {
        let last = EntryId { ms: 4, seq: u64::MAX };
        assert_eq!(last.next(), EntryId { ms: 5, seq: 0 });
        assert_eq!(EntryId::ZERO.next().to_string(), "0-1");
        let day: Day = "2026-11-22".parse().unwrap();
        let at = FleetAt::since_day(day);
        assert_eq!(day_of_ms(at.id.ms), Some(day));
        assert_eq!(day_of_ms(at.id.ms - 1), Some(day.previous()));
        assert_eq!(day_of_ms(u64::MAX), None);
    }
}
