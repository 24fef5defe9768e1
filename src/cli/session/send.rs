//! `darkmux session send`.

use std::io::{self, IsTerminal, Read};

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::host;
use super::keys::{NamedKey, parse_key};
use crate::cli::remote::{self, On, Place};
use crate::cli::{Cx, Exit, Failure, Outcome, completions};
use crate::model::SessionId;
use crate::session::{HostClient, ScreenFormat, Table};
use crate::wire::SessionStatus;

/// Largest text typed at a time, in bytes.
const TEXT_MAX: u64 = 1024 * 1024;

/// What begins and ends a text that is pasted.
const PASTE: (&str, &str) = ("\x1b[200~", "\x1b[201~");

/// Type into a session.
///
/// A text of several lines is pasted, where the program knows pasting. Enter is pressed after the text (from standard
/// input it stands for the end of the last line), unless keys are named.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// Session: an id, the beginning of one, the end of one (4 characters or more), or a name
    #[arg(add = ArgValueCompleter::new(completions::live_sessions))]
    session: String,
    /// Text to type; `-` reads it from standard input, as does no text and no key
    #[arg(allow_hyphen_values = true)]
    text: Option<String>,
    /// Do not press Enter after it
    #[arg(long, visible_alias = "no-enter")]
    no_submit: bool,
    /// Press this key after the text: enter, esc, tab, up, f5, ctrl-c, alt-x …; may be given several times
    #[arg(short, long = "key", value_name = "NAME", value_parser = parse_key)]
    keys: Vec<NamedKey>,
    #[command(flatten)]
    on: On,
}

/// What is typed, one piece after the other.
#[derive(Debug)]
pub struct Typing {
    text: Vec<u8>,
    keys: Vec<NamedKey>,
    submit: bool,
}

/// What the program wants to be typed in another way.
struct Wants {
    paste: bool,
    application: bool,
}

/// Runs the verb.
pub fn run(args: &SendArgs, cx: &Cx) -> Outcome {
    let text = match remote::place(cx, &args.session, &args.on)? {
        Place::There(way) => {
            let typed = typed(args)?;
            return remote::with(cx, &way, async |there| remote::send(there, typed).await);
        }
        Place::Here(text) => text,
    };
    let table = super::table(cx)?;
    let session = super::find(cx, &table, &text, "send")?;
    if session.state.is_final() {
        return Err(ended(&session.id));
    }
    let typed = typed(args)?;
    crate::cli::block_on(type_into(&table, &session, &typed)).map(|()| Exit::Ok)
}

/// Types into a session.
pub async fn type_into(table: &Table, session: &SessionStatus, typed: &Typing) -> Result<(), Failure> {
    if session.state.is_final() {
        return Err(ended(&session.id));
    }
    let Some(mut client) = host::connect(table, &session.id).await? else {
        return Err(ended(&session.id));
    };
    match typed.send(&mut client).await {
        Ok(()) => Ok(()),
        // The host's own words: it took no more.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(Failure::new(Exit::Failed, format!("session {}: {error}", session.id)))
        }
        Err(error) => {
            host::gone_or_silent(table, &session.id, &error)?;
            Err(ended(&session.id))
        }
    }
}

fn ended(id: &SessionId) -> Failure {
    Failure::new(
        Exit::Failed,
        format!(
            "session {id} has ended; `darkmux session tail {id}` shows its output, `darkmux session resume {id}` runs \
             it again"
        ),
    )
}

/// What is to be typed.
fn typed(args: &SendArgs) -> Result<Typing, Failure> {
    let mut text = Vec::new();
    match args.text.as_deref() {
        None if args.keys.is_empty() && io::stdin().is_terminal() => {
            return Err(Failure::new(
                Exit::Usage,
                "nothing to type: give a text, `-` for standard input, or --key",
            ));
        }
        Some("-") => read(&mut text, args)?,
        None if args.keys.is_empty() => read(&mut text, args)?,
        Some(given) => text.extend_from_slice(given.as_bytes()),
        None => {}
    }
    Typing::new(text, args.keys.clone(), !args.no_submit)
}

