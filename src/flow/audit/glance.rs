//! Whether the end of the chain is what the head says, without reading the chain.

use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::Deserialize;

use super::chain::days;
use super::head::Head;
use super::link;
use super::walk::first_line;
use crate::store::open_in;

/// Bytes in which the last line is looked for; one of ours is far shorter.
const LAST_LINE: u64 = 256 * 1024;

/// What is wrong with the newest file, where something is. A chain may still be broken before its last line.
pub fn glance(dir: &Path, head: Option<&Head>) -> Option<String> {
    let Some(head) = head else { return headless(dir) };
    let mark = head.mark()?;
    let name = head.day.file_name();
    let file = match open_in(dir, &name) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Some(format!("{name} is missing; head.json counts {} records in it", mark.count));
        }
        Err(error) => return Some(format!("{name} can't be opened: {error}")),
    };
    let length = match file.metadata() {
        Ok(meta) => meta.len(),
        Err(error) => return Some(format!("{name} can't be looked at: {error}")),
    };
    if length < mark.bytes {
        return Some(format!("{name} was cut short: it has {length} of {} bytes", mark.bytes));
    }
    let start = mark.bytes.saturating_sub(LAST_LINE);
    let mut bytes = vec![0; usize::try_from(mark.bytes - start).ok()?];
    if let Err(error) = file.read_exact_at(&mut bytes, start) {
        return Some(format!("{name} can't be read: {error}"));
    }
    let other = || Some(format!("{name} was changed: its last record is not the one that head.json names"));
    let Some(text) = bytes.strip_suffix(b"\n") else { return other() };
    let line = match memchr::memrchr(b'\n', text) {
        Some(before) => &text[before + 1..],
        None if start == 0 => text,
        // Too long for a glance.
        None => return None,
    };
    (hash_of(line, mark.count).as_deref() != Some(mark.hash.as_str())).then(other).flatten()
}

/// The hash of a line, where it is what was written: the header, or the last of `count` records.
fn hash_of(line: &[u8], count: u64) -> Option<String> {
    #[derive(Deserialize)]
    struct Before {
        prev_hash: String,
    }
    if count == 0 {
        return Some(link::hash(line));
    }
    let before: Before = serde_json::from_slice(line).ok()?;
    link::verify(line, &before.prev_hash).ok()
}

/// Whether a chain is there that has lost its head.
fn headless(dir: &Path) -> Option<String> {
    let newest = days(dir).ok()?.last()?.file_name();
    let header = first_line(&open_in(dir, &newest).ok()?).ok()??;
    header.is_chained().then(|| format!("head.json is missing, but {newest} belongs to a chain"))
}
