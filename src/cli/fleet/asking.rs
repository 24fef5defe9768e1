//! Asking the user before something is changed.

use std::io::{self, BufRead, IsTerminal, Read};

use crate::cli::printer::BOLD;
use crate::cli::{Cx, Exit, Failure};

/// Asks on a terminal; elsewhere, or where it is `silent`, nobody can agree. `instead` is said then, `kept` after a no.
pub fn agreed(cx: &Cx, question: &str, silent: bool, (instead, kept): (&str, &str)) -> Result<(), Failure> {
    if silent || !io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Usage, format!("nobody is here to be asked: {instead}")));
    }
    cx.printer.note(&format!("{BOLD}{question}{BOLD:#} [y/N]"));
    let mut answer = String::new();
    io::stdin().lock().take(16).read_line(&mut answer)?;
    if ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, kept))
}
