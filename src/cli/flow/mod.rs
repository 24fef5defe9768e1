//! `darkmux flow`: write to the event log, and look at it.

mod integrity;
mod note;
mod record;
mod status;
mod tail;
mod tail_fleet;
mod tier_decision;

use clap::{Args, Subcommand};

use super::{Cx, Exit, Outcome};
use crate::flow::Flow;
use crate::model::FlowRecord;

/// The event log.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)] // A verb's doc comment is on its arguments: it is the help text.
pub enum FlowVerb {
    Note(note::NoteArgs),
    Catch(note::CatchArgs),
    Record(record::RecordArgs),
    TierDecision(tier_decision::TierDecisionArgs),
    Status(status::StatusArgs),
    Tail(tail::TailArgs),
    IntegrityCheck(integrity::IntegrityArgs),
}

/// What a record may be about.
#[derive(Debug, Default, Args)]
pub struct About {
    /// Sprint that it belongs to
    #[arg(long, value_name = "ID", alias = "phase-id")]
    sprint_id: Option<String>,
    /// Session that it belongs to
    #[arg(long, value_name = "ID")]
    session_id: Option<String>,
    /// What wrote it
    #[arg(long)]
    source: Option<String>,
}

impl About {
    fn put_on(self, record: FlowRecord) -> FlowRecord {
        let Self { sprint_id, session_id, source } = self;
        FlowRecord { sprint_id, session_id, source, ..record }
    }
}

/// Runs the verb.
pub fn run(verb: FlowVerb, cx: &Cx) -> Outcome {
    match verb {
        FlowVerb::Note(args) => note::note(args, cx),
        FlowVerb::Catch(args) => note::catch(args, cx),
        FlowVerb::Record(args) => record::run(args, cx),
        FlowVerb::TierDecision(args) => tier_decision::run(args, cx),
        FlowVerb::Status(args) => status::run(&args, cx),
        FlowVerb::Tail(args) => tail::run(&args, cx),
        FlowVerb::IntegrityCheck(args) => integrity::run(&args, cx),
    }
}

fn flow(cx: &Cx) -> Result<Flow, super::Failure> {
    Ok(Flow::new(cx.config()?.flow()?, cx.clock.clone()))
}

/// Appends one record; silent when it is kept.
fn append(cx: &Cx, record: FlowRecord) -> Outcome {
    flow(cx)?.append_durable(record)?;
    Ok(Exit::Ok)
}
