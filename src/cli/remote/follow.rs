//! The output of a session of another machine: what is held, and what comes.

use serde_json::json;

use super::frames::{Got, Line, Opening};
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
        Tail { raw: true, .. } => Screen::stdout(Form::Raw),
        _ => Screen::later(),
    };
    let (mut screen, at) = if let Some(lines) = how.lines {
        let (start, held) = held(&remote).await?;
        let from = last_lines(&held, lines);
        let mut screen = screen(start + from as u64);
        screen.show(&held[from..])?;
        (screen, start + held.len() as u64)
    } else {
        let mut screen = screen(how.from.unwrap_or(0));
        let at = rest(cx, &remote, how.from.unwrap_or(0), how.from.is_some(), &mut screen).await?;
        (screen, at)
    };
    let exit = if how.follow { follow(cx, &remote, at, &mut screen).await? } else { Exit::Ok };
    screen.end()?;
    if how.json {
        let now = list(&remote.client).await.map_err(failure)?;
        let session = now.into_iter().find(|session| session.id == remote.session.id);
        cx.printer.json_line(&json!({ "schema": 1, "session": session.map(|session| session.raw) }))?;
    }
    Ok(exit)
}

/// All that is held, with its offset.
async fn held(remote: &Remote) -> Result<(u64, Vec<u8>), Failure> {
    let mut output = remote.client.output(&remote.path("scrollback")).await.map_err(failure)?;
    let (mut start, mut all) = (output.start, Vec::new());
    while let Some(bytes) = output.next().await.map_err(failure)? {
        all.extend_from_slice(&bytes);
        if all.len() > LINES_MAX {
            let over = all.len() - LINES_MAX;
            all.drain(..over);
            start += over as u64;
        }
    }
    Ok((start, all))
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

/// Shows what is held from an offset on; returns the offset after it. `tells` says whether a part that is not held any
/// more is missed.
async fn rest(
    cx: &Cx,
    remote: &Remote,
    from: u64,
    tells: bool,
    screen: &mut Screen<'_>,
) -> Result<u64, Failure> {
    let path = format!("{}?from={from}", remote.path("scrollback"));
    let mut output = remote.client.output(&path).await.map_err(failure)?;
    let mut at = output.start;
    if at > from {
        if tells {
            tell_gap(cx, from, at);
        }
        screen.skip(at)?;
    }
    while let Some(bytes) = output.next().await.map_err(failure)? {
        at += bytes.len() as u64;
        screen.show(&bytes)?;
    }
    Ok(at)
}

/// Shows what comes after an offset, until the session ends; its status.
async fn follow(cx: &Cx, remote: &Remote, from: u64, screen: &mut Screen<'_>) -> Outcome {
    let mut terminal = Terminal::open(None).or_exit(Exit::Internal)?;
    let mut at = from;
    let mut line = Line::open(remote, Opening { from: Some(at), read_only: true, size: None }).await?;
    loop {
        let got = tokio::select! {
            got = line.next() => got,
            exit = left(&mut terminal) => return Ok(exit),
        };
        match got {
            Got::Output(begin, bytes) => {
                // What the list of what is held brought already comes again.
                let known = usize::try_from(at.saturating_sub(begin)).unwrap_or(usize::MAX).min(bytes.len());
                screen.show(&bytes[known..])?;
                at = at.max(begin + bytes.len() as u64);
            }
            // The screen is no output; that stands in what is held.
            Got::Picture(to, _) if to > at => at = rest(cx, remote, at, true, screen).await?,
            Got::Picture(..) | Got::Size(..) => {}
            Got::Ended(code) => {
                rest(cx, remote, at, true, screen).await?;
                let code = match code {
                    Some(code) => Some(code),
                    None => ended(remote).await?.as_ref().and_then(Listed::shell_code),
                };
                return Ok(code.map_or(Exit::Internal, Exit::of_shell_code));
            }
            Got::Refused(why) | Got::Broke(why) => {
                let id = &remote.session.id;
                if let Some(session) = ended(remote).await?.filter(|session| !session.alive) {
                    rest(cx, remote, at, true, screen).await?;
                    return Ok(session.shell_code().map_or(Exit::Internal, Exit::of_shell_code));
                }
                let words = format!("session {id} runs on and can't be followed: {why}");
                return Err(Failure::new(Exit::Unreachable, words));
            }
        }
    }
}

/// What is known of it now.
async fn ended(remote: &Remote) -> Result<Option<Listed>, Failure> {
    let now = list(&remote.client).await.map_err(failure)?;
    Ok(now.into_iter().find(|session| session.id == remote.session.id))
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
