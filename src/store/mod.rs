//! What survives: private folders, atomic replacement, locks, the append-only JSON-lines log with its reader,
//! and the connection to Redis.
//!
//! Invariant: a file of ours is complete or absent, and readable by its owner alone.

mod append;
mod atomic;
pub mod lines;
mod lock;
mod password;
mod private;
mod redis;
mod socket;
mod socket_key;

pub use append::{AppendError, AppendLog, LINE_WRITE_MAX, LOCK_PATIENCE, Locked, SYNC_INTERVAL, SyncPolicy};
pub use atomic::{Durability, sync_written, write_atomic, write_new};
pub use lock::{FileLock, lock_beside, lock_shared_within, lock_within};
pub use password::Password;
pub use private::{
    ensure_private_dir, find_in, open_in, open_in_at_hand, read_bounded, read_if_there, read_open,
};
pub use redis::{
    Reader, Redis, RedisClass, RedisFault, RedisTarget, RedisUrlError, Server, script, without_password,
};
pub use socket::{bind_socket, is_ours, socket_path};
pub use socket_key::{SocketKey, shown_bearer};
