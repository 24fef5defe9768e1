//! Sessions of other machines on the command line: `ID@MACHINE`, or `--machine MACHINE` beside an id or a name.
//!
//! All of it goes through this machine's daemon, over its socket, and from there hop by hop. What is meant is looked up
//! in the daemon's list first, so that an action goes to one session or to none; a name without a machine is never
//! looked for on another one.

mod acts;
mod follow;
mod frames;
mod heal;
mod listed;
mod look;
mod machines;
mod wait;

use std::time::Duration;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use listed::Chosen;

pub use acts::{Again, NewThere, again, dismiss, kill, launch, rename, send};
pub use follow::{Tail, newest_output, tail};
pub use listed::{Listed, list};
pub use look::{look, screen_text};
pub use machines::{LISTED_WITHIN, Machines};
pub use wait::{WaitFor, wait, waited};

use super::{Cx, Exit, Failure, completions};
use crate::client::{Client, ClientError};
use crate::util::visible_line;

/// How long the daemon may take to list what it knows.
const LIST_TIME: Duration = Duration::from_secs(5);

/// The machine that a session is on.
#[derive(Debug, Clone, Default, Args)]
pub struct On {
    /// Machine that is meant, as in ID@MACHINE; dev@server for one that only server knows
    #[arg(long, value_name = "MACHINE", add = ArgValueCompleter::new(completions::machines))]
    pub machine: Option<String>,
}

/// Where the user says that something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On this machine, by this text.
    Here(String),
    /// On another one.
    There(Way),
}

/// A session of another machine, as the user names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Its id there, or what else names it.
    pub name: String,
    /// The machine: `desk`, or `dev@server` for one that only `server` knows.
    pub machine: String,
}

/// Where `text` is, with what `--machine` says. Who says both has to mean one machine.
pub fn place(cx: &Cx, text: &str, on: &On) -> Result<Place, Failure> {
    let (name, named) = text.split_once('@').map_or((text, None), |(name, way)| (name, Some(way)));
    let own = cx.config()?.machine_id()?.to_string();
    let machine = match (named, on.machine.as_deref()) {
        (None, None) => return Ok(Place::Here(text.to_owned())),
        (Some(way), Some(machine)) if further(way, &own) != further(machine, &own) => {
            let (text, machine) = (visible_line(text), visible_line(machine));
            let words =
                format!("`{text}` and `--machine {machine}` name two machines; leave one of them out");
            return Err(Failure::new(Exit::Usage, words));
        }
        (Some(one), _) | (None, Some(one)) => one,
    };
    Ok(match further(machine, &own) {
        None => Place::Here(name.to_owned()),
        Some(machine) => {
            check(machine)?;
            Place::There(Way { name: name.to_owned(), machine: machine.to_owned() })
        }
    })
}

/// The way from this machine on; `None` when it ends here.
fn further<'a>(machine: &'a str, own: &str) -> Option<&'a str> {
    match machine.strip_suffix(own) {
        Some("") => None,
        Some(rest) => Some(rest.strip_suffix('@').unwrap_or(machine)),
        None => Some(machine),
    }
}

fn check(machine: &str) -> Result<(), Failure> {
    let good = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    };
    if machine.split('@').all(good) {
        return Ok(());
    }
    let shown = visible_line(machine);
    Err(Failure::new(
        Exit::Usage,
        format!("`{shown}` is no machine; write its name, as in dev or dev@server"),
    ))
}

/// A machine that was named for something new; `None` for this one.
pub fn machine(cx: &Cx, on: &On) -> Result<Option<String>, Failure> {
    let Some(machine) = &on.machine else { return Ok(None) };
    let own = cx.config()?.machine_id()?.to_string();
    let machine = further(machine, &own);
    machine.map(|machine| check(machine).map(|()| machine.to_owned())).transpose()
}

/// A session of another machine that was found, and how it is reached.
#[derive(Debug)]
pub struct Remote {
    client: Client,
    /// What is known of it.
    pub session: Listed,
}

impl Remote {
    /// Looks for it in what this machine's daemon knows; once more, where the link to its machine is just coming up.
    pub async fn find(cx: &Cx, way: &Way) -> Result<Self, Failure> {
        let client = connect(cx)?;
        let choose = async || match listed::choose(list(&client).await.map_err(failure)?, way) {
            Ok(session) => Ok(Some(session)),
            Err(Chosen::None) => Ok(None),
            Err(Chosen::Several(ids)) => Err(Failure::new(
                Exit::Failed,
                format!("`{}` could be {}; name it by its id", visible_line(&way.name), ids.join(", ")),
            )),
        };
        let mut session = choose().await?;
        if session.is_none() {
            let machines = Machines::settled(cx, &client, &way.machine, machines::KNOWN_WITHIN).await?;
            session = choose().await?;
            if let (None, Some(trouble)) = (&session, machines.trouble(&way.machine)) {
                return Err(trouble);
            }
        }
        let session = session.ok_or_else(|| {
            let (name, machine) = (visible_line(&way.name), &way.machine);
            let words = format!(
                "no session `{name}` on {machine}; `darkmux session ls --machine {machine}` lists them"
            );
            Failure::new(Exit::Failed, words)
        })?;
        Ok(Self { client, session })
    }

