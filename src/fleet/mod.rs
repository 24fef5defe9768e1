//! Facts about machines: this one's hardware, and which models its servers have loaded.
//!
//! Invariant: asking never takes longer than [`MODELS_PATIENCE`]; what is not known is absent, not guessed.
//! Not here: other machines.

mod models;
mod specs;

mod address;
mod devices;
mod facts;
mod meets;
mod roster;

pub use address::{AddressError, DEFAULT_PORT, PeerAddress};
pub use facts::{FRESH, Facts, FactsSource};
pub use meets::meets;
pub use models::{Catalog, MODELS_PATIENCE, Models};
pub use roster::{BadEntry, NewPeer, Peer, ROSTER_VERSION, Roster, RosterError, RosterFile, read_token};
pub use specs::{Hardware, hardware};
