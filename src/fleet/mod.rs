//! Facts about machines: this one's hardware, and which models its servers have loaded.
//!
//! Invariant: asking never takes longer than [`MODELS_PATIENCE`]; what is not known is absent, not guessed.
//! Not here: other machines.

mod models;
mod specs;

pub use models::{MODELS_PATIENCE, Models};
pub use specs::{Hardware, hardware};
