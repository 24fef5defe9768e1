//! A typed client of a daemon.