    /// It was known, and is not any more.
    fn gone(&self) -> Failure {
        Failure::new(Exit::Failed, format!("session {} is not there any more", self.session.id))
    }

    /// Its terminal is not shown.
    fn refused(&self, why: &str) -> Failure {
        Failure::new(Exit::Failed, format!("session {} is not shown: {why}", self.session.id))
    }

    /// What is known of it now; `None` when it is gone.
    pub async fn now(&self) -> Result<Option<Listed>, Failure> {
        let now = list(&self.client).await.map_err(failure)?;
        Ok(now.into_iter().find(|session| session.id == self.session.id))
    }

    fn path(&self, action: &str) -> String {
        format!("/v1/sessions/{}/{action}", self.session.id)
    }
}

/// This machine's daemon.
fn connect(cx: &Cx) -> Result<Client, Failure> {
    Client::local(&cx.config()?.paths).map_err(|error| {
        Failure::new(
            Exit::Unreachable,
            format!("other machines are reached through this one's daemon: {error}"),
        )
    })
}

/// A refusal of the daemon, with the status that stands for it.
fn failure(error: ClientError) -> Failure {
    match error {
        ClientError::Refused { code, message, .. } => {
            let exit = match code.as_str() {
                "peer_unavailable" | "stopping" => Exit::Unreachable,
                "unknown_peer" | "validation_error" | "name_taken" => Exit::Usage,
                "launcher_unavailable" => Exit::CannotRun,
                _ => Exit::Failed,
            };
            Failure::new(exit, message)
        }
        error => Failure::new(Exit::Unreachable, error),
    }
}

/// What other machines' sessions there are; none where no daemon runs.
pub async fn known(cx: &Cx, wanted: Option<&str>) -> Result<Vec<Listed>, Failure> {
    let client = match Client::local(&cx.config()?.paths) {
        Ok(client) => client,
        // Somebody who names a machine is told; for everybody else this one's sessions are all there are.
        Err(error) if wanted.is_some() => return Err(failure(error)),
        Err(_) => return Ok(Vec::new()),
    };
    let Some(wanted) = wanted else {
        return Ok(list(&client).await.unwrap_or_else(|error| {
            cx.printer.warn(&format!("other machines' sessions are missing: {error}"));
            Vec::new()
        }));
    };
    let machines = Machines::settled(cx, &client, wanted, LISTED_WITHIN).await?;
    let mut sessions = list(&client).await.map_err(failure)?;
    sessions.retain(|session| session.machine() == wanted);
    match machines.trouble(wanted) {
        // What it had when it went away is known.
        Some(trouble) if sessions.is_empty() => Err(trouble),
        _ => Ok(sessions),
    }
}

/// The one session of another machine that a text without a machine fits, as `ID@MACHINE`; `None` where there are none or
/// several, or where the daemon does not say so in time.
pub fn elsewhere(cx: &Cx, text: &str, patience: Duration) -> Option<String> {
    let client = Client::local(&cx.config().ok()?.paths).ok()?;
    let asked = async { Ok(tokio::time::timeout(patience, list(&client)).await) };
    let all = super::block_on(asked).ok()?.ok()?.ok()?;
    listed::anywhere(&all, text)
}

/// Runs the work of a verb for one session of another machine.
pub fn with<T>(
    cx: &Cx,
    way: &Way,
    work: impl AsyncFnOnce(Remote) -> Result<T, Failure>,
) -> Result<T, Failure> {
    super::block_on(async { work(Remote::find(cx, way).await?).await })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::printer::Color;
    use crate::config::Environment;

    #[test]
    fn a_name_without_a_machine_stays_here() {
        let home = tempfile::tempdir().unwrap();
        let vars = [("HOME", home.path().as_os_str()), ("DARKMUX_MACHINE_ID", "own".as_ref())];
        let cx = Cx::new(Environment::of(vars), Color::Never);
        let place = |text: &str, machine: Option<&str>| {
            let on = On { machine: machine.map(str::to_owned) };
            place(&cx, text, &on).map_err(|failure| failure.exit())
        };
        let here = |text: &str| Ok(Place::Here(text.to_owned()));
        let there = |name: &str, machine: &str| {
            Ok(Place::There(Way { name: name.to_owned(), machine: machine.to_owned() }))
        };
        assert_eq!(place("build", None), here("build"));
        assert_eq!(place("build", Some("own")), here("build"));
        assert_eq!(place("build@own", None), here("build"));
        assert_eq!(place("build@desk", None), there("build", "desk"));
        assert_eq!(place("build", Some("dev@server")), there("build", "dev@server"));
        assert_eq!(place("build@dev", Some("dev")), there("build", "dev"));
        assert_eq!(place("build@dev@own", Some("dev")), there("build", "dev"));
        assert_eq!(place("build@own", Some("own")), here("build"));
        for (text, machine) in [("build@dev", "server"), ("build@dev", "own"), ("build@own", "dev")] {
            assert_eq!(place(text, Some(machine)), Err(Exit::Usage), "{text} on {machine}");
        }
        assert_eq!(place("build@dev@own", None), there("build", "dev"));
        for bad in ["build@", "build@a b", "build@a/b", "build@@x"] {
            assert_eq!(place(bad, None), Err(Exit::Usage), "{bad}");
        }
    }
}
