//! `darkmux fleet join`.

use std::io::{self, BufRead, IsTerminal, Read};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::asking::agreed;
use crate::cli::printer::{BOLD, GOOD, WARN};
use crate::cli::remote::Machines;
use crate::cli::service::Running;
use crate::cli::{Cx, Exit, Failure, FailureContext, Outcome, block_on};
use crate::client::{Client, JoinError, Visit};
use crate::fleet::PeerAddress;
use crate::fleet::join::InviteCode;
use crate::joining::{self, JoiningError, Places, Plan, Share};
use crate::model::MachineId;
use crate::util::visible_line;
use crate::wire::{JoinAnswer, JoinHello};

/// Most bytes of a code that are read.
const CODE_MAX: u64 = 4096;

/// Join the fleet of a machine, with the code that `darkmux fleet invite` printed there.
///
/// Says first what it would do, and asks. The two machines exchange names, identities, addresses, a token each way, the fleet's
/// key and Redis, all sealed by the code. A join that was interrupted is done again with the same code.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // They are flags of the command line.
pub struct JoinArgs {
    /// The code or its URL; without one, or as `-`, it is read from standard input, where no other user of this machine sees it
    code: Option<String>,
    /// Where the inviting machine's daemon is reached, if not where the code says, as through a tunnel: host:port, or
    /// https://HOST through a proxy
    #[arg(long, value_name = "ADDRESS")]
    address: Option<PeerAddress>,
    /// Where the inviting machine reaches this one's daemon, if not where it listens
    #[arg(long, value_name = "ADDRESS")]
    own_address: Option<PeerAddress>,
    /// Take the other machine's Redis and key in the place of those that are here
    #[arg(long)]
    replace: bool,
    /// Say what it would do and do nothing; the code stays good
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print JSON, without secrets
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &JoinArgs, cx: &Cx) -> Outcome {
    let config = cx.config()?;
    let code = InviteCode::parse(&code(args.code.as_deref(), cx)?, args.address.as_ref());
    let code = code.map_err(|error| Failure::new(Exit::Usage, error))?;
    let places = Places::of(config);
    let hello = JoinHello {
        machine_id: config.machine_id()?.to_string(),
        machine_uid: config.identity()?.uid.to_string(),
        version: crate::VERSION.to_owned(),
    };
    block_on(async {
        let visit = Visit::begin(&code, &hello).await.map_err(|error| failure(error.into()))?;
        let plan =
            Plan::make(&places, &code, visit.greeting(), args.own_address.as_ref()).map_err(failure)?;
        if !args.json {
            tell(&plan, &places, cx);
        }
        let replaced = plan.replaced();
        if args.dry_run {
            if args.json {
                cx.printer.json(&document(&plan, &places, None))?;
            }
            return Ok(Exit::Ok);
        }
        if !replaced.is_empty() && !args.replace {
            let words = format!(
                "this machine has {} of its own already, for another fleet; --replace takes {}'s instead",
                replaced.join(" and "),
                plan.machine_id
            );
            return Err(Failure::new(Exit::Failed, words));
        }
        if !args.yes {
            let (instead, kept) =
                ("--yes joins, --dry-run looks first", "nothing was changed; the code is still good");
            agreed(cx, &format!("join {}?", plan.machine_id), args.json, (instead, kept))?;
        }
        let answer = joining::join(&places, &plan, &visit, &code, &cx.clock).await.map_err(failure)?;
        super::tell_daemon(&config.paths).await;
        let link = linked(cx, &plan.machine_id).await;
        if args.json {
            cx.printer.json(&document(&plan, &places, Some((&answer, &link))))?;
        } else {
            let running = Running::find(config).await;
            done(&plan, (&answer, &link), running.as_ref(), cx)?;
        }
        Ok(Exit::Ok)
    })
}

