//! Every limit of the HTTP surface, so that a test can have its own.

use std::time::Duration;

/// What a client may take and how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections; when all are taken the longest idle one makes room.
    pub connections: usize,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// From the first byte of a request's head to its last.
    pub head_time: Duration,
    /// From the end of a request's head to the end of its body.
    pub body_time: Duration,
    /// A connection without a request.
    pub idle_time: Duration,
    /// A client that takes no byte of an answer.
    pub write_stall: Duration,
    /// Open event streams of the flow, and as many about sessions.
    pub streams: usize,
    /// Between two signs of life on a quiet stream.
    pub keepalive: Duration,
    /// Between two signs of life on a quiet stream of events about sessions.
    pub v1_heartbeat: Duration,
    /// Requests that wait for a session at one time.
    pub waits: usize,
    /// Open terminals.
    pub terminals: usize,
    /// Between two questions to a quiet terminal's client whether it is there.
    pub ping: Duration,
    /// How long it may take to answer.
    pub pong: Duration,
    /// Reads of day files at one time; each holds up to three buffers of [`Limits::piece_bytes`].
    pub file_reads: usize,
    /// Days of the whole fleet put together at one time; each holds at most 16 MiB of records of others.
    pub fleet_days: usize,
    /// Repositories that are written for peers at one time.
    pub packs: usize,
    /// Bytes read from a file at a time.
    pub piece_bytes: usize,
}

impl Limits {
    /// The limits with room for this many event streams of each kind, and for as many other connections as ever.
    #[must_use]
    pub fn with_streams(self, streams: usize) -> Self {
        let others = self.connections.saturating_sub(self.streams.saturating_mul(2));
        Self { streams, connections: streams.saturating_mul(2).saturating_add(others), ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 448,
            head_bytes: 16 * 1024,
            head_time: Duration::from_secs(5),
            body_time: Duration::from_secs(10),
            idle_time: Duration::from_mins(1),
            write_stall: Duration::from_secs(10),
            streams: 128,
            keepalive: Duration::from_secs(15),
            v1_heartbeat: Duration::from_secs(30),
            waits: 64,
            terminals: 64,
            ping: Duration::from_secs(20),
            pong: Duration::from_secs(10),
            file_reads: 16,
            fleet_days: 2,
            packs: 2,
            piece_bytes: 256 * 1024,
        }
    }
}
