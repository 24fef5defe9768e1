//! The keys of signs of life in Redis. The first three kinds are those of darkmux 1.9.

use std::time::Duration;

/// Before a machine's identity.
pub const MACHINE: &str = "darkmux:presence:";

/// Before a session's id.
pub const SESSION: &str = "darkmux:session-presence:";

/// Sorted sets of the identities and ids under which darkmux of this version beats, by the time of the last beat.
/// They save looking through every key of the server; 1.9 does not write them.
pub const MACHINES: &str = "darkmux:machines";
/// As [`MACHINES`].
pub const SESSIONS: &str = "darkmux:sessions";

/// How long a sign of life lasts.
pub const LIFE: Duration = Duration::from_secs(15);

/// The claim of whoever writes the record that something came or went.
pub fn claim(kind: &str, id: &str) -> String {
    format!("darkmux:edge-claim:{kind}:{id}")
}

/// How long such a claim lasts, in seconds.
pub const CLAIM_SECONDS: u64 = 60;
