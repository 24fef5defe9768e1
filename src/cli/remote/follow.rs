//! The output of a session of another machine: what is held, and what comes. Following heals: it goes on at the byte
//! where it broke off.

use std::io::{self, IsTerminal};

use serde_json::json;
use tokio::time::sleep;

use super::frames::{Got, Line, Opening};
use super::heal::{Heal, Trouble};
use super::look::picture;
use super::{Listed, Remote, failure, list};
use crate::cli::session::{Form, Happening, Screen, Terminal, tell_gap};
use crate::cli::{Cx, Exit, Failure, FailureContext, Outcome};

/// Output looked through for the last lines, in bytes.
const LINES_MAX: usize = 64 * 1024 * 1024;

/// What is shown; as the arguments of `session tail` say it.
#[derive(Debug, Clone, Copy, Default)]
#[allow(missing_docs)]
pub struct Tail {
    pub follow: bool,
    pub lines: Option<u64>,
    pub from: Option<u64>,
    pub raw: bool,
    pub json: bool,
}

/// Shows a session's output.
pub async fn tail(cx: &Cx, remote: Remote, how: Tail) -> Outcome {
    let screen = |from| match how {
        Tail { json: true, .. } => Screen::json_lines(from),
        Tail { raw: true, .. } if io::stdout().is_terminal() => {
            Screen::stdout(Form::Raw).of_another_machine()
        }
        Tail { raw: true, .. } => Screen::stdout(Form::Raw),
        _ => Screen::later(&cx.printer),
    };
    let (screen, at) = if let Some(lines) = how.lines {
        let (start, held) = held(&remote, 0, LINES_MAX).await?;
        let from = last_lines(&held, lines);
        let mut screen = screen(start + from as u64);
        screen.show(&held[from..])?;
        (screen, start + held.len() as u64)
    } else {
        (screen(how.from.unwrap_or(0)), how.from.unwrap_or(0))
    };
    // Who asks for no place means the oldest output that is held.
    let tells = how.from.is_some() || how.lines.is_some();
    let mut output = Output { cx, remote: &remote, screen, at, tells, heal: Heal::default() };
    let exit = if how.follow {
        let mut terminal = Terminal::open(None).or_exit(Exit::Internal)?;
        tokio::select! {
            followed = output.follow() => followed?,
            exit = left(&mut terminal) => exit,
        }
    } else {
        output.rest().await.map_err(Trouble::into_failure)?;
        Exit::Ok
    };
    output.screen.end()?;
    if how.json {
        let session = output.listed().await?;
        cx.printer.json_line(&json!({ "schema": 1, "session": session.map(|session| session.raw) }))?;
    }
    Ok(exit)
}

/// About the last `most` bytes of the output, and whether there is more.
pub async fn newest_output(remote: &Remote, most: usize) -> Result<(Vec<u8>, bool), Failure> {
    let (end, _) = picture(remote).await?;
    let (start, newest) = held(remote, end.saturating_sub(most as u64), most).await?;
    Ok((newest, start > 0))
}

/// The newest of what is held from an offset on, at most `most` bytes, and where it begins.
async fn held(remote: &Remote, from: u64, most: usize) -> Result<(u64, Vec<u8>), Failure> {
    let path = format!("{}?from={from}", remote.path("scrollback"));
    let mut output = remote.client.output(&path).await.map_err(failure)?;
    let (mut start, mut all) = (output.start, Vec::new());
    while let Some(bytes) = output.next().await.map_err(failure)? {
        all.extend_from_slice(&bytes);
        // Twice as much, so that not every piece moves all of it.
        if all.len() > most.saturating_mul(2) {
            start += keep_last(&mut all, most);
        }
    }
    start += keep_last(&mut all, most);
    Ok((start, all))
}

/// Lets all but the last `most` bytes go; how many went.
fn keep_last(all: &mut Vec<u8>, most: usize) -> u64 {
    let over = all.len().saturating_sub(most);
    all.drain(..over);
    over as u64
}

/// Where the last `lines` lines begin.
fn last_lines(all: &[u8], lines: u64) -> usize {
    let body = all.strip_suffix(b"\n").unwrap_or(all);
    if lines == 0 {
        return all.len();
    }
    let nth = usize::try_from(lines - 1).unwrap_or(usize::MAX);
    memchr::memrchr_iter(b'\n', body).nth(nth).map_or(0, |at| at + 1)
}

