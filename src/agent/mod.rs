//! The builtin agent.

pub mod model;
