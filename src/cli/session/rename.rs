//! `darkmux session rename`.

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::again::failure;
use crate::cli::remote::{self, On, Place};
use crate::cli::{Cx, Exit, Outcome, completions};
use crate::session::{life, parse_name};

/// Give a session another name.
///
/// Its id stays. The new name finds it at once, and it keeps it when it is run again.
#[derive(Debug, Args)]
pub struct RenameArgs {
    /// Session: an id, the beginning of one, the end of one (4 characters or more), or a name
    #[arg(add = ArgValueCompleter::new(completions::sessions))]
    session: String,
    /// Its new name
    #[arg(value_parser = parse_name)]
    name: String,
    #[command(flatten)]
    on: On,
}

/// Runs the verb.
pub fn run(args: &RenameArgs, cx: &Cx) -> Outcome {
    let text = match remote::place(cx, &args.session, &args.on)? {
        Place::There(way) => {
            return remote::with(cx, &way, async |there| remote::rename(there, &args.name).await);
        }
        Place::Here(text) => text,
    };
    let table = super::table(cx)?;
    let session = super::find(cx, &table, &text, "rename")?;
    crate::cli::block_on(async {
        life::set_name(&table, &session.id, &args.name).await.map_err(failure)?;
        Ok(Exit::Ok)
    })
}
