//! The built-in agent: a role works with a model's endpoint and nothing else.

pub mod tools;
