//! `darkmux session attach`, and the looking into a session that other verbs end with.

use std::io::{self, IsTerminal};

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::screen::{Form, Screen};
use super::watch::{Keys, Seen, Watch, watch};
use crate::cli::remote::{self, On, Place};
use crate::cli::{Cx, Exit, Failure, Outcome, completions};
use crate::session::{self, Table};
use crate::util::visible;
use crate::wire::SessionStatus;

/// Look into a session and type into it; Ctrl-\ leaves it running.
///
/// The screen is there at once, whatever runs in it, and has this terminal's size until another
/// viewer types; then it is shown as large as it is there, until you type. The setting
/// `session.detach_key` names other keys than Ctrl-\.
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// Session: an id, the beginning of one, the end of one (4 characters or more), or a name
    #[arg(add = ArgValueCompleter::new(completions::sessions))]
    session: String,
    /// Watch only: nothing is typed, Ctrl-C stops watching
    #[arg(short, long)]
    read_only: bool,
    #[command(flatten)]
    on: On,
}

/// Runs the verb.
pub fn run(args: &AttachArgs, cx: &Cx) -> Outcome {
    let keys = if args.read_only { Keys::Looking } else { Keys::Attached };
    let text = match remote::place(cx, &args.session, &args.on)? {
        Place::There(way) => {
            return remote::with(cx, &way, async |there| {
                needs_terminal(&there.session.id)?;
                remote::look(cx, there, keys, None).await
            });
        }
        Place::Here(text) => text,
    };
    let table = super::table(cx)?;
    let session = super::find(cx, &table, &text, "attach")?;
    super::not_itself(cx, &session)?;
    needs_terminal(session.id.as_str())?;
    crate::cli::block_on(look(cx, &table, &session, keys, None))
}

fn needs_terminal(id: &str) -> Result<(), Failure> {
    if on_terminal() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Usage,
        format!(
            "attach takes a terminal on standard input and output; `darkmux session tail -f {id}` shows the \
             output, `darkmux session send {id} TEXT` types"
        ),
    ))
}

/// Whether a person sits before this process.
pub fn on_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Shows a session on this terminal until it ends or the user leaves it: from an offset on, or beginning with its
/// screen.
pub(super) async fn look(
    cx: &Cx,
    table: &Table,
    session: &SessionStatus,
    keys: Keys,
    from: Option<u64>,
) -> Outcome {
    let how = Watch { from, hold: false, keys, until: None, screen: true };
    let mut screen = Screen::stdout(Form::Raw);
    if keys == Keys::Looking {
        // Nothing that this terminal answers may be typed.
        screen = screen.with_past(u64::MAX);
    }
    screen.title(&session::title(session))?;
    let id = &session.id;
    match watch(cx, table, id, &how, screen).await? {
        Seen::Ended(status) | Seen::Cancelled(status) => {
            let why = status.error.as_deref().map(|why| format!(": {}", visible(why)));
            let code = status.exit_code.map(|code| format!(", exit code {code}"));
            let (code, why) = (code.unwrap_or_default(), why.unwrap_or_default());
            cx.printer.note(&format!("\r[session {id} ended{code}{why}]"));
            Ok(super::exit_of(&status))
        }
        seen @ (Seen::Left(_) | Seen::TimeOver) => {
            cx.printer.note(&format!(
                "\r\n[left session {id}, which runs on; darkmux session attach {id} comes back to it]"
            ));
            Ok(match seen {
                // Leaving is what its key is for.
                Seen::Left(exit) if exit != Exit::Interrupted => exit,
                _ => Exit::Ok,
            })
        }
    }
}
