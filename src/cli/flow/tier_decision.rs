//! `darkmux flow tier-decision`: who should do a piece of work, and why.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::{About, append};
use crate::cli::{Cx, Outcome};
use crate::model::{Category, FlowRecord, Level, Stage, Tier};

/// Write down who should do a piece of work, and why.
#[derive(Debug, Args)]
pub struct TierDecisionArgs {
    /// What was decided, such as `local`
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    decision: String,
    /// Why
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    reasoning: String,
    /// Role that was chosen
    #[arg(long, value_name = "ROLE")]
    role_chosen: Option<String>,
    #[command(flatten)]
    about: About,
}

/// Runs the verb.
pub fn run(args: TierDecisionArgs, cx: &Cx) -> Outcome {
    let class = (Level::Info, Category::Audit, Tier::Frontier, Stage::TierDecision);
    let reasoning = Some(format!("[{}] {}", args.decision, args.reasoning));
    let handle = args.role_chosen.unwrap_or(args.decision);
    let record = args.about.put_on(FlowRecord::new(class, "tier-decision", handle));
    append(cx, FlowRecord { reasoning, ..record })
}
