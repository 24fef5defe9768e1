//! `darkmux mcp`: an MCP server on stdin and stdout, for agents that drive darkmux.
//!
//! Each tool is one run of a verb, or of the functions behind it, in this process: with a configuration read anew, a
//! printer that keeps what is said, and a thread of its own. Nothing but the protocol goes to stdout; nothing is kept
//! between calls.

mod call;
mod result;
mod server;
mod tools;

use clap::Args;
use rmcp::ServiceExt;
use rmcp::transport::async_rw::AsyncRwTransport;
use tokio::signal::unix::{SignalKind, signal};

use super::{Cx, Exit, Failure, FailureContext, Outcome, logging};
use server::{CALLS_MAX, Server};

/// Longest message of a client, in bytes; a longer one is dropped.
const LINE_MAX: usize = 4 * 1024 * 1024;

/// Threads beside those of calls: they read stdin and write stdout.
const OTHER_THREADS: usize = 8;

/// Let an agent drive darkmux: an MCP server on stdin and stdout.
///
/// Started by the agent, not by hand; docs/MCP.md has the configuration. Records of what it does name the agent, unless
/// DARKMUX_ORCHESTRATOR or the setting says another name.
#[derive(Debug, Args)]
pub struct McpArgs {
    /// Only tools that look; nothing is started, typed, ended or written
    #[arg(long)]
    read_only: bool,
}

/// Runs the verb.
pub fn run(args: &McpArgs, cx: &Cx) -> Outcome {
    logging::init(&cx.env);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(CALLS_MAX + OTHER_THREADS)
        .build()
        .or_exit(Exit::Internal)?;
    let outcome = runtime.block_on(serve(Server::new(cx.env.clone(), args.read_only)));
    // A read of stdin cannot be taken back.
    runtime.shutdown_background();
    outcome
}

/// Serves until the client goes away or this process is asked to end.
async fn serve(server: Server) -> Outcome {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut end = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let transport =
        AsyncRwTransport::new_server(tokio::io::stdin(), tokio::io::stdout()).with_max_line_length(LINE_MAX);
    let to_end = async {
        match server.serve(transport).await {
            Ok(running) => running.waiting().await.map(|_| Exit::Ok).or_exit(Exit::Internal),
            // A client that says nothing at all has gone away.
            Err(rmcp::service::ServerInitializeError::ConnectionClosed(_)) => Ok(Exit::Ok),
            Err(error) => {
                Err(Failure::new(Exit::Failed, format!("the client did not begin as MCP says: {error}")))
            }
        }
    };
    tokio::select! {
        outcome = to_end => outcome,
        _ = interrupt.recv() => Ok(Exit::Interrupted),
        _ = end.recv() => Ok(Exit::of_signal(SignalKind::terminate())),
        _ = hangup.recv() => Ok(Exit::of_signal(SignalKind::hangup())),
    }
}
