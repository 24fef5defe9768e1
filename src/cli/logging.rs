//! The log of long-running processes: `tracing` to stderr, set up once.

use tracing_subscriber::EnvFilter;

use crate::config::Environment;

/// Starts logging at `info`, or as `DARKMUX_LOG` says (`debug`, `darkmux::serve=trace`, …);
/// `DARKMUX_LOG_FORMAT=json` writes one JSON object a line. A second call changes nothing.
pub fn init(env: &Environment) {
    let filter = env
        .get("DARKMUX_LOG")
        .and_then(|text| text.parse::<EnvFilter>().ok())
        .unwrap_or_else(|| EnvFilter::new("info,rmcp=warn"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(true)
        // A log that cannot be written (a full disk) is complained about on stderr, and a stderr that cannot
        // be written is a panic.
        .log_internal_errors(false);
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr()) && env.get("NO_COLOR").is_none();
    let _ = if env.get("DARKMUX_LOG_FORMAT") == Some("json") {
        log.json().try_init()
    } else {
        log.with_ansi(ansi).try_init()
    };
}
