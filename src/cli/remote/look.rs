//! Looking into a session of another machine from a terminal, and typing into it. The connection heals.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::frames::{Got, Line, Opening};
use super::{Remote, listed::Listed};
use crate::cli::session::{Detach, Form, Happening, Keys, Screen, Terminal};
use crate::cli::{Cx, Exit, Failure, FailureContext, Outcome};
use crate::pty::Signals;
use crate::util::visible;
use crate::wire::WindowSize;

/// Pauses between tries to come back.
const RETRY: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// How long the user is let wait before it counts as failed.
const PATIENCE: Duration = Duration::from_mins(2);

/// How long a picture may take that only tells how to type.
const PICTURE_TIME: Duration = Duration::from_secs(10);

/// Ctrl-C.
const INTERRUPT: u8 = 0x03;

/// How it ended.
enum Seen {
    Ended(Option<i32>),
    Left(Exit),
    /// The connection ended.
    Broke(String),
    /// The screen has our size now, and is wanted anew.
    Anew,
}

/// One look.
struct Look<'a> {
    cx: &'a Cx,
    remote: &'a Remote,
    keys: Keys,
    screen: Screen<'a>,
    terminal: Terminal,
    detach: Detach,
    /// The next byte that is wanted.
    at: Option<u64>,
    /// The size was taken over.
    claimed: bool,
    /// The size told last, and whether it was another viewer's.
    size: Option<(WindowSize, bool)>,
}

/// Shows a session on this terminal until it ends or the user leaves it: from an offset on, or beginning with its
/// screen.
pub async fn look(cx: &Cx, remote: Remote, keys: Keys, from: Option<u64>) -> Outcome {
    let mut screen = Screen::stdout(Form::Raw);
    if keys == Keys::Looking {
        // Nothing that this terminal answers may be typed.
        screen = screen.with_past(u64::MAX);
    }
    let Listed { id, title, .. } = &remote.session;
    screen.title(if title.is_empty() { id } else { title })?;
    let detach = Detach::new(&cx.config()?.session().detach_key);
    let detach = detach.map_err(|words| Failure::new(Exit::Usage, words))?;
    let terminal = Terminal::open(Some(Signals::AsBytes)).or_exit(Exit::Internal)?;
    let mut look =
        Look { cx, remote: &remote, keys, screen, terminal, detach, at: from, claimed: false, size: None };
    let seen = look.run().await;
    look.screen.end()?;
    drop(look);
    match seen? {
        Seen::Ended(code) => {
            let words = code.map(|code| format!(", exit code {code}")).unwrap_or_default();
            cx.printer.note(&format!("\r[session {id} ended{words}]"));
            Ok(code.map_or(Exit::Internal, Exit::of_shell_code))
        }
        Seen::Left(exit) => {
            cx.printer.note(&format!(
                "\r\n[left session {id}, which runs on; darkmux session attach {id} comes back to it]"
            ));
            // Leaving is what its key is for.
            Ok(if exit == Exit::Interrupted { Exit::Ok } else { exit })
        }
        Seen::Broke(why) => {
            Err(Failure::new(Exit::Unreachable, format!("session {id} can't be shown any more: {why}")))
        }
        Seen::Anew => Ok(Exit::Ok),
    }
}

