//! darkmux: several computers of one person as one development environment.
//!
//! A map of the modules, bottom up. Each uses only those above it in this list; `tests/it/tidy.rs` checks
//! that.
//!
//! | layer | module | what it is |
//! |---|---|---|
//! | 0 | [`util`] | the clock, shutdown, the byte ring, the sanitiser |
//! | 0 | [`model`] | plain data: ids, records, roles, sessions |
//! | 1 | [`store`] | files that survive |
//! | 1 | [`config`] | what the user set; the only reader of the environment |
//! | 1 | [`wire`] | shapes on the wire and on disk |
//! | 2 | [`pty`] | pseudo-terminals, process groups, terminal modes |
//! | 3 | [`flow`] | the event log: sinks, audit chain, readers, tail |
//! | 3 | [`workspace`] | the repository that travels with a job: snapshot, bundle, mirror, result |
//! | 3 | [`work`] | the queue: publish, claim, lease, reconcile, dead letters |
//! | 3 | [`session`] | session hosts and their clients |
//! | 3 | [`crew`] | roles, and the command a role becomes |
//! | 4 | [`fleet`] | facts about machines |
//! | 4 | [`peer`] | other machines' daemons: links, their sessions, what is asked of them |
//! | 4 | [`agent`] | the built-in agent: a model's endpoint, tools, a loop |
//! | 4 | [`runner`] | claims jobs and runs each as a session |
//! | 5 | [`serve`] | the daemon's HTTP surface |
//! | 5 | [`client`] | a typed client of a daemon |
//! | 5 | [`joining`] | becoming machines of one fleet, and taking it back: what changes here |
//! | 5 | [`service`] | what the system's service manager runs, and the hub's own Redis |
//! | 5 | [`doctor`] | one file a check |
//! | 6 | [`daemon`] | the composition root of `darkmux serve` |
//! | 7 | [`cli`] | the command line; the only place that prints |

pub mod agent;
pub mod cli;
pub mod client;
pub mod config;
pub mod crew;
pub mod daemon;
pub mod doctor;
pub mod fleet;
pub mod flow;
pub mod joining;
pub mod model;
pub mod peer;
pub mod pty;
pub mod runner;
pub mod serve;
pub mod service;
pub mod session;
pub mod store;
pub mod util;
pub mod wire;
pub mod work;
pub mod workspace;

/// The version of this build, with the commit where it is known: `0.1.0 (1a2b3c4d5e)`.
pub const VERSION: &str = env!("DARKMUX_VERSION");
