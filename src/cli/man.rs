//! `darkmux man`: the manual, generated from the command tree.

use std::path::PathBuf;

use clap::Args;

use super::{Cx, Exit, Outcome};

/// Print the manual page, or write all of them to a folder.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write a page for every verb into this folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &ManArgs, cx: &Cx) -> Outcome {
    if let Some(dir) = &args.dir {
        clap_mangen::generate_to(super::command(), dir)?;
    } else {
        let mut page = Vec::new();
        clap_mangen::Man::new(super::command()).render(&mut page)?;
        cx.printer.bytes(&page)?;
    }
    Ok(Exit::Ok)
}
