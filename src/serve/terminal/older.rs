//! The terminal of a host of protocol 1: it has no picture, so its output from the oldest byte on draws one; it tells no
//! sizes, and takes none but those that count at once. As with gmux, the size is that of whoever said it last.

use std::io;
use std::path::Path;

use tokio::sync::watch;

use crate::session::terminal::{Keys, Living, Source};
use crate::session::{Event, Events, HostClient, Input, ScreenAttach};
use crate::wire::WindowSize;
use crate::wire::frames::Owner;

/// What it shows, and the sizes that were asked for.
#[derive(Debug)]
pub struct Shown {
    events: Events,
    sizes: watch::Receiver<WindowSize>,
}

/// Where it takes keys and sizes.
#[derive(Debug)]
pub struct Typed {
    input: Input,
    sizes: watch::Sender<WindowSize>,
    read_only: bool,
}

/// Attaches to such a host.
pub async fn attach(folder: &Path, how: ScreenAttach) -> io::Result<Living<Shown, Typed>> {
    let mut host = HostClient::connect(folder).await?;
    let status = host.status().await?;
    let end = status.output.end;
    let from = how.from.unwrap_or(0);
    let attached = host.attach(Some(from), false).await?;
    let (said, sizes) = watch::channel(status.size);
    let mut keys = Typed { input: attached.input, sizes: said, read_only: how.read_only };
    if let Some(size) = how.size.filter(|_| !how.read_only) {
        keys.resize(size);
    }
    Ok(Living { events: Shown { events: attached.events, sizes }, keys, from: Some(from), end })
}

impl Source for Shown {
    async fn next(&mut self) -> io::Result<Option<Event>> {
        tokio::select! {
            biased;
            // Its sender lives as long as the client types.
            Ok(()) = self.sizes.changed() => {
                Ok(Some(Event::Size { size: *self.sizes.borrow_and_update(), owner: Owner::You }))
            }
            event = self.events.next() => event,
        }
    }
}

impl Keys for Typed {
    fn send(&mut self, bytes: &[u8]) {
        self.input.send(bytes);
    }

    fn resize(&mut self, size: WindowSize) {
        self.input.resize(size);
        self.sizes.send_replace(size);
    }

    fn state_size(&mut self, size: WindowSize) {
        if self.read_only {
            // Who only watches is told the one there is.
            return self.sizes.send_modify(|_| ());
        }
        self.resize(size);
    }

    fn waiting(&self) -> usize {
        self.input.waiting()
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.input.flush().await
    }
}
