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

mod agent_bash;
mod agent_bounds;
mod agent_container;
mod agent_crowd;
mod agent_ends;
mod agent_escape;
mod agent_files;
mod agent_fleet;
mod agent_loop;
mod agent_model;
mod agent_real;
mod agent_shown;
mod agent_window;
mod agents;
mod auth;
mod browser;
mod browser_fleet;
mod chaos;
mod config;
mod crew;
mod demo;
mod devcontainer_feature;
mod discovery;
mod discovery_door;
mod dispatch;
mod dispatch_edges;
mod doctor;
mod doctor_fleet;
mod faults_hosts;
mod faults_redis;
mod faults_runner;
mod fleet;
mod fleet_dispatch;
mod fleet_join;
mod fleet_presence;
mod flow_audit;
mod flow_clock;
mod flow_redis;
mod flow_redis_cli;
mod flow_redis_serve;
mod flow_write;
mod gmux_hub;
mod gmux_spoke;
mod help;
mod http_auth;
mod http_hostile;
mod http_raw;
mod job;
mod job_logs;
mod mcp;
mod mcp_remote;
mod peer_calls;
mod peer_crowd;
mod peer_links;
#[cfg(target_os = "linux")]
mod peer_network;
mod peer_terminals;
mod peers;
mod peers_hostile;
mod queue;
mod queue_heals;
mod queue_http;
mod queue_model;
mod queue_retell;
mod queue_turn;
mod redis_link;
mod redis_tls;
mod remote_heals;
mod runner;
mod secrets;
mod sentinel;
mod serve_daemon;
mod serve_day;
mod serve_stream;
mod service;
mod service_hub;
mod session;
mod session_answer;
mod session_box;
mod session_cli;
mod session_faults;
mod session_remote;
mod session_screen;
mod session_tty;
mod skills;
mod spare;
mod stream_faults;
mod support;
mod survive;
mod terminal_bulk;
mod terminal_ends;
mod terminal_hand;
mod terminal_many;
mod terminal_tmux;
mod terminal_ws;
mod tidy;
mod traps;
mod travel;
mod travel_again;
mod travel_back;
mod travel_hostile;
mod travel_large;
mod travel_parts;
mod v1_again;
mod v1_events;
mod v1_life;
mod v1_sessions;
mod v1_wait;
