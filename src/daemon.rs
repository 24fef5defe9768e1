//! The composition root of `darkmux serve`.