/// What was typed, or is on standard input.
fn code(given: Option<&str>, cx: &Cx) -> Result<String, Failure> {
    if let Some(given) = given.filter(|given| *given != "-") {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    let input = io::stdin();
    if input.is_terminal() {
        cx.printer.note("the code that `darkmux fleet invite` printed on the other machine:");
        input.lock().take(CODE_MAX).read_line(&mut text)?;
    } else {
        input.lock().take(CODE_MAX).read_to_string(&mut text)?;
    }
    Ok(text)
}

/// What stands for the failure: who can't be reached is 3, everything else 1.
pub fn failure(error: JoiningError) -> Failure {
    let exit = match &error {
        JoiningError::Far(far) if far.is_unreachable() => Exit::Unreachable,
        JoiningError::Config(_) | JoiningError::Far(JoinError::Address(_)) => Exit::Usage,
        _ => Exit::Failed,
    };
    Failure::new(exit, error)
}

fn share(share: Share, what: &str) -> String {
    match share {
        Share::None => "none comes from there".to_owned(),
        Share::Same => format!("{what} stays: it is the same"),
        Share::Take => format!("{what} comes from there"),
        Share::Replace => format!("{WARN}{what} comes from there, in the place of this machine's{WARN:#}"),
    }
}

/// What will be done.
fn tell(plan: &Plan, places: &Places<'_>, cx: &Cx) {
    let note = |text: String| cx.printer.note(&text);
    let (id, greeting) = (&plan.machine_id, &plan.greeting);
    let version = visible_line(&greeting.version);
    note(format!("{BOLD}{id}{BOLD:#} at {}, darkmux {version}, invites this machine", plan.address));
    note(format!(
        "  tokens     this machine gets one for {id}{}",
        match &plan.own_address {
            Some(address) => format!(", and {id} one for this machine, at {address}"),
            None => String::new(),
        }
    ));
    if plan.own_address.is_none() {
        note(format!(
            "             nobody else reaches its own daemon (loopback only, or no port yet): it reaches {id}, and {id} \
             does not reach it (`darkmux config set serve.bind ADDRESS`)"
        ));
    }
    note(format!("  key        {}", share(plan.fleet_key, "the fleet's key")));
    let redis =
        greeting.redis.as_deref().map_or(String::new(), |redis| format!(" ({})", visible_line(redis)));
    note(format!("  Redis      {}{redis}", share(plan.redis, "the fleet's Redis")));
    if plan.redis_is_near() {
        note(
            "             it is on loopback: of use on the same computer, or through a tunnel of its own"
                .to_owned(),
        );
    }
    if let Some(why) = &greeting.redis_withheld {
        note(format!("             {}", visible_line(why)));
    }
    for (at, file) in plan.changed(places).iter().enumerate() {
        let head = if at == 0 { "files" } else { "" };
        note(format!("  {head:<10} {}", visible_line(&file.to_string_lossy())));
    }
}

/// Waits until this machine's daemon is connected with the other one. An error says why it is not.
async fn linked(cx: &Cx, machine: &MachineId) -> Result<(), Failure> {
    let client = Client::local(&cx.config()?.paths).or_exit(Exit::Unreachable)?;
    let machines = Machines::settled(cx, &client, machine.as_str(), Duration::ZERO).await?;
    machines.trouble(machine.as_str()).map_or(Ok(()), Err)
}

/// What was done, and what is left to do.
fn done(
    plan: &Plan,
    (answer, link): (&JoinAnswer, &Result<(), Failure>),
    running: Option<&Running>,
    cx: &Cx,
) -> Result<(), Failure> {
    let id = &plan.machine_id;
    cx.printer.line(&format!("{GOOD}joined{GOOD:#} {id}; `darkmux fleet status` shows it"))?;
    if let Err(why) = link {
        cx.printer.note(&format!("its sessions do not show here yet: {}", why.words()));
    }
    if let Some(back) = &answer.back {
        let back = visible_line(back);
        let words = if answer.in_roster {
            format!("{id} did not reach this machine just now: {back}")
        } else {
            format!("{id} does not reach this machine, and asks it nothing: {back}")
        };
        cx.printer.note(&words);
    }
    if restart(plan) {
        cx.printer.note(&match running {
            Some(running) => format!(
                "start this machine's daemon anew, which reads Redis and the fleet's key at its start: {}",
                running.restart
            ),
            None => "start this machine's daemon: darkmux service install, or darkmux serve".to_owned(),
        });
    }
    for name in ["DARKMUX_REDIS_URL", "DARKMUX_REDIS_PASSWORD_FILE"] {
        if plan.redis.changes() && cx.env.get(name).is_some() {
            cx.printer.warn(&format!("{name} is set and wins over what came from {id}"));
        }
    }
    Ok(())
}

/// Whether a daemon that runs knows less than its files.
fn restart(plan: &Plan) -> bool {
    plan.fleet_key.changes() || plan.redis.changes()
}

fn document(plan: &Plan, places: &Places<'_>, done: Option<(&JoinAnswer, &Result<(), Failure>)>) -> Value {
    let greeting = &plan.greeting;
    let (answer, link) = done.unzip();
    json!({
        "back": answer.and_then(|answer| answer.back.as_deref()),
        "expires_at": greeting.expires_at,
        "files": plan.changed(places),
        "fleet_key": plan.fleet_key,
        "in_roster_there": answer.map(|answer| answer.in_roster),
        "joined": answer.is_some(),
        "link_error": link.and_then(|link| link.as_ref().err()).map(Failure::words),
        "linked": link.map(Result::is_ok),
        "machine": {
            "address": plan.address.to_string(),
            "darkmux_version": greeting.version,
            "machine_id": plan.machine_id,
            "machine_uid": greeting.machine_uid,
        },
        "own_address": plan.own_address,
        "redis": plan.redis,
        "redis_url": greeting.redis,
        "redis_withheld": greeting.redis_withheld,
        "replaces": plan.replaced(),
        "restart": restart(plan),
        "schema": 1,
    })
}
