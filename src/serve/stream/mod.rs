//! Event streams of the flow.
//!
//! One reader ([`Hub`]) follows the flow while anybody listens, frames each record once and keeps the newest
//! frames in a bounded [`ring`]. A client that is where the ring is gets shared bytes; one that is behind
//! ([`client`]) reads the file at its own pace until it has caught up. Nobody waits for anybody, and no client
//! misses a record that is in a file.

mod client;
mod frame;
mod hub;
mod ring;

pub use client::events;
pub use hub::Hub;