/// Standard input. The Enter that is pressed after it stands for the end of its last line.
fn read(into: &mut Vec<u8>, args: &SendArgs) -> io::Result<()> {
    io::stdin().take(TEXT_MAX + 1).read_to_end(into)?;
    if !args.no_submit && args.keys.is_empty() && into.ends_with(b"\n") {
        into.pop();
    }
    Ok(())
}

impl Typing {
    /// The text and then the keys; Enter after the text where it is to be submitted and no keys are named.
    pub(super) fn new(text: Vec<u8>, keys: Vec<NamedKey>, submit: bool) -> Result<Self, Failure> {
        if text.len() as u64 > TEXT_MAX {
            return Err(Failure::new(
                Exit::Usage,
                format!("nothing was typed: the text has more than {TEXT_MAX} bytes; send it in pieces"),
            ));
        }
        Ok(Self { submit: submit && keys.is_empty(), text, keys })
    }

    /// As [`new`](Self::new), with the keys by their names.
    pub fn of_words(text: Option<String>, keys: &[String], submit: bool) -> Result<Self, Failure> {
        if text.is_none() && keys.is_empty() {
            return Err(Failure::new(Exit::Usage, "nothing to type: give a text or keys"));
        }
        let named = keys.iter().map(|key| parse_key(key)).collect::<Result<Vec<_>, _>>();
        let named = named.map_err(|words| Failure::new(Exit::Usage, words))?;
        Self::new(text.unwrap_or_default().into_bytes(), named, submit)
    }

    async fn send(&self, client: &mut HostClient) -> io::Result<()> {
        let picture = if self.asks() { picture(client).await? } else { Vec::new() };
        for piece in self.pieces(&picture) {
            client.input(&piece).await?;
        }
        Ok(())
    }

    /// Whether it depends on what the program switched on.
    pub fn asks(&self) -> bool {
        self.text.contains(&b'\n') || self.keys.iter().any(NamedKey::is_cursor)
    }

    /// What is typed, one after the other. `picture` draws the screen, and tells what the program switched on.
    pub fn pieces(&self, picture: &[u8]) -> Vec<Vec<u8>> {
        let is_on = |on: &[u8]| memchr::memmem::rfind(picture, on).is_some();
        let wants = Wants { paste: is_on(b"\x1b[?2004h"), application: is_on(b"\x1b[?1h") };
        let is_long = self.text.contains(&b'\n');
        let text = if is_long && wants.paste { pasted(&self.text) } else { self.text.clone() };
        // Apart from the text: programs take what comes at once for pasted.
        let submit = if self.submit { b"\r".to_vec() } else { Vec::new() };
        let keys = self.keys.iter().map(|key| key.bytes(wants.application));
        [text, submit].into_iter().chain(keys).filter(|piece| !piece.is_empty()).collect()
    }
}

/// The screen as bytes that draw it, as far as its host knows.
async fn picture(client: &mut HostClient) -> io::Result<Vec<u8>> {
    match client.screen(ScreenFormat::Ansi).await {
        Err(error) if crate::session::OldHost::is(&error) => Ok(Vec::new()),
        screen => screen.map(Vec::from),
    }
}

/// The text as a terminal pastes it. It cannot end the pasting by itself.
fn pasted(text: &[u8]) -> Vec<u8> {
    let (begin, end) = PASTE;
    let mut out = begin.as_bytes().to_vec();
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            0x1b => {}
            b'\r' if after.first() == Some(&b'\n') => {}
            b'\n' => out.push(b'\r'),
            byte => out.push(*byte),
        }
    }
    out.extend_from_slice(end.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_text_stays_within_its_marks() {
        assert_eq!(pasted(b"a\nb\r\nc"), b"\x1b[200~a\rb\rc\x1b[201~");
        assert_eq!(pasted(b"a\x1b[201~\nrm"), b"\x1b[200~a[201~\rrm\x1b[201~");
    }
}
