//! The floor of the command line: the least a program with clap can be. This binary plays it when it is started
//! with a hidden first word, so that no second program has to be built.
//!
//! It is a derived parser of four subcommands that does nothing. Its file is a few MiB as darkmux's is, so the
//! dynamic loader has as much to map; what darkmux adds is its own command tree and what a verb reads.

use clap::{Parser, Subcommand};

/// The first word that makes this binary the floor.
pub const ASK: &str = "floor";

#[derive(Parser)]
#[command(name = "floor", version = "0.1.0")]
struct Floor {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Serve
    Serve {
        #[arg(long)]
        port: Option<u16>,
    },
    /// Run
    Run { name: String },
    /// List the roles
    Roles {
        #[arg(long)]
        json: bool,
    },
    /// Show one
    Show { name: String },
}

/// Parses what follows the hidden word and prints a line.
pub fn run() {
    let floor = Floor::parse_from(std::env::args().skip(1));
    match floor.verb {
        Verb::Serve { port } => println!("serve {port:?}"),
        Verb::Run { name } | Verb::Show { name } => println!("{name}"),
        Verb::Roles { json } => println!("roles {json}"),
    }
}
