//! Sessions, of this machine and of others: which there are, what they show, typing into them, ending them.

use rmcp::schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::call::Call;
use super::outcome::{Outcome, session_in_words};
use super::target::{Spot, session};
use super::waiting::end_of;
use super::{Action, Document, Effect, field, listed, there, words};
use crate::cli::remote::Listed;
use crate::cli::session::{Typing, ask_to_end, screen_text, type_into};
use crate::cli::{Failure, remote};
use crate::session::question;
use crate::util::visible_line;

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
    /// Only those of this machine: its name in the fleet; dev@server for one that only server knows
    machine: Option<String>,
}

/// Sessions.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Listing {
    /// Sessions as `darkmux session ls --json` has them, without their commands; 200 at most
    sessions: Vec<Document>,
    /// Sessions of other machines as these tell them, likewise; their ids have the machine in them
    #[serde(default)]
    remote: Vec<Document>,
    /// How many more there are
    #[serde(default)]
    left_out: usize,
}

impl Action for SessionList {
    const NAME: &'static str = "session_list";
    const TITLE: &'static str = "List sessions";
    const ABOUT: &'static str = "List the terminal sessions of this machine and of those that its daemon is connected with: what each runs, whether its agent works, is idle or asks something.";
    const EFFECT: Effect = Effect::Looks;
    type Output = Listing;

    fn run(self, call: &Call) -> Result<(Listing, String), Failure> {
        let mut line = words(["session", "ls", "--json"]);
        line.extend(self.all.then(|| "--all".to_owned()));
        line.extend(self.machine.map(|machine| format!("--machine={machine}")));
        let mut found: Listing = call.verb(&line)?;
        let all = found.sessions.len() + found.remote.len();
        found.sessions.truncate(SESSIONS_MAX);
        found.remote.truncate(SESSIONS_MAX - found.sessions.len());
        found.left_out = all - found.sessions.len() - found.remote.len();
        for session in found.sessions.iter_mut().chain(&mut found.remote) {
            // It may carry a whole message.
            session.remove("command");
        }
        let row = |session: &Document| {
            let [id, state, role, title] = ["id", "state", "role", "title"].map(|name| field(session, name));
            format!("{id} {state} {role}: {title}")
        };
        let text = listed(found.sessions.iter().chain(&found.remote).map(row), "no sessions");
        Ok((found, text))
    }
}

/// Arguments of `session_screen`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct SessionScreen {
    /// Session: an id, a part of one, or a name; with `@machine` behind it for one of another machine
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
    const ABOUT: &'static str = "Read what a session shows on its screen, as text.";
    const EFFECT: Effect = Effect::Looks;
    type Output = Shown;

    fn run(self, call: &Call) -> Result<(Shown, String), Failure> {
        let (shown, how) = call.block_on(async {
            Ok(match session(call, &self.id).await? {
                Spot::Here(table, session) => {
                    let screen = screen_text(&table, &session).await?;
                    let question = question(&session).map(str::to_owned);
                    let how = session_in_words(&session);
                    let (id, state) = (session.id.to_string(), session.state.as_str());
                    (Shown { id, state, question, screen }, how)
                }
                Spot::There(there) => {
                    let screen = remote::screen_text(&there).await?;
                    let Listed { id, needs_you: question, .. } = &there.session;
                    let (id, question) = (id.clone(), question.clone());
                    let (state, how) = (there.session.state().as_str(), there::in_words(&there.session));
                    (Shown { id, state, question, screen }, how)
                }
            })
        })?;
        let rows: Vec<&str> = shown.screen.lines().map(str::trim_end).collect();
        let shown = Shown { screen: rows.join("\n").trim_end().to_owned(), ..shown };
        let text = format!("session {} {how}\n{}", visible_line(&shown.id), shown.screen);
        Ok((shown, text))
    }
}

/// Arguments of `session_send`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct SessionSend {
    /// Session: an id, a part of one, or a name; with `@machine` behind it for one of another machine
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
    const ABOUT: &'static str = "Type a text or press keys in a session, as its user would: answers a question, \
        starts the next turn. Then `wait` with until=idle, or `session_screen`.";
    // What is typed may be anything.
    const EFFECT: Effect = Effect::Destroys;
    type Output = Sent;

    fn run(self, call: &Call) -> Result<(Sent, String), Failure> {
        let typed = Typing::of_words(self.text, &self.keys, self.submit)?;
        let id = call.block_on(async {
            match session(call, &self.id).await? {
                Spot::Here(table, session) => {
                    type_into(&table, &session, &typed).await?;
                    Ok(session.id.to_string())
                }
                Spot::There(there) => {
                    let id = there.session.id.clone();
                    remote::send(*there, typed).await?;
                    Ok(id)
                }
            }
        })?;
        let text = format!("typed into session {}", visible_line(&id));
        Ok((Sent { id }, text))
    }
}

/// Arguments of `session_kill`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct SessionKill {
    /// Session: an id, a part of one, or a name; with `@machine` behind it for one of another machine
    id: String,
}

impl Action for SessionKill {
    const NAME: &'static str = "session_kill";
    const TITLE: &'static str = "End a session";
    const ABOUT: &'static str =
        "End a session and all of its processes, and wait for that. Its output stays.";
    const EFFECT: Effect = Effect::Destroys;
    type Output = Outcome;

    fn run(self, call: &Call) -> Result<(Outcome, String), Failure> {
        let until = call.until(None)?;
        call.block_on(async {
            let (table, session) = match session(call, &self.id).await? {
                Spot::Here(table, session) => (table, session),
                Spot::There(there) => return there::kill(call, &there).await,
            };
            if !session.state.is_final() {
                ask_to_end(&table, &session.id, (None, None)).await?;
            }
            Ok(match end_of(call, &table, &session, until).await? {
                Some(status) => Outcome::of_session(&status, "ended").told(call, &session_in_words(&status)),
                None => Outcome::of_session(&session, "time_over").told(call, "is being ended"),
            })
        })
    }
}

/// Arguments of `inbox`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct Inbox {
    /// Only those of this machine: its name in the fleet; dev@server for one that only server knows
    machine: Option<String>,
}

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
    const ABOUT: &'static str = "List the sessions that wait for somebody, of this machine and of those that its daemon is connected with, each with its question. `session_send` answers.";
    const EFFECT: Effect = Effect::Looks;
    type Output = Waiting;

    fn run(self, call: &Call) -> Result<(Waiting, String), Failure> {
        let mut line = words(["inbox", "--json"]);
        line.extend(self.machine.map(|machine| format!("--machine={machine}")));
        let found: Waiting = call.verb(&line)?;
        let row = |session: &Document| {
            format!("{} ({}): {}", field(session, "id"), field(session, "title"), field(session, "question"))
        };
        let text = listed(found.waiting.iter().map(row), "nobody waits");
        Ok((found, text))
    }
}
