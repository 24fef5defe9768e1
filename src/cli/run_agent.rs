//! `darkmux run-agent`: the built-in agent as a session's program. Hands it the terminal, the keys and the signals.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Cx, Exit, FailureContext, Outcome, logging};
use crate::agent::{self, Ended, Screen, Start};
use crate::pty::{RawMode, Signals, window_size};

/// Pieces of what is typed that may wait, and the largest one, in bytes.
const KEYS: usize = 64;
const PIECE: usize = 4096;

/// Run the built-in agent on the task in a session's folder.
#[derive(Debug, Args)]
pub struct RunAgentArgs {
    /// The session's folder
    folder: PathBuf,
    /// Go on with what an earlier run left
    #[arg(long)]
    resume: bool,
}

/// Runs the verb.
pub fn run(args: RunAgentArgs, cx: &Cx) -> Outcome {
    logging::init(&cx.env);
    let config = cx.config()?;
    let cwd = std::env::current_dir().or_exit(Exit::CannotRun)?;
    // Given back when the guard is dropped.
    let raw = RawMode::enter(io::stdin(), Signals::AsBytes, false)?;
    let keys = raw.as_ref().map(|_| keys()).transpose()?;
    let styles = cx.printer.styles();
    let out: Box<dyn Write> = Box::new(io::stdout());
    let width = || window_size(io::stdout()).map(|size| usize::from(size.cols));
    let screen = Screen { out, width: Box::new(width), styles };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let terminated = CancellationToken::new();
        let start = Start {
            folder: args.folder,
            cwd,
            resume: args.resume,
            config,
            clock: &cx.clock,
            screen,
            keys,
            terminated: terminated.clone(),
        };
        let mut signals = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
        let work = agent::run(start);
        tokio::pin!(work);
        io::Result::Ok(loop {
            tokio::select! {
                ended = &mut work => break ended,
                _ = signals.0.recv() => terminated.cancel(),
                _ = signals.1.recv() => terminated.cancel(),
            }
        })
    });
    // A question to the system that is still under way ends with the process.
    runtime.shutdown_background();
    Ok(match ended? {
        Ended::Done => Exit::Ok,
        Ended::NotDone => Exit::Failed,
        Ended::CannotRun => Exit::CannotRun,
        Ended::Interrupted => Exit::Interrupted,
        Ended::Terminated => Exit::of_signal(SignalKind::terminate()),
        Ended::Internal => Exit::Internal,
    })
}

/// What is typed, read by a thread that ends with the process.
fn keys() -> io::Result<mpsc::Receiver<Vec<u8>>> {
    let (typed, keys) = mpsc::channel(KEYS);
    let read = move || {
        let mut piece = vec![0; PIECE];
        let mut stdin = io::stdin().lock();
        while let Ok(count @ 1..) = stdin.read(&mut piece) {
            if typed.blocking_send(piece[..count].to_vec()).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("keys".to_owned()).spawn(read)?;
    Ok(keys)
}
