//! Following one living session to its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::{LiveTable, Loaded, Notice};
use crate::model::{SessionId, SessionState};
use crate::session::{HostClient, HostEvent};

/// First and longest time until a host that does not answer is asked again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Between two looks at the files of a session whose host tells no events.
const FILES: Duration = Duration::from_secs(3);

/// Says what the session is until it has ended.
pub(super) async fn follow(table: LiveTable, id: SessionId, look: Arc<Notify>) {
    let stopped = table.0.shutdown.stopped();
    tokio::select! {
        biased;
        () = stopped => {}
        () = to_the_end(&table, &id, &look) => {}
    }
}

async fn to_the_end(table: &LiveTable, id: &SessionId, look: &Notify) {
    let mut pause = AGAIN.0;
    loop {
        match listen(table, id).await {
            Heard::Something => pause = AGAIN.0,
            Heard::Nothing => {}
            Heard::Speechless => pause = FILES,
        }
        match table.load(id).await {
            Ok(Some(loaded)) => {
                let starting = loaded.status.state == SessionState::Starting;
                if table.say(loaded) {
                    return;
                }
                if starting {
                    pause = AGAIN.0;
                }
            }
            Ok(None) => return table.remove(id),
            Err(error) => tracing::warn!(%error, session = %id, "a session cannot be read"),
        }
        // Somebody who knows more may ask for a look.
        let _ = tokio::time::timeout(pause, look.notified()).await;
        pause = (pause * 2).min(AGAIN.1);
    }
}

/// How a host's events went.
enum Heard {
    /// They came, until they ended.
    Something,
    /// The host does not answer.
    Nothing,
    /// It is of a version that tells none.
    Speechless,
}

async fn listen(table: &LiveTable, id: &SessionId) -> Heard {
    let Ok(host) = HostClient::connect(&table.folder(id)).await else { return Heard::Nothing };
    let mut events = match host.events().await {
        Ok(events) => events,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Heard::Speechless,
        Err(_) => return Heard::Nothing,
    };
    let mut heard = Heard::Nothing;
    loop {
        match events.next().await {
            Ok(Some(event)) => {
                heard = Heard::Something;
                table.hear(id, event);
            }
            Ok(None) => return heard,
            Err(error) => {
                tracing::debug!(%error, session = %id, "the events of a host broke off");
                return heard;
            }
        }
    }
}

impl LiveTable {
    /// What a host tells of its session.
    fn hear(&self, id: &SessionId, event: HostEvent) {
        let mut state = self.state();
        let Some(held) = state.sessions.get(id) else { return };
        match event {
            HostEvent::Status { status } if status.id == *id => {
                let loaded = Loaded { status: *status, dispatched: held.dispatched, written: held.written };
                self.write(&mut state, loaded);
            }
            HostEvent::Status { .. } => {}
            HostEvent::Activity => {
                state.changes.activity(id);
                self.tell(&state);
            }
            HostEvent::Notice { title, body } => {
                state.changes.notice(id, Notice { title, body });
                self.tell(&state);
            }
        }
    }

    /// What the follower of a session knows now; whether it was the last word.
    fn say(&self, loaded: Loaded) -> bool {
        let id = loaded.status.id.clone();
        let over = loaded.status.state.is_final();
        let mut state = self.state();
        let Some(held) = state.sessions.get_mut(&id) else { return true };
        // It may live again: somebody told of it since it was read.
        let over = over && !std::mem::take(&mut held.again);
        held.followed = !over;
        self.write(&mut state, loaded);
        over
    }
}