/// Output that is being shown.
struct Output<'a> {
    cx: &'a Cx,
    remote: &'a Remote,
    screen: Screen<'a>,
    /// The next byte that is wanted.
    at: u64,
    /// Whether a part is told that is missed because it is not held any more.
    tells: bool,
    heal: Heal,
}

impl Output<'_> {
    /// Shows what is held and was not shown yet.
    async fn rest(&mut self) -> Result<(), Trouble> {
        let path = format!("{}?from={}", self.remote.path("scrollback"), self.at);
        let mut output = self.remote.client.output(&path).await?;
        if output.start > self.at {
            if self.tells {
                tell_gap(self.cx, self.at, output.start);
            }
            self.at = output.start;
            self.screen.skip(self.at)?;
        }
        self.tells = true;
        while let Some(bytes) = output.next().await? {
            self.at += bytes.len() as u64;
            self.screen.show(&bytes)?;
        }
        Ok(())
    }

    /// Shows what comes until the session ends, however often the way there breaks; its status.
    async fn follow(&mut self) -> Outcome {
        loop {
            match self.follow_once().await {
                Ok(exit) => return Ok(exit),
                Err(trouble) => self.heal.wait(self.cx, &self.remote.session.id, trouble).await?,
            }
        }
    }

    async fn follow_once(&mut self) -> Result<Exit, Trouble> {
        self.rest().await?;
        let mut line =
            Line::open(self.remote, Opening { from: Some(self.at), read_only: true, size: None }).await?;
        let trouble = loop {
            let got = line.next().await;
            if matches!(got, Got::Open | Got::Output(..) | Got::Picture(..)) {
                self.heal.tell_whole(self.cx, &self.remote.session.id);
            }
            match got {
                Got::Output(begin, bytes) => {
                    // What the list of what is held brought already comes again.
                    let known =
                        usize::try_from(self.at.saturating_sub(begin)).unwrap_or(usize::MAX).min(bytes.len());
                    self.at = self.at.max(begin + bytes.len() as u64);
                    self.screen.show(&bytes[known..])?;
                }
                // The screen is no output; that stands in what is held.
                Got::Picture(to, _) if to > self.at => self.rest().await?,
                Got::Open | Got::Picture(..) | Got::Size(..) => {}
                Got::Ended(code) => {
                    self.rest().await?;
                    let code = match code {
                        Some(code) => Some(code),
                        None => self.now().await?.as_ref().and_then(Listed::shell_code),
                    };
                    return Ok(code.map_or(Exit::Internal, Exit::of_shell_code));
                }
                Got::Gone => break Trouble::Unknown(self.remote.gone()),
                Got::Refused(why) => break Trouble::Final(self.remote.refused(&why)),
                Got::Broke(why) => break Trouble::Way(why),
            }
        };
        // Some daemons have no terminal of what has ended.
        match self.now().await? {
            Some(session) if !session.alive && session.disconnected_since.is_none() => {
                self.rest().await?;
                Ok(session.shell_code().map_or(Exit::Internal, Exit::of_shell_code))
            }
            _ => Err(trouble),
        }
    }

    /// What is known of it now.
    async fn now(&self) -> Result<Option<Listed>, Trouble> {
        let now = list(&self.remote.client).await?;
        Ok(now.into_iter().find(|session| session.id == self.remote.session.id))
    }

    /// As [`now`](Self::now), for who has seen all of it already.
    async fn listed(&mut self) -> Result<Option<Listed>, Failure> {
        loop {
            match self.now().await {
                Ok(session) => return Ok(session),
                Err(trouble) => {
                    let (pause, _) = self.heal.after(&self.remote.session.id, trouble)?;
                    sleep(pause).await;
                }
            }
        }
    }
}

/// The user does not want to see more.
pub(super) async fn left(terminal: &mut Terminal) -> Exit {
    loop {
        match terminal.next(false).await {
            Happening::Interrupt => return Exit::Interrupted,
            Happening::End(exit) => return exit,
            Happening::Typed(_) | Happening::Resized(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_the_end() {
        let at = |lines| last_lines(b"one\ntwo\nthree\n", lines);
        assert_eq!((at(0), at(1), at(2), at(3), at(9)), (14, 8, 4, 0, 0));
        assert_eq!((last_lines(b"", 3), last_lines(b"one\ntwo", 1)), (0, 4));
    }
}
