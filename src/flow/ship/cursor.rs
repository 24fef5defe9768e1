//! Reading the day files for the shipper.

use std::io;
use std::path::Path;

use super::send::Load;
use super::status::ShipStatus;
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

/// How far behind this machine's records are when no daemon ships them. Blocks.
pub fn unshipped(dir: &Path, mark: Option<&str>) -> ShipStatus {
    let after = mark.and_then(|mark| mark.parse().ok());
    let first = days_in(dir).ok().and_then(|days| days.first().copied());
    let after = after.or(first.map(|day| Position { day, offset: 0 }));
    let lag_bytes = after.map_or(0, |after| lag(dir, after).unwrap_or(0));
    ShipStatus { lag_bytes, mark: mark.map(str::to_owned), ..ShipStatus::default() }
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
