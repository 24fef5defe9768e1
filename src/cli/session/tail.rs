//! `darkmux session tail`.

use std::io;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

use super::screen::{Form, Screen};
use super::watch::{Keys, Seen, Watch, show_log, tell_gap, watch};
use crate::cli::remote::{self, On, Place};
use crate::cli::{Cx, Exit, Outcome, completions};
use crate::session::{LogReader, files};
use crate::wire::SessionStatus;

/// Bytes looked at in a time while lines are counted back from the end.
const STEP: u64 = 64 * 1024;

/// Print a session's output.
///
/// On a terminal: its text with its colours, without other escape sequences; elsewhere: what the program wrote.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Session: an id, the beginning of one, the end of one (4 characters or more), or a name
    #[arg(add = ArgValueCompleter::new(completions::sessions))]
    session: String,
    /// Go on until the session ends; then end with its status
    #[arg(short, long)]
    follow: bool,
    /// Only the last N lines
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<u64>,
    /// Start at this offset, in bytes
    #[arg(long, value_name = "OFFSET", conflicts_with = "lines")]
    from: Option<u64>,
    /// The terminal's bytes as they are
    #[arg(long)]
    raw: bool,
    /// Print JSON, a line a piece of output; the last line is the session
    ///
    /// `{"schema":1,"from":0,"to":6,"output":"hello\n"}`: offsets in bytes, and the bytes as text.
    /// `{"schema":1,"from":6,"to":90,"gap":true}`: a part that is no longer kept.
    /// `{"schema":1,"session":{…}}`: the session as in `session ls --json`, with --follow after its end.
    #[arg(long, conflicts_with = "raw", verbatim_doc_comment)]
    json: bool,
    #[command(flatten)]
    on: On,
}

/// Runs the verb.
pub fn run(args: &TailArgs, cx: &Cx) -> Outcome {
    let text = match remote::place(cx, &args.session, &args.on)? {
        Place::There(way) => {
            let &TailArgs { follow, lines, from, raw, json, .. } = args;
            let how = remote::Tail { follow, lines, from, raw, json };
            return remote::with(cx, &way, async |there| remote::tail(cx, there, how).await);
        }
        Place::Here(text) => text,
    };
    let table = super::table(cx)?;
    let session = super::find(cx, &table, &text, "tail")?;
    if args.follow {
        super::not_itself(cx, &session)?;
    }
    let id = session.id;
    let mut log = LogReader::new(table.folder(&id).join(files::OUTPUT));
    let from = start(args, &mut log)?;
    // Looked at later, from the beginning means from the oldest that is kept.
    let from = if args.follow || args.from.is_some() { from } else { from.max(log.range()?.0) };
    let mut screen = match args {
        TailArgs { json: true, .. } => Screen::json_lines(from),
        TailArgs { raw: true, .. } => Screen::stdout(Form::Raw),
        _ => Screen::later(&cx.printer),
    };
    if !args.follow {
        show_log(&mut log, from, &mut screen, |from, to| tell_gap(cx, from, to))?;
        screen.end()?;
        if args.json {
            last_line(cx, table.get(&id)?.as_ref())?;
        }
        return Ok(Exit::Ok);
    }
    crate::cli::block_on(async {
        let how = Watch { from: Some(from), hold: false, keys: Keys::Ignored, until: None, screen: false };
        Ok(match watch(cx, &table, &id, &how, screen).await? {
            Seen::Ended(status) | Seen::Cancelled(status) => {
                if args.json {
                    last_line(cx, Some(&status))?;
                }
                super::exit_of(&status)
            }
            Seen::Left(exit) => exit,
            Seen::TimeOver => Exit::Interrupted,
        })
    })
}

/// What of a session's output is shown by [`tail_session`], as the arguments of the verb say it.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Tail {
    pub follow: bool,
    pub lines: Option<u64>,
    pub json: bool,
}

/// As the verb, for a session that was found already.
pub fn tail_session(cx: &Cx, session: &SessionStatus, tail: Tail) -> Outcome {
    let session = session.id.to_string();
    let Tail { follow, lines, json } = tail;
    let on = On::default();
    run(&TailArgs { session, follow, lines, from: None, raw: false, json, on }, cx)
}

/// The last line of the JSON form.
fn last_line(cx: &Cx, session: Option<&SessionStatus>) -> io::Result<()> {
    cx.printer.json_line(&json!({ "schema": 1, "session": session }))
}

/// The offset to start at.
fn start(args: &TailArgs, log: &mut LogReader) -> io::Result<u64> {
    match (args.from, args.lines) {
        (Some(from), _) => Ok(from),
        (None, Some(lines)) => last_lines(log, lines),
        (None, None) => Ok(0),
    }
}

/// Offset at which the last `lines` lines begin.
fn last_lines(log: &mut LogReader, lines: u64) -> io::Result<u64> {
    let (start, end) = log.range()?;
    let mut wanted = lines;
    let mut low = end;
    while low > start && wanted > 0 {
        let high = low;
        low = high.saturating_sub(STEP).max(start);
        let bytes = read_range(log, low, high)?;
        for (index, _) in bytes.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let after = low + index as u64 + 1;
            // The newline that ends the last line begins none.
            if after < end {
                wanted -= 1;
                if wanted == 0 {
                    return Ok(after);
                }
            }
        }
    }
    Ok(if lines == 0 { end } else { start })
}

fn read_range(log: &mut LogReader, mut from: u64, to: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while from < to {
        let mut buffer = vec![0; usize::try_from(to - from).unwrap_or(usize::MAX)];
        let (at, count) = log.read_at(from, &mut buffer)?;
        if count == 0 || at != from {
            break;
        }
        bytes.extend_from_slice(&buffer[..count]);
        from += count as u64;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::LogWriter;

    #[test]
    fn lines_are_counted_from_the_end() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("output");
        LogWriter::new(dir.clone(), 1_000_000).append(0, b"one\ntwo\nthree\n").unwrap();
        let at = |lines| last_lines(&mut LogReader::new(dir.clone()), lines).unwrap();
        assert_eq!((at(0), at(1), at(2), at(3), at(9)), (14, 8, 4, 0, 0));
    }
}
