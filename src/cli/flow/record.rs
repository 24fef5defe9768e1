//! `darkmux flow record`: a record in the words of whoever writes it.

use clap::Args;
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser};

use super::{About, append};
use crate::cli::{Cx, Outcome};
use crate::model::{Category, FlowRecord, Level, Stage, Tier};

fn level() -> impl TypedValueParser<Value = Level> {
    PossibleValuesParser::new(Level::WORDS).map(|word| Level::of_word(&word).unwrap_or(Level::Unknown))
}

fn category() -> impl TypedValueParser<Value = Category> {
    PossibleValuesParser::new(Category::WORDS)
        .map(|word| Category::of_word(&word).unwrap_or(Category::Unknown))
}

fn tier() -> impl TypedValueParser<Value = Tier> {
    PossibleValuesParser::new(Tier::WORDS).map(|word| Tier::of_word(&word).unwrap_or(Tier::Unknown))
}

fn stage() -> impl TypedValueParser<Value = Stage> {
    PossibleValuesParser::new(Stage::WORDS).map(|word| Stage::of_word(&word).unwrap_or(Stage::Unknown))
}

/// Write a record with words of your own.
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// How urgent it is
    #[arg(long, value_parser = level())]
    level: Level,
    /// What kind of thing it tells
    #[arg(long, value_parser = category())]
    category: Category,
    /// Who acted
    #[arg(long, value_parser = tier())]
    tier: Tier,
    /// Where in the course of work it stands
    #[arg(long, value_parser = stage())]
    stage: Stage,
    /// Name of the event
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    action: String,
    /// What it is about
    #[arg(long)]
    handle: String,
    /// Why, in prose
    #[arg(long)]
    reasoning: Option<String>,
    /// Mission that it belongs to
    #[arg(long, value_name = "ID")]
    mission_id: Option<String>,
    #[command(flatten)]
    about: About,
}

/// Runs the verb.
pub fn run(args: RecordArgs, cx: &Cx) -> Outcome {
    let class = (args.level, args.category, args.tier, args.stage);
    let record = args.about.put_on(FlowRecord::new(class, args.action, args.handle));
    append(cx, FlowRecord { reasoning: args.reasoning, mission_id: args.mission_id, ..record })
}
