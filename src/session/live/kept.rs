//! Slugs that outlive the daemon: a bookmark stays true. A file beside the sessions' folders, and no more than a
//! memory: without it the slugs are given anew.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

use super::LiveTable;
use super::slug::Given;
use crate::model::SessionId;
use crate::store::{Durability, read_if_there, write_atomic};

/// The file. No id begins so.
const FILE: &str = ".slugs.json";

/// Largest file that is read, in bytes.
const FILE_MAX: u64 = 16 * 1024 * 1024;

impl LiveTable {
    fn slugs_file(&self) -> PathBuf {
        self.0.table.dir().join(FILE)
    }

    /// Takes up what an earlier daemon gave.
    pub(super) async fn remember_slugs(&self) {
        let path = self.slugs_file();
        let read = self.0.shutdown.spawn_blocking(move || -> io::Result<HashMap<SessionId, Given>> {
            let bytes = read_if_there(&path, FILE_MAX)?;
            Ok(bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose()?.unwrap_or_default())
        });
        match read.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(before) => self.state().slugs.remember(before),
            Err(error) => tracing::warn!(%error, "the slugs of before cannot be read; they are given anew"),
        }
    }
}

/// Writes the slugs down whenever they have changed; many changes at once are one.
pub(super) async fn keep_slugs(table: LiveTable) {
    let shutdown = table.0.shutdown.clone();
    let mut kept = HashMap::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.stopped() => return,
            () = table.0.slugs_changed.notified() => {}
        }
        let now = table.state().slugs.numbered();
        if now == kept {
            continue;
        }
        let (path, text) = (table.slugs_file(), serde_json::to_vec(&now));
        let written = shutdown.spawn_blocking(move || write_atomic(&path, &text?, Durability::Cached));
        match written.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) => kept = now,
            Err(error) => tracing::warn!(%error, "the slugs cannot be kept"),
        }
    }
}
