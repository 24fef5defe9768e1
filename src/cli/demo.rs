//! `darkmux demo`.

use std::net::Ipv4Addr;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::open::browse;
use super::printer::BOLD;
use super::{Cx, Exit, FailureContext, Outcome, block_on};
use crate::client::{self, Client};
use crate::serve::{RECORDING, run_showcase};
use crate::util::Shutdown;

/// How long open answers may go on after Ctrl-C.
const STOP_GRACE: std::time::Duration = std::time::Duration::from_secs(1);

/// Play a showcase in the browser: three machines, what they do for each other, and what happens when one dies.
///
/// It is a recording of real machines, and nothing can be changed in it. Where no daemon runs, this command serves it on a free port of
/// this machine until Ctrl-C; it needs no settings and writes nothing.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Print the address and open nothing
    #[arg(long)]
    no_open: bool,
}

/// Runs the verb.
pub fn run(args: &DemoArgs, cx: &Cx) -> Outcome {
    block_on(async {
        if let Some(url) = of_the_daemon(cx).await {
            show(&url, args, cx).await?;
            return Ok(Exit::Ok);
        }
        let mut interrupted = signal(SignalKind::interrupt()).or_exit(Exit::Internal)?;
        let mut terminated = signal(SignalKind::terminate()).or_exit(Exit::Internal)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.or_exit(Exit::Internal)?;
        let port = listener.local_addr().or_exit(Exit::Internal)?.port();
        let shutdown = Shutdown::new();
        let served = shutdown.spawn(run_showcase(listener, shutdown.clone()));
        show(&format!("http://localhost:{port}/"), args, cx).await?;
        cx.printer.note("it plays until Ctrl-C; your own machines: `darkmux serve`");
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
            ended = served => ended.or_exit(Exit::Internal)?.or_exit(Exit::Internal)?,
        }
        // What a browser still takes is cut with the process.
        let _ = shutdown.finish(STOP_GRACE).await;
        Ok(Exit::Ok)
    })
}

/// Where the daemon of this home has the showcase; nothing when there is none, or one that has not, or shows it to nobody
/// without a token.
async fn of_the_daemon(cx: &Cx) -> Option<String> {
    let info = client::find(&cx.config().ok()?.paths).ok()??;
    let url = info.url();
    let client = Client::new(info).ok()?;
    client.get::<serde::de::IgnoredAny>(RECORDING).await.ok()?;
    Some(format!("{url}?replay=showcase"))
}

async fn show(url: &str, args: &DemoArgs, cx: &Cx) -> Result<(), super::Failure> {
    if !args.no_open && browse(|| Ok(url.to_owned()), cx).await? {
        cx.printer.note(&format!("opened {BOLD}{url}{BOLD:#}"));
        return Ok(());
    }
    cx.printer.line(url)?;
    Ok(())
}
