//! Which end of a session a socket is connected with: its host, or what is left of it.

use std::io;
use std::sync::Arc;

use super::older;
use crate::serve::App;
use crate::session::live::LiveSession;
use crate::session::terminal::{Last, Living};
use crate::session::{
    Attachment, Events, HostClient, Input, OldHost, ScreenAttach, last_output, last_screen,
};

/// What is left of an ended session.
#[derive(Debug)]
pub struct Ended {
    /// What it showed last.
    pub last: Last,
    /// The code a shell would report.
    pub exit_code: Option<i32>,
}

/// The terminal of a living session.
#[derive(Debug)]
pub enum Alive {
    /// With its picture.
    Screen(Living<Events, Input>),
    /// Of a host of an older program.
    Older(Living<older::Shown, older::Typed>),
}

/// Connects with the host of a living session.
pub async fn living(app: &App, session: &Arc<LiveSession>, how: ScreenAttach) -> io::Result<Alive> {
    let folder = app.live.folder(session.id());
    match HostClient::connect(&folder).await?.attach_screen(how).await {
        Err(error) if OldHost::is(&error) => older::attach(&folder, how).await.map(Alive::Older),
        attached => {
            let Attachment { events, input, end } = attached?;
            Ok(Alive::Screen(Living { events, keys: input, from: how.from, end: end.unwrap_or(0) }))
        }
    }
}

/// What is left of a session that has ended, for a client that has everything before `from`; it may have since it was
/// looked up. `None`: nobody answers for it.
pub async fn ended(app: &App, session: &Arc<LiveSession>, from: Option<u64>) -> Option<Ended> {
    let table = app.live.table().clone();
    let id = session.id().clone();
    let folder = app.live.folder(&id);
    let read = app.shutdown.spawn_blocking(move || -> io::Result<Option<Ended>> {
        let Some(status) = table.get(&id)?.filter(|status| status.state.is_final()) else {
            return Ok(None);
        };
        let exit_code = status.exit_code;
        if let Some(from) = from
            && let Some(rest) = last_output(&folder, from)?
        {
            return Ok(Some(Ended { last: Last::Rest(from, rest.into()), exit_code }));
        }
        let (at, picture) = last_screen(&folder, &status)?;
        Ok(Some(Ended { last: Last::Picture(at, picture.into()), exit_code }))
    });
    match read.await {
        Ok(Ok(ended)) => ended,
        Ok(Err(error)) => {
            tracing::warn!(%error, session = %session.id(), "its output cannot be read");
            None
        }
        Err(_) => None,
    }
}
