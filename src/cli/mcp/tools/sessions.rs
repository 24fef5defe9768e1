//! Sessions of this machine: which there are, what they show, typing into them, ending them.

use rmcp::schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::call::Call;
use super::outcome::{Outcome, session_in_words};
use super::target::table;
use super::waiting::end_of;
use super::{Action, Document, Effect, field, listed, words};
use crate::cli::Failure;
use crate::cli::session::{Typing, ask_to_end, screen_text, type_into};

/// Sessions in a list, at most.
const SESSIONS_MAX: usize = 200;

/// Arguments of `session_list`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct SessionList {
    /// Also those that ended more than a day ago
    #[serde(default)]
    all: bool,
}

/// Sessions.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Sessions {
    /// Sessions as `darkmux session ls --json` has them, without their commands; 200 at most
    sessions: Vec<Document>,
    /// How many more there are
    #[serde(default)]
    left_out: usize,
}

impl Action for SessionList {
    const NAME: &'static str = "session_list";
    const TITLE: &'static str = "List sessions";
    const ABOUT: &'static str = "List the terminal sessions of this machine: what each runs, whether its agent works, is idle or asks something.";
    const EFFECT: Effect = Effect::Looks;
    type Output = Sessions;

    fn run(self, call: &Call) -> Result<(Sessions, String), Failure> {
        let mut line = words(["session", "ls", "--json"]);
        line.extend(self.all.then(|| "--all".to_owned()));
        let mut found: Sessions = call.verb(&line)?;
        found.left_out = found.sessions.len().saturating_sub(SESSIONS_MAX);
        found.sessions.truncate(SESSIONS_MAX);
        for session in &mut found.sessions {
            // It may carry a whole message.
            session.remove("command");
        }
        let row = |session: &Document| {
            let [id, state, role, title] = ["id", "state", "role", "title"].map(|name| field(session, name));
            format!("{id} {state} {role}: {title}")
        };
        let text = listed(found.sessions.iter().map(row), "no sessions");
        Ok((found, text))
    }
}

/// Arguments of `session_screen`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct SessionScreen {
    /// Session: an id, a part of one, or a name
    id: String,
}

/// A screen.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Shown {
    /// Whose it is
    id: String,
    /// Its state: starting, running, exited, lost
    state: &'static str,
    /// What its agent asks, where it asks something
    question: Option<String>,
    /// Its rows, as a person sees them now, or saw them last
    screen: String,
}

impl Action for SessionScreen {
    const NAME: &'static str = "session_screen";
    const TITLE: &'static str = "Read a screen";
    const ABOUT: &'static str = "Read what a session of this machine shows on its screen, as text.";
    const EFFECT: Effect = Effect::Looks;
    type Output = Shown;

    fn run(self, call: &Call) -> Result<(Shown, String), Failure> {
        let table = table(call)?;
        let session = table.find(&self.id)?;
        let screen = call.block_on(screen_text(&table, &session))?;
        let rows: Vec<&str> = screen.lines().map(str::trim_end).collect();
        let screen = rows.join("\n").trim_end().to_owned();
        let question = session.report.as_ref().and_then(|report| report.needs_you.clone());
        let text = format!("session {} {}\n{screen}", session.id, session_in_words(&session));
        Ok((Shown { id: session.id.to_string(), state: session.state.as_str(), question, screen }, text))
    }
}

/// Arguments of `session_send`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct SessionSend {
    /// Session: an id, a part of one, or a name
    id: String,
    /// Text to type; several lines are pasted, where the program knows pasting
    text: Option<String>,
    /// Keys to press after the text: enter, esc, tab, up, f5, ctrl-c, alt-x …
    #[serde(default)]
    keys: Vec<String>,
    /// Press Enter after the text, unless keys are named; true is the default
    #[serde(default = "yes")]
    submit: bool,
}

fn yes() -> bool {
    true
}

/// What was typed into.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Sent {
    /// The session
    id: String,
}

impl Action for SessionSend {
    const NAME: &'static str = "session_send";
    const TITLE: &'static str = "Type into a session";
    const ABOUT: &'static str = "Type a text or press keys in a session of this machine, as its user would: answers a question, \
        starts the next turn. Then `wait` with until=idle, or `session_screen`.";
    // What is typed may be anything.
    const EFFECT: Effect = Effect::Destroys;
    type Output = Sent;

    fn run(self, call: &Call) -> Result<(Sent, String), Failure> {
        let table = table(call)?;
        let session = table.find(&self.id)?;
        let typed = Typing::of_words(self.text, &self.keys, self.submit)?;
        call.block_on(type_into(&table, &session, &typed))?;
        let id = session.id.to_string();
        let text = format!("typed into session {id}");
        Ok((Sent { id }, text))
    }
}

/// Arguments of `session_kill`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct SessionKill {
    /// Session: an id, a part of one, or a name
    id: String,
}

impl Action for SessionKill {
    const NAME: &'static str = "session_kill";
    const TITLE: &'static str = "End a session";
    const ABOUT: &'static str =
        "End a session of this machine and all of its processes, and wait for that. Its output stays.";
    const EFFECT: Effect = Effect::Destroys;
    type Output = Outcome;

    fn run(self, call: &Call) -> Result<(Outcome, String), Failure> {
        let table = table(call)?;
        let session = table.find(&self.id)?;
        let until = call.until(None)?;
        let ended = call.block_on(async {
            if !session.state.is_final() {
                ask_to_end(&table, &session.id, (None, None)).await?;
            }
            end_of(call, &table, &session, until).await
        })?;
        Ok(match ended {
            Some(status) => Outcome::of_session(&status, "ended").told(call, &session_in_words(&status)),
            None => Outcome::of_session(&session, "time_over").told(call, "is being ended"),
        })
    }
}

/// Arguments of `inbox`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct Inbox {}

/// Who waits.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Waiting {
    /// Sessions that ask something, the oldest first, as `darkmux inbox --json` has them
    waiting: Vec<Document>,
}

impl Action for Inbox {
    const NAME: &'static str = "inbox";
    const TITLE: &'static str = "Inbox";
    const ABOUT: &'static str = "List the sessions of this machine that wait for somebody, each with its question. `session_send` answers.";
    const EFFECT: Effect = Effect::Looks;
    type Output = Waiting;

    fn run(self, call: &Call) -> Result<(Waiting, String), Failure> {
        let found: Waiting = call.verb(&words(["inbox", "--json"]))?;
        let row = |session: &Document| {
            format!("{} ({}): {}", field(session, "id"), field(session, "title"), field(session, "question"))
        };
        let text = listed(found.waiting.iter().map(row), "nobody waits");
        Ok((found, text))
    }
}
