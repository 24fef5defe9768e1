//! Facts about machines.
