//! `darkmux session new`.

use std::io;
use std::path::PathBuf;

use clap::Args;

use super::attach::{look, on_terminal};
use super::screen::Screen;
use super::starting::{start_failure, workdir};
use super::watch::{Keys, Seen, Watch, watch};
use crate::cli::remote::{self, NewThere, On};
use crate::cli::{Cx, Exit, Failure, Outcome};
use crate::config::CrewConfig;
use crate::crew::{Adapted, adapt, login_shell};
use crate::pty;
use crate::session::{self, Command, StartError, Table, new_session_id, parse_name};
use crate::util::visible_line;
use crate::wire::{SessionStatus, WindowSize};

/// Ids that are tried; two sessions in four thousand millions share one.
const IDS_MAX: usize = 5;

/// Run a command in a session of its own, or a shell when none is given.
///
/// On a terminal you are in it at once, and Ctrl-\ leaves it running (setting `session.detach_key`). Elsewhere its
/// output comes to stdout, and the command ends with the session's status.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// Name the session
    #[arg(long, value_name = "NAME", value_parser = parse_name, allow_hyphen_values = true)]
    name: Option<String>,
    /// Folder to run in, instead of the current one
    #[arg(long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// Print the session's id and leave it running
    #[arg(short = 'd', long)]
    detach: bool,
    /// Columns of its terminal, until somebody looks into it
    #[arg(long, value_name = "N", requires = "detach", value_parser = clap::value_parser!(u16).range(2..=1000))]
    cols: Option<u16>,
    /// Rows of its terminal, until somebody looks into it
    #[arg(long, value_name = "N", requires = "detach", value_parser = clap::value_parser!(u16).range(1..=1000))]
    rows: Option<u16>,
    #[command(flatten)]
    on: On,
    /// Program and arguments; your shell when there is none
    #[arg(value_name = "CMD", trailing_var_arg = true)]
    command: Vec<String>,
}

/// Runs the verb.
pub fn run(args: &NewArgs, cx: &Cx) -> Outcome {
    if let Some(machine) = remote::machine(cx, &args.on)? {
        let (command, cwd, name) = (&args.command, args.workdir.as_deref(), args.name.as_deref());
        let new = NewThere { machine: &machine, command, cwd, name, size: size(args) };
        return crate::cli::block_on(remote::launch(cx, new, args.detach));
    }
    let table = super::table(cx)?;
    let command = Command {
        argv: argv(args, &cx.config()?.crew())?,
        cwd: workdir(args.workdir.as_deref())?,
        name: args.name.clone(),
        kind: None,
        asking_notices: Vec::new(),
        env: Vec::new(),
        size: size(args),
    };
    crate::cli::block_on(async {
        let session = start(cx, &table, &command).await?;
        if args.detach {
            cx.printer.line(session.id.as_str())?;
            return Ok(Exit::Ok);
        }
        if on_terminal() {
            return look(cx, &table, &session, Keys::Attached, Some(0)).await;
        }
        follow(cx, &table, &session, 0).await
    })
}

/// Shows what a session puts out from an offset on, to its end, where nobody sits before a terminal.
pub(super) async fn follow(cx: &Cx, table: &Table, session: &SessionStatus, from: u64) -> Outcome {
    let id = &session.id;
    let keys = Keys::Wait { cancel: false };
    let how = Watch { from: Some(from), hold: true, keys, until: None, screen: false };
    match watch(cx, table, id, &how, Screen::live(&cx.printer)).await? {
        Seen::Ended(status) => {
            if let (None, Some(why)) = (status.exit_code, &status.error) {
                cx.printer.error(&format!("session {id} was lost: {}", visible_line(why)));
            }
            Ok(super::exit_of(&status))
        }
        Seen::Cancelled(_) => Ok(Exit::Interrupted),
        seen @ (Seen::Left(_) | Seen::TimeOver) => {
            cx.printer.note(&format!("session {id} runs on; `darkmux session attach {id}` comes back to it"));
            Ok(if let Seen::Left(exit) = seen { exit } else { Exit::Interrupted })
        }
    }
}

async fn start(cx: &Cx, table: &Table, command: &Command) -> Result<SessionStatus, Failure> {
    let config = cx.config()?;
    let keep = config.session();
    let machine = config.machine_id()?;
    let mut tries = 0;
    loop {
        tries += 1;
        let id = new_session_id()?;
        let Adapted { command, files, notes } = adapt(command.clone(), &table.folder(&id), &cx.env);
        let spec = command.spec(id.clone(), &keep, (machine.clone(), cx.clock.now()));
        match session::start(&keep.dir, &spec, &files, &cx.env).await {
            Ok(_) => {
                for note in &notes {
                    cx.printer.note(&format!("note: {}", visible_line(note)));
                }
                return Ok(table.get(&id)?.unwrap_or_else(|| SessionStatus::starting(&spec)));
            }
            Err(StartError::Exists(_)) if tries < IDS_MAX => {}
            Err(error) => return Err(start_failure(error)),
        }
    }
}

fn argv(args: &NewArgs, crew: &CrewConfig) -> Result<Vec<String>, Failure> {
    match args.command.first() {
        None => login_shell(crew).map_err(|error| Failure::new(Exit::CannotRun, error)),
        Some(program) if program.is_empty() => {
            Err(Failure::new(Exit::Usage, "the program is an empty text; give one to run"))
        }
        Some(_) => Ok(args.command.clone()),
    }
}

fn size(args: &NewArgs) -> WindowSize {
    let here = pty::window_size(io::stdout()).unwrap_or_default();
    WindowSize { cols: args.cols.unwrap_or(here.cols), rows: args.rows.unwrap_or(here.rows) }
}
