//! The `darkmux` binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    darkmux::cli::main()
}
