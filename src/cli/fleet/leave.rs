//! `darkmux fleet leave`.

use clap::Args;
use serde_json::{Value, json};

use super::asking::agreed;
use super::join::failure;
use crate::cli::printer::BOLD;
use crate::cli::{Cx, Exit, Failure, Outcome, block_on};
use crate::fleet::join::{Joined, Took};
use crate::joining::{Left, Places, part, would_go};
use crate::model::MachineId;
use crate::util::{closest, visible_line};

/// Take back a join: tokens, roster, and what came with it, here and on the other machine as far as it answers.
///
/// Redis and the fleet's key go when the last machine is left that they are shared with. Sessions and jobs are not touched.
/// Says first what it would take back, and asks.
#[derive(Debug, Args)]
pub struct LeaveArgs {
    /// The machine; without one, all that this one is joined with
    #[arg(add = clap_complete::engine::ArgValueCompleter::new(crate::cli::completions::machines))]
    machine: Option<String>,
    /// Say what it would take back and do nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb. A machine that this one is not joined with is 2.
pub fn run(args: &LeaveArgs, cx: &Cx) -> Outcome {
    let config = cx.config()?;
    let places = Places::of(config);
    let all = places.files.all()?;
    let count = all.len();
    let leaving = match &args.machine {
        None => all,
        Some(name) => vec![named(name, all)?],
    };
    let is_last = leaving.len() == count;
    if args.dry_run && args.json {
        let names: Vec<&MachineId> = leaving.iter().map(|joined| &joined.machine_id).collect();
        let would = would_go(&leaving, is_last);
        cx.printer.json(
            &json!({ "dry_run": true, "left": [], "schema": 1, "would_leave": names, "would_undo": would }),
        )?;
        return Ok(Exit::Ok);
    }
    if !leaving.is_empty() && !args.json {
        plan(&leaving, is_last, cx);
    }
    if !leaving.is_empty() && !args.dry_run && !args.yes {
        let names: Vec<&str> = leaving.iter().map(|joined| joined.machine_id.as_str()).collect();
        let said = ("--yes leaves, --dry-run looks first", "nothing was changed");
        agreed(cx, &format!("leave {}?", names.join(" and ")), args.json, said)?;
    }
    let leaving = if args.dry_run { Vec::new() } else { leaving };
    let unsigned = unsigned_from_now_on(cx, &leaving, is_last);
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
        } else if count == 0 {
            cx.printer.note("this machine is joined with none");
        }
        if let Some(note) = unsigned.filter(|_| !args.json) {
            cx.printer.note(&note);
        }
        Ok(Exit::Ok)
    })
}

/// What will be taken back.
fn plan(leaving: &[Joined], is_last: bool, cx: &Cx) {
    for joined in leaving {
        let place = joined.address.as_deref().map(|place| format!(" at {}", visible_line(place)));
        cx.printer.note(&format!("{BOLD}{}{BOLD:#}{}", joined.machine_id, place.unwrap_or_default()));
    }
    for (at, what) in would_go(leaving, is_last).iter().enumerate() {
        let head = if at == 0 { "goes" } else { "" };
        cx.printer.note(&format!("  {head:<6} {what}"));
    }
}

/// Who keeps a Redis of its own publishes jobs that nobody of the fleet takes any more.
fn unsigned_from_now_on(cx: &Cx, leaving: &[Joined], is_last: bool) -> Option<String> {
    let key_goes = is_last && leaving.iter().any(|joined| joined.took.fleet_key.is_some());
    let redis_goes =
        leaving.iter().any(|joined| joined.took.redis.is_some()) && cx.env.get("DARKMUX_REDIS_URL").is_none();
    let redis = cx.config().ok()?.redis().ok()??;
    (key_goes && !redis_goes).then(|| {
        format!(
            "jobs of this machine go to Redis at {} without the fleet's signature from now on, and machines of the fleet refuse \
             them: `darkmux fleet join` makes it one of them again",
            redis.target.shown()
        )
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
