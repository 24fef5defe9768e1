//! A part of the stream, for a reader that is behind.

use redis::Value;

use super::entry::{self, Entry};
use super::{SharedFlow, StreamInfo, stream};
use crate::model::{EntryId, FleetAt};
use crate::store::RedisFault;

/// Where a reader that is behind wants to go on.
#[derive(Debug, Clone, Copy)]
pub struct Catch {
    /// Where it is.
    pub from: FleetAt,
    /// How far it wants to go.
    pub to: FleetAt,
    /// Entries at a time.
    pub count: usize,
}

/// What is there.
#[derive(Debug)]
pub struct Page {
    /// Entries between are gone, or the stream is another one: where it goes on.
    pub gap: Option<FleetAt>,
    /// Records of other machines.
    pub records: Vec<Entry>,
    /// Where the reader is after them.
    pub at: FleetAt,
}

/// The oldest id that a reader at this place has not seen.
fn start(at: FleetAt) -> EntryId {
    if at.seen { at.id.next() } else { at.id }
}

/// Where a reader at `from` goes on when what follows it is gone.
fn gap(from: FleetAt, info: &StreamInfo) -> Option<FleetAt> {
    let begins = info.first.unwrap_or(info.last.next());
    let is_gone = if from.seen {
        // The entry itself was there once.
        from.id < begins && from.id > EntryId::ZERO
    } else {
        from.id < begins && info.removed() > 0
    };
    (is_gone && begins > start(from)).then_some(FleetAt::since(begins.ms))
}

impl SharedFlow {
    /// What others wrote after `from`, in the order of the stream.
    pub async fn page(&self, catch: Catch) -> Result<Page, RedisFault> {
        let Catch { from, to, count } = catch;
        let mut range = redis::cmd("XRANGE");
        range.arg(&self.stream).arg(start(from).to_string()).arg(to.id.to_string());
        range.arg("COUNT").arg(count);
        let (info, reply) = tokio::join!(self.info(), self.redis.query::<Value>(&range));
        let found = entry::entries(reply?);
        let gap = gap(from, &info?);
        let at = match found.last {
            Some(last) if found.count >= count as u64 => FleetAt::after(last),
            _ => to,
        };
        let mut records = found.records;
        records.retain(|entry| !entry.is_of(&self.log));
        Ok(Page { gap, records, at: at.max(from) })
    }

    /// Whether an entry of this id can have been given by the stream as it is now.
    pub async fn knows(&self, at: FleetAt) -> Result<bool, RedisFault> {
        Ok(!at.seen || at.id <= self.info().await?.last)
    }

    /// The newest of our own records up to an entry: where a reader of the stream is in our files. Looks at a
    /// bounded part of the stream.
    pub async fn own_before(&self, id: EntryId) -> Result<Option<crate::model::Position>, RedisFault> {
        let mut upper = id;
        for _ in 0..20 {
            let reply: Value = self.redis.query(&stream::reverse(&self.stream, upper, 500)).await?;
            let found = entry::entries(reply);
            let own = found.records.iter().find(|entry| entry.is_of(&self.log));
            if let Some(origin) = own.and_then(|entry| entry.origin.as_ref()) {
                return Ok(Some(origin.pos));
            }
            match found.last {
                Some(last) if last > EntryId::ZERO => upper = last.before(),
                _ => break,
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64) -> EntryId {
        EntryId { ms, seq: 0 }
    }

    #[test]
    fn what_is_gone_is_noticed_and_what_never_was_is_not() {
        let trimmed = StreamInfo { last: id(90), first: Some(id(50)), length: 5, added: 20 };
        let whole = StreamInfo { added: 5, ..trimmed };
        assert_eq!(gap(FleetAt::after(id(10)), &trimmed), Some(FleetAt::since(50)));
        assert_eq!(gap(FleetAt::since(10), &trimmed), Some(FleetAt::since(50)));
        assert_eq!(gap(FleetAt::since(10), &whole), None, "nothing was ever removed");
        assert_eq!(gap(FleetAt::after(id(10)), &whole), Some(FleetAt::since(50)), "another stream");
        for there in [FleetAt::after(id(50)), FleetAt::after(id(90)), FleetAt::since(50)] {
            assert_eq!(gap(there, &trimmed), None);
        }
        assert_eq!(gap(FleetAt::after(EntryId::ZERO), &whole), None);
        let emptied = StreamInfo::default();
        assert_eq!(gap(FleetAt::after(id(90)), &emptied), None, "nothing to go on with");
    }
}
