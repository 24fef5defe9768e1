//! `darkmux flow note` and `darkmux flow catch`: a person's or an agent's own words.

use std::io::{self, BufRead, Read};

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::{About, append, flow};
use crate::cli::{Cx, Exit, Failure, Outcome};
use crate::model::{Category, FlowRecord, Level, Stage, Tier};

/// Longest line that is read from stdin at once; a record holds less.
const LINE_BOUND: u64 = 1024 * 1024;

/// What was noticed.
#[derive(Debug, Args)]
#[group(id = "said", required = true, multiple = false)]
struct Words {
    /// The text; `-` alone reads stdin and writes one record a line
    #[arg(group = "said", value_parser = NonEmptyStringValueParser::new())]
    words: Vec<String>,
    /// The text
    #[arg(long, group = "said", value_parser = NonEmptyStringValueParser::new())]
    #[arg(allow_hyphen_values = true)]
    text: Option<String>,
}

/// Write down what you noticed or decided.
#[derive(Debug, Args)]
pub struct NoteArgs {
    #[command(flatten)]
    words: Words,
    #[command(flatten)]
    about: About,
}

/// Write down something that must be looked at again.
#[derive(Debug, Args)]
pub struct CatchArgs {
    #[command(flatten)]
    words: Words,
    #[command(flatten)]
    about: About,
}

/// Runs `note`.
pub fn note(args: NoteArgs, cx: &Cx) -> Outcome {
    let class = (Level::Info, Category::Work, Tier::Operator, Stage::Scope);
    write(args.words, args.about.put_on(FlowRecord::new(class, "note", "")), cx)
}

/// Runs `catch`.
pub fn catch(args: CatchArgs, cx: &Cx) -> Outcome {
    let class = (Level::Warn, Category::Audit, Tier::Operator, Stage::Review);
    write(args.words, args.about.put_on(FlowRecord::new(class, "catch", "")), cx)
}

fn write(words: Words, record: FlowRecord, cx: &Cx) -> Outcome {
    let handle = words.text.unwrap_or_else(|| words.words.join(" "));
    if words.words == ["-"] {
        return each_line(&record, io::stdin().lock(), cx);
    }
    append(cx, FlowRecord { handle, ..record })
}

/// A record a line, until the end of the input; blank lines are none. Synced within a second and at the end.
fn each_line(record: &FlowRecord, mut input: impl BufRead, cx: &Cx) -> Outcome {
    let mut flow = flow(cx)?;
    let mut line = Vec::new();
    for kept in 0u64.. {
        let text = loop {
            line.clear();
            if (&mut input).take(LINE_BOUND).read_until(b'\n', &mut line)? == 0 {
                flow.sync()?;
                return Ok(Exit::Ok);
            }
            if line.len() as u64 >= LINE_BOUND && !line.ends_with(b"\n") {
                let words = format!(
                    "a line is longer than {LINE_BOUND} bytes (the {kept} records before it are kept)"
                );
                return Err(Failure::new(Exit::Failed, words));
            }
            let text = String::from_utf8_lossy(&line);
            if !text.trim().is_empty() {
                break text.trim_end_matches(['\r', '\n']).to_owned();
            }
        };
        flow.append(FlowRecord { handle: text, ..record.clone() }).map_err(|error| {
            Failure::new(Exit::Failed, format!("{error} (the {kept} records before it are kept)"))
        })?;
    }
    Ok(Exit::Ok)
}
