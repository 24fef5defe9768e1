//! The work queue: jobs in Redis that any runner of the fleet may claim.
//!
//! The truth about a job is one hash, changed only by the scripts in `scripts/`; streams only deliver. A claim
//! is fenced by its whole token (attempt and nonce), so that one attempt's result is accepted; a lease ends when
//! an observer saw neither token nor heartbeat change for its length on its own monotonic clock. Every script
//! may be sent twice.
//!
//! Not here: what a job runs as (`crew`), where (`runner`), and its terminal (`session`).

mod bundle;
mod checkpoint;
mod claim;
mod control;
mod doorbell;
mod entries;
mod fault;
mod finish;
#[cfg(test)]
pub mod fixture;
mod health;
mod journal;
mod lane;
mod legacy;
mod log;
mod queue;
mod reconcile;
mod retell;
mod scripts;
mod sign;
mod view;

pub use checkpoint::{CHECKPOINT_MAX, Keeping, KeptCheckpoint};
pub use claim::{Beat, Before, Claim, Finish, Foreign, Offer, Outcome, Seat};
pub use control::{Cancelled, Gates, Retried};
pub use doorbell::{BLOCK as BELL_BLOCK, Doorbell, Hint};
pub use fault::WorkError;
pub use finish::Told;
pub use health::{Orphan, QueueHealth};
pub use journal::{Journal, Ran, RanState, Stopping};
pub use lane::PEER;
pub use legacy::{NOT_AFTER, adopted_spec};
pub use log::{JobLog, LogPart, LogReader, PIECE_MAX};
pub use queue::{Published, Queue};
pub use reconcile::{Change, Reconciler};
pub use sign::{FleetKey, NOT_SIGNED};
pub use view::{Attempt, DeadLetter, JobView, QueueStatus};
