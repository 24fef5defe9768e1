//! `darkmux session send`.

use std::io::Read;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use crate::cli::{Cx, Exit, Failure, Outcome, completions};
use crate::session::HostClient;

/// Largest text typed at a time, in bytes.
const TEXT_MAX: u64 = 1024 * 1024;

/// Type into a session.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// Session: an id, the beginning of one, or a name
    #[arg(add = ArgValueCompleter::new(completions::sessions))]
    session: String,
    /// Text to type; `-` reads it from standard input
    text: String,
    /// Do not press Enter after it
    #[arg(long)]
    no_enter: bool,
}

/// Runs the verb.
pub fn run(args: &SendArgs, cx: &Cx) -> Outcome {
    let table = super::table(cx)?;
    let session = super::find(&table, &args.session)?;
    if session.state.is_final() {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "session {} has ended; `darkmux session tail {}` shows its output",
                session.id, session.id
            ),
        ));
    }
    let mut bytes = Vec::new();
    if args.text == "-" {
        std::io::stdin().take(TEXT_MAX).read_to_end(&mut bytes)?;
    } else {
        bytes.extend_from_slice(args.text.as_bytes());
    }
    if !args.no_enter {
        bytes.push(b'\r');
    }
    super::block_on(async {
        HostClient::connect(&table.folder(&session.id)).await?.input(&bytes).await?;
        Ok(Exit::Ok)
    })
}
