//! Looking into a session of another machine from a terminal, and typing into it. The connection heals; as long as it
//! does not, the terminal's last row says so, and that nothing that is typed arrives.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::frames::{Got, Line, Opening};
use super::heal::{Heal, Trouble};
use super::{Remote, listed::Listed};
use crate::cli::session::{Detach, Form, Happening, Keys, Screen, Sizes, Terminal};
use crate::cli::{Cx, Exit, Failure, FailureContext, Outcome};
use crate::pty::Signals;
use crate::session::drawn_rows;
use crate::util::{human, reached};
use crate::wire::WindowSize;
use crate::wire::frames::Owner;

/// How long a connection may be away before that is shown, and how often it is shown anew.
const AWAY_SHOWN: Duration = Duration::from_millis(400);
const AWAY_AGAIN: Duration = Duration::from_secs(1);

/// How long after a picture its size may be told; a daemon of gmux says none.
const SIZE_TIME: Duration = Duration::from_millis(200);

/// How long a picture may take that only tells how to type.
const PICTURE_TIME: Duration = Duration::from_secs(10);

/// Ctrl-C.
const INTERRUPT: u8 = 0x03;

/// How it ended.
enum Seen {
    Ended(Option<i32>),
    Left(Exit),
}

/// How one connection ended.
enum Followed {
    Seen(Seen),
    /// It can't be shown now.
    Broke(Trouble),
    /// The screen has our size now, and is wanted anew.
    Anew,
}

/// There is no connection.
struct Away {
    since: Instant,
    why: String,
    /// When that is shown next.
    due: Instant,
}

/// One look.
struct Look<'a> {
    remote: &'a Remote,
    keys: Keys,
    screen: Screen<'a>,
    terminal: Terminal,
    detach: Detach,
    /// The next byte that is wanted.
    at: Option<u64>,
    /// The size was taken over.
    claimed: bool,
    sizes: Sizes,
    /// A picture whose size is not told yet, and how long that is waited for.
    picture: Option<(Bytes, Instant)>,
    heal: Heal,
    away: Option<Away>,
    /// What the last row was written over, where that alone is missing.
    covered: Option<Vec<u8>>,
}

/// Shows a session on this terminal until it ends or the user leaves it: from an offset on, or beginning with its
/// screen.
pub async fn look(cx: &Cx, remote: Remote, keys: Keys, from: Option<u64>) -> Outcome {
    let detach = Detach::new(&cx.config()?.session().detach_key);
    let detach = detach.map_err(|words| Failure::new(Exit::Usage, words))?;
    let mut screen = Screen::stdout(Form::Raw).of_another_machine().keeping_rows();
    if keys == Keys::Looking {
        // Nothing that this terminal answers may be typed.
        screen = screen.with_past(u64::MAX);
    }
    let Listed { id, title, .. } = &remote.session;
    screen.title(if title.is_empty() { id } else { title })?;
    let terminal = Terminal::open(Some(Signals::AsBytes)).or_exit(Exit::Internal)?;
    let mut look = Look {
        remote: &remote,
        keys,
        screen,
        terminal,
        detach,
        at: from,
        claimed: false,
        sizes: Sizes::default(),
        picture: None,
        heal: Heal::default(),
        away: None,
        covered: None,
    };
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
    }
}

