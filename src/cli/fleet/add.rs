//! `darkmux fleet add`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::time::timeout;

use crate::cli::{Cx, Exit, Failure, Outcome, block_on};
use crate::fleet::{NewPeer, PeerAddress, RosterError, RosterFile};
use crate::serve::reach;
use crate::util::clock;

/// How long the name of an address may take to be known.
const RESOLVE_TIME: Duration = Duration::from_secs(2);

/// Put a machine into the roster, or change its entry.
///
/// The roster is this machine's own list of the others by address. Machines that share this one's Redis show in
/// `fleet list` by themselves.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Its name: what `darkmux config get machine_id` says there
    #[arg(add = clap_complete::engine::ArgValueCompleter::new(crate::cli::completions::machines))]
    id: String,
    /// Where its daemon listens: host, host:port, ip:port or `[v6]:port`, 8765 where no port is named; or https://HOST, where a
    /// proxy with TLS stands before it
    #[arg(long, short)]
    address: String,
    /// What you say of it
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// File that holds the token its daemon asks for, readable by you alone; its path is kept, not the token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &AddArgs, cx: &Cx) -> Outcome {
    let config = cx.config()?;
    let file = RosterFile::new(config.fleet_file());
    if args.id == config.machine_id()?.as_str()
        && let Ok(address) = args.address.parse::<PeerAddress>()
        && !block_on(async { Ok(is_own(&address).await) })?
    {
        let words = format!(
            "{} is the name of this machine, and {address} is none of its addresses: give the name that the other one has \
             (`darkmux config get machine_id` there), or this one another",
            args.id
        );
        return Err(Failure::new(Exit::Usage, words));
    }
    let token_file = args.token_file.as_ref().map(std::path::absolute).transpose()?;
    let new = NewPeer {
        id: &args.id,
        address: &args.address,
        description: args.description.as_deref(),
        token_file: token_file.as_deref(),
    };
    let (peer, is_new) = file.add(&new, clock::unix_ms(cx.clock.now())).map_err(|error| {
        let wrong_words =
            matches!(error, RosterError::Id(_) | RosterError::Address(_) | RosterError::Token { .. });
        Failure::new(if wrong_words { Exit::Usage } else { Exit::Failed }, error)
    })?;
    let did = if is_new { "added" } else { "changed" };
    block_on(async {
        super::tell_daemon(&config.paths).await;
        Ok(())
    })?;
    cx.printer.note(&format!("{did} {} at {}; `darkmux fleet status` asks it", peer.id, peer.address));
    Ok(Exit::Ok)
}

/// Whether an address is this machine's. One that nobody can say anything about counts as such.
async fn is_own(address: &PeerAddress) -> bool {
    match timeout(RESOLVE_TIME, address.resolve()).await {
        Ok(Ok(found)) => found.iter().all(|at| reach::is_own(at.ip())),
        _ => true,
    }
}
