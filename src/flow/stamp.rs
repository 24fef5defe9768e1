//! What a record says of itself without being told: when, which one, and where it comes from.

use std::cell::OnceCell;

use jiff::Timestamp;
use uuid::{ContextV7, Uuid};

use crate::config::Provenance;
use crate::model::FlowRecord;
use crate::util::clock;

/// Fills what a caller left unset.
#[derive(Debug)]
pub struct Stamp {
    provenance: Provenance,
    /// Asked for at the first record; `None` inside means that this machine has none.
    machine_uid: OnceCell<Option<String>>,
    /// Keeps the ids of one millisecond in order.
    ids: ContextV7,
}

impl Stamp {
    /// A stamp for records of this machine.
    pub fn new(provenance: Provenance) -> Self {
        Self { provenance, machine_uid: OnceCell::new(), ids: ContextV7::new() }
    }

    /// Sets time, identity and origin where they are unset.
    pub fn fill(&mut self, record: &mut FlowRecord, now: Timestamp) {
        if record.ts.is_empty() {
            record.ts = clock::seconds(now);
        }
        if record.record_id.is_none() {
            record.record_id = Some(self.id(now));
        }
        if record.machine_id.is_none() {
            record.machine_id = Some(self.provenance.machine_id.to_string());
        }
        if record.machine_uid.is_none() {
            record.machine_uid.clone_from(self.machine_uid.get_or_init(machine_uid));
        }
        if record.orchestrator.is_none() {
            record.orchestrator.clone_from(&self.provenance.orchestrator);
        }
    }

    fn id(&self, now: Timestamp) -> Uuid {
        let ms = clock::unix_ms(now);
        let nanos = u32::try_from(ms % 1000).unwrap_or(0) * 1_000_000;
        Uuid::new_v7(uuid::Timestamp::from_unix(&self.ids, ms / 1000, nanos))
    }
}

/// The hardware's own id, which 1.9 writes on macOS only.
fn machine_uid() -> Option<String> {
    if cfg!(target_os = "macos") { sysinfo::Product::uuid().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Category, Level, MachineId, Stage, Tier};

    #[test]
    fn only_what_is_unset_is_filled_and_ids_carry_the_clock() {
        let provenance =
            Provenance { machine_id: MachineId::new("studio").unwrap(), orchestrator: Some("me".into()) };
        let mut stamp = Stamp::new(provenance);
        let class = (Level::Info, Category::Work, Tier::Operator, Stage::Scope);
        let now: Timestamp = "2026-11-21T23:32:07.123456Z".parse().unwrap();
        let mut one = FlowRecord::new(class, "note", "x");
        one.orchestrator = Some("else".into());
        let mut two = FlowRecord::new(class, "note", "x");
        two.ts = "1999-01-01T00:00:00Z".into();
        stamp.fill(&mut one, now);
        stamp.fill(&mut two, now);
        assert_eq!((one.ts.as_str(), two.ts.as_str()), ("2026-11-21T23:32:07Z", "1999-01-01T00:00:00Z"));
        assert_eq!(one.machine_id.as_deref(), Some("studio"));
        assert_eq!((one.orchestrator.as_deref(), two.orchestrator.as_deref()), (Some("else"), Some("me")));
        let (one, two) = (one.record_id.unwrap(), two.record_id.unwrap());
        assert!(one < two);
        let (seconds, nanos) = one.get_timestamp().unwrap().to_unix();
        assert_eq!(seconds * 1000 + u64::from(nanos / 1_000_000), clock::unix_ms(now));
    }
}
