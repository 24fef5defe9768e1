//! Reading the day files for the shipper.

use std::io;
use std::path::Path;

use super::send::Load;
use crate::flow::read::{FlowTail, Next, days_in};
use crate::model::Position;

/// Records of one batch, and their bytes.
const RECORDS: usize = 256;
const BYTES: usize = 1024 * 1024;

/// The next records, if there are some. Blocks.
pub fn load(tail: &mut FlowTail) -> io::Result<Load> {
    let mut load = Load::default();
    let mut bytes = 0;
    while load.records.len() < RECORDS && bytes < BYTES {
        match tail.poll()? {
            Next::Record(record) => {
                bytes += record.line.len();
                load.records.push((record.after, record.line.to_vec()));
            }
            Next::Gap(gap) => {
                tracing::warn!(from = %gap.asked, to = %gap.resumed, "a day's file is not what it was; what it holds now is shipped");
            }
            Next::CaughtUp => break,
        }
    }
    load.end = load.records.last().map(|(after, _)| *after);
    Ok(load)
}

/// Bytes of the day files after a place. Blocks.
pub fn lag(dir: &Path, after: Position) -> io::Result<u64> {
    let size =
        |day: crate::model::Day| std::fs::metadata(dir.join(day.file_name())).map_or(0, |meta| meta.len());
    let days = days_in(dir)?.into_iter().filter(|day| *day >= after.day);
    Ok(days
        .map(|day| if day == after.day { size(day).saturating_sub(after.offset) } else { size(day) })
        .sum())
}
