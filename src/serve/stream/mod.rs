//! Event streams of the flow.
//!
//! What is streamed are the records of this machine, from its files, and those of all others, from the fleet's
//! flow in Redis where there is one. A [`Hub`] follows both ([`local`], [`fleet`]) while anybody listens, frames
//! each record once and keeps the newest frames in a bounded [`ring`]. A client that has got everything is parked
//! and written to from one place ([`fanout`]); one that is behind ([`client`]) has a task that gets it what the
//! ring, the files and Redis, over the daemon's one connection, have for it, at its own pace until it has caught
//! up. Nobody waits for anybody, and no client misses a record that is kept.
//!
//! Invariants: a record is in exactly one of both parts, so none comes twice; places only grow along a stream; a
//! Redis that is away takes away nothing but the records of others.

mod client;
mod fanout;
mod fleet;
mod frame;
mod hub;
mod local;
mod ring;

pub use client::{Keep, events};
pub use hub::Hub;
