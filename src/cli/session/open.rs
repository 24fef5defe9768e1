//! `darkmux session open`.

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use crate::cli::open::{How, page};
use crate::cli::remote::{self, On, Place};
use crate::cli::{Cx, Outcome, completions};
use crate::peer::encoded;

/// Open a session's page in the browser, signed in.
///
/// Its terminal and its records, as the viewer shows them. The address holds a code that works once within a minute;
/// `darkmux open --help` says more.
#[derive(Debug, Args)]
pub struct OpenArgs {
    /// Session: an id, the beginning of one, the end of one (4 characters or more), or a name
    #[arg(add = ArgValueCompleter::new(completions::sessions))]
    session: String,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    on: On,
}

/// Runs the verb.
pub fn run(args: &OpenArgs, cx: &Cx) -> Outcome {
    let id = match remote::place(cx, &args.session, &args.on)? {
        Place::There(way) => remote::with(cx, &way, async |there| Ok(there.session.id))?,
        Place::Here(text) => super::find(cx, &super::table(cx)?, &text, "open")?.id.to_string(),
    };
    page(cx, &format!("session/{}", encoded(&id)), &args.how)
}
