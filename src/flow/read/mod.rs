//! The reading side of the flow: one day, the flow from a position on, the newest records, the list of days.
//!
//! Invariants: a record is a finished line that is a JSON object of at most 1 MiB; every other line is
//! skipped and counted, never an error and never a reason to stop. What is handed out are the file's own
//! bytes. Memory does not depend on the size of a file. Nothing here waits but [`Watch`]: who follows the flow asks again.
//!
//! Not here: what a record says (readers of 1.9 and of later versions need not agree on it), and writing.

mod check;
mod current;
mod day;
mod days;
mod newest;
mod tail;
mod watch;

pub use current::writing_day;
pub use day::{DayReader, ReadStep, Record};
pub use days::{DayIndex, days_in};
pub use newest::newest;
pub use tail::{FlowTail, Gap, Next};
pub use watch::{Bell, Watch};

/// Whether the files in `dir` hold the record that ends there.
pub fn holds(dir: &std::path::Path, place: crate::model::Position) -> bool {
    crate::store::open_in(dir, &place.day.file_name())
        .and_then(|file| file.metadata())
        .is_ok_and(|meta| meta.len() >= place.offset)
}

/// Whether a line that came another way than from a file is a record.
pub fn is_record(line: &[u8]) -> bool {
    check::kind(line) == check::Kind::Record
}
