//! The event log: where records go and how they are read.

pub mod read;

use crate::config::FlowConfig;
use crate::model::{FlowRecord, Position};
use crate::util::Clock;

/// Why a record could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// Placeholder of the first sketch.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// The writing side: stamps records and hands them to the sinks.
#[derive(Debug)]
pub struct Flow {
    config: FlowConfig,
    clock: Clock,
}

impl Flow {
    /// Opens nothing yet; the first record opens the day's file.
    pub fn new(config: FlowConfig, clock: Clock) -> Self {
        Self { config, clock }
    }

    /// Stamps the record (ts, record_id, machine, orchestrator where unset) and appends it to every sink.
    /// Returns the position after it in the day file.
    pub fn append(&mut self, record: FlowRecord) -> Result<Position, FlowError> {
        let _ = (&self.config, &self.clock, record);
        Err(FlowError::Io(std::io::ErrorKind::Unsupported.into()))
    }

    /// Brings what was appended to the disk.
    pub fn sync(&mut self) -> Result<(), FlowError> {
        Ok(())
    }
}
