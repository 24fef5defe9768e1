//! `darkmux session send`.

use std::io::{self, Read};

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::host;
use crate::cli::{Cx, Exit, Failure, Outcome, completions};
use crate::model::SessionId;

/// Largest text typed at a time, in bytes.
const TEXT_MAX: u64 = 1024 * 1024;

/// Type into a session.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// Session: an id, the beginning of one, the end of one (4 characters or more), or a name
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
        return Err(ended(&session.id));
    }
    let bytes = bytes(args)?;
    super::block_on(async {
        let Some(mut client) = host::connect(&table, &session.id).await? else {
            return Err(ended(&session.id));
        };
        match client.input(&bytes).await {
            Ok(()) => Ok(Exit::Ok),
            // The host's own words: it took no more.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(Failure::new(Exit::Failed, format!("session {}: {error}", session.id)))
            }
            Err(error) => {
                host::gone_or_silent(&table, &session.id, &error)?;
                Err(ended(&session.id))
            }
        }
    })
}

fn ended(id: &SessionId) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("session {id} has ended; `darkmux session tail {id}` shows its output"),
    )
}

/// What is typed.
fn bytes(args: &SendArgs) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    if args.text == "-" {
        io::stdin().take(TEXT_MAX + 1).read_to_end(&mut bytes)?;
    } else {
        bytes.extend_from_slice(args.text.as_bytes());
    }
    if bytes.len() as u64 > TEXT_MAX {
        return Err(Failure::new(
            Exit::Usage,
            format!("nothing was typed: the text has more than {TEXT_MAX} bytes; send it in pieces"),
        ));
    }
    if !args.no_enter {
        bytes.push(b'\r');
    }
    Ok(bytes)
}
