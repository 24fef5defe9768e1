//! `darkmux service logs`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::{Cx, Exit, Failure, Outcome, block_on};
use crate::service::{Kind, last_lines, log_file};
use crate::util::{visible, visible_line};

/// Pause between two looks for more.
const LOOK: Duration = Duration::from_millis(200);

/// Which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// The daemon's
    Serve,
    /// That of the nightly check of the audit chain
    Integrity,
    /// That of the hub's Redis
    Redis,
}

/// Show the last lines of a service's log.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Whose log
    #[arg(value_enum, default_value_t = Which::Serve)]
    which: Which,
    /// How many lines
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 50)]
    lines: usize,
    /// Go on with what is added, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
}

/// Runs the verb.
pub fn run(args: &LogsArgs, cx: &Cx) -> Outcome {
    let kind = match args.which {
        Which::Serve => Kind::Serve,
        Which::Integrity => Kind::Integrity,
        Which::Redis => Kind::Redis,
    };
    let path = log_file(&cx.config()?.paths, kind);
    let (lines, mut more) = last_lines(&path, args.lines)?;
    let show = |lines: &[u8]| cx.printer.bytes(visible(&String::from_utf8_lossy(lines)).as_bytes());
    show(&lines)?;
    if !args.follow {
        if !more.is_there() && lines.is_empty() {
            let words = format!(
                "there is no log at {}: it is written by a service (`darkmux service install`, `darkmux hub up`)",
                visible_line(&path.to_string_lossy())
            );
            return Err(Failure::new(Exit::Failed, words));
        }
        if !more.pending().is_empty() {
            show(more.pending())?;
            cx.printer.bytes(b"\n")?;
        }
        return Ok(Exit::Ok);
    }
    block_on(async {
        loop {
            let lines = more.read()?;
            if lines.is_empty() {
                tokio::time::sleep(LOOK).await;
            } else {
                show(&lines)?;
            }
        }
    })
}
