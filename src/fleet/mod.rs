//! The machines of one person: what this one is and has, which others there are, and how they are.
//!
//! The roster is the list that the operator keeps; presence is what machines say of themselves in Redis; a probe
//! asks one of the roster over HTTP. [`members()`] makes one list of the first two.
//!
//! Invariants: every question is bounded in time, whatever the other side does; what is not known is absent, not
//! guessed; addresses that are asked come from the operator alone; what others say is hostile text.
//!
//! Not here: which machine runs a job (the queue asks [`meets()`]), and printing.

mod address;
mod beacon;
mod devices;
pub mod discovery;
mod facts;
mod headline;
mod hostile;
pub mod join;
mod keys;
mod live;
mod meets;
mod members;
mod models;
mod order;
mod presence;
mod probe;
mod pulse;
mod reasons;
mod roster;
mod server;
mod specs;

pub use address::{AddressError, DEFAULT_PORT, PeerAddress, resolve_name};
pub use beacon::{Beacon, Identity, RunnerGauge};
pub use facts::{FRESH, Facts, FactsSource};
pub use headline::{headline, nobody};
pub use live::{Live, LiveError};
pub use meets::{is_model, meets};
pub use members::{Member, Origin, members};
pub use models::{Catalog, MODELS_PATIENCE, Models, Served, Survey, key_of};
pub use order::{
    Order, OrderError, Publisher, is_alive, needs_accept, parse_key, preferred, route, route_of,
};
pub use presence::{Presence, PresenceReader, Seen};
pub use probe::{ANSWER_MAX, PROBE_TIME, ProbeState, Probed, Specs, probe, probe_all};
pub use pulse::Pulse;
pub use reasons::{Ask, Gate, Row, Verdict, not_accepted, rows};
pub use roster::{BadEntry, NewPeer, Peer, ROSTER_VERSION, Roster, RosterError, RosterFile, read_token};
pub use server::{Access, ServerReport, clock_skew};
pub use specs::{Hardware, hardware};