impl Look<'_> {
    async fn run(&mut self) -> Result<Seen, Failure> {
        let mut heard = Instant::now();
        let mut tries = 0;
        loop {
            let size = Terminal::size().filter(|_| self.keys != Keys::Looking);
            let how = Opening { from: self.at, size, read_only: self.keys == Keys::Looking };
            let why = match self.unless_left(Line::open(self.remote, how)).await {
                Err(left) => return Ok(left),
                Ok(Err(failure)) => failure.words().to_owned(),
                Ok(Ok(line)) => match self.follow(line, size).await? {
                    Seen::Anew => {
                        self.at = None;
                        continue;
                    }
                    Seen::Broke(why) => {
                        if tries > 0 && self.at.is_some() {
                            (heard, tries) = (Instant::now(), 0);
                        }
                        why
                    }
                    seen => return Ok(seen),
                },
            };
            if heard.elapsed() >= PATIENCE {
                return Ok(Seen::Broke(why));
            }
            if tries == 1 {
                let why = visible(&why);
                self.cx.printer.note(&format!("\r\n[{why}; trying again, the detach key leaves]\r"));
            }
            let pause = RETRY[tries.min(RETRY.len() - 1)];
            tries += 1;
            if let Err(left) = self.unless_left(tokio::time::sleep(pause)).await {
                return Ok(left);
            }
        }
    }

    /// Does something without a connection, unless the user leaves meanwhile. What is typed meanwhile is typed into
    /// nothing, so it is left where it is.
    async fn unless_left<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Seen> {
        tokio::pin!(work);
        loop {
            let happening = tokio::select! {
                done = &mut work => return Ok(done),
                happening = self.terminal.next(true) => happening,
            };
            match happening {
                Happening::Typed(bytes) => {
                    if self.split(&bytes).1 {
                        return Err(Seen::Left(Exit::Interrupted));
                    }
                }
                Happening::Resized(_) => {}
                Happening::Interrupt => return Err(Seen::Left(Exit::Interrupted)),
                Happening::End(exit) => return Err(Seen::Left(exit)),
            }
        }
    }

    async fn follow(&mut self, mut line: Line, size: Option<WindowSize>) -> Result<Seen, Failure> {
        self.size = None;
        // Once: a connection that broke takes nothing over from who came meanwhile.
        if let Some(size) = size.filter(|_| !std::mem::replace(&mut self.claimed, true)) {
            line.size(size, true).await;
        }
        loop {
            let happening = tokio::select! {
                got = line.next() => {
                    match got {
                        Got::Picture(at, bytes) => {
                            self.at = Some(at);
                            self.screen.picture(&bytes, Terminal::size().unwrap_or_default().rows)?;
                        }
                        Got::Output(at, bytes) => self.show(at, &bytes)?,
                        Got::Size(size, own) => if self.is_taken_over(size, own) {
                            line.close().await;
                            return Ok(Seen::Anew);
                        },
                        Got::Ended(code) => return Ok(Seen::Ended(code)),
                        Got::Refused(why) => {
                            let id = &self.remote.session.id;
                            return Err(Failure::new(Exit::Failed, format!("session {id}: {why}")));
                        }
                        Got::Broke(why) => return Ok(Seen::Broke(why)),
                    }
                    continue;
                }
                happening = self.terminal.next(true) => happening,
            };
            let left = match happening {
                Happening::Typed(bytes) => {
                    let (bytes, leaves) = self.split(&bytes);
                    if !line.type_in(&bytes).await {
                        return Ok(Seen::Broke("what was typed was not taken".to_owned()));
                    }
                    leaves.then_some(Exit::Interrupted)
                }
                Happening::Resized(size) => {
                    if self.keys != Keys::Looking {
                        line.size(size, false).await;
                    }
                    None
                }
                Happening::Interrupt => Some(Exit::Interrupted),
                Happening::End(exit) => Some(exit),
            };
            if let Some(exit) = left {
                line.close().await;
                return Ok(Seen::Left(exit));
            }
        }
    }

    fn show(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.at = Some(at + bytes.len() as u64);
        self.screen.show(bytes)
    }

    /// Whether the terminal has got our size from another viewer's: what is shown was made for that one.
    fn is_taken_over(&mut self, size: WindowSize, own: bool) -> bool {
        let before = self.size.replace((size, !own));
        own && before.is_some_and(|(last, others)| others && last != size)
    }

    /// What of the typed bytes goes to the session, and whether the user leaves it.
    fn split(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let (typed, leaves) = self.detach.split(bytes);
        if self.keys == Keys::Looking {
            (Vec::new(), leaves || bytes.contains(&INTERRUPT))
        } else {
            (typed, leaves)
        }
    }
}

/// The screen of a session, as bytes that draw it: it tells which modes its program switched on.
pub async fn picture(remote: &Remote) -> Result<Vec<u8>, Failure> {
    let shown = async {
        let mut line = Line::open(remote, Opening { read_only: true, ..Opening::default() }).await?;
        loop {
            match line.next().await {
                Got::Picture(_, bytes) => {
                    line.close().await;
                    return Ok(bytes.to_vec());
                }
                Got::Output(..) | Got::Size(..) => {}
                Got::Ended(_) => return Ok(Vec::new()),
                Got::Refused(why) | Got::Broke(why) => return Err(Failure::new(Exit::Failed, why)),
            }
        }
    };
    let late = || Failure::new(Exit::Unreachable, format!("{} does not show its screen", remote.session.id));
    tokio::time::timeout(PICTURE_TIME, shown).await.unwrap_or_else(|_| Err(late()))
}
