//! The integration tests: the real binary, real files, real PTYs, real sockets, a real browser.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod browser;
mod config;
mod crew;
mod dispatch;
mod dispatch_edges;
mod doctor;
mod flow_audit;
mod flow_write;
mod help;
mod http_hostile;
mod http_raw;
mod queue;
mod queue_heals;
mod queue_model;
mod redis_link;
mod runner;
mod serve_daemon;
mod serve_day;
mod serve_stream;
mod session;
mod session_faults;
mod support;
mod survive;
mod tidy;
