//! `darkmux fleet leave`.

use clap::Args;
use serde_json::{Value, json};

use super::join::failure;
use crate::cli::session::block_on;
use crate::cli::{Cx, Exit, Failure, Outcome};
use crate::client::{Left, Places, part};
use crate::fleet::join::{Joined, Took};
use crate::util::{closest, visible_line};

/// Take back a join: tokens, roster, and what came with it, here and on the other machine as far as it answers.
///
/// Redis and the fleet's key go when the last machine is left that they are shared with. Sessions and jobs are not touched.
#[derive(Debug, Args)]
pub struct LeaveArgs {
    /// The machine; without one, all that this one is joined with
    #[arg(add = clap_complete::engine::ArgValueCompleter::new(crate::cli::completions::machines))]
    machine: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb. A machine that this one is not joined with is 2.
pub fn run(args: &LeaveArgs, cx: &Cx) -> Outcome {
    let config = cx.config()?;
    let places = Places::of(config);
    let all = places.files.all()?;
    let leaving = match &args.machine {
        None => all,
        Some(name) => vec![named(name, all)?],
    };
    block_on(async {
        let mut parted: Vec<(Joined, Left)> = Vec::new();
        for joined in leaving {
            let left = part(&places, &joined).await.map_err(failure)?;
            if !args.json {
                tell(&joined, &left, cx)?;
            }
            parted.push((joined, left));
        }
        super::tell_daemon(&config.paths).await;
        if args.json {
            let left: Vec<Value> = parted.iter().map(as_json).collect();
            cx.printer.json(&json!({ "left": left, "schema": 1 }))?;
        } else if parted.is_empty() {
            cx.printer.note("this machine is joined with none");
        }
        Ok(Exit::Ok)
    })
}

fn named(name: &str, all: Vec<Joined>) -> Result<Joined, Failure> {
    let names: Vec<String> = all.iter().map(|joined| joined.machine_id.to_string()).collect();
    all.into_iter().find(|joined| joined.machine_id.as_str() == name).ok_or_else(|| {
        let near = closest(name, names.iter().map(String::as_str));
        let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        let name: String = visible_line(name).chars().take(80).collect();
        let words =
            format!("this machine is not joined with {name}{near}; `darkmux fleet remove` takes out what was added by hand");
        Failure::new(Exit::Usage, words)
    })
}

fn tell(joined: &Joined, left: &Left, cx: &Cx) -> Result<(), Failure> {
    let id = &joined.machine_id;
    cx.printer.line(&format!("left {id}: {} removed", left.undone.join(", ")))?;
    for kept in &left.kept {
        cx.printer.note(&format!("not undone: {}", visible_line(kept)));
    }
    let words = if joined.took == Took::default() {
        format!(
            "not undone: {id} may remember the fleet's key and Redis' password; change them to shut out a machine that you \
             do not trust any more"
        )
    } else {
        "restart `darkmux serve` on this machine: until then it goes on with what came from there".to_owned()
    };
    cx.printer.note(&words);
    Ok(())
}

fn as_json((joined, left): &(Joined, Left)) -> Value {
    json!({
        "machine_id": joined.machine_id,
        "not_undone": left.kept,
        "told": left.told,
        "undone": left.undone,
    })
}
