//! The shipper: brings this machine's records into the fleet's flow, each once and in order.
//!
//! The day files are the outbox. One shipper a home (the daemon, which holds its lock) reads them after the mark
//! that Redis keeps for this log and sends batches by a script that compares the mark, adds the records and moves
//! the mark as one step. A reply that was lost, a Redis that was emptied or rolled back, a shipper that was
//! killed: all show as a mark that is not where we thought, and the shipper goes on from where it is.
//!
//! Invariants: nothing is sent that is not durable in the file; nothing of a log is in the stream twice; a torn
//! last line is waited for; nothing is kept in memory but one batch. Nothing is told twice either: while Redis
//! is away there is one line in the log and the status says the rest.
//!
//! Not here: reading the stream (`flow::shared`).

mod backfill;
mod cursor;
mod send;
mod status;
mod task;
mod watch;

pub use cursor::unshipped;
pub use status::{ShipError, ShipStatus};
pub use task::{ShipperConfig, start};
