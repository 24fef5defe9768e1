//! `plan`: the checklist that a model keeps, for itself and for who watches.

use serde::{Deserialize, Serialize};

use super::{Done, Refusal};
use crate::util::visible_line;

/// Most items.
const ITEMS_MAX: usize = 50;

/// Longest item, in characters.
const ITEM_MAX: usize = 200;

/// How far an item is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanState {
    /// Not begun.
    #[default]
    Pending,
    /// At work.
    InProgress,
    /// Done.
    #[serde(alias = "completed")]
    Done,
}

impl PlanState {
    /// Its mark in a checklist.
    pub fn mark(self) -> &'static str {
        match self {
            Self::Pending => "[ ]",
            Self::InProgress => "[>]",
            Self::Done => "[x]",
        }
    }
}

/// One line of the checklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanItem {
    /// What is to be done, one line.
    #[serde(alias = "step", alias = "content")]
    pub text: String,
    /// How far it is.
    #[serde(default, alias = "status")]
    pub state: PlanState,
}

/// What `plan` takes.
#[derive(Debug, Deserialize)]
pub struct Args {
    #[serde(alias = "plan", alias = "todos")]
    items: Vec<PlanItem>,
}

/// Replaces the checklist.
pub fn run(plan: &mut Vec<PlanItem>, args: Args) -> Result<Done, Refusal> {
    if args.items.len() > ITEMS_MAX {
        return Err(Refusal::new(format!("a plan has at most {ITEMS_MAX} items; put small steps together")));
    }
    let line = |item: PlanItem| {
        let text = visible_line(item.text.trim()).chars().take(ITEM_MAX).collect::<String>();
        PlanItem { text, ..item }
    };
    *plan = args.items.into_iter().map(line).filter(|item| !item.text.is_empty()).collect();
    let done = plan.iter().filter(|item| item.state == PlanState::Done).count();
    Ok(Done {
        steady: None,
        ok: true,
        text: format!("The plan is kept: {done} of {} done.", plan.len()),
        shown: plan.iter().map(|item| format!("{} {}", item.state.mark(), item.text)).collect(),
        changed: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_replaced_as_a_whole_and_bounded() {
        let mut plan = Vec::new();
        let args = serde_json::from_str(
            r#"{"items":[{"text":"look\u001b[2J","status":"completed"},{"text":"mend"},{"text":" "}]}"#,
        );
        let done = run(&mut plan, args.unwrap()).unwrap();
        assert_eq!(done.text, "The plan is kept: 1 of 2 done.");
        assert_eq!(done.shown, ["[x] look\\u{1b}[2J", "[ ] mend"]);
        let item = |_| PlanItem { text: "x".into(), state: PlanState::Pending };
        assert!(run(&mut plan, Args { items: (0..51).map(item).collect() }).is_err());
        assert_eq!(plan.len(), 2, "a refused plan changes nothing");
    }
}
