//! `darkmux flow tail`: today's records of the fleet, or of this machine, and on as they come.

use std::io;
use std::time::Duration;

use clap::Args;
use memchr::memmem;
use serde::Deserialize;
use serde_json::Value;

use super::tail_fleet::FleetTail;
use crate::cli::{Cx, Exit, Outcome, Printer, block_on};
use crate::flow::read::{DayReader, FlowTail, Next};
use crate::flow::shared::SharedFlow;
use crate::model::{Day, Position};
use crate::util::visible_line;

/// Time between two looks for new records.
pub(super) const POLL: Duration = Duration::from_millis(100);

/// Output that is gathered before it is written.
const GATHERED: usize = 64 * 1024;

/// Print today's records of the fleet, oldest first; without Redis those of this machine.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Go on with the records that come, over midnight, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Only the records of this machine
    #[arg(long)]
    local: bool,
    /// Only the records of this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Print the records as they are, one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &TailArgs, cx: &Cx) -> Outcome {
    let config = cx.config()?;
    let dir = config.flows_dir();
    let day = Day::of(cx.clock.now());
    let mut out = Out { args, printer: &cx.printer, gathered: Vec::new() };
    let shared = if args.local { None } else { SharedFlow::of(config)? };
    if let Some(shared) = shared {
        let tail = FleetTail { shared, dir, day, clock: cx.clock.clone(), follow: args.follow };
        return block_on(tail.run(&mut out));
    }
    if args.follow {
        let mut tail = FlowTail::new(&dir, cx.clock.clone(), Position { day, offset: 0 });
        return block_on(async {
            loop {
                follow(&mut tail, &mut out)?;
                tokio::time::sleep(POLL).await;
            }
        });
    }
    let Some(reader) = DayReader::open(&dir, day, 0)? else { return Ok(Exit::Ok) };
    // What comes while this prints is for the next time.
    let end = reader.end()?;
    let mut reader = reader.until(end);
    while let Some(record) = reader.read()? {
        out.put(record.line)?;
    }
    out.flush()?;
    if reader.bad() > 0 {
        cx.printer.note(&format!("{} lines of {day} are no records and were left out", reader.bad()));
    }
    Ok(Exit::Ok)
}

/// Prints what is there now.
pub(super) fn follow(tail: &mut FlowTail, out: &mut Out<'_>) -> io::Result<()> {
    loop {
        match tail.poll()? {
            Next::Record(record) => out.put(record.line)?,
            Next::Gap(gap) => out.printer.note(&format!(
                "the file of {} is not what it was: records may be missing here, or come twice",
                gap.asked.day
            )),
            Next::CaughtUp => return out.flush(),
        }
    }
}

/// Prints records.
pub(super) struct Out<'a> {
    args: &'a TailArgs,
    pub(super) printer: &'a Printer,
    gathered: Vec<u8>,
}

/// What a line of text shows of a record. Other machines and versions may have put anything there.
#[derive(Deserialize)]
struct Shown {
    ts: Option<Value>,
    machine_id: Option<Value>,
    action: Option<Value>,
    handle: Option<Value>,
    session_id: Option<Value>,
    reasoning: Option<Value>,
    payload: Option<Value>,
}

impl Out<'_> {
    pub(super) fn put(&mut self, line: &[u8]) -> io::Result<()> {
        let TailArgs { json, session: wanted, .. } = self.args;
        // Most records of a day are told apart without parsing them.
        if wanted.is_some() && memmem::find(line, b"\"session_id\"").is_none() {
            return Ok(());
        }
        if !json || wanted.is_some() {
            let Ok(shown) = serde_json::from_slice::<Shown>(line) else { return Ok(()) };
            let session = shown.session_id.as_ref().and_then(Value::as_str);
            if wanted.is_some() && session != wanted.as_deref() {
                return Ok(());
            }
            if !json {
                self.gathered.extend_from_slice(text(&shown).as_bytes());
            }
        }
        if *json {
            self.gathered.extend_from_slice(line);
        }
        self.gathered.push(b'\n');
        if self.gathered.len() < GATHERED { Ok(()) } else { self.flush() }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        if !self.gathered.is_empty() {
            self.printer.bytes(&self.gathered)?;
            self.gathered.clear();
        }
        Ok(())
    }
}

fn text(shown: &Shown) -> String {
    let fields = [&shown.ts, &shown.machine_id, &shown.action, &shown.handle, &shown.session_id];
    let words = fields.into_iter().flatten().map(|field| match field {
        Value::String(text) => visible_line(text).into_owned(),
        other => visible_line(&other.to_string()).into_owned(),
    });
    let mut line = words.collect::<Vec<_>>().join(" ");
    let of_payload = |key: &str| shown.payload.as_ref().and_then(|payload| payload.get(key));
    if let Some(code) = of_payload("exit_code").and_then(Value::as_i64) {
        line.push_str(&format_args!(" · exit {code}").to_string());
    }
    let word = |key: &str| of_payload(key).and_then(Value::as_str).map(visible_line);
    if let (Some(target), Some(decision)) = (word("target_machine"), word("decision")) {
        line.push_str(&format_args!(" → {target} ({decision})").to_string());
    } else if let Some(decision) = word("decision") {
        line.push_str(&format_args!(" → {decision}").to_string());
    }
    for why in [of_payload("error"), of_payload("why"), shown.reasoning.as_ref()]
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        line.push_str(" · ");
        line.push_str(&visible_line(why));
    }
    line
}
