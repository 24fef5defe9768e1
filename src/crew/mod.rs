//! Roles, and the command a role becomes.