impl Look<'_> {
    async fn run(&mut self) -> Result<Seen, Failure> {
        loop {
            let size = Terminal::size().filter(|_| self.keys != Keys::Looking);
            // What the last row was written over is known, so that everything else is shown as it comes, or it comes back with
            // the whole picture.
            self.covered = Terminal::size().and_then(|size| self.screen.covered(size));
            let from = self.at.filter(|_| !self.screen.has_banner() || self.covered.is_some());
            let how = Opening { from, size, read_only: self.keys == Keys::Looking };
            let trouble = match self.unless_left(Line::open(self.remote, how)).await? {
                Err(left) => return Ok(left),
                Ok(Err(trouble)) => trouble,
                Ok(Ok(line)) => match self.follow(line, size).await? {
                    Followed::Seen(seen) => return Ok(seen),
                    Followed::Anew => {
                        self.at = None;
                        continue;
                    }
                    Followed::Broke(trouble) => trouble,
                },
            };
            let (pause, why) = self.heal.after(&self.remote.session.id, trouble)?;
            let now = Instant::now();
            match &mut self.away {
                Some(away) => away.why = why,
                None => self.away = Some(Away { since: now, why, due: now + AWAY_SHOWN }),
            }
            if let Err(left) = self.unless_left(sleep(pause)).await? {
                return Ok(left);
            }
        }
    }

    /// Does something without a connection, unless the user leaves meanwhile. What is typed meanwhile is typed into
    /// nothing: it is left where it is, and the last row says so.
    async fn unless_left<T>(&mut self, work: impl Future<Output = T>) -> io::Result<Result<T, Seen>> {
        tokio::pin!(work);
        loop {
            let due = self.away.as_ref().map(|away| away.due);
            let happening = tokio::select! {
                done = &mut work => return Ok(Ok(done)),
                happening = self.terminal.next(true) => happening,
                () = reached(due) => {
                    self.show_away()?;
                    continue;
                }
            };
            match happening {
                Happening::Typed(bytes) => {
                    if self.split(&bytes).1 {
                        return Ok(Err(Seen::Left(Exit::Interrupted)));
                    }
                }
                Happening::Resized(_) => self.screen.resized(),
                Happening::Interrupt => return Ok(Err(Seen::Left(Exit::Interrupted))),
                Happening::End(exit) => return Ok(Err(Seen::Left(exit))),
            }
        }
    }

    /// Says on the last row that there is no connection.
    fn show_away(&mut self) -> io::Result<()> {
        let Some(away) = &mut self.away else { return Ok(()) };
        away.due = Instant::now() + AWAY_AGAIN;
        let Some(size) = Terminal::size() else { return Ok(()) };
        let typing = if self.keys == Keys::Looking { "" } else { " · what you type is not taken" };
        let words = format!(
            "no connection for {}{typing} · {} leaves · {}: {}",
            human::duration(away.since.elapsed()),
            self.detach.keys(),
            self.remote.session.machine(),
            away.why
        );
        self.screen.banner(&words, size)
    }

    /// The session is here again.
    fn is_back(&mut self) -> io::Result<()> {
        self.heal.is_whole();
        self.away = None;
        self.covered.take().map_or(Ok(()), |row| self.screen.uncover(&row))
    }

    async fn follow(&mut self, mut line: Line, size: Option<WindowSize>) -> Result<Followed, Failure> {
        self.sizes.begin();
        self.picture = None;
        // Once: a connection that broke takes nothing over from who came meanwhile.
        if let Some(size) = size.filter(|_| !std::mem::replace(&mut self.claimed, true)) {
            line.size(size, true).await;
        }
        loop {
            let held = self.picture.as_ref().map(|(_, until)| *until);
            let happening = tokio::select! {
                () = reached(held) => {
                    self.draw_held()?;
                    continue;
                }
                got = line.next() => {
                    match got {
                        Got::Open => self.is_back()?,
                        Got::Picture(at, bytes) => {
                            self.is_back()?;
                            self.at = Some(at);
                            self.picture = Some((bytes, Instant::now() + SIZE_TIME));
                            if self.sizes.is_known() {
                                self.draw_held()?;
                            }
                        }
                        Got::Output(at, bytes) => {
                            self.draw_held()?;
                            self.show(at, &bytes)?;
                        }
                        Got::Size(size, own) => {
                            // Nobody's is not told apart from ours; who only looks has none.
                            let ours = own && self.keys != Keys::Looking;
                            let owner = if ours { Owner::You } else { Owner::Other };
                            if self.sizes.told((size, owner), Terminal::size(), self.picture.is_some()) {
                                line.close().await;
                                return Ok(Followed::Anew);
                            }
                            self.draw_held()?;
                        }
                        Got::Ended(code) => {
                            self.draw_held()?;
                            return Ok(Followed::Seen(Seen::Ended(code)));
                        }
                        Got::Gone => return Ok(Followed::Broke(Trouble::Unknown(self.remote.gone()))),
                        Got::Refused(why) => return Err(self.remote.refused(&why)),
                        Got::Broke(why) => return Ok(Followed::Broke(Trouble::Way(why))),
                    }
                    continue;
                }
                happening = self.terminal.next(true) => happening,
            };
            let left = match happening {
                Happening::Typed(bytes) => {
                    let (bytes, leaves) = self.split(&bytes);
                    if !line.type_in(&bytes).await {
                        return Ok(Followed::Broke(Trouble::Way("what was typed was not taken".to_owned())));
                    }
                    leaves.then_some(Exit::Interrupted)
                }
                Happening::Resized(size) => {
                    self.screen.resized();
                    if self.sizes.resized(size) {
                        line.close().await;
                        return Ok(Followed::Anew);
                    }
                    if let boxed @ Some(_) = self.sizes.boxed() {
                        self.screen.box_in(boxed)?;
                    }
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
                return Ok(Followed::Seen(Seen::Left(exit)));
            }
        }
    }

    fn show(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.at = Some(at + bytes.len() as u64);
        self.screen.show(bytes)
    }

    /// Draws the picture that waits for its size.
    fn draw_held(&mut self) -> io::Result<()> {
        let Some((picture, _)) = self.picture.take() else { return Ok(()) };
        self.screen.box_in(self.sizes.boxed())?;
        self.screen.picture(&picture, Terminal::size().unwrap_or_default().rows)
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

/// The rows of its screen, as it is now or was last.
pub async fn screen_text(remote: &Remote) -> Result<String, Failure> {
    let (_, picture) = picture(remote).await?;
    Ok(drawn_rows(&picture, remote.session.size()).join("\n"))
}

/// The screen of a session, as bytes that draw it, and the offset that it stands at. It tells which modes its program
/// switched on.
pub async fn picture(remote: &Remote) -> Result<(u64, Vec<u8>), Failure> {
    let shown = async {
        let line = Line::open(remote, Opening { read_only: true, ..Opening::default() }).await;
        let mut line = line.map_err(Trouble::into_failure)?;
        loop {
            match line.next().await {
                Got::Picture(at, bytes) => {
                    line.close().await;
                    return Ok((at, bytes.to_vec()));
                }
                Got::Open | Got::Output(..) | Got::Size(..) => {}
                Got::Ended(_) => return Ok((0, Vec::new())),
                Got::Gone => return Err(remote.gone()),
                Got::Refused(why) => return Err(remote.refused(&why)),
                Got::Broke(why) => return Err(Failure::new(Exit::Unreachable, why)),
            }
        }
    };
    let late = || Failure::new(Exit::Unreachable, format!("{} does not show its screen", remote.session.id));
    tokio::time::timeout(PICTURE_TIME, shown).await.unwrap_or_else(|_| Err(late()))
}
